"""--centre subject: each person's mean trial is subtracted, on data sets and on new recordings."""

import json

from runtime.errors import InputError

import numpy as np
import pytest
import torch

import test_eeg_classifier as scoring
import train_eeg_classifier as training
from captioning.captioner import read_eeg_file
from config import EEGEncoderConfig
from eegdata.dataset_folder import MappedEEG
from eegdata.trials import load_trials
from encoders import encode, fit_to_encoder, load_encoder
from encoders.centre import centre_people, centre_recording, refuse_single_trials
from tiny import data_arguments

SUBJECT = EEGEncoderConfig(centre="subject")


def test_trials_on_disk_without_the_mean_of_their_group():
    eeg = np.random.default_rng(0).normal(size=(7, 3, 5)).astype(np.float32)
    rows, group = np.array([6, 1, 0, 4]), torch.tensor([1, 0, 1, 0])
    means, matrix = torch.randn(2, 3, 5), torch.randn(2, 3)
    found = MappedEEG([eeg[:4], eeg[4:]], 0, 5, rows).without(means, group)
    expected = torch.from_numpy(eeg[rows]) - means[group]
    assert torch.equal(found[torch.arange(4)], expected) and torch.equal(found[2], expected[2])
    assert torch.equal(found.take(np.array([3, 0]))[[1]], expected[[0]])
    found = MappedEEG([eeg], 0, 5, rows, matrix).without(means[:, :2], group)
    assert torch.allclose(found[:], matrix @ torch.from_numpy(eeg[rows]) - means[group, :2])


def test_each_persons_trials_have_mean_0(data):
    trials = load_trials(data / "eeg.pth")
    before = trials.eeg[:]
    centre_people(trials)
    for subject in trials.subject.unique():
        own = trials.subject == subject
        assert torch.allclose(trials.eeg[own], before[own] - before[own].mean(0), atol=1e-5)


def test_an_encoder_centres_what_it_is_given(data, clip, tmp_path):
    training.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(tmp_path), "--num_epochs", "1",
                   "--centre", "subject", "--d_model", "16", "--attn_heads", "2", "--layers", "1", "--device", "cpu"])
    encoder, trials = load_encoder(tmp_path), load_trials(data / "eeg.pth")
    assert encoder.config.centre == "subject"
    plain = trials.eeg[:]
    fit_to_encoder(encoder.config, trials, "--output")
    expected = encode(encoder, plain - torch.stack([plain[trials.subject == s].mean(0) for s in trials.subject]))
    for ours, theirs in zip(encode(encoder, trials.eeg), expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4)
    scoring.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(tmp_path), "--device", "cpu"])
    assert json.loads((tmp_path / "test" / "scores.json").read_text())["centre"] == "subject"


def test_a_new_recording_is_centred_by_its_own_mean():
    eeg = np.random.default_rng(0).normal(size=(12, 3, 5)) + 4
    assert np.allclose(centre_recording(eeg, SUBJECT, "eeg"), eeg - eeg.mean(0))
    assert centre_recording(eeg, EEGEncoderConfig(), "eeg") is eeg
    with pytest.raises(InputError, match="eeg: 4 trials, expected 10 or more"):
        centre_recording(eeg[:4], SUBJECT, "eeg")
    refuse_single_trials(EEGEncoderConfig(), "stream.py", "a stream gives one after the other")
    with pytest.raises(InputError, match=r"stream.py: .* at once, and a stream gives one after the other"):
        refuse_single_trials(SUBJECT, "stream.py", "a stream gives one after the other")


def test_a_file_of_one_trial_is_refused(tmp_path):
    """Read as it is, it would be decoded with the person's mean in it."""
    np.save(tmp_path / "one.npy", np.ones((6, 64)))
    config = EEGEncoderConfig(n_chans=6, n_times=64)
    assert read_eeg_file(str(tmp_path / "one.npy"), config).shape == (1, 6, 64)
    config.centre = "subject"
    with pytest.raises(InputError, match=r"one.npy: the encoder was trained with --centre subject.*the file holds one"):
        read_eeg_file(str(tmp_path / "one.npy"), config)


def test_refused_where_it_cannot_be(capsys):
    with pytest.raises(SystemExit) as stop:
        training.main(["--eeg_dataset", "x", "--output", "y", "--encoder", "channelnet", "--centre", "subject"])
    assert stop.value.code == 2 and "--centre subject: is for stage 1" in capsys.readouterr().err
