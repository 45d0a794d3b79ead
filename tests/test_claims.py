"""Studies, verdicts and claims of evaluate.py, on captions made to carry nothing, the class, or what is in the picture."""

import json
from types import SimpleNamespace

from runtime.runs import file_hash, read_json

import numpy as np
import pandas as pd
import pytest

import evaluate
from caption_rows import OBJECTS
from evaluation import studies
from evaluation.caveats import made_otherwise
from evaluation.ledger import LEDGER
from evaluation.studies import ORDER
from metrics.calibration import expected_calibration_error
from metrics.caption_files import ABSTAINED, RECORD_FORMAT, read_captions
from metrics.conditions import Condition
from metrics.statistics import bootstrap_interval, units_needed
from tiny import data_arguments

COLOURS = ("red", "blue", "green", "white", "black", "grey", "brown", "pink")
FAST = ["--metrics", "ROUGE-1", "--n_boot", "200", "--n_perm", "499"]
CONTROLS = [condition for condition in ORDER if condition not in ("eeg+label", "eeg")]


def captions(condition, colour=0.0, thing=1.0, seed=0, pictures=32, people=3, model="m1"):
    """Rows of captions that name the picture's thing and colour in such shares of the trials, else some other."""
    rng, table = np.random.default_rng([seed, ORDER.index(condition)]), []
    shown = [(OBJECTS[number % 4], COLOURS[int(np.random.default_rng(number).integers(8))]) for number in range(pictures)]
    for trial in range(pictures * people):
        picture = trial % pictures
        kind, shade = shown[picture]
        said = kind if rng.random() < thing else str(rng.choice(OBJECTS))
        tint = shade if rng.random() < colour else str(rng.choice(COLOURS))
        table.append({
            "Ground Truth Image": f"images/{kind}/{kind}_{picture}.JPEG", "Expected object": kind, "Predicted object": said,
            "Expected Caption": f"A {shade} {kind} stands on the grass.", "Generated Caption": f"There is a {tint} {said}.",
            "trial": trial, "subject": trial // pictures, "image": f"{kind}_{picture}", "split": "test",
            "condition": condition, "prompt": "basic", "probability": f"{0.5 + 0.5 * rng.random():.4f}", "model": model})
    return pd.DataFrame(table)


def write(folder, tables, record=()):
    """CSVs with records that hold `record`; None: without."""
    folder.mkdir(parents=True, exist_ok=True)
    for condition, table in tables.items():
        path = folder / f"captions_{condition}.csv"
        table.to_csv(path, index=False)
        if record is not None:
            content = {"format": RECORD_FORMAT, "condition": condition, "model": str(table["model"].iloc[0]), "data": "d",
                       "sha256": file_hash(path), **dict(record)}
            (folder / f"{path.name}.json").write_text(json.dumps(content))
    return sorted(folder.glob("*.csv"))


def results_of(files, folder, *more):
    evaluate.main([*map(str, files), "--report", str(folder / "report"), "--examples", "1", *FAST,
                   *map(str, more)])
    return json.loads((folder / "report" / "results.json").read_text())


def all_conditions(colour, floor_colour=0.0, **options):
    tables = {"eeg+label": captions("eeg+label", colour, **options)}
    for condition in CONTROLS:
        share = 1.0 if condition == "image" else floor_colour
        tables[condition] = captions(condition, share, **options)
    return tables


def test_what_is_there_is_claimed(tmp_path, capsys):
    study = results_of(write(tmp_path / "r", all_conditions(0.8)), tmp_path)["studies"][0]
    assert [study["verdicts"][key]["holds"] for key in ("class", "beyond_class", "better_than_nothing")] == [True] * 3
    assert ": beyond the class name the EEG adds +" in study["claim"] and "better than every" in study["claim"]
    assert study["claim"] in capsys.readouterr().out
    assert study["missing"] == [] and [row["condition"] for row in study["conditions"]] == [
        condition for condition in ORDER if condition != "eeg"]
    assert all(row["difference"] > 0 for row in study["subjects"]) and len(study["subjects"]) == 3


def test_the_class_alone_is_no_more_than_the_class(tmp_path):
    study = results_of(write(tmp_path / "r", all_conditions(0.0)), tmp_path)["studies"][0]
    assert study["verdicts"]["class"]["holds"] is True
    assert study["verdicts"]["beyond_class"]["holds"] is False
    assert study["verdicts"]["better_than_nothing"]["holds"] is False
    assert ": the captions carry the class (+" in study["claim"]
    assert "; no evidence was found beyond the class: " in study["claim"]
    assert "not shown to be better than the best control or baseline" in study["claim"]


def test_nothing_is_no_class(tmp_path):
    study = results_of(write(tmp_path / "r", all_conditions(0.0, thing=0.0)), tmp_path)["studies"][0]
    assert study["claim"].startswith("EEG of 3 people from an unknown source: no evidence was found that the captions tell "
                                     "anything of what was shown (")


def test_one_better_baseline_is_enough_to_be_no_better_than_nothing(tmp_path):
    tables = all_conditions(0.8)
    tables["nearest_picture"] = captions("nearest_picture", 0.9)
    study = results_of(write(tmp_path / "r", tables), tmp_path)["studies"][0]
    better = study["verdicts"]["better_than_nothing"]
    assert better["holds"] is False and better["best"] == "nearest_picture" and better["difference"] < 0
    assert study["verdicts"]["beyond_class"]["holds"] is True
    assert "worse than the best control or baseline" in study["claim"]


def test_without_the_baselines_there_is_no_verdict_on_them(tmp_path):
    tables = {key: table for key, table in all_conditions(0.8).items() if key in ("eeg+label", "label", "image")}
    study = results_of(write(tmp_path / "r", tables), tmp_path)["studies"][0]
    assert study["verdicts"]["better_than_nothing"]["holds"] is None
    assert "cannot be tested: no captions under noise+label" in study["claim"]
    assert {"noise+label", "class_medoid"} <= set(study["missing"])
    made = {row["condition"]: row["source"] for row in study["conditions"]}
    assert made["shuffled_within_class"] == made["shuffled"] == "captions exchanged"


def test_captions_are_exchanged_only_where_they_are_those_of_the_condition(tmp_path, monkeypatch):
    """The example of CONTRIBUTING.md, the embedding of another trial without a class name, was given captions with one."""
    new = Condition("shuffled_embedding", "control", "shuffled", None, "The embedding of another trial.", by_told=True)
    monkeypatch.setattr(studies, "TABLE", (*studies.TABLE, new))
    monkeypatch.setattr(studies, "ORDER", (*ORDER, new.name))
    (file,) = write(tmp_path, {"eeg+label": captions("eeg+label")})
    model = read_captions(file)
    study = SimpleNamespace(model=model, files={"eeg+label": model}, members=[model], is_apt=lambda name: True)
    studies.complete(study, None, 0)
    assert list(study.files) == ["eeg+label", "shuffled", "shuffled_within_class"]


def test_the_place_between_floor_and_ceiling(tmp_path):
    tables = all_conditions(0.5)
    study = results_of(write(tmp_path / "r", tables), tmp_path)["studies"][0]
    means = {row["condition"]: row["scores"]["ROUGE-1"]["mean"] for row in study["conditions"]}
    floor = max((means[condition], condition) for condition in CONTROLS if condition not in ("image", "oracle_label"))
    place = study["range"]
    assert place["floor"] == floor[1]
    assert place["position"] == pytest.approx((means["eeg+label"] - floor[0]) / (means["image"] - floor[0]))
    assert place["low"] < place["position"] < place["high"]
    tables["image"] = captions("image", 0.0)  # a ceiling no higher than the floor is none
    study = results_of(write(tmp_path / "r", tables), tmp_path)["studies"][0]
    assert study["range"] is None and any("no range from floor to ceiling" in note for note in study["notes"])


def test_power_is_of_the_pictures_means(tmp_path):
    files = write(tmp_path / "r", {"eeg+label": captions("eeg+label", 0.5)})
    found = results_of(files, tmp_path, "--effects", 0.03)["studies"][0]["power"]
    table = captions("eeg+label", 0.5)
    from rouge_score.rouge_scorer import RougeScorer

    scorer, pictures = RougeScorer(["rouge1"]), table.drop_duplicates("image")
    scores = pd.DataFrame([[scorer.score(true, said)["rouge1"].fmeasure for true in pictures["Expected Caption"]]
                           for said in table["Generated Caption"]], columns=pictures["image"])
    # Each class has 8 pictures that 3 people saw once, so the least-squares fit is that of means.
    kind, person = table["Expected object"], table["subject"]
    rest = (scores - scores.groupby(kind).transform("mean") - scores.groupby(person).transform("mean") + scores.mean())
    rows = []
    for row in table.itertuples():
        of_class = rest.loc[row.Index, pictures["image"][pictures["Expected object"] == row[2]]]
        rows.append((of_class[row.image] - of_class.mean()) / (1 - 1 / 8))
    spread = pd.Series(rows).groupby(table["image"]).mean().std()
    assert found["sd"] == pytest.approx(spread) and found["pictures"] == 32
    assert found["needed"] == [{"effect": 0.03, "pictures": units_needed(0.03, spread)}]


def test_a_range_of_some_trials_says_so_on_the_terminal(tmp_path, capsys):
    """Its means differed from those of the table below it, which are of all trials, without a word."""
    known = {"eeg+label": .5, "label": 0., "image": 1.}
    tables = {condition: captions(condition, colour) for condition, colour in known.items()}
    results_of(write(tmp_path / "all", tables), tmp_path / "all")
    said = capsys.readouterr().out
    assert "range from" in said and "that all of them hold" not in said
    tables["label"] = tables["label"].iloc[:40]
    results_of(write(tmp_path / "some", tables), tmp_path / "some")
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("range from"))
    assert line.endswith(", on the 40 trials that all of them hold")


def test_one_caption_for_all_tells_no_power(tmp_path):
    """Rounding was taken for the spread of the pictures, so that two pictures were said to be enough for any gain."""
    table = captions("eeg+label").assign(**{"Generated Caption": "A red dog."})
    assert results_of(write(tmp_path / "r", {"eeg+label": table}), tmp_path)["studies"][0]["power"] is None


def test_models_are_studies_of_their_own_and_compared(tmp_path):
    files = [*write(tmp_path / "a", {"eeg+label": captions("eeg+label", 0.9), "label": captions("label")})]
    files += write(tmp_path / "b", {"eeg+label": captions("eeg+label", 0.1, seed=3, model="m2")})
    results = results_of(files, tmp_path)
    assert [study["name"] for study in results["studies"]] == ["a/captions_eeg+label.csv", "b/captions_eeg+label.csv"]
    one = results["models"]
    assert len(one) == 1 and one[0]["difference"] > 0 and one[0]["p"] < 0.05 and one[0]["p_holm"] == one[0]["p"]
    assert [row["control"] for row in results["studies"][1]["comparisons"]] == ["shuffled", "shuffled_within_class"]


def test_holm_over_the_controls(tmp_path):
    rows = results_of(write(tmp_path / "r", all_conditions(0.3)), tmp_path)["studies"][0]["comparisons"]
    from statsmodels.stats.multitest import multipletests

    corrected = multipletests([row["p"] for row in rows], method="holm")[1]
    assert [row["p_holm"] for row in rows] == pytest.approx(corrected)


def test_pictures_that_the_model_was_trained_on_are_refused(tmp_path, capsys):
    record = {"trained_on": ["dog_0", "car_2"], "split": "train", "model_path": "gone"}
    files = write(tmp_path / "r", {"eeg+label": captions("eeg+label")}, record)
    with pytest.raises(SystemExit) as stop:
        results_of(files, tmp_path)
    message = capsys.readouterr().err
    assert stop.value.code == 2 and not (tmp_path / "report").exists()
    assert "trained on 2 of its 32 pictures, dog_0 among them" in message and "--allow_overlap" in message
    known = results_of(files, tmp_path, "--allow_overlap")["studies"][0]["provenance"]
    assert known["trained_on"] == 2 and known["allowed"]
    assert "trained on 2 of the 32 pictures" in capsys.readouterr().out
    assert "trained on" in (tmp_path / "report" / "report.html").read_text()


def test_scorings_of_a_test_split_are_counted(tmp_path, capsys):
    record = {"trained_on": [], "split": "test", "splits": "s", "split_num": 0, "subject": 0, "data": "d"}
    for name in ("one", "two"):
        model = tmp_path / "runs" / name / "captioner"
        model.mkdir(parents=True)
        tables = {"eeg+label": captions("eeg+label", 0.5, model=name)}
        files = write(tmp_path / "runs" / name / "results", tables, {**record, "model": name, "model_path": str(model)})
        for _ in range(2):  # the same captions again are no new look
            study = results_of(files, tmp_path)["studies"][0]
    assert study["provenance"]["ledger"]["scored"] == study["provenance"]["ledger"]["models"] == 2
    assert len((tmp_path / "runs" / "one" / LEDGER).read_text().splitlines()) == 1
    assert study["provenance"]["ledger"]["text"] in capsys.readouterr().out


def doubted(files, folder, *more):
    study = results_of(files, folder, *more)["studies"][0]
    return study, " ".join(doubt["text"] for doubt in study["doubts"])


def test_a_file_changed_after_it_was_written_is_said(tmp_path):
    files = write(tmp_path / "r", {"eeg+label": captions("eeg+label")}, {"trained_on": [], "sha256": "0" * 64})
    study, _ = doubted(files, tmp_path)
    assert study["claim"].startswith("Not to be relied on, since captions_eeg+label.csv was changed after being written. ")


def test_a_changed_file_is_said_where_the_model_has_no_captions(tmp_path, capsys):
    files = write(tmp_path / "r", {"noise": captions("noise")}, {"trained_on": [], "sha256": "0" * 64})
    study, _ = doubted(files, tmp_path)
    told = "Not to be relied on, since captions_noise.csv was changed after being written. No claim: there are no captions"
    assert study["claim"].startswith(told) and told in capsys.readouterr().out


def test_rows_of_one_picture_with_different_true_captions_are_said(tmp_path):
    """The exchange of pictures needs one true caption of each, or one list of them."""
    table = captions("eeg+label")
    table.loc[0, "Expected Caption"] = "Something else entirely."
    study, said = doubted(write(tmp_path / "r", {"eeg+label": table}), tmp_path)
    assert "1 of 32 pictures has other true captions in some rows than in others." in said
    assert not study["claim"].startswith("Not to be relied on")  # the tests still hold
    table["Expected Caption"] = table["Expected Caption"].where(table.index != 0, captions("eeg+label")["Expected Caption"])
    table.loc[1, "Expected Caption"] += "  "  # blanks make no difference
    assert "true captions in some rows" not in doubted(write(tmp_path / "s", {"eeg+label": table}), tmp_path)[1]


def test_rows_left_out_of_the_model_alone_are_said(tmp_path):
    tables = all_conditions(0.5)
    good = [said.split()[3:] == true.split()[1:3]
            for said, true in zip(tables["eeg+label"]["Generated Caption"].str.rstrip("."),
                                  tables["eeg+label"]["Expected Caption"], strict=True)]
    tables["eeg+label"] = tables["eeg+label"][good]
    study, text = doubted(write(tmp_path / "r", tables), tmp_path)
    assert f"captions_eeg+label.csv lacks {96 - sum(good)} of the 96 trials" in text and text[:40] in study["claim"]


@pytest.mark.slow
def test_a_control_must_hold_the_models_trials_to_count(tmp_path):
    tables = all_conditions(0.8)
    whole = tables["nearest_picture"]
    tables["nearest_picture"] = whole.iloc[:9]
    verdict = results_of(write(tmp_path / "few", tables), tmp_path)["studies"][0]["verdicts"]["better_than_nothing"]
    assert verdict["holds"] is None and "nearest_picture does not hold the same trials" in verdict["text"]
    tables["nearest_picture"] = whole.assign(**{"Expected Caption": "A picture."})  # scored against something else
    verdict = results_of(write(tmp_path / "other", tables), tmp_path)["studies"][0]["verdicts"]["better_than_nothing"]
    assert verdict["holds"] is None
    tables["nearest_picture"] = whole
    assert results_of(write(tmp_path / "whole", tables), tmp_path)["studies"][0]["verdicts"]["better_than_nothing"]["holds"]


def test_the_control_that_is_named_is_one_that_was_not_beaten(tmp_path):
    """A model far below one baseline is worse than it: the p beside the difference is of it, corrected for the choice."""
    tables = all_conditions(0.1)
    tables["nearest_picture"] = captions("nearest_picture", colour=1.0)
    study = results_of(write(tmp_path / "r", tables), tmp_path)["studies"][0]
    verdict = study["verdicts"]["better_than_nothing"]
    row = next(row for row in study["comparisons"] if row["control"] == "nearest_picture")
    assert verdict["holds"] is False and verdict["best"] == "nearest_picture"
    assert (verdict["difference"], verdict["p"]) == (row["difference"], row["p_holm"])
    assert row["p"] < row["p_holm"] < 0.05 and row["difference"] < 0
    assert "The captions are worse than the best control or baseline: nearest_picture, -" in study["claim"]


@pytest.mark.slow
def test_controls_made_otherwise_are_said(tmp_path):
    tables, record = all_conditions(0.5), {"trained_on": [], "options": {"max_new_tokens": 24, "seed": 1}, "data": "d"}
    files = write(tmp_path / "r", tables, record)
    assert not doubted(files, tmp_path)[1].startswith("label")
    beside = tmp_path / "r" / "captions_label.csv.json"
    beside.write_text(json.dumps(read_json(beside) | {"options": {"max_new_tokens": 3, "seed": 2}}))
    study, text = doubted(files, tmp_path)
    assert "label was made with max_new_tokens 3 instead of 24" in text and study["claim"].startswith("Not to be relied on")
    for name, other, before in (("min_new_tokens", 5, 0), ("label", "none", None)):
        beside.write_text(json.dumps(read_json(beside) | {"options": record["options"] | {name: other}}))
        assert f"label was made with {name} {other} instead of {before}" in doubted(files, tmp_path)[1]
    beside.unlink()
    assert "captions_label.csv has no record of how the captions were made" in doubted(files, tmp_path)[1]


def test_options_that_changed_nothing_in_a_control_are_no_difference(tmp_path):
    """The trained prompt that is named or left out, sampling options of greedy decoding, and guidance without an embedding
    gave claims that were "not to be relied on"."""
    made = {"prompt_type": None, "label": None, "do_sample": False, "temperature": 1., "top_p": 1., "guidance": 1.5}
    tables = {condition: captions(condition) for condition in ("eeg+label", "label", "noise", "nothing")}
    folder = tmp_path / "r"
    write(folder, tables, {"label": "class", "options": made})
    model = read_captions(folder / "captions_eeg+label.csv")

    def difference(condition, **options):
        beside = folder / f"captions_{condition}.csv.json"
        beside.write_text(json.dumps(read_json(beside) | {"options": made | options}))
        found = made_otherwise([model, read_captions(folder / f"captions_{condition}.csv")], model)
        return found and found["text"]

    for condition, options in (("label", {"prompt_type": "basic", "label": "class", "temperature": .7, "top_p": .9}),
                               ("label", {"guidance": 1., "candidates": 4}),
                               ("nothing", {"guidance": 1., "label": "none"})):
        assert difference(condition, **options) is None, options
    assert difference("noise", candidates=4) == "noise was made with candidates 4 instead of 1"
    assert difference("noise", guidance=1.) == "noise was made with guidance 1.0 instead of 1.5"
    assert difference("noise", do_sample=True, temperature=.7) == "noise was made with do_sample True instead of False"
    options = {"load_in_8bit": True}
    assert difference("noise", **options) == "noise was made with load_in_8bit True instead of None"  # an earlier record
    for bits, said in ((8, None), (None, "noise was made with load_in_8bit False instead of True")):
        for condition, one in (("eeg+label", 8), ("noise", bits)):
            beside = folder / f"captions_{condition}.csv.json"
            beside.write_text(json.dumps(read_json(beside) | {"llm_bits": one}))
        model = read_captions(folder / "captions_eeg+label.csv")
        assert difference("noise", **options) == said


def test_parts_that_are_no_test_are_said(tmp_path):
    for part, said in (("train", "of the training part"), ("val", "of the val part")):
        table = captions("eeg+label").assign(split=part)
        assert said in doubted(write(tmp_path / part, {"eeg+label": table}), tmp_path)[1]


def test_true_captions_that_the_metric_cannot_read_are_said(tmp_path):
    table = captions("eeg+label").assign(**{"Expected Caption": "شجرة خضراء"})
    _, text = doubted(write(tmp_path / "r", {"eeg+label": table}), tmp_path)
    assert "the true captions of 96 of 96 trials hold no letter a to z and no digit" in text
    table["references"] = json.dumps(["شجرة خضراء", "A green tree."])  # the best counts, which is readable
    _, text = doubted(write(tmp_path / "s", {"eeg+label": table}), tmp_path)
    assert "hold no letter" not in text


def test_a_trial_without_a_predicted_class_cannot_be_exchanged_within_it(tmp_path):
    table = captions("eeg+label", 0.5)
    table.loc[::7, "Predicted object"] = ""
    study = results_of(write(tmp_path / "r", {"eeg+label": table}), tmp_path)["studies"][0]
    assert study["verdicts"]["beyond_class"]["holds"] is None
    assert "14 of 96 trials have no predicted object" in study["claim"] and "carry the class" not in study["claim"]


def test_why_a_claim_cannot_be_tested_is_true(tmp_path):
    """Many pictures are not "only one", and pictures that were shown together are not said to be apart."""
    apart = captions("eeg+label", pictures=12, people=1).assign(recording=range(12))
    verdicts = results_of(write(tmp_path / "a", {"eeg+label": apart}), tmp_path / "a")["studies"][0]["verdicts"]
    for key, kind in (("anything", ""), ("class", ""), ("beyond_class", "of a class ")):
        assert verdicts[key]["text"].startswith(f"no two test pictures {kind}were shown in the same recordings")
    few = captions("eeg+label", pictures=8, people=1).assign(**{"Predicted object": [f"kind {i}" for i in range(8)]})
    verdicts = results_of(write(tmp_path / "b", {"eeg+label": few}), tmp_path / "b")["studies"][0]["verdicts"]
    assert verdicts["anything"]["holds"] is not None and verdicts["beyond_class"]["holds"] is None
    assert verdicts["beyond_class"]["text"].startswith("8 trials are too few to tell the picture from what its class")


def test_the_claims_metric_is_always_among_the_scores(tmp_path):
    files = write(tmp_path / "r", {"eeg+label": captions("eeg+label")})
    scores = results_of(files, tmp_path, "--metrics", "chrF")["studies"][0]["conditions"][0]["scores"]
    assert {"ROUGE-1", "chrF"} <= set(scores) and "BLEU-1" not in scores


def test_one_model_under_two_file_names_is_said_and_counted_twice(tmp_path):
    model = tmp_path / "runs" / "one" / "captioner"
    model.mkdir(parents=True)
    record = {"trained_on": [], "split": "test", "splits": "s", "split_num": 0, "subject": 0, "data": "d", "model": "m1",
              "model_path": str(model)}
    files = write(model.parent / "a", {"eeg+label": captions("eeg+label")}, record)
    files += write(model.parent / "b", {"eeg+label": captions("eeg+label", seed=2)}, record)
    study, text = doubted(files, tmp_path)
    assert "hold the same condition. Claims rest on " in text and study["provenance"]["ledger"]["scored"] == 2


def test_all_conditions_are_scored_on_the_trials_that_were_answered(tmp_path):
    tables = all_conditions(0.8)
    silent = tables["eeg+label"]["probability"].astype(float) < 0.7
    tables["eeg+label"].loc[silent, "Generated Caption"] = ABSTAINED
    study = results_of(write(tmp_path / "r", tables), tmp_path)["studies"][0]
    answered = int((~silent).sum())
    assert {row["n"] for row in study["conditions"] + study["comparisons"]} == {answered}
    assert study["calibration"]["abstained"] == silent.sum() and study["calibration"]["answered"] == answered
    assert f"for {silent.sum()} of 96 trials" in " ".join(doubt["text"] for doubt in study["doubts"])
    assert f"{silent.sum()} more without a caption" in study["claim"]


def test_pictures_of_trials_without_a_caption_count_where_the_record_speaks_of_them(tmp_path, capsys):
    """The record is of all trials: the model was not trained on 20 of the 5 pictures that it captioned."""
    table = captions("eeg+label")
    table.loc[table["trial"] % 32 >= 5, "Generated Caption"] = ABSTAINED
    record = {"trained_on": sorted(set(table["image"]))[:20], "machine_made": 20, "repeated": 20}
    study = results_of(write(tmp_path / "r", {"eeg+label": table}, record), tmp_path, "--allow_overlap")["studies"][0]
    page = (tmp_path / "report" / "report.html").read_text()
    assert study["pictures"] == 5 and "trained on 20 of the 32 pictures" in capsys.readouterr().out
    assert "trained on 20 of the 32 pictures" in page and "20 of the 32 true captions" in page


def test_the_calibration_error_of_all_trials_has_an_interval_by_picture_and_person(tmp_path):
    """Whether captions were left out or not: the same trials are resampled."""
    table, ends = captions("eeg+label", thing=.6, pictures=16, people=6), []
    table["Predicted object"] = table["Expected object"].where(table["image"] > "dog", "tree")  # wrong by picture
    for count in (0, 1):
        table.loc[: count - 1, "Generated Caption"] = ABSTAINED
        found = results_of(write(tmp_path / "r", {"eeg+label": table}), tmp_path)["studies"][0]["calibration"]
        ends.append((found["ece_low"], found["ece_high"]))
    confidence, right = table["probability"].astype(float), table["Expected object"] == table["Predicted object"]
    factors = table["image"].to_numpy(), table["subject"].to_numpy()
    expected = bootstrap_interval(expected_calibration_error, confidence, right, clusters=factors, n_boot=200, seed=42)
    assert ends[0] == ends[1] == pytest.approx(expected)


def test_a_control_that_abstained_is_not_beaten_for_nothing(tmp_path):
    tables = all_conditions(0.8)
    tables["label"].loc[:9, "Generated Caption"] = ABSTAINED
    study = results_of(write(tmp_path / "r", tables), tmp_path)["studies"][0]
    assert study["claim"].startswith(f"Not to be relied on, since there is no caption ({ABSTAINED}) under label for 10 ")
    tables["eeg+label"].loc[:9, "Generated Caption"] = ABSTAINED  # as where both were written with --abstain_below
    assert "Not to be relied on" not in results_of(write(tmp_path / "r", tables), tmp_path)["studies"][0]["claim"]


def test_a_control_of_none_but_abstained_trials_is_refused(tmp_path, capsys):
    tables = {"eeg+label": captions("eeg+label"), "label": captions("label").iloc[:8]}
    tables["eeg+label"].loc[:9, "Generated Caption"] = ABSTAINED
    with pytest.raises(SystemExit):
        results_of(write(tmp_path / "r", tables), tmp_path)
    assert "captions_label.csv: holds no trial that " in capsys.readouterr().err


def test_abstaining_everywhere_leaves_nothing(tmp_path, capsys):
    table = captions("eeg+label").assign(**{"Generated Caption": ABSTAINED})
    with pytest.raises(SystemExit):
        results_of(write(tmp_path / "r", {"eeg+label": table}), tmp_path)
    assert "abstained on all 96 trials" in capsys.readouterr().err


def test_calibration_is_of_all_trials(tmp_path):
    table = captions("eeg+label", thing=0.6)
    found = results_of(write(tmp_path / "r", {"eeg+label": table}), tmp_path)["studies"][0]["calibration"]
    assert found["accuracy"] == pytest.approx((table["Expected object"] == table["Predicted object"]).mean())
    assert found["confidence"] == pytest.approx(table["probability"].astype(float).mean())


def test_baselines_from_the_training_captions(tmp_path, data, capsys):
    """A predecessor's five columns and the data set are enough for the text baselines."""
    import torch

    from eegdata.splits_file import read_splits_file

    content = torch.load(data / "eeg.pth", weights_only=True)
    test = read_splits_file(data / "splits.pth")[0][0]["test"]
    rows = []
    for number in test:
        record = content["dataset"][number]
        name = content["images"][record["image"]]
        kind = content["class_names"][record["label"]]
        caption = (data / "images" / kind / f"{name}_caption.txt").read_text().splitlines()[0]
        rows.append({"Ground Truth Image": f"x/{name}.JPEG", "Expected object": kind, "Predicted object": kind,
                     "Expected Caption": caption, "Generated Caption": f"A {kind}."})
    pd.DataFrame(rows).to_csv(tmp_path / "five.csv", index=False)
    study = results_of([tmp_path / "five.csv"], tmp_path, *data_arguments(data))["studies"][0]
    sources = {row["condition"]: row["source"] for row in study["conditions"]}
    assert not study["doubts"] or study["doubts"][0]["severity"] == "warning"
    assert sources["constant"] == sources["template"] == sources["class_medoid"] == "training captions"
    assert {"nearest_picture", "nothing"} <= set(study["missing"])

    train = read_splits_file(data / "splits.pth")[0][0]["train"][0]
    rows[0]["Ground Truth Image"] = f"x/{content['images'][content['dataset'][train]['image']]}.JPEG"
    pd.DataFrame(rows).to_csv(tmp_path / "five.csv", index=False)
    study = results_of([tmp_path / "five.csv"], tmp_path, *data_arguments(data))["studies"][0]
    assert "1 of its pictures are in the training part" in study["claim"]
    (tmp_path / "five.csv.json").write_text(json.dumps({"format": RECORD_FORMAT, "data": "of something else"}))
    with pytest.raises(SystemExit):
        results_of([tmp_path / "five.csv"], tmp_path, *data_arguments(data))
    assert "is not the data that five.csv was written from" in capsys.readouterr().err


def test_baselines_of_a_split_that_repeats_its_pictures_by_design_are_no_doubt(tmp_path, data, capsys):
    """Person 1 is trained on and person 2 tested, with the same pictures: the claim is about new people, whoever made the
    baselines. Pictures that no training is known to have shown remain a doubt."""
    import torch

    from eegdata.splits import write_splits
    from eegdata.trials import load_trials

    content = torch.load(data / "eeg.pth", weights_only=True)
    of = [(int(record["subject"]), int(record["image"]), int(record["label"])) for record in content["dataset"]]
    train, test = ([row for row, (person, _, _) in enumerate(of) if person == wanted] for wanted in (1, 2))
    write_splits(tmp_path / "splits.pth", {"train": train, "val": [], "test": test})
    rows = [{"Ground Truth Image": f"x/{content['images'][image]}.JPEG", "Expected object": content["class_names"][label],
             "Predicted object": content["class_names"][label], "Expected Caption": f"A thing of {image}.",
             "Generated Caption": "A thing.", "trial": row, "subject": 2, "image": content["images"][image],
             "split": "test", "condition": "eeg+label", "prompt": "basic", "model": "m1"}
            for row, (_, image, label) in enumerate(of) if row in test]
    pictures = sorted({row["image"] for row in rows})
    record = {"data": load_trials(data / "eeg.pth").fingerprint, "eeg_dataset": str(data / "eeg.pth"), "split_num": 0,
              "splits_path": str(tmp_path / "splits.pth"), "image_dir": str(data / "images"), "subject": 0, "split": "test"}
    for known, doubted in ((pictures, 0), (pictures[2:], 2)):
        record |= {"trained_on": known, "repeated": len(known)}
        files = write(tmp_path / f"r{doubted}", {"eeg+label": pd.DataFrame(rows)}, record)
        evaluate.main([*map(str, files), *FAST, "--allow_overlap"])
        printed = capsys.readouterr().out
        assert "\nclass_medoid (" in printed and "Claims are about new people or sessions" in printed
        assert printed.count("are in the training part of") == printed.count("2 of its pictures are in") == bool(doubted)


def test_the_predecessors_protocol_says_on_which_rouge_its_numbers_rest(tmp_path, capsys):
    """The package rouge counts the blank at the end of a true caption, so its numbers are others."""
    tables = {name: captions(name, colour=0.5) for name in ("eeg+label", "label")}
    for table in tables.values():
        table["Expected Caption"] += " "
    files = write(tmp_path / "r", tables)
    study = results_of(files, tmp_path, "--protocol", "thought2text", "--json", tmp_path / "s.json")["studies"][0]
    scores = {name: entry["ROUGE-1"] for name, entry in read_json(tmp_path / "s.json").items()}
    against = read_json(tmp_path / "s.json")["captions_label.csv"]["against"]["ROUGE-1"]["difference"]
    assert against == pytest.approx(scores["captions_label.csv"] - scores["captions_eeg+label.csv"])
    assert -study["comparisons"][0]["difference"] != pytest.approx(against, rel=.01)
    told = " ".join(capsys.readouterr().out.split())
    assert "of the scores, and of their differences from the reference, is the predecessors'" in told
    assert "Claims and the report's comparisons rest on that of the package rouge-score" in told


def test_few_people_are_these_people_only():
    """p speaks for the people who were recorded. What of others is said by a t interval over people."""
    from scipy import stats

    from evaluation.claims import direction, for_whom, over_people

    assert direction({"difference": 0.03, "p": 0.02}) == 1 and direction({"difference": -0.03, "p": 0.02}) == -1
    assert direction({"difference": 0.03, "p": 0.05}) == 0
    rows, people = np.array([.1, .3, .2, np.nan, .6, .4]), np.array(["a", "a", "b", "b", "c", "c"])
    found = over_people(rows, people)
    assert found["n"] == 3 and (found["low"], found["high"]) == pytest.approx(
        stats.ttest_1samp([.2, .2, .5], 0).confidence_interval())
    assert for_whom(found).startswith("; for these 3 people, the t interval over people is [")
    assert "one person only" in for_whom(over_people(rows, np.array(["a"] * 6)))
    assert "do not name the people" in for_whom(over_people(rows, None))
    assert for_whom({"n": 12, "low": -0.1, "high": 0.2}).startswith("; not shown for other people")


def read_case(shared, name, tmp_path):
    """The study of a captions file of the cases that once made a claim that was not true."""
    from pathlib import Path

    path = Path(shared).parent / "cases" / "claims" / name
    evaluate.main([str(path), "--metrics", "ROUGE-1", "--n_boot", "200", "--report", str(tmp_path / "report")])
    return json.loads((tmp_path / "report" / "results.json").read_text())["studies"][0]


@pytest.mark.parametrize("name", ["oddball_constant", "pred_x_true_null", "unequal_within_class"])
def test_no_claim_beyond_the_class(shared, tmp_path, name):
    study = read_case(shared, f"{name}/captions.csv", tmp_path)
    assert study["verdicts"]["beyond_class"]["holds"] is False and "the EEG adds" not in study["claim"]
    if name == "oddball_constant":
        assert not any(verdict["holds"] for verdict in study["verdicts"].values())


def test_knowing_who_looks_is_not_beyond_the_class(shared, tmp_path):
    study = read_case(shared, "nested_people.csv", tmp_path)
    assert study["verdicts"]["beyond_class"]["holds"] is False and "the EEG adds" not in study["claim"]


def test_a_colour_is_not_the_class(shared, tmp_path):
    study = read_case(shared, "colour_only/captions.csv", tmp_path)
    assert study["verdicts"]["class"]["holds"] is False and "carry the class" not in study["claim"]
    assert study["verdicts"]["class"]["accuracy_p"] > 0.05


@pytest.mark.parametrize(("name", "words"), [("people1", "for this one person only"), ("people2", "for these 2 people")])
def test_nothing_is_claimed_of_other_people(shared, tmp_path, name, words):
    assert words in read_case(shared, f"{name}/captions.csv", tmp_path)["claim"]


def test_captions_of_ours_without_a_record_are_not_to_be_relied_on(tmp_path):
    study = results_of(write(tmp_path / "r", all_conditions(0.8), record=None), tmp_path)["studies"][0]
    assert study["claim"].startswith("Not to be relied on, since captions_eeg+label.csv, ")
    assert "10 more have no record of how the captions were made. " in study["claim"]


def test_several_models_in_one_command_are_corrected_for_their_number():
    """Of ten models without any information at least one had a claim in .22 of the commands."""
    from evaluation.claims import correct_over_studies

    rng, wrong = np.random.default_rng(0), 0
    for _ in range(400):
        verdicts = [{"anything": {"p": p, "holds": p < 0.05, "text": ""}} for p in rng.random(10)]
        for one in verdicts:
            one |= {key: {"p": None} for key in ("class", "beyond_class", "better_than_nothing")}
        correct_over_studies(verdicts)
        wrong += any(one["anything"]["holds"] for one in verdicts)
    assert wrong / 400 <= 0.07
    alone = [{key: {"p": 0.03, "holds": True, "text": "x"} for key in ("anything", "class", "beyond_class",
                                                                     "better_than_nothing")}]
    correct_over_studies(alone)
    assert alone[0]["class"] == {"p": 0.03, "holds": True, "text": "x"}


def test_a_class_among_models_that_name_none_is_not_claimed_where_nothing_is_shown():
    """Its p alone was tested, so it was not corrected, but that the captions tell anything was."""
    from evaluation.claims import correct_over_studies

    untested = {"p": None, "holds": None, "text": ""}
    verdicts = [{"anything": {"p": p, "holds": p < 0.05, "text": ""}, "class": dict(untested)} for p in (0.02, 0.6, 0.7)]
    verdicts[0]["class"] = {"p": 0.03, "holds": True, "text": ""}
    correct_over_studies(verdicts)
    assert not verdicts[0]["anything"]["holds"] and not verdicts[0]["class"]["holds"]
    assert verdicts[0]["class"]["p_studies"] == pytest.approx(0.09) and verdicts[1]["class"] == untested
    # Each is of a model or of a prompt of one model, so it is not models that are counted.
    assert verdicts[1]["anything"]["text"] == ", p = 1 corrected for 3 sets of captions"


@pytest.mark.slow
def test_controls_of_another_base_llm_are_said(tmp_path):
    llm = {"name": "llm", "commit": None, "files": {"config.json": "0"}, "weights": {"w": "0"}}
    files = write(tmp_path / "r", all_conditions(0.8), {"llm": llm, "other_llm": [], "clip": llm})

    def record(condition, **change):
        file = tmp_path / "r" / f"captions_{condition}.csv.json"
        file.write_text(json.dumps(read_json(file) | change))

    record("constant", llm=llm | {"weights": {"w": "1"}})  # no LLM writes a baseline
    record("noise", llm=llm | {"weights": {}})  # not at hand, so not known
    record("label", llm="0123456789abcdef")  # as an earlier version wrote it
    assert "Not to be relied on" not in results_of(files, tmp_path)["studies"][0]["claim"]
    record("noise", llm=llm | {"weights": {"w": "1"}})
    record("image", clip=llm | {"files": {"config.json": "1"}})
    assert results_of(files, tmp_path)["studies"][0]["claim"].startswith(
        "Not to be relied on, since noise was made with another base LLM than the model's captions (they differ in w) and "
        "nearest_picture was made with another CLIP model than image (they differ in config.json). ")
    files = write(tmp_path / "s", all_conditions(0.8), {"llm": llm, "other_llm": ["w"]})
    assert "written by another base LLM than the captioner was trained with (they differ in w). " in results_of(
        files, tmp_path)["studies"][0]["claim"]


def test_our_own_captions_without_a_whole_record_are_not_relied_on(tmp_path):
    files = write(tmp_path / "none", {"eeg+label": captions("eeg+label", 0.9), "label": captions("label")}, None)
    claim = doubted(files, tmp_path)[0]["claim"]
    assert claim.startswith("Not to be relied on, since captions_eeg+label.csv, captions_label.csv have no record of how ")
    one = captions("eeg+label", 0.9)
    one.drop(columns="condition").to_csv(tmp_path / "trials.csv", index=False)  # still our columns
    claim = doubted([tmp_path / "trials.csv"], tmp_path)[0]["claim"]
    assert claim.startswith("Not to be relied on, since trials.csv has no record")
    one.iloc[:, :5].to_csv(tmp_path / "five.csv", index=False)  # as the predecessors write it
    assert "no record" not in doubted([tmp_path / "five.csv"], tmp_path)[0]["claim"]
    files = write(tmp_path / "r", {"eeg+label": captions("eeg+label", 0.9), "label": captions("label")})
    beside = tmp_path / "r" / "captions_label.csv.json"
    content = read_json(beside)
    for lost, said in ((["sha256"], "sha256"), (["model", "sha256"], "model and sha256")):
        beside.write_text(json.dumps({key: value for key, value in content.items() if key not in lost}))
        assert doubted(files, tmp_path)[0]["claim"].startswith(
            f"Not to be relied on, since the record of captions_label.csv lacks {said}. ")


def test_all_models_of_a_command_are_looks_at_the_test_data(tmp_path):
    """The count is the same for all of them, whichever is judged first; the run folders may lie in folders of their own."""
    (tmp_path / "study" / "runs").mkdir(parents=True)
    files = []
    for subject in range(5):  # remade splits, other people, other folders; the data are gone
        run = tmp_path / "study" / "runs" / f"exp{subject}" / "seed0"
        (run / "captioner").mkdir(parents=True)
        record = {"split": "test", "splits": f"s{subject % 2}", "split_num": 0, "subject": subject, "data": str(tmp_path),
                  "eeg_dataset": "gone", "model_path": str(run / "captioner")}
        files += write(run, {"eeg+label": captions("eeg+label", 0.9, model=f"m{subject}", seed=subject)}, record)
    assert [study["provenance"]["ledger"]["scored"] for study in results_of(files, tmp_path)["studies"]] == [5] * 5


def test_a_class_in_other_letters_is_the_same_class(tmp_path):
    """A model may know the `Dog` of the data as `dog`."""
    tables = {condition: captions(condition) for condition in ("eeg+label", "label")}
    expected = results_of(write(tmp_path / "a", tables), tmp_path / "a")["studies"][0]
    for table in tables.values():
        table["Expected object"] = table["Expected object"].str.capitalize()
        table.loc[table.index % 2 == 0, "Predicted object"] = table["Predicted object"].str.upper()
    study = results_of(write(tmp_path / "b", tables), tmp_path / "b")["studies"][0]
    assert study["verdicts"] == expected["verdicts"] and study["classes"] == expected["classes"] == 4
    assert [one["scores"]["Object accuracy"]["mean"] for one in study["conditions"][:2]] == [1, 1]
    assert study["calibration"]["accuracy"] == 1
    assert 'class="wrong"' not in (tmp_path / "b" / "report" / "report.html").read_text()


def test_without_true_classes_nothing_is_claimed_of_classes(tmp_path):
    tables = {"eeg+label": captions("eeg+label", colour=0.8).assign(**{"Expected object": ""})}
    study = results_of(write(tmp_path / "r", tables), tmp_path)["studies"][0]
    for key in ("class", "beyond_class"):
        verdict = study["verdicts"][key]
        assert (verdict["holds"], verdict["difference"], verdict["p"]) == (None, None, None)
        assert "no objects and no words are known" in verdict["text"]
    assert "cannot be tested: no objects" in study["claim"] and "adds" not in study["claim"]


def test_the_card_of_a_model_that_names_no_class_is_of_look_alike_pictures_as_its_claim(tmp_path):
    tables = {"eeg+label": captions("eeg+label", colour=0.8).assign(**{"Predicted object": ""})}
    study = results_of(write(tmp_path / "r", tables), tmp_path)["studies"][0]
    assert "beyond look-alike pictures, which are of the same class, the EEG adds" in study["claim"]
    page = (tmp_path / "report" / "report.html").read_text()
    assert "information beyond look-alike pictures" in page and "beyond the class name" not in page


def test_plain_words_tell_a_control_of_fewer_trials_from_a_missing_one(tmp_path):
    tables = all_conditions(0.8)
    tables["noise"] = tables["noise"].iloc[:48]
    results_of(write(tmp_path / "r", tables), tmp_path)
    words = (tmp_path / "report" / "report.html").read_text().split("In plain words")[1].split("</details>")[0]
    assert "could not be tested: noise does not hold the same trials as the model" in words and "missing" not in words


def test_the_card_says_that_p_is_corrected_where_the_worst_comparison_was_picked(tmp_path):
    tables = all_conditions(0.3)
    tables["constant"] = captions("constant", 0.9)
    study = results_of(write(tmp_path / "r", tables), tmp_path)["studies"][0]
    assert "p = 0.0240 after Holm correction." in study["claim"]
    card = (tmp_path / "report" / "report.html").read_text().split("Better than the best control or baseline, constant")[1]
    assert "p = 0.0240 after Holm correction" in card.split("</div>")[0]


def test_the_range_is_of_one_metric_on_the_trials_that_all_conditions_hold(tmp_path):
    tables = all_conditions(0.8)
    tables["noise"] = tables["noise"].iloc[:48]
    whole = results_of(write(tmp_path / "r", tables), tmp_path, "--protocol", "thought2text")["studies"][0]
    alone = results_of(write(tmp_path / "a", {name: table.iloc[:48] for name, table in tables.items()}), tmp_path / "a")
    span, (same,) = whole["range"], alone["studies"]
    scores = {one["condition"]: one["scores"]["ROUGE-1"] for one in same["conditions"]}
    assert span["n"] == 48 and span == same["range"]
    for role, name in (("floor", span["floor"]), ("model", "eeg+label"), ("ceiling", "image")):
        assert span[f"{role}_mean"] == pytest.approx(scores[name]["mean"])
        assert span[f"{role}_95"] == pytest.approx([scores[name]["low"], scores[name]["high"]])
    page = (tmp_path / "report" / "report.html").read_text().split("From floor to ceiling")[1].split("</section>")[0]
    assert "of the 48 trials that every control and baseline holds" in page
    assert f"model: eeg+label {span['model_mean']:.3f}" in page
