"""Pictures without a class and with several: every stage, from the folder to the claim."""

import json

from runtime.runs import read_json

import pandas
import pytest
import torch

import evaluate
import finetune_llm
import inference
import inference_chance
import prepare_data
import test_eeg_classifier as encoder_test
import train_eeg_classifier
from eegdata.splits import write_splits
from eegdata.trials import load_trials
from metrics.conditions import NAMES
from report.plain_words import plain_words
from scenes import OBJECTS, SETS, make_scenes, wordings

WITHOUT_CLASSES = ("eeg+label", "noise", "shuffled", "image", "nothing", "constant", "nearest_picture")
SHORT = ("--max_new_tokens", "12", "--device", "cpu")


def run(data, folder, clip, llm):
    """All stages; returns the folder of the captions."""
    given = ["--eeg_dataset", str(data), "--device", "cpu"]
    pictures = ["--clip_model", str(clip)]
    train_eeg_classifier.main([*given, *pictures, "--output", str(folder / "encoder"), "--num_epochs", "4",
                               "--batch_size", "16"])
    encoder_test.main([*given, *pictures, "--output", str(folder / "encoder")])
    finetune_llm.main([*given, *pictures, "--eeg_encoder_path", str(folder / "encoder"), "--llm_backbone_name_or_path",
                       str(llm), "--output", str(folder / "captioner"), "--num_epochs_image", "1", "--num_epochs_eeg", "1",
                       "--captions", "all"])
    write = ["--model_path", str(folder / "captioner"), *given, "--max_new_tokens", "12", "--dest",
             str(folder / "results" / "captions.csv")]
    inference.main(write)
    inference_chance.main(write)
    return folder / "results"


@pytest.fixture(scope="module", params=["several", "none"])
def whole(request, clip, llm, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    data = make_scenes(folder, request.param)
    return request.param, data, run(data, folder / "runs", clip, llm)


def read(file):
    return pandas.read_csv(file, keep_default_na=False, dtype=str)


def test_trials_tell_what_pictures_have(tmp_path):
    trials = load_trials(make_scenes(tmp_path))
    assert trials.classes == "several" and (trials.label == -1).all() and not trials.groups.any()
    kinds = [SETS[int(name.removeprefix("scene_")[0])] for name in trials.names(slice(None))]
    assert trials.words(slice(None)) == [", ".join(OBJECTS[i] for i in shown) for shown in kinds]
    targets = trials.class_targets(torch.arange(len(trials)))
    assert targets.tolist() == [[float(i in shown) for i in range(3)] for shown in kinds]
    text = (tmp_path / "data" / "README.md").read_text()
    assert "Licence: CC BY 4.0." in text and "Published: made for a test." in text


def test_every_stage_works(whole):
    classes, data, results = whole
    files = {file.stem.split("_", 1)[-1] if "_" in file.stem else "eeg+label" for file in results.glob("*.csv")}
    assert files == set(NAMES if classes == "several" else WITHOUT_CLASSES)
    table = read(results / "captions.csv")
    trials = load_trials(data)
    rows = [int(i) for i in table["trial"]]
    assert table["Expected object"].tolist() == trials.words(torch.tensor(rows))
    for name, cell, first in zip(table["image"], table["references"], table["Expected Caption"], strict=True):
        kind, number = map(int, name.removeprefix("scene_"))
        texts = json.loads(cell)
        assert texts == list(wordings(SETS[kind], "red" if number % 2 else "blue")) and first == texts[0]
    named = set(table["Predicted object"])
    if classes == "none":
        assert named == {""}
    else:
        assert len(named) > 2 and {one for text in named for one in text.split(", ")} <= {"", *OBJECTS}
    record = read_json(results / "captions.csv.json")
    assert record["classes"] == classes and ("<class name>" in record["rendered_prompt"])
    scores = read_json(results.parent / "encoder" / "test" / "scores.json")
    assert ("average_precision" in scores) == (classes == "several") and scores["retrieval"]["n"] > 1
    if classes == "several":  # the objects are plain in the EEG
        assert scores["average_precision"] > scores["chance"] + .2


def test_claims_of_look_alike_pictures(whole, tmp_path, capsys):
    classes, _, results = whole
    evaluate.main([*map(str, sorted(results.glob("*.csv"))), "--report", str(tmp_path), "--n_perm", "200", "--n_boot", "50",
                   "--metrics", "ROUGE-1", "BLEU", "CIDEr", "chrF", "n-way", "--all"])
    study, = read_json(tmp_path / "results.json")["studies"]
    assert study["missing"] == [] and "look-alike pictures" in study["claim"]
    beyond = study["verdicts"]["beyond_class"]
    if classes == "none":
        assert beyond["holds"] is None and "no objects and no words are known" in beyond["text"]
        assert study["verdicts"]["better_than_nothing"]["holds"] is not None
    else:
        assert beyond["p"] is not None and study["verdicts"]["class"]["p"] is not None
    assert (tmp_path / "report.html").is_file()
    out = capsys.readouterr().out
    assert "ROUGE-1 (mean)" in out


def test_options_on_classes_are_said_where_there_are_none(whole, clip, llm, tmp_path, capsys):
    kind, data, results = whole
    finetune_llm.main(["--eeg_dataset", str(data), "--device", "cpu", "--clip_model", str(clip), "--eeg_encoder_path",
                       str(results.parent / "encoder"), "--llm_backbone_name_or_path", str(llm), "--output",
                       str(tmp_path / "captioner"), "--no_stage2", "--max_steps", "1", "--train_label", "true",
                       "--label_dropout", "0.5"])
    said = capsys.readouterr().out
    for option in ("--train_label true", "--label_dropout 0.5"):
        assert (f"note: {option}: has no effect where the encoder names no class" in said) == (kind == "none")


def test_one_trial_and_another_recording(whole, tmp_path, capsys):
    classes, data, results = whole
    model = results.parent / "captioner"
    inference.main(["--model_path", str(model), "--eeg_dataset", str(data), "--trial", "3", *SHORT])
    assert ("predicted class" in capsys.readouterr().out) <= (classes == "several")


def test_audit_and_other_splits(whole, capsys):
    _, data, _ = whole
    prepare_data.main(["audit", str(data)])
    found = {one["check"]: one for one in read_json(data / "audit.json")["findings"]}
    assert found["Size of the test part"]["severity"] == "warning"  # for its 7 pictures, not for its one class
    assert "rest on these few" in found["Size of the test part"]["sentence"]
    assert not any(one["severity"] == "severe" for one in found.values())
    prepare_data.main(["split", str(data), "--split_by", "subject", "--splits_path", str(data.parent / "people.pth")])
    with pytest.raises(SystemExit) as stop:
        prepare_data.main(["split", str(data), "--split_by", "class", "--splits_path", str(data.parent / "no.pth")])
    assert stop.value.code == 2 and "have no one class" in capsys.readouterr().err


@pytest.mark.parametrize("whole", ["none"], indirect=True)
def test_what_needs_classes_is_refused(whole, clip, tmp_path, capsys):
    _, data, results = whole
    given = ["--eeg_dataset", str(data), "--device", "cpu"]
    model = ["--model_path", str(results.parent / "captioner"), *given]
    for script, arguments, text in (
            (inference_chance, [*model, "--conditions", "label", "--dest", str(tmp_path / "c.csv")],
             "needs a class name or words"),
            (train_eeg_classifier, [*given, "--loss_weight", "0", "--output", str(tmp_path / "e")], "no classes to learn"),
            (train_eeg_classifier, [*given, "--class_head", "on", "--output", str(tmp_path / "e")], "no classes to learn"),
            (train_eeg_classifier, [*given, "--best_by", "accuracy", "--output", str(tmp_path / "e")], "no one class"),
            (encoder_test, [*given, "--clip_model", str(clip), "--output", str(results.parent / "encoder"),
                            "--classical_baseline"], "need one class a picture")):
        with pytest.raises(SystemExit) as stop:
            script.main(arguments)
        assert stop.value.code == 2 and text in capsys.readouterr().err


@pytest.mark.slow
def test_new_classes_are_not_called_by_the_name_of_a_known_one(data, clip, llm, tmp_path, capsys):
    """A split by class: the encoder names none, and look-alike pictures are those of the true class."""
    content = torch.load(data / "eeg.pth")
    kind = {"cat": "train", "dog": "val", "car": "test"}
    part_of = [kind[content["images"][one["image"]].split("_")[0]] for one in content["dataset"]]
    parts = {part: [i for i, own in enumerate(part_of) if own == part] for part in ("train", "val", "test")}
    write_splits(tmp_path / "classes.pth", parts)
    given = ["--eeg_dataset", str(data / "eeg.pth"), "--splits_path", str(tmp_path / "classes.pth"), "--image_dir",
             str(data / "images"), "--device", "cpu"]
    pictures = ["--clip_model", str(clip)]
    train_eeg_classifier.main([*given, *pictures, "--output", str(tmp_path / "encoder"), "--num_epochs", "1"])
    assert "prompts name none" in capsys.readouterr().out
    encoder_test.main([*given, *pictures, "--output", str(tmp_path / "encoder")])
    assert "retrieval" in read_json(tmp_path / "encoder" / "test" / "scores.json")
    finetune_llm.main([*given, *pictures, "--eeg_encoder_path", str(tmp_path / "encoder"), "--llm_backbone_name_or_path",
                       str(llm), "--output", str(tmp_path / "captioner"), "--num_epochs_image", "1", "--num_epochs_eeg",
                       "1"])
    write = ["--model_path", str(tmp_path / "captioner"), *given, "--max_new_tokens", "8", "--dest",
             str(tmp_path / "results" / "captions.csv")]
    inference.main(write)
    inference_chance.main(write)
    table = read(tmp_path / "results" / "captions.csv")
    assert set(table["Expected object"]) == {"car"} and set(table["Predicted object"]) == {""}
    assert "references" not in table  # one caption a picture, as ever
    evaluate.main([*map(str, sorted((tmp_path / "results").glob("*.csv"))), "--report", str(tmp_path), "--n_perm", "100",
                   "--n_boot", "20", "--metrics", "ROUGE-1"])
    study, = read_json(tmp_path / "results.json")["studies"]
    assert study["missing"] == [] and study["verdicts"]["beyond_class"]["p"] is not None
    assert study["verdicts"]["class"]["text"] == "the model names no class" and "look-alike" in study["claim"]


def test_plain_words_say_what_is_alike():
    verdicts = {key: {"holds": True} for key in ("anything", "beyond_class", "better_than_nothing")}
    for classes, alike in (("several", "with the same objects"), ("one", "of the same class")):
        text = " ".join(plain_words({"verdicts": verdicts, "doubts": [], "classes_a_picture": classes}, "ROUGE-1"))
        assert f"better than other pictures {alike}" in text
