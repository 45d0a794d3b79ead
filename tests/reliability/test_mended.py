"""What `python -m bench.faults` found and what was mended: one short case each."""

import io
import json
import math
import random
import shutil
import struct
import subprocess
import sys

from runtime.atomic_files import TEMPORARY, atomic_folder, atomic_path, remove_leftovers
from runtime.checkpoint_files import written_files
from runtime.errors import InputError
from runtime.runs import CHECKSUM, read_json, write_json, write_record

import mne
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bench.mutations import flipped
from captioning.training import kept_log
from datautils import _hash, _read_rows
from eegdata import pictures
from eegdata.pth_file import read_pth
from language_model import adapter_files
from language_model.tokenizer import load_tokenizer
from metrics.caption_files import COLUMNS, read_captions
from sources import damage
from sources.coco_pictures import _shared
from sources.readers import open_raw

KILLED = """
import os, sys
from runtime.atomic_files import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print("half", flush=True)
    sys.stdin.read()
"""


def test_what_killed_writers_of_a_file_left_is_removed_and_no_others(tmp_path):
    file = tmp_path / "scores.json"
    dead, alive = (subprocess.Popen([sys.executable, "-c", KILLED, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                    text=True) for _ in range(2))
    for process in (dead, alive):
        assert process.stdout.readline() == "half\n"
    dead.kill()
    dead.wait()
    write_json(tmp_path / "other.json", {})
    assert len(list(tmp_path.glob(f"{TEMPORARY}*"))) == 2  # of another file
    write_json(file, {"a": 1})
    assert len(list(tmp_path.glob(f"{TEMPORARY}*"))) == 1 and read_json(file) == {"a": 1}
    remove_leftovers(tmp_path.parent)  # as a run in the folder above begins
    assert len(list(tmp_path.glob(f"{TEMPORARY}*"))) == 1
    alive.communicate("")
    assert not list(tmp_path.glob(f"{TEMPORARY}*")) and file.read_text() == "half"


def test_a_temporary_file_in_whose_place_another_was_put_is_no_leftover(tmp_path):
    """safetensors writes beside a file and renames; a second process of the same run writes the same file meanwhile."""
    file, other = tmp_path / "weights", tmp_path / "new"
    with atomic_path(file) as temporary:
        other.write_text("whole")
        other.replace(temporary)
        subprocess.run([sys.executable, "-c", KILLED, file], input="\n", text=True, check=True, capture_output=True)
    assert file.read_text() == "whole"


def test_a_folder_is_made_as_a_whole_by_the_first(tmp_path):
    """As two runs keep the same stage 2: their files are not mixed."""
    folder = tmp_path / "kept"
    with atomic_folder(folder) as ours:
        write_json(ours / "a.json", {"run": 1})
        with atomic_folder(folder) as theirs:
            write_json(theirs / "a.json", {"run": 2})
        write_json(ours / "b.json", {"run": 1})
    assert [path.name for path in tmp_path.rglob("*")] == ["kept", "a.json"] and read_json(folder / "a.json") == {"run": 2}
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "other") as temporary:
        write_json(temporary / "a.json", {"run": 1 / 0})
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_no_flipped_bit_of_a_record_is_used(tmp_path):
    content = {"options": {"learning_rate": 1e-4, 3: "a", "path": tmp_path, "odd": [float("nan"), "\ud800", "é", None]}}
    file, draw = tmp_path / "args.json", random.Random(0)
    write_record(file, content)
    whole, written = read_json(file), file.read_bytes()
    assert CHECKSUM not in whole and whole["options"]["3"] == "a"
    noticed = 0
    for _ in range(300):
        file.write_bytes(flipped(written, draw))
        try:
            found = read_json(file)
        except InputError:
            noticed += 1
            continue
        assert str(found) == str(whole)  # blanks
    assert noticed > 200
    file.write_text(json.dumps(json.loads(written) | {"options": {}}))
    with pytest.raises(InputError, match=r"damaged, or changed by hand .* remove its 'checksum'"):
        read_json(file)
    file.write_text(json.dumps({"options": {}}))
    assert read_json(file) == {"options": {}}  # of an earlier version, or meant


def test_a_damaged_kept_stage_2_is_refused(tmp_path):
    save_file({"a": torch.zeros(3)}, tmp_path / "projector.safetensors")
    write_json(tmp_path / "stage2.json", [{"loss": 1.0}])
    assert kept_log(tmp_path) == [{"loss": 1.0}]  # of an earlier version
    write_record(tmp_path / "stage2.json", {"log": [], "files": written_files(tmp_path)})
    assert kept_log(tmp_path) == []
    save_file({"a": torch.ones(3)}, tmp_path / "projector.safetensors")
    with pytest.raises(InputError, match="remove the folder, so that stage 2 is trained again"):
        kept_log(tmp_path)


def test_damaged_embeddings_of_pictures_are_refused(tmp_path):
    file, rows, names = tmp_path / "e.safetensors", torch.zeros(2, 4), json.dumps(["a", "b"])
    save_file({"embeddings": rows}, file, {"pictures": names})
    assert list(_read_rows(file)) == ["a", "b"]  # of an earlier version
    save_file({"embeddings": rows + 1}, file, {"pictures": names, "sha256": _hash(names, rows)})
    with pytest.raises(InputError, match="damaged cache"):
        _read_rows(file)


def test_a_recording_that_crashes_its_reader(tmp_path, monkeypatch):
    (tmp_path / "a.set").write_bytes(b"MATLAB 5.0 MAT-file")
    crash, ends = "import os; os.kill(os.getpid(), 11)", "pass"
    with pytest.raises(InputError, match="MATLAB's reader crashes"):
        damage.try_first(tmp_path / "a.set", crash, "MATLAB's")
    damage.try_first(tmp_path / "a.set", ends, "MATLAB's")
    monkeypatch.setattr(damage, "_tried", lambda command: (-11, ""))
    with pytest.raises(InputError, match="crashes"):
        open_raw(tmp_path / "a.set")
    with pytest.raises(InputError, match="MATLAB's reader crashes"):
        _shared(tmp_path / "a.set")  # NSD's list of pictures


def test_a_recording_that_another_process_cannot_read_is_not_read_again(tmp_path, monkeypatch):
    """Such a damaged .set file raised an error there, and then crashed Python here: which of them is chance."""
    for error, kind in (("MemoryError('9 TB')", MemoryError), ("ZeroDivisionError('by zero')", InputError)):
        with pytest.raises(kind, match=r"9 TB|ZeroDivisionError: by zero"):
            damage.try_first(tmp_path / "a.set", f"raise {error}", "MATLAB's")
    (tmp_path / "a.set").write_bytes(b"MATLAB 5.0 MAT-file")
    monkeypatch.setattr(damage, "_tried", lambda command: (1, "ZeroDivisionError: by zero"))
    for name in ("read_raw_eeglab", "read_raw"):
        monkeypatch.setattr(mne.io, name, lambda *_, **__: pytest.fail("was read"))
    with pytest.raises(InputError, match=r"a\.set: not readable \(ZeroDivisionError: by zero\)"):
        open_raw(tmp_path / "a.set")


def test_fif_files_of_circles_and_of_unknown_kinds_of_channels(tmp_path):
    raw = mne.io.RawArray(np.zeros((2, 100)), mne.create_info(["Cz", "Oz"], 100., "eeg"), verbose="error")
    path = tmp_path / "a_raw.fif"
    raw.save(path, verbose="error")
    whole = path.read_bytes()
    assert open_raw(path)[0].n_times == 100
    path.write_bytes(whole[:36 + 12] + (36).to_bytes(4) + whole[36 + 16:])  # the second tag follows itself
    with pytest.raises(InputError, match="its tags lead back"):
        open_raw(path)
    place = whole.index((203).to_bytes(4) + (30).to_bytes(4)) + 16 + 8  # the kind in the first channel's description
    path.write_bytes(whole[:place] + (4098).to_bytes(4) + whole[place + 4:])
    with pytest.raises(InputError, match="not readable"):
        open_raw(path)
    rate = (201).to_bytes(4) + (4).to_bytes(4) + (4).to_bytes(4) + (0).to_bytes(4)  # FIFF_SFREQ, a float of 4 bytes
    place = whole.index(rate) + len(rate)
    for wrong in (-100., math.inf, 0.):
        path.write_bytes(whole[:place] + struct.pack(">f", wrong) + whole[place + 4:])
        with pytest.raises(InputError, match=r"a_raw\.fif: (its sampling rate|not readable)"):
            open_raw(path)


@pytest.mark.parametrize(("file", "key", "value"), [
    ("tokenizer.json", "model", 3), ("tokenizer.json", "added_tokens", [{}]), ("tokenizer_config.json", "eos_token", [1]),
    ("tokenizer_config.json", "model_max_length", []), ("tokenizer_config.json", "tokenizer_class", 1.5)])
def test_damaged_tokenizers(llm, tmp_path, file, key, value):
    folder = shutil.copytree(llm, tmp_path / "llm")
    (folder / file).write_text(json.dumps(json.loads((folder / file).read_text()) | {key: value}))
    with pytest.raises(InputError, match="no usable tokenizer"):
        load_tokenizer(folder)


def test_a_tokenizer_whose_library_panics(llm, tmp_path):
    """What Rust raises then is no Exception."""
    folder = shutil.copytree(llm, tmp_path / "llm")
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["continuing_subword_prefix"] = "a" * 5000
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="no usable tokenizer"):
        load_tokenizer(folder)


def test_damaged_adapters(tmp_path):
    for change in ({"bias": "x"}, {"megatron_config": {"a": 1}, "megatron_core": "nowhere"}, {"peft_type": "a" * 5000}):
        (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "target_modules": ["0"]}
                                                                 | change))
        with pytest.raises(InputError) as error:
            adapter_files.attach(torch.nn.Sequential(torch.nn.Linear(2, 2)), tmp_path)
        assert len(str(error.value)) < 1000


def test_an_adapter_runs_no_module_that_it_names(tmp_path, monkeypatch):
    monkeypatch.setattr("peft.tuners.lora.tp_layer.get_default_module_allowlist", lambda: ["evil"])  # as peft 0.18, any
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    (tmp_path / "adapter_config.json").write_text(json.dumps({
        "peft_type": "LORA", "r": 2, "target_modules": ["0"], "megatron_config": {"a": 1}, "megatron_core": "evil.code"}))
    with pytest.raises(InputError, match="megatron_config"):
        adapter_files.attach(torch.nn.Sequential(torch.nn.Linear(2, 2)), tmp_path)
    assert not (tmp_path / "ran").exists()


def test_values_of_a_wrong_kind(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "a_1_caption.txt").write_text("A cat.\n")
    write_json(tmp_path / pictures.MARKS_FILE, {"a_1": {"model": [True], "sha256": pictures.file_hash(
        tmp_path / "a" / "a_1_caption.txt")}})
    with pytest.raises(InputError, match="model"):
        pictures.machine_made(tmp_path)
    (tmp_path / "c.csv").write_bytes(",".join(["\ud800", *COLUMNS[1:]]).encode(errors="surrogatepass") + b"\na,b,c,d,e\n")
    with pytest.raises(InputError):
        read_captions(tmp_path / "c.csv")
    content = io.BytesIO()
    record = {"eeg": torch.zeros(2, 8), "image": 0, "label": 0, "subject": 2**70}
    torch.save({"dataset": [record], "labels": ["a"], "images": ["a_1"], "sfreq": 100.0}, content)
    (tmp_path / "a.pth").write_bytes(content.getvalue())
    with pytest.raises(InputError, match="expected a whole number"):
        read_pth(tmp_path / "a.pth")
