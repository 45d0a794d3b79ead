"""One run at a time in a folder; what a killed run leaves behind blocks nobody."""

import signal
import subprocess
import sys
from pathlib import Path

from runtime import locks
from runtime.atomic_files import TEMPORARY, atomic_path, remove_leftovers
from runtime.errors import InputError
from runtime.runs import write_json

import pytest

import inference
import prepare_data
import train_eeg_classifier

HOLD = """
import sys, time
from runtime import locks
with locks.only_run(sys.argv[1], "--output", *sys.argv[2:]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder():
    """Starts a process that holds the lock of a folder, or of a file in it."""
    running = []

    def start(*where):
        process = subprocess.Popen([sys.executable, "-c", HOLD, *map(str, where)], stdout=subprocess.PIPE, text=True,
                                   cwd=Path(__file__).parents[1])
        running.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture
def captioned(tmp_path):
    """A small data set folder with pictures."""
    prepare_data.main(["simulated", "--output", str(tmp_path / "made"), "--n_subjects", "1", "--n_pictures", "24",
                       "--trials_per_picture", "2", "--no_audit"])
    return tmp_path / "made"


def refusal(capsys, main, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(map(str, arguments)))
    assert stop.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_a_second_run_is_refused_and_told_of_the_first(holder, data, clip, tmp_path, capsys):
    process = holder(tmp_path / "run")
    said = refusal(capsys, train_eeg_classifier.main, "--eeg_dataset", data / "eeg.pth", "--splits_path",
                   data / "splits.pth", "--image_dir", data / "images", "--clip_model", clip, "--output", tmp_path / "run",
                   "--device", "cpu")
    assert f"--output {tmp_path}/run: another run writes to it (process {process.pid} on " in said
    said = refusal(capsys, prepare_data.main, "simulated", "--output", tmp_path / "run")
    assert "another run writes to it" in said
    holder(tmp_path, "captions.csv")
    said = refusal(capsys, inference.main, "--model_path", tmp_path, "--eeg_dataset", data / "eeg.pth", "--dest",
                   tmp_path / "captions.csv")
    assert f"--dest {tmp_path}/captions.csv: another run writes to it" in said
    with locks.only_writer({"label": tmp_path / "captions_label.csv"}, "--dest"):  # another file of the folder is free
        pass


@pytest.mark.parametrize("command, place", [("split", ""), ("caption", ""), ("caption", "images")])
def test_nobody_changes_a_data_set_that_is_being_prepared(holder, captioned, capsys, command, place):
    """`prepare_data.py ... --overwrite` could remove pictures that were being captioned, as each took a lock of its own."""
    holder(captioned)
    options = ("--model", "none", "--device", "cpu") if command == "caption" else ()
    assert "another run writes to it" in refusal(capsys, prepare_data.main, command, captioned / place, *options)


def test_splits_of_one_file_are_made_by_one_run(holder, captioned, tmp_path, capsys):
    holder(tmp_path, "mine.pth")
    assert "--splits_path" in refusal(capsys, prepare_data.main, "split", captioned, "--splits_path", tmp_path / "mine.pth")


def test_the_lock_of_a_killed_run_is_free_and_its_half_files_go(holder, tmp_path):
    process = holder(tmp_path / "run")
    (tmp_path / "run" / "images" / "ball").mkdir(parents=True)
    for name in (f"{TEMPORARY}x.json", f"images/ball/{TEMPORARY}y.JPEG"):
        (tmp_path / "run" / name).write_text("half")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / "run" / locks.LOCK).is_file()
    with locks.only_run(tmp_path / "run", "--output"):
        assert [path.name for path in (tmp_path / "run").rglob("*") if path.is_file()] == [locks.LOCK]
    assert not [path for path in (tmp_path / "run").rglob("*") if path.is_file()]


def test_a_run_that_fails_before_it_writes_leaves_no_folder(tmp_path):
    with pytest.raises(InputError), locks.only_run(tmp_path / "a" / "run", "--output"):
        raise InputError("no")
    assert not (tmp_path / "a" / "run").exists()
    with pytest.raises(InputError), locks.only_run(tmp_path / "run", "--output"):
        write_json(tmp_path / "run" / "args.json", {})
        raise InputError("no")
    assert (tmp_path / "run" / "args.json").is_file()


def test_a_file_is_whole_or_the_old_one(tmp_path):
    code = ("import os, signal, sys\nfrom runtime.atomic_files import atomic_path\n"
            "with atomic_path(sys.argv[1]) as temporary:\n"
            "    temporary.write_text('new')\n    os.kill(os.getpid(), signal.SIGKILL)")
    (tmp_path / "file.json").write_text("old")
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "file.json")], cwd=Path(__file__).parents[1])
    assert (tmp_path / "file.json").read_text() == "old" and len(list(tmp_path.glob(f"{TEMPORARY}*"))) == 1
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file.json"]


def test_the_longest_name_that_a_file_can_have(tmp_path):
    name = "é" * 120 + ".json"  # 245 bytes of the 255 that a file system allows
    write_json(tmp_path / name, {})
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with pytest.raises(InputError, match="cannot be written"), atomic_path(tmp_path / ("x" * 300)) as temporary:
        temporary.write_text("")
