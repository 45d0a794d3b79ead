"""bench/null_studies.py: what it simulates, whole tiny studies, continuing after a stop, and the numbers of the table."""

import json
import pickle

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from bench import null_simulation, null_studies, null_table
from eegdata.splits import read_splits
from eegdata.trials import load_trials
from sources import drawings

TINY = ["--people", "2", "--classes", "2", "--train_pictures", "12", "--test_pictures", "6", "--picture_sets", "1",
        "--pretraining", "64", "--clip_epochs", "1", "--llm_steps", "5", "--n_perm", "200", "--n_boot", "100"]


@pytest.fixture(autouse=True)
def threads():
    """The studies set the number of threads to 1; reset it for later tests."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def simulated(folder, *more):
    args = null_studies.parse([*TINY, *more])
    scenes = null_simulation.make_scenes(args)
    null_simulation.make_study(folder, args, scenes, 0)
    trials = load_trials(folder / "eeg.pth")
    return args, scenes, trials, read_splits(folder / "splits.pth")[0]


def test_each_person_sees_each_picture_once_and_parts_share_none(tmp_path):
    _, scenes, trials, split = simulated(tmp_path)
    assert sorted(trials.images) == sorted(scenes) and trials.eeg.shape == (40, 16, 60)
    for person in (1, 2):
        rows = trials.image[trials.subject == person]
        assert sorted(rows.tolist()) == list(range(20)) and rows.tolist() != sorted(rows.tolist())
    shown = {part: set(trials.image[split[part]].tolist()) for part in split}
    assert [len(shown[part]) for part in ("train", "val", "test")] == [12, 2, 6]
    assert len(set.union(*shown.values())) == 20
    assert [trials.class_names[label] for label in trials.label.tolist()] == [
        scenes[trials.images[image]].kind for image in trials.image.tolist()]


def accuracy(folder, *more):
    """Accuracy of a linear discriminant analysis on the test part, over all people."""
    _, _, trials, split = simulated(folder, "--train_pictures", "80", "--test_pictures", "40", "--people", "4", *more)
    eeg = trials.eeg[:].unfold(2, 10, 10).mean(3).flatten(1).numpy()  # 0.1 s means
    model = LinearDiscriminantAnalysis("lsqr", shrinkage="auto").fit(eeg[split["train"]], trials.label[split["train"]])
    return model.score(eeg[split["test"]], trials.label[split["test"]])


def test_class_is_in_the_eeg_only_where_it_is_put(tmp_path):
    assert accuracy(tmp_path, "--snr", "1") > .9
    assert accuracy(tmp_path, "--snr", "1", "--variant", "class_only") > .9
    chance = stats.binom.ppf([.001, .999], 160, .5) / 160  # 4 people x 40 pictures
    for more in ([], ["--snr", "1", "--variant", "own_response"]):
        assert chance[0] <= accuracy(tmp_path, *more) <= chance[1]


def test_what_the_variants_change(tmp_path):
    scenes = drawings.sample_scenes(16)
    alike = null_simulation.evoking_scenes(scenes, "class_only", None)
    assert {(s.colour, s.number, s.place, s.background) for s in alike} == {("red", 1, "centre", "grass")}
    assert [s.kind for s in alike] == [s.kind for s in scenes]
    others = null_simulation.evoking_scenes(scenes, "own_response", np.random.default_rng(0))
    assert others != scenes and sorted(map(str, others)) == sorted(map(str, scenes))
    _, scenes, _, _ = simulated(tmp_path, "--variant", "equal_captions")
    assert len({drawings.caption(scene) for scene in scenes.values()}) == 6 < len(scenes)
    _, _, trials, _ = simulated(tmp_path, "--variant", "unbalanced", "--classes", "4")
    assert np.bincount(trials.label).max() > .55 * len(trials)
    _, _, trials, split = simulated(tmp_path, "--variant", "style", "--classes", "8", "--train_pictures", "80")
    for person in (1, 2):
        rows = np.array(split["train"])[trials.subject[split["train"]].numpy() == person]
        assert np.sort(np.bincount(trials.label[rows], minlength=8))[-2:].sum() > len(rows) / 2  # two favoured classes
    assert len(split["test"]) == 2 * 6


def lines_of(folder):
    return [json.loads(line) for line in (folder / "studies.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_whole_studies_go_on_after_a_stop_and_are_judged_anew(tmp_path, capsys, monkeypatch):
    null_studies.main([*TINY, "--studies", "1", "--output", str(tmp_path)])
    (first,) = lines_of(tmp_path)
    assert first["n"] == 12 and set(first["verdicts"]) == set(null_table.VERDICTS)
    assert {"eeg+label", "shuffled_within_class", "class_medoid", "nothing", "image"} <= set(first["scores"])
    assert 0 < first["verdicts"]["class"]["p"] <= 1 and not list(tmp_path.glob("study_*"))
    with open(tmp_path / "studies.jsonl", "a") as file:
        file.write('{"study": 1, "verd')  # as a kill leaves it
    null_studies.main([*TINY, "--studies", "2", "--output", str(tmp_path)])
    both = lines_of(tmp_path)
    assert both[0] == first and [line["study"] for line in both] == [0, 1]
    assert both[1]["verdicts"]["class"]["p"] != first["verdicts"]["class"]["p"] or both[1]["scores"] != first["scores"]
    assert "| the captions carry the class (`class`) | 2 |" in capsys.readouterr().out
    assert (tmp_path / "p_values.png").read_bytes().startswith(b"\x89PNG") and (tmp_path / "table.md").is_file()

    (tmp_path / "studies.jsonl").unlink()
    monkeypatch.setattr(null_studies, "caption_study", None)  # nothing is trained again
    null_studies.main([*TINY, "--studies", "2", "--output", str(tmp_path)])
    assert [line["verdicts"] for line in lines_of(tmp_path)] == [line["verdicts"] for line in both]


@pytest.mark.parametrize(("before", "more", "message"), [
    ({"snr": 1.0}, [], "--snr 1.0 then, 0.0 now"),
    (None, ["--table"], "no finished study"),
    (None, ["--variant", "own_response"], "--snr 0.3")])
def test_bad_flags(tmp_path, capsys, before, more, message):
    if before:
        args = vars(null_studies.parse(TINY)) | before
        (tmp_path / "options.json").write_text(json.dumps(args))
    with pytest.raises(SystemExit) as stop:
        null_studies.main([*TINY, "--output", str(tmp_path), *more])
    assert stop.value.code == 2 and message in capsys.readouterr().err


def test_options_reach_a_worker_as_they_were_given():
    args = null_studies.parse([*TINY, "--studies", "3", "--workers", "2"])
    sent = pickle.loads(pickle.dumps(args))
    assert vars(sent) == vars(args) and sent.asked() == args.asked()
    assert set(vars(args)) - set(args.asked()) == {"studies", "workers", "output", "table"}
    with pytest.raises(AttributeError, match="options stay as they were given"):
        sent.studies = 4


def test_a_script_that_fails_is_named(tmp_path):
    with pytest.raises(null_studies.InputError, match=r"evaluate\.py failed .*log\.txt"):
        null_studies.call("evaluate", [str(tmp_path / "none.csv")], tmp_path)


def made_up(p_values, holds):
    return [{"study": i, "n": 10,
             "verdicts": {name: {"p": p, "holds": h, "low": .1 - p, "high": .5} for name in null_table.VERDICTS},
             "scores": {"eeg+label": .4 + .01 * i}, "distinct_captions": 5, "commonest_caption": .3, "commonest_class": .4,
             "class_accuracy": .1, "seconds": {"a": 1., "b": 2.}}
            for i, (p, h) in enumerate(zip(p_values, holds, strict=True))]


def test_table_against_numbers_by_hand(tmp_path):
    rng = np.random.default_rng(3)
    p = np.round(rng.random(40), 4)
    p[:4] = [.01, .02, .03, .049]
    holds = [True, False, True, False, *[False] * 36]
    lines = made_up(p.tolist(), holds)
    lines[7]["verdicts"]["beyond_class"] = {"p": None, "holds": None, "low": None, "high": None}
    found = null_table.summarise(lines)

    def exact(k, n):  # Clopper and Pearson by quantiles of the beta distribution
        return [stats.beta.ppf(.025, k, n - k + 1), stats.beta.ppf(.975, k + 1, n - k)]

    one = found["verdicts"]["class"]
    assert (one["claimed"]["count"], one["claimed"]["rate"]) == (2, .05)
    assert [one["claimed"]["low"], one["claimed"]["high"]] == pytest.approx(exact(2, 40))
    below = int((p < .05).sum())
    assert below >= 4 and one["p_below"]["count"] == below
    assert [one["p_below"]["low"], one["p_below"]["high"]] == pytest.approx(exact(below, 40))
    assert one["off_zero"]["count"] == (p < .1).sum() > below
    ordered, steps = np.sort(p), np.arange(1, 41) / 40
    above, beneath = (steps - ordered).max(), (ordered - steps + 1 / 40).max()
    assert one["ks"]["statistic"] == pytest.approx(max(above, beneath))
    assert one["ks"]["p"] == pytest.approx(stats.kstwo.sf(max(above, beneath), 40))
    assert one["too_small"] == pytest.approx(stats.ksone.sf(above, 40))
    assert found["verdicts"]["beyond_class"]["tested"] == 39 and found["any"]["count"] == 2
    assert found["scores"]["eeg+label"] == pytest.approx(.595) and found["seconds"] == 3

    options = vars(null_studies.parse([]))
    text = null_table.write_table(tmp_path, lines, options, {"python": "3"})
    low, high = exact(2, 40)
    assert f"| the captions carry the class (`class`) | 40 | 2: 0.050 [{low:.3f}, {high:.3f}] |" in text
    assert (tmp_path / "table.md").read_text() == text
    assert json.loads((tmp_path / "summary.json").read_text())["studies"] == 40


def test_small_p_values_are_seen_and_no_test_leaves_blanks(tmp_path):
    wrong = null_table.summarise(made_up(np.linspace(.001, .5, 40).tolist(), [True] * 40))["verdicts"]["class"]
    assert wrong["too_small"] < 1e-6 and wrong["claimed"]["low"] > .9 and wrong["claimed"]["high"] == 1
    untested = made_up([.5] * 3, [False] * 3)
    for line in untested:
        line["verdicts"]["beyond_class"] = {"p": None, "holds": None, "low": None, "high": None}
    text = null_table.write_table(tmp_path, untested, vars(null_studies.parse([])), {})
    assert "| more than the class (`beyond_class`) | 0 | | | | | | |" in text.replace("  ", " ")
