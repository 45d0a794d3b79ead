"""The ledger of scorings of a test split."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

from runtime.errors import InputError

import pytest

from evaluation import ledger
from evaluation.ledger import count_scorings, family, note_scoring, run_folder

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tmp_path(tmp_path):
    """A folder so deep that no other test's ledgers are around its own."""
    folder = tmp_path / "a" / "study"
    folder.mkdir(parents=True)
    return folder


def note(folder, key="f", script="evaluate.py", model="m1", scored="s1"):
    folder.mkdir(parents=True, exist_ok=True)
    return note_scoring([folder], key, script=script, model=model, scored=scored)


def lines(folder):
    """Without blank ones, which a process may leave that meets another in the middle of its line."""
    return list(filter(str.strip, (folder / "test_ledger.jsonl").read_text().splitlines()))


def test_the_run_folder_holds_the_checkpoint(tmp_path, monkeypatch):
    encoder = tmp_path / "runs" / "demo" / "captioner" / "eeg_encoder"
    encoder.mkdir(parents=True)
    (encoder.parent / "config.json").write_text("{}")
    (encoder / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path / "runs" / "demo")
    for path in ("captioner", "captioner/", "./captioner", encoder.parent, encoder):
        assert run_folder(path) == tmp_path / "runs" / "demo"
    (tmp_path / "runs" / "demo" / "config.json").write_text("{}")  # somebody's own, one step up at most
    assert run_folder(encoder) == tmp_path / "runs" / "demo"
    assert run_folder("org/name") is None and run_folder("datasets/org/name/sub") is None


def test_each_look_counts_once(tmp_path):
    first, second = tmp_path / "runs" / "a", tmp_path / "runs" / "b"
    assert count_scorings([first], "f") == {
        "scored": 0, "models": 0, "splits": 0, "subjects": 0, "text": "No scoring of these test data is in the ledger."}
    assert note(first) and note(first)
    assert len(lines(first)) == 1 and {"date", "script", "family", "model", "scored", "split",
                                         "subject"} == set(json.loads(lines(first)[0]))
    assert count_scorings([first], "f") == {
        "scored": 1, "models": 1, "splits": 1, "subjects": 1,
        "text": "According to the ledgers found, these test data were scored once by evaluate.py (1 model), in 1 folder."}
    note(first, scored="s2")
    note(first, script="test_eeg_classifier.py")
    note(first, key="another split")
    note(second, model="m2")
    note(second, model="m3")
    counted = count_scorings([first], "f")
    assert (counted["scored"], counted["models"]) == (5, 3)
    assert counted["text"] == ("According to the ledgers found, these test data were scored 4 times by evaluate.py (3 "
                               "models) and once by "
                               "test_eeg_classifier.py (1 model), in 2 folders. Each further scoring makes a lucky "
                               "result more likely.")
    assert count_scorings([second], "f") == counted
    assert count_scorings([first], "another split")["scored"] == 1
    (second / "test_ledger.jsonl").write_text((second / "test_ledger.jsonl").read_text() + lines(first)[0] + "\n")
    assert count_scorings([first], "f")["scored"] == 5  # a copied run folder adds no look


def test_all_looks_at_the_test_part_of_a_data_set_count_together(tmp_path):
    """Splits made anew, single subjects and run folders anywhere are looks at the same data."""
    assert family("data", "test") == family("data", "test")
    assert len({family("data", "test"), family("data 2", "test"), family("data", "val"), family("datat", "est")}) == 4
    data = tmp_path / "data" / "mine"
    data.mkdir(parents=True)
    for number in range(5):
        run = tmp_path / "runs" / f"exp{number}" / "seed0"
        folders = ledger.ledger_folders(data, run)
        assert folders == [data, run]
        note_scoring(folders, family("d", "test"), script="evaluate.py", model="m", scored=str(number),
                     split=f"s{number % 2}/0", subject=number)
    counted = count_scorings(folders, family("d", "test"))
    assert (counted["scored"], counted["splits"], counted["subjects"]) == (5, 2, 5)
    assert "scored 5 times by evaluate.py (1 model), with 2 splits" in counted["text"]
    assert ledger.ledger_folders(tmp_path / "gone", run) == [run] == ledger.ledger_folders(None, run)
    (tmp_path / "eeg.pth").write_text("")
    assert ledger.ledger_folders(tmp_path / "eeg.pth", run) == [tmp_path, run]


def test_processes_at_once_lose_nothing(tmp_path):
    code = ("import sys; from pathlib import Path; from evaluation.ledger import note_scoring\n"
            "for i in range(100): note_scoring([Path(sys.argv[1])], 'f', script='x', model=sys.argv[2], scored=str(i))")
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), f"m{i}"], cwd=ROOT) for i in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    entries = {(entry["model"], entry["scored"]) for entry in map(json.loads, lines(tmp_path))}
    assert len(lines(tmp_path)) == 300 and entries == {(f"m{i}", str(j)) for i in range(3) for j in range(100)}


@pytest.mark.parametrize("before", ["", "\n", "\n\n"])
def test_a_file_that_another_process_has_just_made(tmp_path, before):
    file = tmp_path / "runs" / "a" / "test_ledger.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text(before)
    assert note(file.parent) and note(file.parent, model="m2")
    assert file.read_text().startswith(before + "{") and file.read_text().count("\n") == before.count("\n") + 2
    counted = count_scorings([file.parent], "f")
    assert counted["scored"] == 2 and "cannot be read" not in counted["text"]


def test_a_line_that_was_cut_short_swallows_no_other(tmp_path):
    note(tmp_path / "a")
    file = tmp_path / "a" / "test_ledger.jsonl"
    file.write_bytes(file.read_bytes() + file.read_bytes()[:40])
    note(tmp_path / "a", model="m2")
    assert len(lines(tmp_path / "a")) == 3
    counted = count_scorings([tmp_path / "a"], "f")
    assert (counted["scored"], counted["models"]) == (2, 2)
    assert counted["text"].endswith(" 1 line of the ledgers cannot be read and may hold further scorings.")
    file.write_bytes(b'\xff\xfe\n[1]\n{"family": "f"}\n' + file.read_bytes())
    assert count_scorings([tmp_path / "a"], "f")["scored"] == 2


def test_where_it_cannot_be_written(tmp_path, monkeypatch, capsys):
    def refuse(code):
        def fail(*args, **more):
            raise OSError(code, os.strerror(code))
        return fail

    monkeypatch.setattr(ledger.os, "open", refuse(errno.EROFS))
    assert not note(tmp_path)
    said = capsys.readouterr().out
    assert said.startswith("note: this scoring is not counted") and "Read-only" in said and str(tmp_path) not in said
    monkeypatch.setattr(ledger.os, "open", refuse(errno.ENOSPC))
    with pytest.raises(OSError, match="No space"):  # which exits_cleanly turns into one line
        note(tmp_path)
    monkeypatch.undo()
    (tmp_path / "test_ledger.jsonl").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        note(tmp_path)
    (tmp_path / "test_ledger.jsonl").rename(tmp_path / "moved")  # beside other tests' folders it would count for theirs
    (tmp_path / "runs" / "other" / "test_ledger.jsonl").mkdir(parents=True)
    note(tmp_path / "runs" / "own")
    counted = count_scorings([tmp_path / "runs" / "own"], "f")  # what lies beside it ends no scoring
    assert counted["scored"] == 1 and "1 line of the ledgers cannot be read" in counted["text"]


def test_a_hub_checkpoint_has_no_ledger():
    assert note_scoring([], "f", script="x", model="m", scored="s") is False and count_scorings([], "f") is None


def test_where_the_data_cannot_be_written_to_the_run_folder_has_the_ledger(tmp_path, monkeypatch, capsys):
    """Their folder may be open while the ledger in it is another user's."""
    data, run, real = tmp_path / "data", tmp_path / "study" / "runs" / "own", os.open
    data.mkdir()
    run.mkdir(parents=True)

    def refuse(path, *args):
        if Path(path).parent == data:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, *args)

    monkeypatch.setattr(ledger.os, "open", refuse)
    folders = ledger.ledger_folders(data, run)
    assert note_scoring(folders, "f", script="x", model="m", scored="s") and not capsys.readouterr().out
    assert len(lines(run)) == 1 and count_scorings(folders, "f")["scored"] == 1


def test_run_folders_in_folders_of_their_own(tmp_path):
    runs = tmp_path / "study" / "runs"
    for number in range(3):
        note(runs / f"exp{number}" / "seed0", model=f"m{number}")
    note(runs / "flat", model="m3")
    for folder, found in (("exp0/seed0", 3), ("exp2/seed0", 3), ("flat", 4)):  # the last has the others one level deeper
        assert count_scorings([runs / folder], "f")["scored"] == found
