"""The report where something is absent, unknown or broken: said, left out, or refused."""

import json
import re

from runtime.errors import InputError
from runtime.runs import read_json

import numpy as np
import pandas as pd
import pytest

from evaluation.encoder_scores import scored_weights
from metrics.caption_files import COLUMNS, read_captions
from report_material import Elements, edit, make_results, make_run, page_of, read_files, section


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run") / "demo")


@pytest.fixture
def own_run(tmp_path):
    return make_run(tmp_path / "run", pictures=8, subjects=2)


@pytest.mark.parametrize(("absent", "said"), [
    ("captioner", "captioner was not found"),
    ("eeg_encoder", "the folder of the EEG encoder, was not found"),
    ("eeg_encoder/test/scores.json", "eeg_encoder/test/scores.json is missing"),
    ("eeg_encoder/test/confusion_matrix.csv", "confusion_matrix.csv is missing, or is no table of 2 to 60 classes"),
    ("eeg_encoder/test/when_where.png", "when_where.png is missing or not a picture"),
    ("captioner/train_log.json", "captioner/train_log.json is missing"),
    ("captioner/args.json", "captioner/args.json is missing"),
    ("data", "No EEG traces: "),
    ("data/images", "The pictures are not shown: they are not at the paths in the captions"),
    ("data/images/ball/ball_4.JPEG", "picture not found: ball_4"),
    ("data/splits.pth", "Each class was shown in one block."),  # its hash stands in args.json
])
def test_an_absent_part_is_named(own_run, absent, said):
    (own_run / absent).rename(own_run.parent / "away")
    page = page_of(own_run)
    assert said in page and not Elements(page).open


def test_scores_of_an_encoder_that_was_trained_anew_are_not_shown(own_run):
    (own_run / "eeg_encoder" / "model.safetensors").write_bytes(b"new weights")
    assert "81.2%" in (before := section(page_of(own_run, examples=0), "encoder")) or "0.812" in before  # older: no key
    edit(own_run / "eeg_encoder" / "test" / "scores.json", lambda scores: scores.update(encoder="0" * 16))
    after = section(page_of(own_run, examples=0), "encoder")
    assert "holds scores of another encoder" in after and "81.2%" not in after and "0.812" not in after
    assert "100 to 200 ms" in before and "100 to 200 ms" not in after


def test_a_map_of_an_encoder_before_is_not_shown_beside_new_scores(own_run):
    """As after a training anew, whose encoder was scored without --when_and_where."""
    test = own_run / "eeg_encoder" / "test"
    (own_run / "eeg_encoder" / "model.safetensors").write_bytes(b"new weights")
    edit(test / "scores.json", lambda scores: scores.update(encoder=scored_weights(own_run / "eeg_encoder")))
    sentence = "The evidence is at 100 to 200 ms over occipital sensors."
    assert sentence in section(page_of(own_run, examples=0), "encoder")  # older: no key
    edit(test / "when_where.json", lambda found: found.update(encoder="0" * 16))
    after = section(page_of(own_run, examples=0), "encoder")
    assert "when_where.json is of another encoder" in after and sentence not in after


def test_scores_and_map_of_other_trials_say_so(own_run):
    """The encoder was scored again with --subject, without --when_and_where."""
    test = own_run / "eeg_encoder" / "test"
    record = read_json(own_run / "results" / "captions.csv.json")
    same = {key: record[key] for key in ("data", "splits", "split_num", "subject")} | {"time_low": None}
    sentence = "The evidence is at 100 to 200 ms over occipital sensors."
    for name in ("scores.json", "when_where.json"):
        edit(test / name, lambda content: content.update(scored_on=same))
    before = section(page_of(own_run, examples=0), "encoder")
    assert sentence in before and "of other trials" not in before
    edit(test / "scores.json", lambda scores: scores["scored_on"].update(subject=3))
    after = section(page_of(own_run, examples=0), "encoder")
    assert "when_where.json is of other trials than scores.json beside it (subject: 0 / 3)" in after
    assert sentence not in after
    assert "scores.json is of other trials than the captions (subject: 3 / 0)" in after


def test_an_audit_is_made_where_there_is_none(own_run):
    (own_run / "data" / "audit.json").unlink()
    made = section(page_of(own_run, examples=0), "audit")
    assert "passed" in made and (own_run / "report" / "audit.json").is_file()
    edit(own_run / "report" / "audit.json", lambda audit: audit["findings"].insert(
        0, {"check": "A", "severity": "severe", "sentence": "Kept.", "numbers": {}}))
    assert "Kept." in page_of(own_run, examples=0).split("</header>")[0]


@pytest.mark.slow
def test_findings_stay_with_the_report_and_hold_for_their_data_and_split_only(own_run):
    assert "Each class was shown in one block." in page_of(own_run, examples=0).split("</header>")[0]
    (own_run / "data").rename(own_run.parent / "away")
    assert "Each class was shown in one block." in page_of(own_run, examples=0).split("</header>")[0]
    edit(own_run / "results" / "captions.csv.json", lambda content: content.update(splits="0" * 64))
    page = page_of(own_run, examples=0)
    assert "one block" not in page and f"No audit of the data: {own_run / 'data'} was not found" in page
    (own_run.parent / "away").rename(own_run / "data")
    assert "splits.pth has changed since the model was trained" in page_of(own_run, examples=0)
    edit(own_run / "results" / "captions.csv.json", lambda content: content.update(data="0" * 16))
    assert f"{own_run / 'data'} has changed since it was used" in page_of(own_run, examples=0)


def test_a_damaged_data_set_is_refused_for_examples_and_a_note_for_the_audit(own_run):
    shard = next((own_run / "data" / "trials").glob("*.arrow"))
    shard.write_bytes(shard.read_bytes()[:300])
    with pytest.raises(InputError, match="300 bytes, expected"):
        page_of(own_run)
    for folder in ("data", "report"):
        (own_run / folder / "audit.json").unlink()
    assert "The data could not be audited: " in page_of(own_run, examples=0)


def test_five_columns_without_a_record_give_a_page(own_run):
    table = pd.read_csv(own_run / "results" / "captions.csv")
    path = own_run / "published.csv"
    table[list(COLUMNS)].to_csv(path)
    captions = read_captions(path)
    captions.headline = np.linspace(0, 1, len(table))
    results = make_results(own_run, name="published.csv")
    study = results["studies"][0]
    study |= {"conditions": study["conditions"][:1], "comparisons": [], "range": None, "subjects": [], "power": None,
              "calibration": None, "judge": None, "prompt": None, "split": None}
    study["provenance"] = dict.fromkeys(study["provenance"])
    page = page_of(own_run, results, [{"eeg+label": captions}], examples=6)
    assert "published.csv has no record beside it (published.csv.json)" in page.split("</header>")[0]
    assert not Elements(page).open and page.count("<article") == 6 and "None" not in page
    ids = re.findall(r'id="s0-(\w+)"', page)
    assert ids == ["tested", "scores", "examples", "audit"]


def test_a_study_without_a_model_makes_no_claim_but_has_its_scores(run):
    results = make_results(run)
    study = results["studies"][0]
    study |= {"conditions": study["conditions"][1:], "verdicts": {}, "comparisons": [], "range": None, "subjects": [],
              "power": None, "calibration": None, "provenance": dict.fromkeys(study["provenance"])}
    files = {condition: captions for condition, captions in read_files(run).items() if condition != "eeg+label"}
    page = page_of(run, results, [files])
    assert "No examples: there are no captions under eeg+label." in page and not Elements(page).open
    assert f"{study['conditions'][0]['scores']['METEOR']['mean']:.3f}" in page


def test_unknown_numbers_are_dashes(run):
    results = make_results(run)
    study = results["studies"][0]
    for entry in study["conditions"]:
        entry["scores"] = {metric: dict.fromkeys(score) if metric == "METEOR" else score | {"low": None, "high": None}
                           for metric, score in entry["scores"].items()}
    for one in study["comparisons"]:
        one |= {"low": None, "high": None, "p_holm": None}
    study["subjects"][0] |= {"low": None, "high": None}
    page = page_of(run, results, examples=0)
    assert not Elements(page).open and "None" not in page.replace("&#39;", "'").split('id="evaluation"')[0].split(
        'id="s0-options"')[0]


def test_a_broken_file_is_an_input_error(own_run):
    def fails(part, content, *said):
        path = own_run / part
        kept = path.read_text()
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        with pytest.raises(InputError) as stop:
            page_of(own_run, examples=0)
        assert all(text in str(stop.value) for text in said), str(stop.value)
        path.write_text(kept)

    fails("captioner/args.json", "{", "args.json: not readable as JSON")
    for log in ({"stage3": [{"loss": "low", "epoch": 1}]}, {"stage3": 5}, {"stage3": [{"loss": 1.0}]}):
        fails("captioner/train_log.json", log, "train_log.json: stage3")
    fails("captioner/args.json", {"options": 5}, "args.json: options")
    fails("eeg_encoder/test/scores.json", {"top1": 0.5, "retrieval": [1]}, "test/scores.json: retrieval", "test_eeg_clas")
    fails("eeg_encoder/test/when_where.json", {"sentences": []}, "when_where.json: sentence missing")
    assert not (own_run / "report" / "report.html").exists()


def test_losses_that_are_no_numbers_are_named(own_run):
    edit(own_run / "captioner" / "train_log.json", lambda log: log["stage2"].append({"loss": float("nan"), "epoch": 3}))
    assert "stage2: 1 training losses are not finite" in page_of(own_run, examples=0)
