"""An exported encoder gives what the encoder gives."""

import importlib.util
import json
import sys

import numpy as np
import pytest
import torch

from config import ChannelNetConfig, EEGEncoderConfig, NICEConfig
from encoders import build_encoder, load_encoder, save_encoder
from recipes import export_encoder


def save(folder, config):
    torch.manual_seed(0)
    encoder = build_encoder(config)
    for name, tensor in encoder.state_dict().items():
        if tensor.is_floating_point() and "var" not in name and "whitening" not in name:
            tensor.copy_(0.1 * torch.randn(tensor.shape))  # some begin at zero
    save_encoder(encoder, folder)
    return folder


TRANSFORMER = EEGEncoderConfig(n_chans=8, n_times=60, sfreq=100.0, ch_names=list("abcdefgh"), num_classes=3,
                               embedding_size=16, d_model=32, attn_heads=4)
CHANNELNET = ChannelNetConfig(input_height=8, input_width=60, num_residual_blocks=0, num_classes=3, embedding_size=16,
                              num_temp_layers=2, num_spatial_layers=2)
NICE = NICEConfig(n_chans=8, n_times=60, sfreq=100.0, filters=8, num_classes=3, embedding_size=16)
ATM = NICEConfig(**(NICE.to_diff_dict() | {"channel_attention": True}))


def test_torch_export_of_a_trained_encoder(encoder, tmp_path, capsys):
    """With all of its branches."""
    export_encoder.main(["--eeg_encoder_path", str(encoder), "--output", str(tmp_path / "e.pt2"), "--trials", "3"])
    assert "takes 3 x 6 channels x 64 samples" in capsys.readouterr().out
    extra = {"encoder.json": ""}
    program, eeg = torch.export.load(tmp_path / "e.pt2", extra_files=extra), torch.randn(3, 6, 64)
    model = load_encoder(encoder)
    with torch.no_grad():
        torch.testing.assert_close(tuple(program.module()(eeg)), model(eeg), rtol=1e-3, atol=1e-4)
    assert json.loads(extra["encoder.json"])["ch_names"] == model.config.ch_names


@pytest.mark.skipif(not all(map(importlib.util.find_spec, ("onnx", "onnxscript", "onnxruntime"))),
                    reason="onnx, onnxscript and onnxruntime are not installed")
@pytest.mark.parametrize("config", [TRANSFORMER, CHANNELNET, NICE, ATM],
                         ids=["transformer", "channelnet", "nice", "atm"])
def test_onnx(config, tmp_path):
    import onnxruntime

    folder = save(tmp_path, config)
    export_encoder.main(["--eeg_encoder_path", str(folder), "--output", str(tmp_path / "e.onnx"), "--trials", "2"])
    session, eeg = onnxruntime.InferenceSession(tmp_path / "e.onnx"), torch.randn(2, 8, 60)
    with torch.no_grad():
        expected = load_encoder(folder)(eeg)
    for found, wanted in zip(session.run(None, {"eeg": eeg.numpy()}), expected, strict=True):
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-3, atol=1e-4)
    assert json.loads(session.get_modelmeta().custom_metadata_map["sfreq"]) == config.sfreq


def test_a_link_is_written_in_the_format_of_its_own_name(tmp_path, capsys):
    """Where it led to a file of another name, encoder.pt2 held ONNX."""
    folder = save(tmp_path, TRANSFORMER)
    (tmp_path / "e.pt2").symlink_to(tmp_path / "kept")
    export_encoder.main(["--eeg_encoder_path", str(folder), "--output", str(tmp_path / "e.pt2")])
    assert torch.export.load(tmp_path / "kept") and "differs from the encoder by" in capsys.readouterr().out


def test_a_file_that_differs_is_not_kept(tmp_path, monkeypatch, capsys):
    folder = save(tmp_path, TRANSFORMER)
    monkeypatch.setattr(export_encoder, "_run_torch", lambda path, eeg: (torch.zeros(1, 16), torch.zeros(1, 3)))
    with pytest.raises(SystemExit) as stop:
        export_encoder.main(["--eeg_encoder_path", str(folder), "--output", str(tmp_path / "e.pt2")])
    assert stop.value.code == 2 and "is not kept" in capsys.readouterr().err and not (tmp_path / "e.pt2").exists()


def test_what_must_be_done_before_is_told(tmp_path, capsys):
    folder = save(tmp_path, EEGEncoderConfig(**(TRANSFORMER.to_diff_dict() | {"centre": "subject"})))
    export_encoder.main(["--eeg_encoder_path", str(folder), "--output", str(tmp_path / "e.pt2")])
    assert "mean of each person's trials" in capsys.readouterr().out
    extra = {"encoder.json": ""}
    torch.export.load(tmp_path / "e.pt2", extra_files=extra)
    described = json.loads(extra["encoder.json"])
    assert described["centre"] == "subject" and described["several_classes"] is False


def test_without_onnxruntime_the_file_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    output = str(tmp_path / "e.onnx")
    with pytest.raises(SystemExit) as stop:
        export_encoder.main(["--eeg_encoder_path", str(save(tmp_path, NICE)), "--output", output])
    assert stop.value.code == 2 and f"--output {output}: " in capsys.readouterr().err


def test_another_kind_of_file(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        export_encoder.main(["--eeg_encoder_path", "x", "--output", str(tmp_path / "e.bin")])
    assert stop.value.code == 2 and ".pt2 or .onnx" in capsys.readouterr().err
