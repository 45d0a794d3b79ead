"""Training does not depend on the scale of the picture embeddings, and a training that fails says so."""

import json

from runtime.runs import read_json

import numpy as np
import pytest
import torch

import datautils
import test_eeg_classifier as scoring
import train_eeg_classifier as training
from config import ChannelNetConfig
from eegdata.pth_file import read_pth
from encoders import encode, load_encoder
from encoders.chance import training_warnings
from encoders.pretraining import MaskedReconstruction
from encoders.targets import mean_and_scale, rescale_embedding
from encoders.transformer import EEGTransformer
from metrics.pairing import pairing_z
from model import Projector
from test_encoders import encoder, small  # noqa: F401  (a fixture)
from tiny import data_arguments


@pytest.fixture
def train(data, clip, tmp_path, monkeypatch):
    """A function that trains an encoder towards embeddings of a given scale; returns its folder and its log."""
    real = datautils.picture_features

    def run(name, scale, *more):
        monkeypatch.setattr(datautils, "picture_features", lambda *given, **asked: {
            layer: scale * (rows + 3) for layer, rows in real(*given, **asked).items()})
        folder = tmp_path / name
        training.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(folder), "--device", "cpu",
                       "--batch_size", "16", "--logging_steps", "1", "--residual_blocks", "0", "--num_epochs", "2", *more])
        return folder, json.loads((folder / "train_log.json").read_text())["stage1"]

    return run


@pytest.mark.slow
@pytest.mark.parametrize("options", [
    [], ["--encoder", "channelnet"], ["--loss", "mse", "infonce"], ["--loss", "siglip"],
    ["--loss", "margin", "--encoder", "channelnet"]], ids=" ".join)
def test_the_scale_of_the_targets_does_not_matter(data, train, options):
    (content, _) = read_pth(data / "eeg.pth")
    eeg = torch.stack([torch.as_tensor(record["eeg"]) for record in content["dataset"]])[:32].float()
    one, log = train("1", 1.0, *options)
    embedding, logits = encode(load_encoder(one), eeg)
    for scale in (0.01, 100.0):
        other, found = train(str(scale), scale, *options)
        for a, b in zip(log, found, strict=True):
            assert all(b[key] == pytest.approx(a[key], rel=1e-3) for key in ("loss", "eval_loss") if key in a)
        scaled, same = encode(load_encoder(other), eeg)
        torch.testing.assert_close(scaled / scale, embedding, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(same, logits, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("kind", ["transformer", "channelnet"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_first_loss_of_the_embedding_is_about_one(train, kind, scale):
    options = ["--encoder", kind, "--max_steps", "1", "--learning_rate", "0"]
    with_mse, without = (train(weight, scale, *options, "--loss_weight", weight)[1][0]["loss"] for weight in "10")
    assert with_mse - without == pytest.approx(1, abs=0.35)  # of the 16 trials of one batch


def test_a_class_is_learned_beside_embeddings_of_small_variance(train):
    _, log = train("small", 0.01, "--num_epochs", "6")
    assert max(entry.get("eval_accuracy", 0) for entry in log) > 0.9


def test_rescaling_changes_the_embedding_only(encoder):  # noqa: F811
    eeg, mean = torch.randn(5, 8, 60), torch.randn(16)
    encoder.eval()
    with torch.no_grad():
        before, logits = encoder(eeg)
        rescale_embedding(encoder, mean, 0.02)
        after, same = encoder(eeg)
    torch.testing.assert_close(after, 0.02 * before + mean)
    torch.testing.assert_close(same, logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_mean_and_scale(factor):
    rows = factor * (torch.randn(50, 8, generator=torch.Generator().manual_seed(0)) * 2 + 5)
    mean, scale = mean_and_scale(rows)
    assert np.allclose(mean, rows.numpy().mean(0)) and scale == pytest.approx(np.sqrt(rows.numpy().var(0).mean()), rel=1e-4)
    assert mean_and_scale(rows[:1])[1] == pytest.approx(rows[0].square().mean().sqrt().item(), rel=1e-5)  # does not vary
    assert mean_and_scale(torch.zeros(3, 8))[1] == 1


@pytest.mark.parametrize("kind", ["mlp", "linear"])
def test_the_projector_does_not_depend_on_the_scale_of_its_input(kind):
    rows = torch.randn(20, 8, generator=torch.Generator().manual_seed(0)) + 4
    found = []
    for scale in (1e-5, 1.0, 1e5):
        torch.manual_seed(0)
        projector = Projector(kind, 8, 16, 2)
        projector.set_statistics("eeg", *mean_and_scale(scale * rows))
        found.append(projector(scale * rows))
    for other in (found[0], found[2]):
        torch.testing.assert_close(other, found[1], rtol=1e-4, atol=1e-4)


def test_pretraining_does_not_depend_on_the_scale_of_the_eeg():
    eeg = torch.randn(20, 8, 60, generator=torch.Generator().manual_seed(0)) + 2
    eeg[:, 0] = 0  # a flat channel
    losses = []
    for scale in (1e-7, 1.0, 1e5):
        torch.manual_seed(0)
        model = MaskedReconstruction(EEGTransformer(small("transformer"))).eval()
        model.encoder.fit_whitening(scale * eeg)
        losses.append(model(scale * eeg)["loss"].item())
    assert losses == pytest.approx([losses[1]] * 3, rel=1e-3)
    assert model(0 * eeg)["loss"].isfinite()


def test_pairing_z_is_that_of_random_pairings():
    rng = np.random.default_rng(0)
    one = rng.normal(size=(30, 4))
    other = 0.2 * one + rng.normal(size=(30, 4))
    sums = [np.sum(one * other[rng.permutation(30)]) for _ in range(20_000)]
    assert pairing_z(one, other) == pytest.approx((np.sum(one * other) - np.mean(sums)) / np.std(sums), abs=0.05)
    assert pairing_z(np.ones((30, 2)), other[:, :2]) == 0 and pairing_z(one[:1], other[:1]) == 0


def test_a_training_at_chance_says_so_everywhere(data, clip, train, capsys):
    folder, _ = train("broken", 1.0, "--learning_rate", "30", "--num_epochs", "1", "--max_grad_norm", "1000",
                      "--branches", "neural")  # linear branches would still tell the classes
    kept = json.loads((folder / "args.json").read_text())["warnings"]
    assert "classes of its own training trials no better than chance" in kept[0]
    said = capsys.readouterr().out.strip().splitlines()[-len(kept) - 1:-1]  # the next command follows
    assert all(line.startswith(f"warning: {text}") for line, text in zip(said, kept, strict=True))
    scoring.main([*data_arguments(data), "--output", str(folder), "--clip_model", str(clip), "--device", "cpu"])
    assert f"warning: {kept[0]}" in capsys.readouterr().out
    assert json.loads((folder / "test" / "scores.json").read_text())["training_warnings"] == kept


def test_what_is_at_chance(encoder):  # noqa: F811
    eeg, rows = torch.randn(60, 8, 60, generator=torch.Generator().manual_seed(0)), torch.arange(60)
    with torch.no_grad():
        encoder.classifier.bias -= encoder.eval()(eeg)[1].mean(0)  # else some name one class for nearly all
        embedding, logits = encoder(eeg)
    assert training_warnings(encoder, eeg, logits.argmax(1), embedding, rows, "cpu") == []
    shuffled = torch.randperm(60, generator=torch.Generator().manual_seed(2))
    found = training_warnings(encoder, eeg, logits.argmax(1)[shuffled], embedding[shuffled], rows, "cpu")
    assert len(found) == 2
    with torch.no_grad():  # an encoder that gives the same for all
        encoder.projector.weight.zero_()
        encoder.classifier.weight.zero_()
    assert len(training_warnings(encoder, eeg, rows % 3, embedding, rows, "cpu")) == 2
    assert training_warnings(encoder, eeg, rows * 0, None, rows, "cpu") == []  # one class: there is nothing to tell


def test_a_classifier_only_needs_no_clip(data, tmp_path):
    """On pictures, without their folder, and with either encoder."""
    for kind, pictures, count in (("transformer", data_arguments(data), 18), ("channelnet", data_arguments(data)[:4], 15)):
        folder = tmp_path / kind
        given = [*pictures, "--output", str(folder), "--device", "cpu", "--clip_model", "org/nowhere"]
        training.main([*given, "--loss_weight", "0", "--encoder", kind, "--residual_blocks", "0", "--num_epochs", "2",
                       "--loss", "margin", "--batch_size", "16"])
        scoring.main(given)
        scores = json.loads((folder / "test" / "scores.json").read_text())
        assert "retrieval" not in scores and scores["n"] == 24
        assert json.loads((folder / "args.json").read_text())["clip"] is None
        assert len(read_json(folder / "train_images.json")) == count  # 3 of the validation: branches are fitted to them
    assert load_encoder(tmp_path / "channelnet").config.embedding_size == ChannelNetConfig().embedding_size
