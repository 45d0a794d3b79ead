"""Stages 2 and 3 and inference, driven as a user does."""

import json
import time

import finetune_llm
import inference
import inference_chance
import pandas
import pytest
import torch
from tiny import CLASSES, data_arguments

import options
from encoders import load_encoder
from generation import matched_noise, swap
from runs import file_hash
from splits import write_splits

COLUMNS = ["Ground Truth Image", "Expected object", "Predicted object", "Expected Caption", "Generated Caption", "trial",
           "subject", "image", "split", "condition", "prompt"]


@pytest.fixture(scope="module")
def encoder(data, clip, tmp_path_factory):
    import train_eeg_classifier

    folder = tmp_path_factory.mktemp("encoder")
    train_eeg_classifier.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(folder),
                               "--num_epochs", "12", "--batch_size", "16"])
    return folder


def finetune(data, clip, encoder, llm, output, *more):
    finetune_llm.main([*data_arguments(data), "--clip_model", str(clip), "--eeg_encoder_path", str(encoder),
                       "--llm_backbone_name_or_path", str(llm), "--output", str(output), "--num_epochs_image", "1",
                       "--num_epochs_eeg", "1", "--logging_steps", "1", *more])
    return output


@pytest.fixture(scope="module")
def captioner(data, clip, encoder, llm, tmp_path_factory):
    before = file_hash(encoder / "model.safetensors")
    folder = finetune(data, clip, encoder, llm, tmp_path_factory.mktemp("captioner"), "--num_epochs_image", "4",
                      "--num_epochs_eeg", "3", "--batch_size", "8")
    assert file_hash(encoder / "model.safetensors") == before == file_hash(folder / "eeg_encoder" / "model.safetensors")
    return folder


def test_training_learns_and_records_itself(captioner, data):
    log = json.loads((captioner / "train_log.json").read_text())
    for stage in ("stage2", "stage3"):
        losses = [entry["eval_loss"] for entry in log[stage] if "eval_loss" in entry]
        assert losses[-1] < losses[0]
    record = json.loads((captioner / "args.json").read_text())
    assert record["options"]["num_epochs_eeg"] == 3 and record["data"] == file_hash(data / "eeg.pth")
    pictures = json.loads((captioner / "train_images.json").read_text())
    assert len(pictures) == 15 and pictures["cat_0"] == file_hash(data / "images" / "cat" / "cat_0_sketch.JPEG")
    assert json.loads((captioner / "id2label.json").read_text()) == {str(i): n for i, n in enumerate(CLASSES)}
    assert json.loads((captioner / "config.json").read_text())["model_type"] == "eeg-encoder-decoder"


def write(captioner, data, destination, *more):
    inference.main(["--model_path", str(captioner), *data_arguments(data), "--dest", str(destination),
                    "--max_new_tokens", "12", "--device", "cpu", *more])
    return pandas.read_csv(destination, keep_default_na=False)


def test_captions_of_every_test_trial_once_in_order(captioner, data, tmp_path):
    table = write(captioner, data, tmp_path / "captions.csv")
    assert list(table.columns) == COLUMNS and len(table) == 24
    assert table["trial"].tolist() == sorted(table["trial"]) and table["split"].unique().tolist() == ["test"]
    assert table["Expected object"].tolist() == table["image"].str.split("_").str[0].tolist()
    assert table["Ground Truth Image"].tolist() == [str(data / "images" / name.split("_")[0] / f"{name}.JPEG")
                                                    for name in table["image"]]
    assert not (tmp_path / "captions.csv.partial").exists()


def test_same_twice_at_any_batch_size_and_other_when_sampled(captioner, data, tmp_path):
    first = write(captioner, data, tmp_path / "a.csv", "--batch_size", "24")
    assert first.equals(write(captioner, data, tmp_path / "b.csv", "--batch_size", "1"))
    sampled = [write(captioner, data, tmp_path / f"s{i}.csv", "--do_sample", "--seed", str(seed))
               for i, seed in enumerate((1, 1, 2))]
    assert sampled[0].equals(sampled[1]) and not sampled[0].equals(sampled[2])


def interrupt_at(call, monkeypatch):
    """Make the captioner's `call`-th batch fail as by Ctrl-C; returns the list that counts the batches."""
    from model import EEGModelForCausalLM

    real, calls = EEGModelForCausalLM.generate, []

    def stops(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    monkeypatch.setattr(EEGModelForCausalLM, "generate", stops)
    return calls


def test_interrupted_run_goes_on(captioner, data, tmp_path, monkeypatch, capsys):
    whole = write(captioner, data, tmp_path / "whole.csv", "--batch_size", "8")
    calls = interrupt_at(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        write(captioner, data, tmp_path / "part.csv", "--batch_size", "8")
    assert not (tmp_path / "part.csv").exists()
    again = write(captioner, data, tmp_path / "part.csv", "--batch_size", "8")
    assert again.equals(whole) and len(calls) == 4
    assert "going on after 16 captions" in capsys.readouterr().out


def test_controls_write_one_file_a_condition(captioner, data, tmp_path):
    inference_chance.main(["--model_path", str(captioner), *data_arguments(data), "--dest", str(tmp_path / "c.csv"),
                           "--max_new_tokens", "4", "--device", "cpu"])
    conditions = [c for c in options.CONDITIONS if c != "eeg+label"]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f"c_{c}.csv" for c in conditions)
    for condition in conditions:
        table = pandas.read_csv(tmp_path / f"c_{condition}.csv", keep_default_na=False)
        assert len(table) == 24 and set(table["condition"]) == {condition}


def test_predecessors_file_names(captioner, data, tmp_path):
    common = ["--model_path", str(captioner), *data_arguments(data), "--max_new_tokens", "2", "--device", "cpu"]
    inference.main([*common, "--dest", str(tmp_path / "a.csv"), "--prompt_type", "detailed"])
    assert (tmp_path / "a_detailed.csv").is_file()
    inference.main([*common, "--results_dir", str(tmp_path / "r"), "--prompt_type", "creative", "--batch_size", "1"])
    (file,) = (tmp_path / "r").iterdir()
    assert file.name.startswith("inference_results_2") and file.name.endswith("_creative.csv")


def test_one_trial_and_one_file(captioner, data, tmp_path, capsys):
    import numpy as np

    from trials import load_trials

    table = write(captioner, data, tmp_path / "captions.csv")
    number = int(table["trial"][3])
    arguments = ["--model_path", str(captioner), "--max_new_tokens", "12", "--device", "cpu"]
    inference.main([*arguments, "--eeg_dataset", str(data / "eeg.pth"), "--trial", str(number)])
    np.save(tmp_path / "one.npy", load_trials(data / "eeg.pth").eeg[number].numpy())
    inference.main([*arguments, "--eeg_file", str(tmp_path / "one.npy")])
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("caption:")]
    assert said == [f"caption: {table['Generated Caption'][3]}".rstrip()] * 2 or said[0].strip() == said[1].strip()
    np.save(tmp_path / "bad.npy", np.zeros((5, 64)))
    with pytest.raises(SystemExit) as stop:
        inference.main([*arguments, "--eeg_file", str(tmp_path / "bad.npy")])
    assert stop.value.code == 2 and "expected [6 channels" in capsys.readouterr().err


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


def test_stopped_training_resumes_to_the_same_weights(data, clip, encoder, llm, tmp_path, monkeypatch):
    common = ["--no_stage2", "--num_epochs_eeg", "3", "--batch_size", "16"]
    whole = finetune(data, clip, encoder, llm, tmp_path / "whole", *common)
    from captioner_training import CaptionTrainer

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
    (["--device", "cuda:0"], "offers 0 CUDA devices"),
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
    import shutil

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


def test_known_pictures_are_refused(captioner, data, tmp_path, capsys):
    splits = {"train": [90], "val": [80], "test": [0, 1, 2]}
    write_splits(tmp_path / "splits.pth", splits)
    with pytest.raises(SystemExit) as stop:
        write(captioner, data, tmp_path / "c.csv", "--splits_path", str(tmp_path / "splits.pth"))
    assert stop.value.code == 2 and "trained on 1 of the 1 pictures, cat_0" in capsys.readouterr().err
    assert len(write(captioner, data, tmp_path / "c.csv", "--splits_path", str(tmp_path / "splits.pth"),
                     "--allow_known_pictures")) == 3


def test_resumed_sampling_draws_what_the_whole_run_would(captioner, data, tmp_path, monkeypatch):
    more = ["--do_sample", "--batch_size", "8"]
    whole = write(captioner, data, tmp_path / "whole.csv", *more)
    interrupt_at(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        write(captioner, data, tmp_path / "part.csv", *more)
    assert write(captioner, data, tmp_path / "part.csv", *more).equals(whole)


def test_shuffles_never_give_the_same_picture():
    groups = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2])
    images = torch.tensor([0, 0, 1, 1, 2, 3, 4, 4, 5, 6, 7])
    seen = set()
    for seed in range(40):
        partner, alone = swap(groups, images, torch.Generator().manual_seed(seed))
        assert alone == 1 and partner[10] == 10 and sorted(partner.tolist()) == list(range(11))
        assert (groups[partner] == groups).all() and (images[partner] != images)[:10].all()
        seen.add(tuple(partner.tolist()))
    assert len(seen) > 20
    partner, alone = swap(torch.zeros(4).long(), torch.tensor([5, 5, 5, 6]), torch.Generator().manual_seed(0))
    assert alone == 2 and (partner != torch.arange(4)).sum() == 2  # three of one picture: only one of them finds another


def test_noise_has_the_embeddings_mean_and_covariance():
    torch.manual_seed(0)
    embeddings = torch.randn(40, 4) @ torch.randn(4, 4) + 3
    noise = torch.cat([matched_noise(embeddings, torch.Generator().manual_seed(s)) for s in range(500)])
    assert torch.allclose(noise.mean(0), embeddings.mean(0), atol=0.05)
    assert torch.allclose(noise.T.cov(), embeddings.T.cov(), rtol=0.05, atol=0.1)


def test_encoder_in_the_captioner_is_the_one_of_stage_1(captioner, encoder):
    a, b = load_encoder(str(encoder)), load_encoder(str(captioner / "eeg_encoder"))
    assert all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
