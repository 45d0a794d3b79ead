"""Stage 1 from the command line: train, pretrain, resume, score, and what bad input is told."""

import json
import shlex
import shutil
from itertools import pairwise

from runtime import options
from runtime.errors import InputError
from runtime.runs import file_hash, read_json
from runtime.schema import check
from runtime.trainer_arguments import training_arguments

import numpy as np
import pandas
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

import test_eeg_classifier as scoring
import train_eeg_classifier as training
from config import ChannelNetConfig, EEGEncoderConfig
from eegdata.pth_file import read_pth
from eegdata.splits import read_splits, write_splits
from encoders import load_encoder
from encoders.averaging import AverageWeights
from encoders.classical import BASELINES, classical_baseline
from metrics.classification import confusion_table, draw_confusion
from report.schema import EncoderScores
from tiny import CHANNELS, CLASSES, data_arguments, forget_hashes

SMALL = ["--d_model", "32", "--attn_heads", "4", "--layers", "1", "--spatial_filters", "8", "--device", "cpu",
         "--batch_size", "16", "--learning_rate", "3e-3"]


def train(data, clip, output, *more, epochs=8):
    training.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(output), *SMALL,
                   "--num_epochs", str(epochs), *more])
    return output


def score(data, clip, output, *more):
    scoring.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(output), "--device", "cpu", *more])


def refusal(capsys, call, *arguments, **more):
    """The one line that a script says before it ends with code 2."""
    with pytest.raises(SystemExit) as stop:
        call(*arguments, **more)
    assert stop.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: "), last
    return last


@pytest.fixture(scope="module")
def encoder(data, clip, tmp_path_factory):
    return train(data, clip, tmp_path_factory.mktemp("stage1") / "encoder", epochs=20)


def test_the_folder_is_whole(data, encoder):
    assert {path.name for path in encoder.iterdir()} == {"config.json", "model.safetensors", "id2label.json", "args.json",
                                                         "train_log.json", "train_images.json", "val_images.json"}
    assert json.loads((encoder / "args.json").read_text())["threads"] == torch.get_num_threads()
    model = load_encoder(encoder)
    assert (model.config.n_chans, model.config.n_times, model.config.sfreq) == (6, 64, 128)
    assert model.config.ch_names == CHANNELS and model.config.embedding_size == 16
    assert json.loads((encoder / "id2label.json").read_text()) == {str(i): name for i, name in enumerate(CLASSES)}
    log = json.loads((encoder / "train_log.json").read_text())["stage1"]
    assert any("eval_score" in entry for entry in log) and any("loss" in entry for entry in log)
    (content, _), split = read_pth(data / "eeg.pth"), torch.load(data / "splits.pth")["splits"][0]
    trained, selected = ({content["images"][content["dataset"][i]["image"]] for i in split[part]}
                         for part in ("train", "val"))
    assert set(read_json(encoder / "train_images.json")) == trained | selected  # the branches are fitted to both
    assert set(read_json(encoder / "val_images.json")) == selected
    saved = json.loads((encoder / "args.json").read_text())
    assert saved["options"]["seed"] == 42 and {"data", "splits", "clip", "versions"} <= set(saved)


def test_scores_of_the_test_part(data, clip, encoder):
    score(data, clip, encoder, "--classical_baseline")
    folder = encoder / "test"
    scores = json.loads((folder / "scores.json").read_text())
    assert (scores["n"], scores["n_classes"], scores["chance"]) == (24, 3, 1 / 3)  # 3 classes x 2 pictures x 4 trials
    assert scores["encoder"] == file_hash(encoder / "model.safetensors")[:16]
    assert scores["top1"] > 0.8 and scores["top5"] == 1
    assert scores["retrieval"]["n"] == 6 and scores["retrieval"]["top1"] > 1 / 6
    best = scores["classical_baseline"]
    assert best["n"] == 24 and best["balanced_accuracy"] == max(best["all"].values()) and len(best["all"]) == 5
    assert best["ours_minus_best"] == pytest.approx(scores["balanced_accuracy"] - best["balanced_accuracy"])
    assert best["ours_minus_best_95"][0] <= best["ours_minus_best"] <= best["ours_minus_best_95"][1]
    assert sum(share["logits"] for share in scores["branches"].values()) == pytest.approx(1, abs=.01)
    confusion = pandas.read_csv(folder / "confusion_matrix.csv", index_col="true")
    assert list(confusion.columns) == list(CLASSES) and confusion.to_numpy().sum() == 24
    assert np.isclose(np.trace(confusion.to_numpy()) / 24, scores["top1"])
    assert Image.open(folder / "confusion_matrix.png").size[0] > 200
    subjects = pandas.read_csv(folder / "per_subject.csv")
    assert subjects["subject"].tolist() == [1, 2] and subjects["n"].sum() == 24
    assert pandas.read_csv(folder / "per_class.csv")["class"].tolist() == list(CLASSES)


def test_dollars_in_a_class_name_are_no_formula(tmp_path):
    draw_confusion(confusion_table([0, 1], [0, 1], {0: "$5 bill, x_{$", 1: "dog"}), tmp_path / "matrix.png")
    assert Image.open(tmp_path / "matrix.png").size[0] > 200


def test_the_validation_part_is_known_to_the_branches_only(data, clip, encoder, tmp_path, capsys):
    """Scores of noise were perfect there, and nothing was said."""
    neural = train(data, clip, tmp_path / "encoder", "--branches", "neural", epochs=1)
    for folder, known in ((encoder, 3), (neural, 0)):
        capsys.readouterr()
        score(data, clip, folder, "--split", "val", "--results_dir", str(tmp_path / "val"))
        said = capsys.readouterr().out
        assert read_json(tmp_path / "val" / "scores.json")["overlap"] == known
        assert ("was trained on 3 of the 3 pictures" in said) == ("fitted to the validation trials" in said) == bool(known)


def test_another_window_of_the_same_trials_is_refused(data, clip, tmp_path, capsys):
    """One of the same length fits the encoder's input, and the scores were those of other times, said nothing of."""
    folder = train(data, clip, tmp_path / "encoder", "--branches", "neural", "--time_high", "40", epochs=1)
    score(data, clip, folder, "--time_high", "40")
    with pytest.raises(SystemExit) as stop:
        score(data, clip, folder, "--time_low", "20", "--time_high", "60")
    said = capsys.readouterr().err
    assert stop.value.code == 2 and "found the window 20..60; give --time_low 0 --time_high 40" in said


def test_one_picture_has_no_interval(data, clip, encoder, tmp_path, capsys):
    """And a report reads such scores."""
    split = read_splits(data / "splits.pth")[0]
    image = [record["image"] for record in read_pth(data / "eeg.pth")[0]["dataset"]]
    only = [number for number in split["test"] if image[number] == image[split["test"][0]]]
    write_splits(tmp_path / "splits.pth", split | {"test": only})
    score(data, clip, encoder, "--splits_path", str(tmp_path / "splits.pth"), "--results_dir", str(tmp_path),
          "--classical_baseline")
    assert "nan" not in capsys.readouterr().out
    scores = read_json(tmp_path / "scores.json")
    check(EncoderScores, scores, tmp_path / "scores.json", "")
    for own in (scores, scores["retrieval"], scores["classical_baseline"]):
        assert own["top1_95"] == [None, None]
    assert scores["classical_baseline"]["ours_minus_best_95"] == [None, None]


def test_scores_do_not_depend_on_order_or_batch_and_leave_the_encoder_alone(data, clip, encoder, tmp_path):
    before = (encoder / "model.safetensors").read_bytes()
    split = torch.load(data / "splits.pth")["splits"][0]
    write_splits(tmp_path / "splits.pth", split | {"test": split["test"][::-1]})
    for name, more in (("a", []), ("b", ["--splits_path", str(tmp_path / "splits.pth"), "--batch_size", "5"])):
        score(data, clip, encoder, "--results_dir", str(tmp_path / name), *more)
    a, b = (json.loads((tmp_path / name / "scores.json").read_text()) for name in "ab")
    assert all(a[key] == b[key] for key in ("n", "top1", "balanced_accuracy")) and a["retrieval"] == b["retrieval"]
    assert (encoder / "model.safetensors").read_bytes() == before


def test_the_same_seed_gives_the_same_weights(data, clip, tmp_path):
    options = ["--time_shift", "20", "--noise", "0.1", "--channel_dropout", "0.1"]
    files = [train(data, clip, tmp_path / name, *options, "--seed", seed, epochs=2) / "model.safetensors"
             for name, seed in (("a", "1"), ("b", "1"), ("c", "2"))]
    assert files[0].read_bytes() == files[1].read_bytes() != files[2].read_bytes()


def test_the_test_part_is_not_read(data, clip, tmp_path):
    """Spoil EEG and labels of the test trials: the encoder stays the same."""
    content = torch.load(data / "eeg.pth")
    for i in torch.load(data / "splits.pth")["splits"][0]["test"]:
        content["dataset"][i] |= {"eeg": 100 * torch.ones(6, 64), "label": 0}
    spoilt = tmp_path / "data"
    spoilt.mkdir()
    torch.save(content, spoilt / "eeg.pth")
    shutil.copy(data / "splits.pth", spoilt)
    (spoilt / "images").symlink_to(data / "images")
    files = [train(d, clip, tmp_path / name, epochs=1) / "model.safetensors" for d, name in ((data, "a"), (spoilt, "b"))]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(("more", "averaged"), [([], True), (["--branches", "neural"], False),
                                                (["--patience", "9"], False)])
def test_which_weights_are_kept(data, clip, tmp_path, monkeypatch, capsys, more, averaged):
    """The mean over the last third of the steps, or those of one epoch."""
    seen, update = [], AverageWeights.on_step_end

    def on_step_end(self, args, state, control, **kwargs):
        update(self, args, state, control, **kwargs)
        if state.global_step > 2 / 3 * state.max_steps:
            seen.append(self.encoder.patches.spatial.weight.detach().clone())

    monkeypatch.setattr(AverageWeights, "on_step_end", on_step_end)
    train(data, clip, tmp_path, *more, epochs=3)
    beside = "trained parameters, and linear branches, which are fitted afterwards; EEG" in capsys.readouterr().out
    assert beside == ("--branches" not in more)  # the saved encoder has more than the number says
    assert bool(seen) == averaged
    if averaged:
        kept = load_file(tmp_path / "model.safetensors")["patches.spatial.weight"]
        assert torch.allclose(kept, torch.stack(seen).mean(0), atol=1e-6) and not torch.equal(kept, seen[-1])


def test_resume_ends_where_an_uninterrupted_run_ends(data, clip, tmp_path, monkeypatch, capsys):
    whole = train(data, clip, tmp_path / "whole", epochs=3)
    cut, evaluate = tmp_path / "cut", training_module().Trainer.evaluate

    def stop_in_the_second_epoch(self, *args, **more):
        if self.state.epoch >= 2:
            raise KeyboardInterrupt
        return evaluate(self, *args, **more)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training_module().Trainer, "evaluate", stop_in_the_second_epoch)
        train(data, clip, cut, epochs=3)
    assert "other options" in refusal(capsys, train, data, clip, cut, "--resume", "--seed", "7", epochs=3)
    with monkeypatch.context() as patch:  # transformers said that the arguments do not match those of the checkpoint
        patch.setattr(transformers.trainer_utils.logger, "warning_once", pytest.fail)
        train(data, clip, cut, "--resume", epochs=3)
    for name, tensor in load_file(whole / "model.safetensors").items():
        torch.testing.assert_close(load_file(cut / "model.safetensors")[name], tensor, rtol=0, atol=1e-6)
    assert "no checkpoint" in refusal(capsys, train, data, clip, cut, "--resume", epochs=3)


def test_warming_up_may_take_all_steps(tmp_path):
    """transformers takes a share of 1 as one step."""
    for share, steps in (("1", 100), ("0.5", 50), ("0", 0)):
        args = training.parse(["--eeg_dataset", "x", "--output", "y", "--warmup_ratio", share])
        assert training_arguments(args, "cpu", tmp_path).get_warmup_steps(100) == steps


@pytest.mark.parametrize("schedule", ["reduce_lr_on_plateau", "greedy"])
@pytest.mark.parametrize(("best_by", "mode"), [("score", "max"), ("loss", "min")])
def test_a_schedule_that_follows_the_score_knows_the_better_one(data, clip, tmp_path, monkeypatch, schedule, best_by, mode):
    """The learning rate fell ten epochs after the lowest score, though the score had risen in all of them."""
    trainers, evaluate = [], transformers.Trainer.evaluate
    monkeypatch.setattr(transformers.Trainer, "evaluate",
                        lambda self, *given, **more: trainers.append(self) or evaluate(self, *given, **more))
    train(data, clip, tmp_path, "--branches", "neural", "--lr_scheduler_type", schedule, "--best_by", best_by, epochs=1)
    assert trainers[0].lr_scheduler.mode == mode


@pytest.mark.parametrize(("shift", "noted"), [("3", True), ("4", False), ("0", False)])
def test_a_time_shift_below_half_a_sample_is_told(data, clip, tmp_path, capsys, shift, noted):
    """A sample of the data is 7.8 ms."""
    train(data, clip, tmp_path, "--time_shift", shift, epochs=1)
    assert (f"--time_shift {shift} ms: is less than half a sample at 128 Hz" in capsys.readouterr().out) == noted


@pytest.mark.parametrize("more", [("--warmup_ratio", "1"), ("--max_steps", "1")])
def test_a_polynomial_schedule_needs_a_step_after_the_warm_up(data, clip, tmp_path, capsys, more):
    """transformers ended in a division by zero."""
    said = refusal(capsys, train, data, clip, tmp_path, "--lr_scheduler_type", "polynomial", *more, epochs=1)
    assert "polynomial" in said and "--warmup_ratio" in said
    train(data, clip, tmp_path, "--lr_scheduler_type", "polynomial", epochs=1)


def training_module():
    import encoders.training

    return encoders.training


@pytest.mark.parametrize("options", [
    ["--loss", "mse", "infonce"], ["--loss", "siglip", "--best_by", "loss"], ["--loss", "margin", "--loss_weight", "0.5"],
    ["--optim", "adamw_hf", "--label_smoothing", "0.1", "--best_by", "accuracy", "--patience", "1"],
    ["--picture", "photo", "--bf16"], ["--subject", "1"]])
def test_options_run(data, clip, tmp_path, options):
    assert load_encoder(train(data, clip, tmp_path, *options, epochs=1))


@pytest.mark.parametrize("name", ["transformer", "nice", "atm"])
def test_every_encoder_learns_classes_alone(data, tmp_path, name):
    """Without pictures the embedding has one number; what the classes are read from must not shrink with it."""
    training.main([*data_arguments(data), "--output", str(tmp_path), *SMALL, "--loss_weight", "0", "--encoder", name,
                   "--branches", "neural", "--num_epochs", "30"])
    scoring.main([*data_arguments(data), "--output", str(tmp_path), "--device", "cpu"])
    assert read_json(tmp_path / "test" / "scores.json")["top1"] > .6


def test_bfloat16_learns_as_float32_and_saves_float32(data, clip, encoder, tmp_path):
    rough = train(data, clip, tmp_path, "--bf16", epochs=20)
    state = load_file(rough / "model.safetensors")
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    assert torch.equal(state["patches.whitening"], load_file(encoder / "model.safetensors")["patches.whitening"])
    assert any((tensor != tensor.bfloat16()).any() for name, tensor in state.items() if not name.startswith("patches."))
    plain, found = (json.loads((folder / "train_log.json").read_text())["stage1"] for folder in (encoder, rough))
    plain, found = ([entry for entry in log if "eval_loss" in entry] for log in (plain, found))
    assert found[0]["eval_loss"] == pytest.approx(plain[0]["eval_loss"], rel=0.01)  # not equal: it was in bfloat16
    assert found[0]["eval_loss"] != plain[0]["eval_loss"]
    assert max(entry["eval_score"] for entry in found) > 0.9 * max(entry["eval_score"] for entry in plain)


def test_the_defaults_are_those_of_the_configurations():
    """Field by field: a script's user and EEGEncoderConfig()'s get the same encoder."""
    eeg = {"n_chans": 128, "n_times": 440, "sfreq": 1000.0, "ch_names": None, "num_classes": 40, "embedding_size": 512}
    required = ["--eeg_dataset", "x", "--output", "y"]
    args = training.parse(required)
    assert {name: getattr(args, name) for name in options.ENCODER} == options.ENCODER
    for more, default in (([], EEGEncoderConfig()), (["--encoder", "channelnet"], ChannelNetConfig())):
        found = training.encoder_config(training.parse([*required, *more]), **eeg)
        assert type(found) is type(default) and found.to_dict() == default.to_dict()


def test_predecessors_options_run_with_channelnet(data, clip, tmp_path):
    training.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(tmp_path), "--encoder", "channelnet",
                   "--residual_blocks", "0", "--batch_size", "16", "--num_epochs", "1", "--save_every", "5", "-sn", "0",
                   "-sub", "0", "-tl", "4", "-th", "60", "--save_steps", "5000", "--logging_steps", "30", "--device", "cpu",
                   "--learning_rate", "2e-5", "--optim", "adamw_hf", "--weight_decay", "0.001", "--max_grad_norm", "0.3",
                   "--max_steps", "-1", "--warmup_ratio", "0.3", "--lr_scheduler_type", "constant"])
    score(data, clip, tmp_path, "-tl", "4", "-th", "60")
    assert json.loads((tmp_path / "test" / "scores.json").read_text())["n"] == 24


@pytest.fixture
def pretraining_files(tmp_path):
    torch.manual_seed(0)
    folder = tmp_path / "files"
    folder.mkdir()
    time = torch.arange(128) / 128
    for part, count in (("train", 256), ("val", 32)):
        waves = torch.sin(2 * torch.pi * (8 * time + torch.rand(count, 1, 1)))
        samples = waves + 0.1 * torch.randn(count, 5, 128)
        torch.save({"samples": samples, "labels": torch.ones(count)}, folder / f"{part}.pt")
    return folder


@pytest.mark.slow
def test_pretraining_helps_to_start(data, clip, tmp_path, pretraining_files, capsys):
    training.main(["--pretrain", "--pretrained", str(pretraining_files), "--output", str(tmp_path / "pre"), *SMALL,
                   "--pretrain_epochs", "25"])
    log = [entry["eval_loss"] for entry in json.loads((tmp_path / "pre" / "train_log.json").read_text())["pretraining"]
           if "eval_loss" in entry]
    assert log[0] > 0.8 and min(log) < 0.2  # in units of the signal's variance: from the neighbours a wave can be told
    capsys.readouterr()
    train(data, clip, tmp_path / "a", "--pretrained", str(tmp_path / "pre"), epochs=1)
    said = capsys.readouterr().out
    copied, new = (line for line in said.splitlines() if line.startswith("--pretrained: "))
    assert "transformer.layers.0.linear1.weight" in copied and "patches.spatial.weight" in new
    train(data, clip, tmp_path / "b", "--pretrained", str(pretraining_files), "--pretrain_epochs", "1", epochs=1)
    assert (tmp_path / "b" / "pretrained" / "model.safetensors").is_file()


def test_pretraining_files_say_channels_and_rate(tmp_path, capsys):
    """Five channels of any name were taken for those of Emotiv's Insight at 128 Hz."""
    wave, names = torch.randn(12, 5, 64), ["Fz", "Cz", "Pz", "Oz", "POz"]
    told = {"samples": wave, "channels": names, "sfreq": 250}
    given = ["--pretrain", "--pretrained", str(tmp_path), "--output", str(tmp_path / "pre"), *SMALL, "--max_steps", "1"]
    for part in ("train", "val"):
        torch.save(told, tmp_path / f"{part}.pt")
    assert "--pretrain_sfreq 200" in refusal(capsys, training.main, [*given, "--pretrain_sfreq", "200"])
    training.main(given)
    config = read_json(tmp_path / "pre" / "config.json")
    assert config["ch_names"] == names and config["sfreq"] == 250
    for other, said in (({"sfreq": 500}, "val.pt is of"), ({"sfreq": "fast"}, "'sfreq' is str"),
                        ({"channels": names[:4]}, "5 different names"), ({"channels": ["Fz"] * 5}, "5 different names")):
        torch.save(told | other, tmp_path / "val.pt")
        assert said in refusal(capsys, training.main, given)


def test_pretraining_in_the_folder_of_an_encoder_leaves_nothing_of_it(encoder, tmp_path, pretraining_files):
    """Its pictures stayed, and what was trained from the new encoder then counted as trained on them."""
    folder = shutil.copytree(encoder, tmp_path / "encoder", ignore=shutil.ignore_patterns("test"))
    for name in ("target", "epochs"):
        (folder / name).mkdir()
    training.main(["--pretrain", "--pretrained", str(pretraining_files), "--output", str(folder), *SMALL,
                   "--pretrain_epochs", "1"])
    assert sorted(path.name for path in folder.iterdir()) == ["args.json", "config.json", "model.safetensors",
                                                              "train_log.json"]


@pytest.mark.slow
def test_the_command_after_pretraining_starts_from_it(data, clip, tmp_path, pretraining_files, capsys):
    """It left the sizes of the encoder out, and stage 1 then took no weight over and went on."""
    training.main(["--pretrain", "--pretrained", str(pretraining_files), "--output", str(tmp_path / "pre"), *SMALL,
                   "--pretrain_epochs", "1"])
    command = shlex.split(capsys.readouterr().out.splitlines()[-1])[3:]
    data_given = [*data_arguments(data), "--clip_model", str(clip), "--num_epochs", "1"]
    training.main([*command, *data_given])
    assert "transformer.layers.0.linear1.weight" in capsys.readouterr().out
    other = ["--pretrained", str(tmp_path / "pre"), *data_given, "--output", str(tmp_path / "other")]
    said = refusal(capsys, training.main, other)
    assert "none of its weights fits" in said and "--d_model 32 --attn_heads 4 --layers 1" in said


def test_pictures_of_training_are_not_scored(data, clip, encoder, tmp_path, capsys):
    split = torch.load(data / "splits.pth")["splits"][0]
    write_splits(tmp_path / "s.pth", split | {"test": split["train"], "train": split["test"]})
    swapped = ["--splits_path", str(tmp_path / "s.pth"), "--results_dir", str(tmp_path)]
    refused = refusal(capsys, score, data, clip, encoder, *swapped)
    assert "trained on 15 of the 15 pictures" in refused and "--allow_overlap" in refused
    score(data, clip, encoder, *swapped, "--allow_overlap")
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert (scores["n"], scores["overlap"], scores["same_split"]) == (60, 15, False)
    said = capsys.readouterr().out
    assert "was trained on 15 of the 15 pictures that are scored" in said
    assert "was not trained with this split, so trials and people of the test part may have been in its training" in said


def test_an_encoder_that_does_not_tell_its_pictures(data, clip, encoder, tmp_path, capsys):
    folder = shutil.copytree(encoder, tmp_path / "encoder")
    (folder / "train_images.json").unlink()
    score(data, clip, folder)
    assert json.loads((folder / "test" / "scores.json").read_text())["overlap"] is None
    assert "does not tell which pictures it was trained on" in capsys.readouterr().out


def test_scoring_takes_what_training_named(data, clip, encoder, tmp_path, capsys):
    """--clip_model need not be given again; without args.json, as of a predecessor, the general default holds."""
    folder = shutil.copytree(encoder, tmp_path / "encoder")
    with_flag, without = (tmp_path / name for name in ("with", "without"))
    score(data, clip, folder, "--results_dir", str(with_flag))
    arguments = [*data_arguments(data), "--output", str(folder), "--device", "cpu"]
    scoring.main([*arguments, "--results_dir", str(without)])
    assert (with_flag / "scores.json").read_bytes() == (without / "scores.json").read_bytes()
    (folder / "args.json").unlink()
    assert f"--clip_model {options.CLIP_MODEL}" in refusal(capsys, scoring.main, arguments)


def test_calibration_of_the_scores(data, clip, encoder, tmp_path):
    """The expected calibration error by hand, of probabilities at the temperature in config.json."""
    folder = shutil.copytree(encoder, tmp_path / "encoder")
    config = json.loads((folder / "config.json").read_text())
    (content, _), split = read_pth(data / "eeg.pth"), torch.load(data / "splits.pth")["splits"][0]
    eeg = torch.stack([torch.as_tensor(content["dataset"][i]["eeg"]) for i in split["test"]]).float()
    labels = torch.tensor([content["dataset"][i]["label"] for i in split["test"]])
    for temperature in (1.0, 8.0):
        (folder / "config.json").write_text(json.dumps(config | {"class_temperature": temperature}))
        forget_hashes(folder)
        score(data, clip, folder)
        found = json.loads((folder / "test" / "scores.json").read_text())["calibration"]
        with torch.no_grad():
            confidence, predicted = (load_encoder(folder)(eeg)[1] / temperature).softmax(1).max(1)
        right = (predicted == labels).double()
        edges = torch.linspace(0, 1, 16)
        bins = [(confidence > low) & (confidence <= high) for low, high in pairwise(edges)]
        expected = sum(abs((confidence[own] - right[own]).sum().item()) for own in bins) / len(labels)
        assert found["ece"] == pytest.approx(expected, abs=1e-5)
        assert found["confidence"] == pytest.approx(confidence.mean().item(), abs=1e-5)
        assert found["ece_low"] <= found["ece_high"] and found["risk_coverage"] and found["bins"]


def test_scorings_of_the_test_part_are_counted(data, clip, encoder, tmp_path, capsys):
    folder = shutil.copytree(encoder, tmp_path / "run" / "encoder")
    data = shutil.copytree(data, tmp_path / "data")  # the ledger lies beside the data, which other tests score as well
    (data / "test_ledger.jsonl").unlink(missing_ok=True)

    def counted(*more):
        score(data, clip, folder, "--results_dir", str(tmp_path / "scores"), *more)
        text = json.loads((tmp_path / "scores" / "scores.json").read_text())["ledger"]
        assert text is None or text in capsys.readouterr().out
        return text

    once = "scored once by test_eeg_classifier.py (1 model)"
    assert once in counted()
    assert once in counted("--batch_size", "5")  # the same again is no new look
    assert counted("--split", "val") is None
    state = load_file(folder / "model.safetensors")
    save_file({name: tensor + 0.01 for name, tensor in state.items()}, folder / "model.safetensors", {"format": "pt"})
    forget_hashes(folder)
    assert "scored 2 times by test_eeg_classifier.py (2 models)" in counted()
    assert len((data / "test_ledger.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("options, said", [
    (["--eeg_dataset", "nowhere.pth"], "--eeg_dataset nowhere.pth"), (["--splits_path", "nowhere.pth"], "--splits_path"),
    (["--clip_model", "/nowhere"], "--clip_model"), (["--image_dir", "/nowhere"], "--image_dir"),
    (["--subject", "9"], "--subject 9"), (["--split_num", "4"], "--split_num 4"),
    (["--device", "cuda:77"], "--device cuda:77"), (["--attn_heads", "5"], "--attn_heads"),
    (["--patch_size", "100"], "--patch_size"),
    (["--encoder", "channelnet"], "--residual_blocks"), (["--pretrain"], "--pretrained"),
    (["--pretrained", "/nowhere"], "--pretrained"), (["--pretrained", "x", "--encoder", "channelnet"], "--pretrained"),
    (["--resume"], "--resume"), (["--time_low", "70"], "--time_low")])
def test_bad_input_to_training(data, clip, tmp_path, capsys, options, said):
    line = refusal(capsys, train, data, clip, tmp_path, *options) if "--pretrain" not in options else refusal(
        capsys, training.main, [*options, "--output", str(tmp_path)])
    assert said in line
    assert not (tmp_path / "model.safetensors").exists()


def test_a_batch_of_one_trial_that_batch_norm_cannot_take_is_one_sentence(data, tmp_path, capsys):
    """38 samples leave one value a channel, and 60 trials in batches of 59 one trial."""
    argv = [*data_arguments(data), "--output", str(tmp_path), "--loss_weight", "0", "--encoder", "nice", "-tl", "0", "-th",
            "38", "--device", "cpu", "--num_epochs", "1", "--batch_size", "59"]
    assert "--batch_size 59: makes a batch of one trial of the 60" in refusal(capsys, training.main, argv)


def test_trials_of_which_an_encoder_gives_no_numbers_are_refused(data, clip, encoder, tmp_path, capsys):
    """Finite EEG that overflows in the encoder ended in a traceback, or counted as retrieved."""
    content, split = torch.load(data / "eeg.pth"), torch.load(data / "splits.pth")["splits"][0]
    content["dataset"][split["test"][1]]["eeg"] = torch.full((6, 64), 1e38)
    torch.save(content, tmp_path / "eeg.pth")
    line = refusal(capsys, score, data, clip, encoder, "--eeg_dataset", str(tmp_path / "eeg.pth"), "--splits_path",
                   str(data / "splits.pth"), "--results_dir", str(tmp_path))
    assert "NaN or infinite numbers for 1 trial of 24: the values of the first reach 1e+38" in line


@pytest.mark.parametrize("amplitude", [0., 1e30])
def test_eeg_without_a_covariance_is_one_sentence(data, tmp_path, capsys, amplitude):
    """The branches are fitted before the transformer, which had a sentence on this, and ended in a traceback."""
    content = torch.load(data / "eeg.pth")
    for record in content["dataset"]:
        record["eeg"] = record["eeg"] * amplitude
    torch.save(content, tmp_path / "eeg.pth")
    argv = [*data_arguments(data), "--eeg_dataset", str(tmp_path / "eeg.pth"), "--output", str(tmp_path / "e"), *SMALL,
            "--loss_weight", "0"]
    assert "the covariance of the trials to train on is not usable" in refusal(capsys, training.main, argv)


def test_a_classical_baseline_that_cannot_be_fitted_is_one_sentence():
    eeg = torch.randn(12, 3, 1, generator=torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match=r"^--classical_baseline: .* cannot be fitted to trials of 3 channels x 1 samples"):
        for name in BASELINES:
            classical_baseline(eeg, np.arange(12) % 2, np.arange(12), np.arange(12), name, 100.)


def test_bad_pretraining_files(tmp_path, pretraining_files, capsys):
    def pretrain():
        training.main(["--pretrain", "--pretrained", str(pretraining_files), "--output", str(tmp_path / "pre"), *SMALL])

    torch.save({"samples": torch.full((3, 5, 128), torch.nan)}, pretraining_files / "val.pt")
    assert "val.pt" in refusal(capsys, pretrain)
    torch.save({"samples": torch.zeros(3, 4, 128)}, pretraining_files / "val.pt")
    assert "(4, 128)" in refusal(capsys, pretrain)
    (pretraining_files / "val.pt").unlink()
    assert "val.pt: no such file" in refusal(capsys, pretrain)


@pytest.mark.parametrize("options, said", [
    (["--time_high", "60"], "the samples 0..64"), (["--output", "nowhere"], "--output nowhere"),
    (["--picture", "photo"], "--picture")])
def test_bad_input_to_scoring(data, clip, encoder, capsys, options, said):
    assert said in refusal(capsys, score, data, clip, encoder, *options)


def test_another_clip_model_is_refused(data, clip, encoder, tmp_path, capsys):
    other = shutil.copytree(clip, tmp_path / "clip")
    (other / "note.txt").write_text("not of the model")
    score(data, other, encoder)
    processor = json.loads((other / "preprocessor_config.json").read_text())
    (other / "preprocessor_config.json").write_text(json.dumps(processor | {"image_mean": [0, 0, 0]}))
    assert "--clip_model" in refusal(capsys, score, data, other, encoder)


def test_the_clip_model_that_an_older_version_recorded(data, clip, encoder, tmp_path, capsys):
    """It wrote the hash of the whole folder."""
    folder = shutil.copytree(encoder, tmp_path / "encoder")
    content = read_json(folder / "args.json")
    for recorded, fits in ((file_hash(clip), True), ("0" * 64, False)):
        (folder / "args.json").write_text(json.dumps(content | {"clip": recorded}))
        if fits:
            score(data, clip, folder)
        else:
            assert "--clip_model" in refusal(capsys, score, data, clip, folder)


def test_a_full_disk_leaves_the_old_encoder(data, clip, encoder, tmp_path, capsys, full_disk):
    folder = tmp_path / "encoder"
    folder.mkdir()
    for file in ("config.json", "model.safetensors"):
        (folder / file).symlink_to(encoder / file)
    before = (folder / "model.safetensors").read_bytes()
    with full_disk():
        assert "cannot be written" in refusal(capsys, train, data, clip, folder, epochs=1)
    assert (folder / "model.safetensors").read_bytes() == before
