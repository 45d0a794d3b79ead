"""recipes/benchmark_encoders.py: folds that share no group, a table, and an exit code that says who is ahead."""

from types import SimpleNamespace

from runtime.errors import InputError

import numpy as np
import pytest
import torch
from PIL import Image

from encoders.classical import BASELINES
from recipes import benchmark_encoders as benchmark
from recipes import ideal_observer

PEOPLE, EACH = 12, 20


class FewTrials(SimpleNamespace):
    """What a Task asks of Trials."""

    def __len__(self):
        return len(self.label)


@pytest.fixture
def few_trials(monkeypatch):
    """12 people with 2 recordings of 10 trials each, of 3 classes."""
    n = PEOPLE * EACH
    trials = FewTrials(subject=torch.arange(n) // EACH, recording=torch.arange(n) // 10, label=torch.arange(n) % 3,
                       fingerprint="0123456789")
    monkeypatch.setattr(benchmark.Task, "trials", trials)


@pytest.mark.parametrize(("by", "count"), [("person", 5), ("recording", 5)])
def test_no_group_is_in_two_parts_and_each_is_tested_once(few_trials, by, count):
    task = benchmark.Task("", "", by)
    folds = task.folds(0)
    assert len(folds) == count
    for fold in folds:
        groups = [set(task.clusters[part].tolist()) for part in fold]
        assert all(groups) and not groups[0] & groups[1] and not groups[2] & (groups[0] | groups[1])
    assert sorted(np.concatenate([test for _, _, test in folds])) == list(range(PEOPLE * EACH))


def test_of_three_people_one_is_tested_and_recordings_of_the_others_validate(few_trials):
    trials = benchmark.Task.trials
    trials.subject = trials.subject % 3
    for train, val, test in benchmark.Task("", "", "person").folds(0):
        assert len(set(trials.subject[test].tolist())) == 1 and len(set(trials.recording[val].tolist())) == 2
        assert not set(trials.recording[val].tolist()) & set(trials.recording[train].tolist())
        assert not set(trials.subject[test].tolist()) & set(trials.subject[np.concatenate([train, val])].tolist())


def test_merged_classes_share_a_prior():
    task = benchmark.Task("", "", "person", merged=True)
    assert task.classes_of(np.array([[.35, .6, .05], [.3, .35, .35]])).tolist() == [0, 1]


def test_data_sets_in_folders_of_one_name_share_no_predictions(few_trials, monkeypatch, tmp_path):
    """The second of two folders called data was given what the first had been read as."""
    def predictions(task, fold, seed, folder, methods):
        return {"x": np.eye(3)[task.trials.label.numpy()[fold[2]]]}

    monkeypatch.setattr(benchmark, "predictions", predictions)
    one = benchmark.cross_validated(benchmark.Task("", "n170/data", "person"), 0, tmp_path, [])
    of_one = vars(benchmark.Task.trials)
    other = FewTrials(**of_one | {"fingerprint": "9876543210", "label": 2 - of_one["label"]})
    monkeypatch.setattr(benchmark.Task, "trials", other)
    two = benchmark.cross_validated(benchmark.Task("", "uci/data", "person"), 0, tmp_path, [])
    assert (one["x"] == 2 - two["x"]).all()


@pytest.mark.parametrize("content, named", [
    (b"", "cannot be read"), (b"PK\3\4 cut short", "cannot be read"), ({"x": np.ones(3)}, "x holds no probabilities of"),
    ({"x": np.full((48, 3), np.nan)}, "x holds no probabilities of")])
def test_kept_predictions_are_checked(few_trials, monkeypatch, tmp_path, content, named):
    """Damage was a traceback."""
    task, _ = _benchmarked(monkeypatch, tmp_path, [])
    file = sorted(tmp_path.rglob("*.npz"))[0]
    rows = len(task.folds(0)[0][2])
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        np.savez(file, **{name: np.resize(values, (rows, 3)) if values.ndim == 2 else values for name, values in
                          content.items()})
    with pytest.raises(InputError, match=named) as told:
        benchmark.cross_validated(task, 0, tmp_path, [])
    assert str(file) in str(told.value)


def _benchmarked(monkeypatch, folder, networks):
    """The task, and of each fold which methods were asked for: each knows the classes."""
    asked = []

    def predictions(task, fold, seed, folder, methods):
        asked.append(methods)
        return {name: np.eye(3)[task.trials.label.numpy()[fold[2]]] for name in methods}

    monkeypatch.setattr(benchmark, "predictions", predictions)
    task = benchmark.Task("", "data", "person")
    benchmark.cross_validated(task, 0, folder, networks)
    return task, asked


def test_a_network_that_is_asked_for_later_is_added_to_what_was_kept(few_trials, monkeypatch, tmp_path):
    """All folds had to be removed and computed again to add one."""
    task, asked = _benchmarked(monkeypatch, tmp_path, [])
    assert len(asked) == 5 and benchmark.OURS in asked[0] and "EEGNet" not in asked[0]
    assert _benchmarked(monkeypatch, tmp_path, ["EEGNet"])[1] == [["EEGNet"]] * 5
    assert _benchmarked(monkeypatch, tmp_path, [])[1] == []
    found = benchmark.cross_validated(task, 0, tmp_path, [])
    assert (found["EEGNet"] == benchmark.Task.trials.label.numpy()).all()


def test_two_runs_do_not_write_the_folds_of_one_data_set_and_seed(few_trials, monkeypatch, tmp_path):
    def second_run(task, fold, seed, folder, methods):
        with pytest.raises(InputError, match="another run writes to it"):
            benchmark.cross_validated(task, 0, tmp_path, [])
        return {name: np.eye(3)[task.trials.label.numpy()[fold[2]]] for name in methods}

    monkeypatch.setattr(benchmark, "predictions", second_run)
    benchmark.cross_validated(benchmark.Task("", "data", "person"), 0, tmp_path, [])


def test_a_seed_that_is_given_twice_is_one_run(monkeypatch, tmp_path):
    found = []

    def scores_of(task, seeds, *more):
        found.extend(seeds)
        raise InputError("that is all")

    monkeypatch.setattr(benchmark, "tasks_of", lambda args: [benchmark.Task("", "data", "person")])
    monkeypatch.setattr(benchmark, "scores_of", scores_of)
    with pytest.raises(SystemExit):
        benchmark.main(["--output", str(tmp_path), "--seeds", "1", "0", "1"])
    assert found == [1, 0]


@pytest.mark.parametrize(("best_of", "code"), [(benchmark.OURS, 0), (next(iter(BASELINES)), 1)])
def test_the_exit_code_says_whether_a_baseline_is_ahead(few_trials, monkeypatch, tmp_path, capsys, best_of, code):
    def predictions(task, fold, seed, folder, methods):
        right = np.eye(3)[task.trials.label.numpy()[fold[2]]]
        rng = np.random.default_rng(seed)
        return {name: right if name == best_of else rng.permutation(right) for name in (benchmark.OURS, *BASELINES)}

    monkeypatch.setattr(benchmark, "predictions", predictions)
    monkeypatch.setattr(benchmark, "tasks_of", lambda args: [benchmark.Task("SNR 0.5, all", "made", "person")])
    monkeypatch.setattr(ideal_observer, "ideal_accuracy", lambda folder: (.5, .9))
    with pytest.raises(SystemExit) as stop:
        benchmark.main(["--output", str(tmp_path), "--simulated", "made", "--seeds", "0", "1", "--networks"])
    assert stop.value.code == code
    text = (tmp_path / "table.md").read_text()
    assert f"| {best_of} | 1.000 [1.000, 1.000] |" in text and "The ideal observer at SNR 0.5: 0.900." in text
    assert ("the default encoder is below" in capsys.readouterr().out) == bool(code)
    assert Image.open(tmp_path / "benchmark.png").size[0] > 500
