"""Models of braindecode as encoders: one contract for all of them."""

import importlib.util

import pytest
import torch

import test_eeg_classifier as scoring
import train_eeg_classifier as training
from config import BraindecodeConfig
from encoders import build_encoder, encode, load_encoder, save_encoder
from tiny import data_arguments

needed = pytest.mark.skipif(importlib.util.find_spec("braindecode") is None,
                            reason="braindecode is not installed (pip install -r requirements-encoders.txt)")
NAMES = ["Fz", "Cz", "Pz", "Oz", "PO7", "PO8", "O1", "O2"]
MODELS = ["EEGNet", "EEGConformer", "ShallowFBCSPNet", "Deep4Net", "ATCNet", "EEGSimpleConv", "EEGTCNet", "Labram",
          "CBraMod", "BIOT", "EEGPT", "REVE"]
FROM_THE_HUB = {"REVE"}  # needs a file of the Hub even for new weights


def config(network, **other):
    return BraindecodeConfig(**{"network": network, "features": 24, "n_chans": 8, "n_times": 400, "sfreq": 200.0,
                                "ch_names": NAMES, "num_classes": 3, "embedding_size": 16} | other)


@pytest.fixture(autouse=True)
def same_weights():
    torch.manual_seed(0)


@needed
@pytest.mark.parametrize("network", MODELS)
def test_the_contract(network, tmp_path):
    try:
        encoder = build_encoder(config(network)).eval()
    except Exception as error:
        if network in FROM_THE_HUB and "cannot take" in str(error):
            pytest.skip(str(error))
        raise
    eeg = torch.randn(5, 8, 400)
    with torch.no_grad():
        embedding, logits = encoder(eeg)
        alone = encoder(eeg[:1])[0]
    assert embedding.shape == (5, 16) and logits.shape == (5, 3)
    torch.testing.assert_close(alone, embedding[:1], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(embedding[0], embedding[1])
    save_encoder(encoder, tmp_path)
    torch.testing.assert_close(encode(load_encoder(tmp_path), eeg), (embedding, logits), rtol=1e-3, atol=1e-4)
    encoder.train()
    sum(part.square().mean() for part in encoder(eeg)).backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.network.parameters())


@needed
def test_it_trains_and_is_scored(data, clip, tmp_path):
    training.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(tmp_path), "--encoder",
                   "braindecode:EEGNet", "--features", "16", "--num_epochs", "12", "--batch_size", "16", "--learning_rate",
                   "1e-2", "--device", "cpu"])
    scoring.main([*data_arguments(data), "--output", str(tmp_path), "--device", "cpu"])
    from runtime.runs import read_json

    assert read_json(tmp_path / "test" / "scores.json")["top1"] > 0.6


@needed
def test_published_weights_are_taken_where_they_fit(tmp_path, capsys):
    from encoders.braindecode_encoder import import_models, start_from_weights

    published = import_models().EEGNet(n_chans=8, n_times=400, sfreq=200.0, n_outputs=4)
    published.save_pretrained(tmp_path)
    encoder = build_encoder(config("EEGNet"))
    start_from_weights(encoder, str(tmp_path))
    said = capsys.readouterr().out
    own, theirs = encoder.network.state_dict(), published.state_dict()
    same = [name for name in own if own[name].shape == theirs[name].shape]
    assert same and all(torch.equal(own[name], theirs[name]) for name in same)
    assert f"{len(same)} of {len(own)} weights copied" in said and "new: final_layer" in said
    with pytest.raises(Exception, match="none of its"):
        start_from_weights(build_encoder(config("ShallowFBCSPNet")), str(tmp_path))


@pytest.mark.parametrize("content", [7, torch.zeros(3), {"weight": [1, 2]}])
def test_published_weights_that_are_none(content, tmp_path):
    from runtime.errors import InputError

    from encoders.braindecode_encoder import start_from_weights

    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"--encoder_weights .*pytorch_model\.bin: holds .*expected a dict of tensors"):
        start_from_weights(None, str(tmp_path))


@needed
@pytest.mark.parametrize("network, said", [
    ("NoSuchNet", "no model of braindecode"), ("SleepStagerChambon2018", "cannot take 8 channels"),
    ("SignalJEPA", "no classifier of trials")])
def test_models_that_do_not_fit(network, said):
    from runtime.errors import InputError

    with pytest.raises(InputError, match=f"--encoder braindecode:{network}: .*{said}"):
        build_encoder(config(network, n_times=250))


@pytest.mark.parametrize("options, said", [
    (["--encoder", "lstm"], "expected transformer, channelnet, nice, atm or braindecode:NAME"),
    (["--encoder_weights", "x"], "--encoder braindecode:NAME only"),
    (["--encoder", "braindecode:EEGNet", "--pretrained", "x"], "--encoder transformer only")])
def test_options_that_do_not_go_together(data, clip, tmp_path, capsys, options, said):
    with pytest.raises(SystemExit) as stop:
        training.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(tmp_path), *options])
    assert stop.value.code == 2 and said in capsys.readouterr().err


def test_without_braindecode_it_says_how_to_install_it(monkeypatch):
    from runtime.errors import InputError

    import encoders.braindecode_encoder as module

    def absent(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(module.importlib, "import_module", absent)
    with pytest.raises(InputError, match=r"requirements-encoders\.txt"):
        build_encoder(config("EEGNet"))
