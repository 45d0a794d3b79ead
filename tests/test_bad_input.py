"""Input that a user may well give by mistake: one clear message, exit code 2, nothing lost."""

import json
import shutil

from runtime.errors import InputError
from runtime.pickles import save_torch
from runtime.runs import file_hash

import numpy as np
import pandas
import pytest
import torch

import evaluate
import finetune_llm
import inference
import train_eeg_classifier
from eegdata.pth_file import read_pth
from eegdata.splits import read_splits
from tiny import data_arguments


def stops(main, arguments, capsys, *said):
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    message = capsys.readouterr().err
    assert stop.value.code == 2 and all(text in message for text in said), message


@pytest.mark.parametrize(("change", "message"), [
    (lambda c: c.update(dataset=()), "'dataset' is tuple"),
    (lambda c: c["dataset"][1].update(eeg=[1, 2]), "record 1 has EEG list"),
    (lambda c: c["dataset"][1].update(eeg=torch.zeros(0, 64)), "expected a float tensor"),
    (lambda c: c["dataset"][1].update(label="cat"), "record 1 has label str 'cat'"),
    (lambda c: c["dataset"][1].update(image=1.5), "record 1 has image float"),
    (lambda c: c.update(sfreq="128 Hz"), "'sfreq' is '128 Hz'"),
    (lambda c: c.update(sfreq=float("nan")), "'sfreq' is nan"),
    (lambda c: c.update(ch_names=["Fz"]), "has 6 channels, 'ch_names' names 1"),
    (lambda c: c.update(class_names=[1, 2, 3]), "'class_names' is list"),
])
def test_data_set_of_wrong_types(data, tmp_path, change, message):
    content = torch.load(data / "eeg.pth")
    change(content)
    torch.save(content, tmp_path / "eeg.pth")
    with pytest.raises(InputError) as error:
        read_pth(tmp_path / "eeg.pth")
    assert message in str(error.value)


def test_a_flipped_byte_in_the_signal_is_found(data, tmp_path):
    content = bytearray((data / "eeg.pth").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "eeg.pth").write_bytes(content)
    with pytest.raises(InputError, match="checksum"):
        read_pth(tmp_path / "eeg.pth")


@pytest.mark.parametrize("part", [[0.5], "012", None, [[1]]])
def test_splits_of_wrong_types(tmp_path, part):
    torch.save({"splits": [{"train": part, "val": [1], "test": [2]}]}, tmp_path / "splits.pth")
    with pytest.raises(InputError, match="expected a list of record numbers"):
        read_splits(tmp_path / "splits.pth")


def test_equal_data_gives_equal_bytes(tmp_path):
    for name in ("a.pth", "b.pth"):
        save_torch(tmp_path / name, {"x": torch.arange(5)})
    assert file_hash(tmp_path / "a.pth") == file_hash(tmp_path / "b.pth")


def stage1(data, clip, output, *more):
    return [*data_arguments(data), "--clip_model", clip, "--output", output, "--num_epochs", "1", *more]


@pytest.mark.parametrize(("more", "message"), [
    (["--optim", "galore_adamw"], "--optim galore_adamw"),
    (["--lr_scheduler_type", "cosine_with_min_lr"], "--lr_scheduler_type cosine_with_min_lr"),
    (["--optim", "adamw"], "--optim adamw: transformers has none of this name; expected one of adamw_torch"),
    (["--lr_scheduler_type", "cosin"], "; did you mean cosine?"),
    (["--device", "meta"], "this project runs on cpu and cuda only"),
    (["--max_steps", "0"], "expected -1 or a positive number"),
    (["--num_epochs", "0"], "out of range"),
    (["-tl", "1.5"], "not a whole number of samples"),
    (["--seed", "5000000000"], "out of range"),
])
def test_training_options(data, clip, tmp_path, capsys, more, message):
    stops(train_eeg_classifier.main, [*stage1(data, clip, tmp_path / "out"), *more], capsys, message)
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.fixture(scope="module")
def encoder(data, clip, tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    train_eeg_classifier.main([str(a) for a in stage1(data, clip, folder, "--group_by_length")])
    return folder


def stage3(data, clip, encoder, llm, output, *more):
    return [*data_arguments(data), "--clip_model", clip, "--eeg_encoder_path", encoder, "--llm_backbone_name_or_path", llm,
            "--output", output, "--no_stage2", "--num_epochs_eeg", "1", *more]


def test_flags_that_must_work_together(data, clip, encoder, llm, tmp_path):
    finetune_llm.main([str(a) for a in stage3(data, clip, encoder, llm, tmp_path, "--group_by_length", "--load_in_4bit",
                                              "--bf16", "--gradient_checkpointing")])
    assert (tmp_path / "projector.safetensors").is_file()


@pytest.mark.parametrize("schedule", ["reduce_lr_on_plateau", "greedy"])
def test_schedules_that_follow_the_validation(data, clip, encoder, llm, tmp_path, schedule):
    """They were refused for lack of evaluations, of which each epoch has one."""
    finetune_llm.main([str(a) for a in stage3(data, clip, encoder, llm, tmp_path, "--lr_scheduler_type", schedule)])
    assert (tmp_path / "projector.safetensors").is_file()


@pytest.mark.parametrize(("more", "message"), [
    (["--lora_target", "nonsense"], "--lora_target nonsense"),
    (["--lora_target", "(("], "--lora_target (("),
    (["--output", "ENCODER"], "holds a model of type 'eegencoder'"),
    (["--output", "FILE"], "a file lies where a folder is needed"),
    (["--output", "FILE/inner"], "a file lies where a folder is needed"),
])
def test_captioner_options(data, clip, encoder, llm, tmp_path, capsys, more, message):
    (tmp_path / "file").write_text("mine")
    places = {"ENCODER": encoder, "FILE": tmp_path / "file", "FILE/inner": tmp_path / "file" / "inner"}
    more = [places.get(word, word) for word in more]
    stops(finetune_llm.main, stage3(data, clip, encoder, llm, tmp_path / "out", *more), capsys, message)
    assert (tmp_path / "file").read_text() == "mine" and (encoder / "model.safetensors").is_file()


def test_the_folder_below_that_holds_the_model_is_named(data, clip, encoder, llm, tmp_path, capsys):
    """A run's folder was given in place of its eeg_encoder."""
    shutil.copytree(encoder, tmp_path / "run" / "eeg_encoder")
    stops(finetune_llm.main, stage3(data, clip, tmp_path / "run", llm, tmp_path / "out"), capsys,
          f"{tmp_path / 'run'} holds eeg_encoder with such a file: give the one that is meant")


def test_other_class_names_are_refused(data, clip, encoder, llm, tmp_path, capsys):
    content = torch.load(data / "eeg.pth")
    content["class_names"] = content["class_names"][::-1]
    shutil.copytree(data, tmp_path / "data")
    torch.save(content, tmp_path / "data" / "eeg.pth")
    stops(finetune_llm.main, stage3(tmp_path / "data", clip, encoder, llm, tmp_path / "out"), capsys, "class names differ")


@pytest.mark.parametrize("content", ["[]", "null", '{"x": "cat"}', "{"])
def test_damaged_id2label(data, clip, encoder, llm, tmp_path, capsys, content):
    from test_model import build

    build(llm).save_pretrained(tmp_path)
    shutil.copy(llm / "tokenizer.json", tmp_path)
    shutil.copy(llm / "tokenizer_config.json", tmp_path)
    (tmp_path / "id2label.json").write_text(content)
    np.save(tmp_path / "one.npy", np.zeros((6, 64), np.float32))
    stops(inference.main, ["--model_path", tmp_path, "--eeg_file", tmp_path / "one.npy"], capsys, "id2label.json")


def test_a_checkpoint_cut_short_is_passed_over(data, clip, tmp_path, monkeypatch):
    """A kill while a checkpoint is written leaves one without its mark: the one before is taken."""
    from runtime.trainer_state import STATE, mark_whole

    from transformers import TrainerState

    from encoders.training import checkpoint_of

    for step in (1, 2, 10):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        TrainerState(global_step=step, max_steps=20).save_to_json(folder / STATE)
        for name in ("optimizer.pt", "scheduler.pt"):
            save_torch(folder / name, {})
        if step < 10:
            mark_whole(folder)
    (tmp_path / "key.json").write_text(json.dumps(checkpoint_key()))
    assert checkpoint_of(tmp_path, "key", resume=True) == str(tmp_path / "checkpoint-2")
    with pytest.raises(InputError, match="other options or data"):
        checkpoint_of(tmp_path, "another key", resume=True)


def checkpoint_key():
    from runtime.runs import content_key

    return content_key("key")


def test_outputs_never_overwrite_inputs(tmp_path, capsys):
    table = pandas.DataFrame({"Ground Truth Image": ["a", "b"], "Expected object": "x", "Predicted object": "x",
                              "Expected Caption": "A cat.", "Generated Caption": "A cat."})
    table.to_csv(tmp_path / "m.csv", index=False)
    before = (tmp_path / "m.csv").read_bytes()
    stops(evaluate.main, [tmp_path / "m.csv", "--json", tmp_path / "m.csv"], capsys, "--json", "is also an input")
    stops(evaluate.main, [tmp_path / "m.csv", "--metrics", "BLEU", "--json", tmp_path], capsys, "is a folder or a device")
    assert (tmp_path / "m.csv").read_bytes() == before


def test_dest_that_is_a_folder(tmp_path, capsys, data):
    stops(inference.main, ["--model_path", tmp_path, *data_arguments(data), "--dest", tmp_path], capsys)
