"""From which probability on a reading is confident: the guarantee on simulated models, noise, and what an encoder keeps."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.signal import csd

from encoders import load_encoder
from encoders.confidence import confidence_text, halfway, lowest_threshold, phase_randomised, threshold_of


def model(n, rng, wrong=0.):
    """Probabilities of predicted classes, and whether these are right, less often by `wrong` than the probability says."""
    probability = torch.from_numpy(rng.uniform(.4, 1, n))
    return probability, torch.from_numpy(rng.random(n)) < probability - wrong


@pytest.mark.parametrize("wrong, rate", [(0., .78), (.2, .58)])
def test_the_rate_holds_for_new_trials(wrong, rate):
    """From t on, readings of probability U(.4, 1) are right in (1 + t) / 2 - wrong of the trials."""
    rng = np.random.default_rng(0)
    found = [lowest_threshold(*model(200, rng, wrong), rate, .4) for _ in range(300)]
    found = [each for each in found if each is not None]
    assert len(found) > 100
    assert np.mean([(1 + each) / 2 - wrong < rate for each in found]) <= .05
    large = [lowest_threshold(*model(20_000, rng, wrong), rate, .4) for _ in range(5)]
    assert np.allclose(large, 2 * (rate + wrong) - 1, atol=.05)  # many trials come close to the best


def test_no_threshold_where_it_cannot_be_shown():
    probability = torch.full((50,), .9)
    assert lowest_threshold(probability, torch.arange(50) % 2 == 0, .75, .75) is None
    assert lowest_threshold(probability[:5], torch.ones(5), .75, .75) is None  # too few, though all are right
    assert lowest_threshold(probability, torch.ones(50), .75, .75) == .75
    assert lowest_threshold(torch.full((50,), .6), torch.ones(50), .75, .75) is None  # none reaches it
    assert (halfway(2), halfway(40)) == (.75, .5125)


@pytest.mark.parametrize("samples", [63, 64])
def test_noise_keeps_spectra_and_cross_spectra(samples):
    eeg = torch.randn(4, 3, samples, generator=torch.Generator().manual_seed(1)).cumsum(-1)
    noise = phase_randomised(eeg)
    assert noise.shape == eeg.shape and not torch.allclose(noise, eeg, atol=.5)
    for own, other in zip(eeg.numpy(), noise.numpy(), strict=True):
        for one, two in ((0, 0), (0, 1), (1, 2)):
            spectra = [csd(each[one], each[two], window="boxcar", nperseg=samples, detrend=False)[1]
                       for each in (own, other)]
            assert np.allclose(*spectra, atol=1e-3)
    assert torch.equal(noise, phase_randomised(eeg))


def test_an_encoder_keeps_what_was_measured(encoder):
    kept = json.loads((encoder / "config.json").read_text())["confidence"]
    assert kept["rate"] == pytest.approx(2 / 3) and kept["trials"] == 12 and kept.keys() == {"above", "rate", "trials",
                                                                                             "answered", "noise"}
    config = load_encoder(encoder).config
    assert config.confidence == kept and threshold_of(config) == (math.inf if kept["above"] is None else kept["above"])
    assert "12 validation trials" in confidence_text(config)


def test_encoders_that_do_not_say():
    config = SimpleNamespace(confidence=None, num_classes=4, several_classes=False)
    assert threshold_of(config) == .625 and "does not say how often" in confidence_text(config)
