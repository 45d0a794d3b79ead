"""bench.faults: small runs of its parts, which go on where they were; and each kind of fault is found."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from runtime.errors import InputError

import pytest

from bench import fault_inputs, fault_kills, faults
from bench.fault_readers import Reader

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The output folder of a finished small run, and what it printed."""
    folder = tmp_path_factory.mktemp("faults") / "out"
    done = run(folder, "2")
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-3000:]
    return folder, done.stdout


def run(folder, inputs):
    return subprocess.run(
        [sys.executable, "-m", "bench.faults", "--kills", "3", "--inputs", inputs, "--flips", "2", "--output", folder,
         "--readers", "data: ", "results: ", "splits", "caption files", "BrainVision", "MindBigData", "ledger"],
        cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.slow
def test_a_small_run_finds_nothing_and_goes_on_where_it_was(small):
    folder, said = small
    assert "No fault was found." in said and (folder / "table.md").read_text() in said
    assert "| all | 3 | " in said and "| all | 14 | " in said and "| data: dataset.json | 2 |" in said
    before = {part: (folder / f"{part}.jsonl").read_text() for part in faults.PARTS}
    with open(folder / "inputs.jsonl", "a", encoding="utf-8") as file:
        file.write('{"reader": ')  # cut short by a kill
    assert "| splits | 3 |" in run(folder, "3").stdout
    after = {part: (folder / f"{part}.jsonl").read_text() for part in faults.PARTS}
    assert after["kills"] == before["kills"] and after["flips"] == before["flips"]
    assert after["inputs"].startswith(before["inputs"]) and len(after["inputs"].splitlines()) == 14


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "count"), [("random", 40), ("hypothesis", 40)])
def test_each_kind_of_fault_is_found(tmp_path, monkeypatch, engine, count):
    def read(folder):
        kind = int((folder / "kind").read_text())
        if kind == 0:
            raise InputError("no")
        if kind == 1:
            raise KeyError("a traceback")
        if kind == 2:
            time.sleep(5)
        if kind == 3:
            os.kill(os.getpid(), 9)
        if kind == 4:
            raise InputError(" ")
        return "other values" if kind == 5 else ""

    monkeypatch.setattr(fault_inputs, "SECONDS", 1)
    kinds = [0, 1, 2, 3, 4, 5, 6] if engine == "random" else [0, 1, 4, 5, 6]
    reader = Reader(lambda draw: {"kind": str(draw.choice(kinds)).encode()}, read)
    row = fault_inputs.run_batch("toy", reader, 0, 100, count, tmp_path, engine)
    found = " ".join(row["faults"])
    for said in ("KeyError in test_faults.py", "a message too long, or empty", "silently wrong",
                 *(["no end within 1 s", "ended Python (exit code -9)"] if engine == "random" else [])):
        assert said in found, found
    assert row["read"] and row["refused"] and row["fault"] == sum(times for times, *_ in row["faults"].values())
    first = row["faults"]["silently wrong"][1]
    assert engine == "hypothesis" or int(reader.make(random.Random(f"0 toy {first}"))["kind"]) == 5


def test_a_result_that_differs_is_found(tmp_path):
    (tmp_path / "log.json").write_text(json.dumps({"train_runtime": 1.0, "loss": 2.0}))
    (tmp_path / "weights").write_bytes(b"12")
    whole = fault_kills.contents(tmp_path)
    (tmp_path / "log.json").write_text(json.dumps({"train_runtime": 3.0, "loss": 2.0}))
    assert not fault_kills.difference(whole, fault_kills.contents(tmp_path))
    (tmp_path / "weights").write_bytes(b"13")
    (tmp_path / "log.json").unlink()
    (tmp_path / ".writing-x").touch()
    assert fault_kills.difference(whole, fault_kills.contents(tmp_path)) == (
        "missing: log.json; left over: .writing-x; differs: weights")


def test_another_seed_needs_another_folder(tmp_path, capsys):
    (tmp_path / "seed.json").write_text("1")
    with pytest.raises(SystemExit):
        faults.main(["--output", str(tmp_path)])
    assert "another --seed (1)" in capsys.readouterr().err
