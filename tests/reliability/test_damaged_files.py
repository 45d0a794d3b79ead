"""Damaged and hostile .pth, splits and .npy files: one message each, and no traceback."""

import io
import random

from runtime.errors import InputError

import numpy as np
import pytest
import torch

from eegdata.pth_file import read_pth
from eegdata.splits_file import split_records
from sources.things import open_eeg

from .mutations import flipped, mutated

STRANGE = (torch.arange(3), torch.tensor([1.5]), np.arange(3), torch.empty(0), torch.tensor([[1, 2]]), (0, 1), {0, 1},
           np.int64(3), torch.tensor(2), b"ab", torch.tensor([]), np.zeros((2, 2)))
READERS = {"pth": read_pth, "npy": open_eeg,
           "splits": lambda path: split_records(path, "data", [f"a_{i // 2}" for i in range(12)], [1, 2] * 6, "abc")}


def good(kind):
    rng = np.random.default_rng(0)
    if kind == "splits":
        return {"splits": [{"train": list(range(8)), "val": [8, 9], "test": [10, 11]}], "made_from": {"data": "abc"}}
    if kind == "npy":
        return {"preprocessed_eeg_data": rng.standard_normal((2, 3, 4, 5)), "ch_names": ["a", "b", "c", "d"],
                "times": np.arange(5) / 100}
    return {"dataset": [{"eeg": torch.zeros(2, 8), "image": i, "label": i % 2, "subject": 1} for i in range(4)],
            "labels": ["a", "b"], "images": ["a_1", "b_1", "a_2", "b_2"], "sfreq": 100.0, "ch_names": ["Cz", "Pz"],
            "units": "uV", "about": {}}


def written(kind, content):
    file = io.BytesIO()
    if kind == "npy":
        np.save(file, content, allow_pickle=True)
    else:
        torch.save(content, file)
    return file.getvalue()


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
        content = mutated(good(kind), draw)
        if isinstance(content, dict) and content and draw.random() < .5:
            content[draw.choice(list(content))] = draw.choice(STRANGE)
        said = read(kind, written(kind, content), tmp_path / "file")
        assert said is None or (said and len(said) < 2000)
        refused += said is not None
    assert refused > 100 and read(kind, written(kind, good(kind)), tmp_path / "file") is None


@pytest.mark.parametrize("kind", ["pth", "splits"])
def test_no_flipped_bit_of_a_value_is_used(tmp_path, kind):
    """A flip in what no reader looks at, such as a time in the archive, leaves the values as they were."""
    draw, content, path = random.Random(0), written(kind, good(kind)), tmp_path / "file"
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
