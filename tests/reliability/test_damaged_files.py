"""Damaged and hostile .pth, splits and .npy files: one message each, and no traceback."""

import random

from runtime.errors import InputError

import pytest

from bench.fault_readers import STRANGE, SUBJECTS, TRIALS, good_npy, good_pth, good_splits, saved, saved_npy
from bench.mutations import flipped, mutated
from eegdata.pth_file import read_pth
from eegdata.splits_file import split_records
from sources.things import open_eeg

READERS = {"pth": read_pth, "npy": open_eeg,
           "splits": lambda path: split_records(path, "data", TRIALS, SUBJECTS, "abc")}
GOOD = {"pth": good_pth, "npy": good_npy, "splits": good_splits}


def written(kind, content):
    return (saved_npy if kind == "npy" else saved)(content)


def read(kind, content, path):
    """What the reader says: None where it takes the file, else its message."""
    path.write_bytes(content)
    try:
        READERS[kind](path)
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("kind", READERS)
def test_any_value_in_any_place(tmp_path, kind):
    draw, refused = random.Random(0), 0
    for _ in range(300):
        content = mutated(GOOD[kind](), draw)
        if isinstance(content, dict) and content and draw.random() < .5:
            content[draw.choice(list(content))] = draw.choice(STRANGE)
        said = read(kind, written(kind, content), tmp_path / "file")
        assert said is None or (said and len(said) < 2000)
        refused += said is not None
    assert refused > 100 and read(kind, written(kind, GOOD[kind]()), tmp_path / "file") is None


@pytest.mark.parametrize("kind", ["pth", "splits"])
def test_no_flipped_bit_of_a_value_is_used(tmp_path, kind):
    """A flip in what no reader looks at, such as a time in the archive, leaves the values as they were."""
    draw, content, path = random.Random(0), written(kind, GOOD[kind]()), tmp_path / "file"
    path.write_bytes(content)
    whole = READERS[kind](path)
    for _ in range(100):
        path.write_bytes(flipped(content, draw))
        try:
            found = READERS[kind](path)
        except InputError:
            continue
        assert str(found if kind == "splits" else found[0]) == str(whole if kind == "splits" else whole[0])


def test_files_that_fuzzing_found(shared, tmp_path):
    cases = sorted((shared.parent / "cases" / "reliability" / "fuzz").glob("*_*.bin"))
    if not cases:
        pytest.skip("../shared/cases/reliability is not here")
    for case in cases:
        kind = case.name.split("_")[0]
        if kind in READERS:
            read(kind, case.read_bytes(), tmp_path / "file")
