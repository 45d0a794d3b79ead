"""What a checkpoint knows of its pictures, by hand-made folders and by what the stages leave."""

import hashlib
import json
import shutil
import time

from runtime.errors import InputError

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

import finetune_llm
import train_eeg_classifier
from eegdata.splits import write_splits
from eegdata.trials import load_trials
from encoders import encode, load_encoder
from evaluation.provenance import (
    new_records,
    overlap_error,
    read_records,
    same_split,
    selected_on,
    trained_on,
    write_records,
)
from tiny import data_arguments


def put(image_dir, name, content, kind=""):
    file = image_dir / name.split("_")[0] / f"{name}{kind}.JPEG"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def record(folder, content, part="train"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{part}_images.json").write_text(json.dumps(content))


def sha(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def images(tmp_path):
    """cat_1 and cat_2 have a photograph, dog_1 a photograph and a sketch, dog_2 nothing."""
    for name in ("cat_1", "cat_2", "dog_1"):
        put(tmp_path / "images", name, f"photo of {name}".encode())
    put(tmp_path / "images", "dog_1", b"sketch of dog_1", "_sketch")
    return tmp_path / "images"


NAMES = ["dog_2", "dog_1", "cat_2", "cat_1", "cat_1"]


@pytest.mark.parametrize("trained, known, by_name", [
    ({}, [], []),
    ({"owl_1": "0" * 64, "owl_2": None}, [], []),
    ({"cat_1": sha(b"photo of cat_1")}, ["cat_1"], []),
    ({"tom": sha(b"photo of cat_1")}, ["cat_1"], []),  # the same picture under another name
    ({"rex": sha(b"sketch of dog_1")}, ["dog_1"], []),  # its sketch was trained on
    ({"rex": sha(b"photo of dog_1")}, ["dog_1"], []),  # its photograph was, though there is a sketch, too
    ({"cat_1": sha(b"saved anew")}, ["cat_1"], ["cat_1"]),
    ({"cat_1": None, "dog_2": sha(b"x")}, ["cat_1", "dog_2"], ["cat_1", "dog_2"]),  # no file to compare, then or now
    ({"cat_1": sha(b"photo of cat_2"), "dog_1": sha(b"photo of dog_1")}, ["cat_1", "cat_2", "dog_1"], ["cat_1"])])
def test_pictures_are_known_by_content_or_name(images, tmp_path, trained, known, by_name):
    record(tmp_path / "encoder", trained)
    found = trained_on(tmp_path / "encoder", images, NAMES)
    assert found == known and found.by_name == by_name
    assert json.loads(json.dumps({"trained_on": found})) == {"trained_on": known}
    assert trained_on(tmp_path / "encoder", None, NAMES) == sorted(set(NAMES) & set(trained))  # no files: names alone
    assert selected_on(tmp_path / "encoder", images, NAMES) is None
    record(tmp_path / "encoder", trained, "val")
    assert selected_on(tmp_path / "encoder", images, NAMES) == known


def test_a_captioner_knows_what_its_encoder_knows(images, tmp_path):
    captioner = tmp_path / "captioner"
    (captioner / "eeg_encoder").mkdir(parents=True)
    assert trained_on(captioner, images, NAMES) is None
    record(captioner, {"cat_1": None})
    assert trained_on(captioner, images, NAMES) == ["cat_1"]  # that much is sure
    assert trained_on(captioner, images, ["cat_2"]) is None  # the encoder may have been trained on it
    record(captioner / "eeg_encoder", {"tom": sha(b"photo of cat_2")})
    assert trained_on(captioner, images, NAMES) == ["cat_1", "cat_2"]
    assert trained_on(captioner, images, ["dog_1"]) == []


@pytest.mark.parametrize("content, said", [
    ("[1]", "expected a dict"), ("{", "not readable as JSON"),
    ('{"cat_1": 5}', "cat_1: Input should be a valid string (found '5')"),
    ('{"cat_1": "abc"}', "expected the SHA-256")])
def test_a_damaged_record_is_named(images, tmp_path, content, said):
    (tmp_path / "train_images.json").write_text(content)
    with pytest.raises(InputError, match="train_images") as error:
        trained_on(tmp_path, images, NAMES)
    assert said in str(error.value)


def test_the_refusal_says_how_and_what_to_do(images, tmp_path):
    def message(trained):
        record(tmp_path, trained)
        return str(overlap_error("--model_path", "runs/x", trained_on(tmp_path, images, NAMES), NAMES, repeated=0))

    plain = message({"tom": sha(b"photo of cat_1")})
    assert plain.startswith("--model_path runs/x: was trained on 1 of the 4 pictures, cat_1 among them, so")
    assert "--allow_overlap" in plain and "by name" not in plain
    assert "(it was found by name: " in message({"cat_1": None})
    assert "(they were found by name: " in message({"cat_1": None, "cat_2": None})
    assert "3 of the 4 pictures" in message({"cat_1": None, "cat_2": None, "rex": sha(b"photo of dog_1")})
    assert "(2 were found by name: " in message({"cat_1": None, "cat_2": None, "rex": sha(b"photo of dog_1")})
    assert "the split that it was trained with" in plain and "--unseen_pictures" not in plain
    assert "1 of them (cat_1) were trained on under other names" in plain and "keep one name of each picture" in plain
    assert "other names" not in message({"cat_1": sha(b"photo of cat_1")})
    known = trained_on(tmp_path, images, NAMES)
    repeated = str(overlap_error("--output", "x", known, NAMES, repeated=2))
    assert "the training part of the split also shows 2 of them" in repeated and "--unseen_pictures" in repeated
    assert "--allow_overlap to go on and claim new people or days, not new pictures" in repeated


def test_two_thousand_pictures_take_no_time(tmp_path):
    rng = np.random.default_rng(0)
    names = [f"n{i % 40:02}_{i}" for i in range(2000)]
    for name in names:
        put(tmp_path / "images", name, rng.bytes(60_000))
        put(tmp_path / "images", name, rng.bytes(5_000), "_sketch")
    record(tmp_path, {f"other_{i}": sha(str(i).encode()) for i in range(2000)})
    start = time.process_time()  # of all threads, whoever else uses the machine
    assert trained_on(tmp_path, tmp_path / "images", names) == []
    assert time.process_time() - start < 2


def test_records_are_written_read_and_replaced(images, tmp_path):
    names = {"train": ["cat_1", "dog_1"], "val": ["cat_2"]}
    before = {"train": {"owl": None, "cat_1": "f" * 64}}
    records = new_records(images, names, "sketch", before)
    assert records == {"train": {"owl": None, "cat_1": None, "dog_1": sha(b"sketch of dog_1")}, "val": {"cat_2": None}}
    assert new_records(images, names, "photo")["val"] == {"cat_2": sha(b"photo of cat_2")}
    assert new_records(None, names, "photo") == {"train": {}, "val": {}}  # a data set without pictures
    write_records(tmp_path, records)
    assert read_records(tmp_path) == records
    write_records(tmp_path, {})  # an encoder that does not tell takes the place of one that did
    assert read_records(tmp_path) == {} and trained_on(tmp_path, images, NAMES) is None


@pytest.fixture(scope="module")
def stages(data, clip, llm, tmp_path_factory):
    """An encoder trained on split A, one that starts from it on split B, and a captioner with that on split C."""
    folder = tmp_path_factory.mktemp("stages")
    pictures = {"a": (0, 4), "b": (4, 8), "c": (8, 12)}  # four trials show a picture
    for name, (start, stop) in pictures.items():
        write_splits(folder / f"{name}.pth", {"train": list(range(start, stop)), "val": list(range(88, 96)), "test": [60]})
    common = ["--clip_model", str(clip), "--device", "cpu", "--batch_size", "4", "--picture", "photo"]
    small = ["--d_model", "16", "--attn_heads", "2", "--layers", "1", "--spatial_filters", "4", "--num_epochs", "1",
             "--branches", "neural", "--class_head", "on"]  # the validation part has another class

    def run(script, name, *more):
        script.main([*data_arguments(data), "--splits_path", str(folder / f"{name}.pth"), *common, "--output",
                     str(folder / name), *more])

    run(train_eeg_classifier, "a", *small)
    run(train_eeg_classifier, "b", *small, "--pretrained", str(folder / "a"))
    run(finetune_llm, "c", "--eeg_encoder_path", str(folder / "b"), "--llm_backbone_name_or_path", str(llm),
        "--no_stage2", "--num_epochs_eeg", "1")
    return folder


def test_no_stage_forgets_what_those_before_it_learned_from(data, stages):
    images, every = data / "images", [f"cat_{i}" for i in range(8)] + ["car_6", "car_7"]
    assert trained_on(stages / "a", images, every) == ["cat_0"]
    assert trained_on(stages / "b", images, every) == ["cat_0", "cat_1"]
    assert trained_on(stages / "c", images, every) == ["cat_0", "cat_1", "cat_2"]
    assert selected_on(stages / "c", images, every) == ["car_6", "car_7"]
    photo = (data / "images" / "cat" / "cat_0.JPEG").read_bytes()
    assert json.loads((stages / "c" / "eeg_encoder" / "train_images.json").read_text())["cat_0"] == sha(photo)
    own = sha((data / "eeg.pth").read_bytes())
    assert same_split(stages / "c", own, stages / "c.pth", 0) is same_split(stages / "b", own, stages / "b.pth", 0) is True
    assert same_split(stages / "c", own, stages / "b.pth", 0) is same_split(stages / "c", own, stages / "c.pth", 1) is False
    assert same_split(stages / "c", "another data set", stages / "b.pth", 0) is None
    assert same_split(stages / "c" / "eeg_encoder", own, stages / "c.pth", 0) is None  # a predecessor's tells no more


def test_an_encoder_of_another_split_is_said(data, stages, tmp_path, capsys):
    (tmp_path / "no_llm").mkdir()
    for split, said in (("c", True), ("b", False)):
        with pytest.raises(SystemExit):  # the LLM is not there, which shows after the note
            finetune_llm.main([*data_arguments(data), "--splits_path", str(stages / f"{split}.pth"), "--device", "cpu",
                               "--eeg_encoder_path", str(stages / "b"), "--output", str(tmp_path / "out"),
                               "--llm_backbone_name_or_path", str(tmp_path / "no_llm")])
        assert ("was trained with another split, so trials and people" in capsys.readouterr().out) == said


def test_a_damaged_record_ends_training_before_it_starts(data, clip, stages, tmp_path, capsys):
    broken = shutil.copytree(stages / "a", tmp_path / "a")
    (broken / "train_images.json").write_text("[]")
    with pytest.raises(SystemExit) as stop:
        train_eeg_classifier.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(tmp_path / "out"),
                                   "--pretrained", str(broken), "--device", "cpu"])
    assert stop.value.code == 2 and "train_images.json" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_the_temperature_is_fitted_to_the_validation_part(data, stages):
    trials = load_trials(data / "eeg.pth")
    for name in ("b", "c/eeg_encoder"):
        encoder = load_encoder(str(stages / name))
        logits = encode(encoder, trials.eeg[88:96])[1].numpy().astype(float)
        labels = trials.label[88:96].numpy()
        grid = np.exp(np.linspace(-2.5, 2.5, 5001))
        loss = [-log_softmax(logits / t, axis=1)[np.arange(8), labels].sum() + np.log(t) ** 2 / 2 for t in grid]
        assert encoder.config.class_temperature == pytest.approx(grid[np.argmin(loss)], rel=2e-3)
    again = encode(load_encoder(str(stages / "b")), trials.eeg[:5])
    without = load_encoder(str(stages / "b"))
    without.config.class_temperature = 1.0
    assert all(torch.equal(p, q) for p, q in zip(again, encode(without, trials.eeg[:5]), strict=True))
