"""Stages 2 and 3, driven as a user does."""

import json
import shutil
import time

from runtime.runs import file_hash, read_json, read_run

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

import finetune_llm
import train_eeg_classifier
from captioning.stages import unseen_statistics
from eegdata.splits import load_split, write_splits
from eegdata.trials import load_trials
from encoders import encode, load_encoder
from encoders.targets import mean_and_scale
from finetuning import finetune, write
from tiny import CLASSES, data_arguments, make_llm


def test_training_learns_and_records_itself(captioner, data):
    log = json.loads((captioner / "train_log.json").read_text())
    for stage in ("stage2", "stage3"):
        losses = [entry["eval_loss"] for entry in log[stage] if "eval_loss" in entry]
        assert losses[-1] < losses[0]
    record = json.loads((captioner / "args.json").read_text())
    assert record["options"]["num_epochs_eeg"] == 3 and record["data"] == file_hash(data / "eeg.pth")
    pictures = read_json(captioner / "train_images.json")
    assert len(pictures) == 15 and pictures["cat_0"] == file_hash(data / "images" / "cat" / "cat_0_sketch.JPEG")
    assert json.loads((captioner / "id2label.json").read_text()) == {str(i): n for i, n in enumerate(CLASSES)}
    assert json.loads((captioner / "config.json").read_text())["model_type"] == "eeg-encoder-decoder"


def test_stage2_is_reused_only_when_everything_matches(data, clip, encoder, llm, tmp_path, capsys):
    kept = ["--saved_pretrained_model_path", str(tmp_path / "kept"), "--batch_size", "8"]
    first = finetune(data, clip, encoder, llm, tmp_path / "a", *kept)
    capsys.readouterr()
    second = finetune(data, clip, encoder, llm, tmp_path / "b", *kept)
    assert "made before with the same options" in capsys.readouterr().out
    assert file_hash(first / "projector.safetensors") == file_hash(second / "projector.safetensors")
    assert file_hash(first / "adapter") == file_hash(second / "adapter")
    finetune(data, clip, encoder, llm, tmp_path / "c", *kept, "--learning_rate", "1e-4")
    assert "made before" not in capsys.readouterr().out
    assert len(list((tmp_path / "kept").iterdir())) == 2


@pytest.mark.parametrize("more", [["--load_in_8bit", "--bf16", "--max_steps", "2"], ["--load_in_4bit", "--max_steps", "2"],
                                  ["--no_stage2", "--no-use_lora", "--projector", "linear", "--soft_tokens", "1"],
                                  ["--no_stage3", "--train_label", "mixed"]])
def test_variants_train_reload_and_write(data, clip, encoder, llm, tmp_path, more):
    folder = finetune(data, clip, encoder, llm, tmp_path / "captioner", *more)
    assert len(write(folder, data, tmp_path / "c.csv", "--max_new_tokens", "3")) == 24


def test_nothing_of_an_earlier_captioner_in_the_folder_is_left(data, clip, encoder, llm, tmp_path):
    """The chat template of the earlier LLM stood in the prompts of the later one, which has none."""
    folder, plain = tmp_path / "captioner", make_llm(tmp_path / "plain", chat=False)
    AutoTokenizer.from_pretrained(llm).save_pretrained(folder)
    (folder / "adapter").mkdir()
    (folder / "adapter" / "adapter_config.json").write_text("{}")
    assert (folder / "chat_template.jinja").is_file()
    finetune(data, clip, encoder, plain, folder, "--prompt_template", "thought2text", "--no-use_lora", "--no_stage2",
             "--max_steps", "1")
    assert AutoTokenizer.from_pretrained(folder).chat_template is None and not (folder / "adapter").exists()
    assert not [name for name in read_run(folder)[0]["files"] if "chat_template" in name or "adapter" in name]


@pytest.mark.parametrize("tracker", ["wandb", "tensorboard"])
def test_training_curves_are_reported(data, clip, encoder, llm, tmp_path, monkeypatch, tracker):
    pytest.importorskip(tracker)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.chdir(tmp_path)
    finetune(data, clip, encoder, llm, tmp_path / "out", "--no_stage2", "--max_steps", "2", "--report_to", tracker)
    if tracker == "wandb":
        import wandb

        wandb.finish()
    pattern = {"wandb": "wandb/offline-run-*/*.wandb", "tensorboard": "out/tensorboard/stage3/events.*"}[tracker]
    for _ in range(60):  # W&B writes in a process of its own, which a busy machine delays
        written = [p for p in tmp_path.glob(pattern) if p.stat().st_size > 100]
        if written:
            break
        time.sleep(.5)
    assert written


def test_pictures_are_embedded_as_the_encoder_was_trained(data, clip, llm, tmp_path):
    """Without --clip_model and --picture; a target of layers lies in the encoder's folder, wherever that is."""
    train_eeg_classifier.main([*data_arguments(data), "--clip_model", str(clip), "--picture", "photo", "--target_layers",
                               "1", "--output", str(tmp_path / "trained"), "--num_epochs", "1", "--branches", "neural"])
    encoder = (tmp_path / "trained").rename(tmp_path / "encoder")
    finetune_llm.main([*data_arguments(data), "--eeg_encoder_path", str(encoder), "--llm_backbone_name_or_path", str(llm),
                       "--output", str(tmp_path / "captioner"), "--max_steps", "1"])
    config = json.loads((tmp_path / "captioner" / "config.json").read_text())
    assert config["clip_model"] == str(encoder / "target") and config["picture"] == "photo"
    assert json.loads((tmp_path / "captioner" / "args.json").read_text())["used"]["clip_model"] == str(encoder / "target")


def test_stopped_training_resumes_to_the_same_weights(data, clip, encoder, llm, tmp_path, monkeypatch):
    common = ["--no_stage2", "--num_epochs_eeg", "3", "--batch_size", "16"]
    whole = finetune(data, clip, encoder, llm, tmp_path / "whole", *common)
    from captioning.training import CaptionTrainer

    real = CaptionTrainer.training_step
    steps = []

    def stops(self, *args, **kwargs):
        steps.append(1)
        if len(steps) == 6:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    monkeypatch.setattr(CaptionTrainer, "training_step", stops)
    with pytest.raises(KeyboardInterrupt):
        finetune(data, clip, encoder, llm, tmp_path / "part", *common)
    monkeypatch.setattr(CaptionTrainer, "training_step", real)
    part = finetune(data, clip, encoder, llm, tmp_path / "part", *common, "--resume")
    assert file_hash(part / "adapter" / "adapter_model.safetensors") == file_hash(
        whole / "adapter" / "adapter_model.safetensors")


@pytest.mark.parametrize(("more", "message"), [
    (["--fp16"], "--fp16 needs a CUDA device"),
    (["--bf16", "--fp16"], "exclude each other"),
    (["--device", "cuda:0"], "finds 0 CUDA devices"),
    (["--load_in_8bit", "--load_in_4bit"], "exclude each other"),
    (["--no_stage2", "--no_stage3"], "nothing to train"),
    (["--optim", "nonsense"], "nonsense"),
    (["--llm_backbone_name_or_path", "no/such-llm"], "no/such-llm"),
    (["--eeg_encoder_path", "nowhere"], "nowhere"),
    (["--subject", "9"], "holds subjects [1, 2]"),
])
def test_bad_flags(data, clip, encoder, llm, tmp_path, capsys, more, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(SystemExit) as stop:
        finetune(data, clip, encoder, llm, tmp_path / "out", *more)
    assert stop.value.code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "out" / "config.json").exists()


def test_missing_caption_and_empty_test_part(data, clip, encoder, llm, captioner, tmp_path, capsys):
    broken = tmp_path / "data"
    shutil.copytree(data, broken)
    (broken / "images" / "cat" / "cat_0_caption.txt").unlink()
    with pytest.raises(SystemExit) as stop:
        finetune(broken, clip, encoder, llm, tmp_path / "out")
    assert stop.value.code == 2 and "cat_0_caption.txt" in capsys.readouterr().err
    write_splits(broken / "splits.pth", {"train": [0], "val": [20], "test": []})
    with pytest.raises(SystemExit) as stop:
        write(captioner, broken, tmp_path / "c.csv")
    assert stop.value.code == 2 and "part 'test' is empty" in capsys.readouterr().err


def test_encoder_in_the_captioner_is_the_one_of_stage_1(captioner, encoder):
    a, b = load_encoder(str(encoder)), load_encoder(str(captioner / "eeg_encoder"))
    assert all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_the_projector_is_scaled_by_trials_that_the_encoder_does_not_know(captioner, data, capsys):
    encoder, projector = load_encoder(captioner / "eeg_encoder"), load_file(captioner / "projector.safetensors")
    trials = load_trials(data / "eeg.pth")
    split = load_split(data / "splits.pth", trials)
    embeddings = {part: encode(encoder, trials.eeg, split[part])[0] for part in ("train", "val")}
    torch.testing.assert_close(projector["eeg_mean"], embeddings["train"].mean(0))
    assert projector["eeg_scale"].item() == pytest.approx(encoder.config.unseen_scale)

    encoder.config.unseen_scale = None  # of one that was not fitted to the validation part, or is older
    assert unseen_statistics(embeddings, encoder.config)[1] == mean_and_scale(embeddings["val"])[1]
    assert "note:" not in capsys.readouterr().out
    few = {"train": embeddings["train"], "val": embeddings["val"][:3]}
    assert unseen_statistics(few, encoder.config)[1] == mean_and_scale(embeddings["train"])[1]
    assert "which the encoder knows, as there are only 3 validation trials" in capsys.readouterr().out


@pytest.mark.parametrize(("more", "pictures"), [
    (["--no_stage3"], "image"), (["--no_stage2", "--exemplars", "2"], "image"),
    (["--no_stage2"], "eeg")])  # the pictures are not embedded then
def test_the_projector_knows_the_statistics_of_a_stage_that_was_left_out(data, clip, encoder, llm, captioner, tmp_path,
                                                                         more, pictures):
    """Else it would take the embeddings of the other kind as they are, far from those that it learned."""
    folder = finetune(data, clip, encoder, llm, tmp_path / "out", *more, "--max_steps", "1")
    found, whole = (load_file(place / "projector.safetensors") for place in (folder, captioner))
    for own, wanted in (("eeg", "eeg"), ("image", pictures)):
        for name in ("mean", "scale"):
            torch.testing.assert_close(found[f"{own}_{name}"], whole[f"{wanted}_{name}"])
