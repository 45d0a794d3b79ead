"""Damaged data set folders: each is refused with one message, none is used unnoticed, none ends Python."""

import json
import random
import shutil

from runtime.errors import InputError
from runtime.runs import read_json

import pytest

from bench.fault_readers import unsound
from bench.mutations import flipped, mutated
from eegdata.trials import load_trials
from report_material import make_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("folder") / "run", pictures=4, subjects=2) / "data"


def problem(folder):
    """What is wrong with trials that were loaded; "" where nothing is, or where the folder is refused."""
    try:
        return unsound(load_trials(folder))
    except InputError as error:
        return "" if str(error).strip() and "\n" not in str(error) and len(str(error)) < 1000 else f"message {error}"


def test_damaged_records(folder, tmp_path):
    copy, draw = shutil.copytree(folder, tmp_path / "data"), random.Random(0)
    record = read_json(folder / "dataset.json")
    for number in range(300):
        damaged = mutated(record, draw)
        (copy / "dataset.json").write_text(json.dumps(damaged))
        assert not (said := problem(copy)), (number, said)


@pytest.mark.parametrize("factor", [.5, 2, 4])
def test_trials_of_another_length_are_not_cut_from_the_others(folder, tmp_path, factor):
    copy, record = shutil.copytree(folder, tmp_path / "data"), read_json(folder / "dataset.json")
    (copy / "dataset.json").write_text(json.dumps(record | {"n_times": int(record["n_times"] * factor)}))
    with pytest.raises(InputError, match="damaged"):
        load_trials(copy)


def test_records_that_fuzzing_found(folder, shared, tmp_path):
    cases = sorted((shared.parent / "cases" / "reliability" / "fuzz").glob("dataset_*.bin"))
    if not cases:
        pytest.skip("../shared/cases/reliability is not here")
    copy = shutil.copytree(folder, tmp_path / "data")
    for case in cases:
        content = case.read_bytes()
        if content[:1] == b"B":  # dataset.json; A: a shard of another data set
            (copy / "dataset.json").write_bytes(content[1:])
            assert not (said := problem(copy)), (case.name, said)


def test_no_flipped_bit_of_a_shard_is_used(folder, tmp_path):
    copy, draw = shutil.copytree(folder, tmp_path / "data"), random.Random(1)
    shard = next((copy / "trials").glob("*.arrow"))
    content = shard.read_bytes()
    for _ in range(50):
        shard.write_bytes(flipped(content, draw))
        with pytest.raises(InputError, match="damaged"):
            load_trials(copy)
    shard.write_bytes(content)
    assert len(load_trials(copy))
