"""Calibration against hand counts, scikit-learn, scipy and simulated models of known calibration."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap
from sklearn.calibration import calibration_curve

from config import ChannelNetConfig, EEGEncoderConfig
from encoders.temperature import TEMPERATURE_BOUNDS, class_probabilities, fit_temperature
from metrics.calibration import calibration, ece_if_calibrated, expected_calibration_error, reliability, risk_coverage


def simulated(n, seed=0, overconfident=0.0):
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.4, 1, n)
    return confidence, rng.random(n) < confidence - overconfident


def test_the_error_by_hand():
    # (.9, 1]: confidence .95, half right, 2 of 5 trials; (.5, .6]: .55, all right, 2 of 5; (.1, .2]: .2, wrong
    assert expected_calibration_error([0.95, 0.95, 0.55, 0.55, 0.2], [1, 0, 1, 1, 0], bins=10) == pytest.approx(
        0.4 * 0.45 + 0.4 * 0.45 + 0.2 * 0.2)
    assert expected_calibration_error([1.0, 1.0, 0.0], [True, True, False]) == 0
    # .5 belongs to the lower bin: |.45 - .5| for two trials and |.6 - 1| for one
    assert expected_calibration_error([0.5, 0.4, 0.6], [1, 0, 1], bins=2) == pytest.approx(0.1 / 3 + 0.4 / 3)


def test_the_error_and_the_diagram_against_scikit_learn():
    confidence, correct = simulated(700, overconfident=0.15)
    true, predicted = calibration_curve(correct, confidence, n_bins=15)
    counts = np.histogram(confidence, np.linspace(0, 1, 16))[0]
    assert expected_calibration_error(confidence, correct) == pytest.approx(
        (counts[counts > 0] * np.abs(true - predicted)).sum() / 700)
    true, predicted = calibration_curve(correct, confidence, n_bins=10, strategy="quantile")
    rows = reliability(confidence, correct)
    assert np.allclose([row["accuracy"] for row in rows], true) and [row["n"] for row in rows] == [70] * 10
    assert np.allclose([row["confidence"] for row in rows], predicted)


def test_equal_confidences_share_a_bin():
    rows = reliability([0.5] * 90 + [0.9] * 10, [0] * 50 + [1] * 50)
    assert rows == [{"confidence": pytest.approx(0.5), "accuracy": pytest.approx(40 / 90), "n": 90},
                    {"confidence": pytest.approx(0.9), "accuracy": 1.0, "n": 10}]
    assert reliability([0.7], [1]) == [{"confidence": 0.7, "accuracy": 1.0, "n": 1}]


def test_a_calibrated_model_has_the_error_that_chance_gives_it():
    errors = [expected_calibration_error(*simulated(150, seed)) for seed in range(300)]
    expected = [ece_if_calibrated(simulated(150, seed)[0], n_sim=50) for seed in range(30)]
    assert np.mean(errors) == pytest.approx(np.mean(expected), rel=0.03) and np.mean(errors) > 0.05  # far from 0
    confidence, correct = simulated(100_000, seed=5, overconfident=0.2)
    assert expected_calibration_error(confidence, correct) == pytest.approx(0.2, abs=0.01)
    assert ece_if_calibrated(confidence, n_sim=5) < 0.01


def test_risk_and_coverage_by_hand():
    points, area = risk_coverage([0.6, 0.9, 0.8, 0.7], [0, 1, 0, 1], [0.1, 0.4, 0.2, 0.3])
    assert points == [
        {"coverage": 0.25, "risk": 0, "score": pytest.approx(0.4), "threshold": 0.9},
        {"coverage": 0.5, "risk": 0.5, "score": pytest.approx(0.3), "threshold": 0.8},
        {"coverage": 0.75, "risk": pytest.approx(1 / 3), "score": pytest.approx(0.3), "threshold": 0.7},
        {"coverage": 1, "risk": 0.5, "score": pytest.approx(0.25), "threshold": 0.6}]
    assert area == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)


def test_equal_confidences_are_answered_together():
    points, area = risk_coverage([0.9, 0.5, 0.5, 0.5], [1, 0, 1, 1])
    assert points == [{"coverage": 0.25, "risk": 0, "score": None, "threshold": 0.9},
                      {"coverage": 1, "risk": 0.25, "score": None, "threshold": 0.5}]
    assert area == pytest.approx(0.75 * 0.25)
    orders = [risk_coverage([0.9, 0.5, 0.5, 0.5], c)[1] for c in ([1, 1, 0, 1], [1, 1, 1, 0])]
    assert orders == [area, area]  # whatever the order of the rows


def test_the_area_is_over_all_thresholds_and_the_points_are_few():
    confidence, correct = simulated(1000)
    points, area = risk_coverage(confidence, correct)
    wrong = ~correct[np.argsort(-confidence)]
    assert area == pytest.approx(np.mean([wrong[:k].mean() for k in range(1, 1001)]))
    assert len(points) == 50 and points[0]["coverage"] == 0.001 and points[-1]["coverage"] == 1
    assert points[-1]["risk"] == pytest.approx(wrong.mean()) and points[-1]["threshold"] == confidence.min()
    for point in points:
        answered = confidence >= point["threshold"]
        assert point["coverage"] == pytest.approx(answered.mean())
        assert point["risk"] == pytest.approx(1 - correct[answered].mean())
    assert area < wrong.mean()  # confident trials are right more often
    assert risk_coverage(np.random.default_rng(1).random(1000), correct)[1] == pytest.approx(wrong.mean(), abs=0.05)


def test_the_whole_with_its_interval():
    confidence, correct = simulated(300, overconfident=0.1)
    whole = calibration(confidence, correct, score=np.linspace(0, 1, 300), n_boot=2000)
    assert set(whole) == {"ece", "ece_low", "ece_high", "ece_if_calibrated", "accuracy", "confidence", "bins",
                          "risk_coverage", "aurc"}
    assert json.loads(json.dumps(whole)) == whole
    assert whole["accuracy"] == correct.mean() and whole["confidence"] == pytest.approx(confidence.mean())
    other = bootstrap((confidence, correct), expected_calibration_error, paired=True, vectorized=False, n_resamples=2000,
                      method="percentile", rng=1).confidence_interval
    assert np.allclose((whole["ece_low"], whole["ece_high"]), other, atol=0.01)
    assert whole["risk_coverage"][-1]["score"] == pytest.approx(0.5)


def test_clusters_are_drawn_as_wholes():
    confidence, correct = (np.repeat(values, 20) for values in simulated(30, overconfident=0.1))
    free = calibration(confidence, correct, n_boot=300)
    whole = calibration(confidence, correct, clusters=np.repeat(np.arange(30), 20), n_boot=300)
    assert whole["ece_high"] - whole["ece_low"] > 2 * (free["ece_high"] - free["ece_low"])
    alone = calibration(confidence, correct, clusters=np.zeros(600), n_boot=300)
    assert alone["ece_low"] is None and alone["ece_high"] is None and alone["ece"] == whole["ece"]


@pytest.mark.parametrize("confidence, correct, said", [
    ([], [], "expected equal"), ([0.5], [1, 0], "expected equal"), ([1.2], [1], "within 0..1"),
    ([np.nan], [1], "within 0..1"), ([0.5], [0.3], "of 0 and 1")])
def test_what_is_no_confidence_is_refused(confidence, correct, said):
    for function in (expected_calibration_error, reliability, risk_coverage, calibration):
        with pytest.raises(ValueError, match=said):
            function(confidence, correct)
    with pytest.raises(ValueError, match="score of shape"):
        risk_coverage([0.5, 0.6], [1, 0], [0.1])


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_a_known_temperature_is_found(temperature):
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(20000, 5, generator=generator)
    labels = (logits / temperature).softmax(1).multinomial(1, generator=generator).flatten()
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(temperature, rel=0.03)
    raw, scaled = (class_probabilities(logits, SimpleNamespace(class_temperature=t, several_classes=False))
                   for t in (1.0, found))
    assert torch.equal(raw.argmax(1), scaled.argmax(1))
    error = expected_calibration_error(scaled.max(1).values.numpy(), (scaled.argmax(1) == labels).numpy())
    assert error < 0.01 and (temperature == 1 or error < expected_calibration_error(
        raw.max(1).values.numpy(), (raw.argmax(1) == labels).numpy()) / 5)


def test_few_trials_prove_no_certainty_and_noise_none():
    labels = torch.arange(12) % 3
    assert fit_temperature(8 * torch.eye(3)[labels], labels) == pytest.approx(1, abs=0.1)
    assert fit_temperature(torch.eye(3)[labels], labels) > 0.2  # all right: likelihood alone would end at the bound
    noise = 5 * torch.randn(600, 3, generator=torch.Generator().manual_seed(0))
    assert 8 < fit_temperature(noise, torch.arange(600) % 3) < TEMPERATURE_BOUNDS[1]


@pytest.mark.parametrize("config", [EEGEncoderConfig, ChannelNetConfig])
def test_encoders_without_a_temperature_have_1(config):
    """As the predecessors' config.json, and those of this project from before."""
    logits, content = torch.tensor([[1.0, 2.0, 3.0]]), config(class_temperature=2.0).to_dict()
    assert torch.equal(class_probabilities(logits, config.from_dict(content)), (logits / 2).softmax(1))
    del content["class_temperature"]
    assert torch.equal(class_probabilities(logits, config.from_dict(content)), logits.softmax(1))
