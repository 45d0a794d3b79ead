"""The data audit: damaged trials, channels, line noise, units, edges, filters and counts."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from scipy.signal import butter, detrend, sosfilt, sosfiltfilt
from scipy.stats import binomtest

from audit import counts, run_audit, signal
from audit_material import made_trials, material_of, noise, split_of, thirds


def test_channels_flat_clipped_identical():
    eeg = noise(40, 6, 200)
    eeg[:, 1] = 0
    eeg[:, 2] = np.clip(eeg[:, 2], -2.5, 2.5)
    eeg[:, 4] = 3 * eeg[:, 3]
    eeg[:10, 5] = 1
    finding = signal.check_channels(material_of(made_trials(eeg, np.arange(40) % 2), thirds(40)))
    numbers = {name: next(iter(finding.numbers[name].values())) for name in ("flat", "clipped", "identical")}
    assert finding.severity == "warning" and numbers["flat"] == {"E1": 1., "E5": .25}
    assert list(numbers["clipped"]) == ["E2"] and [pair[:2] for pair in numbers["identical"]] == [["E3", "E4"]]
    coarse = np.round(noise(40, 4, 200))
    assert signal.check_channels(material_of(made_trials(coarse, np.arange(40) % 2), thirds(40))).severity == "passed"


def test_line_noise_share_of_the_power():
    eeg, time = noise(40, 4, 200), np.arange(200) / 200
    trials = made_trials(eeg, np.arange(40) % 2, sfreq=200.)
    assert signal.check_line_noise(material_of(trials, thirds(40))).severity == "passed"
    hum = torch.from_numpy(np.sqrt(2 * eeg.var()) * np.sin(2 * np.pi * 60 * time)).float()
    finding = signal.check_line_noise(material_of(dataclasses.replace(trials, eeg=trials.eeg + hum), thirds(40)))
    assert finding.severity == "warning" and finding.numbers["worst"]["line"] == "60 Hz"
    assert finding.numbers["worst"]["share"] == pytest.approx(.5, abs=.07)  # as much hum as EEG


def test_two_sessions_of_a_pth_file_are_two_recordings():
    """Of a person's sessions only the last was told, so that line noise in the first was not found."""
    eeg, session = noise(80, 4, 200), np.repeat([1, 2], 40)
    eeg[session == 1] += 3 * eeg.std() * np.sin(2 * np.pi * 50 * np.arange(200) / 200)
    trials = dataclasses.replace(made_trials(eeg, np.arange(80) % 2, sfreq=200.), session=torch.from_numpy(session),
                                 recording=None, onset=None)
    finding = signal.check_line_noise(material_of(trials, thirds(80)))
    assert finding.severity == "warning" and finding.numbers["recordings"] == 2
    assert finding.numbers["worst"]["recording"] == "subject 1 session 1"


@pytest.mark.parametrize(("sfreq", "samples", "line", "severity"), (
    (128., 256, 60, "warning"), (128., 256, 50, "warning"), (120., 48, 50, "warning"), (120., 240, 60, "passed"),
    (100., 200, 50, "not checked")))
def test_line_noise_near_half_the_sampling_rate(sfreq, samples, line, severity):
    """At the 128 Hz of an Emotiv both lines can be seen; where one cannot, the finding does not speak for it."""
    eeg, time = noise(40, 4, samples), np.arange(samples) / sfreq
    hum = 3 * eeg.std() * np.sin(2 * np.pi * line * time + .5)
    finding = signal.check_line_noise(material_of(made_trials(eeg + hum, np.arange(40) % 2, sfreq=sfreq), thirds(40)))
    assert finding.severity == severity
    if severity == "passed":
        assert "50 Hz does not stand out" in finding.sentence and "show no 60 Hz" in finding.sentence


@pytest.mark.parametrize(("factor", "word"), ((1., None), (1e-6, "volts"), (1e-3, "millivolts"), (1e3, "counts")))
def test_units(factor, word):
    eeg = noise(40) * 6
    eeg *= 15 / eeg.std()
    scale = (eeg * factor).std((0, 2))
    record = {"units": "uV", "recordings": [{"name": "one", "scale": scale.tolist()}]}
    trials = made_trials(eeg * factor / scale[:, None], np.arange(40) % 2, record=record)
    finding = signal.check_units(material_of(trials, thirds(40)))
    assert finding.numbers["median_microvolt"] == pytest.approx(15 * factor, rel=.1)
    assert finding.severity == ("warning" if word else "passed") and (word or "") in finding.sentence
    trials.record["units"] = "standardised"
    assert signal.check_units(material_of(trials, thirds(40))).severity == "not checked"


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30, -3e7])
def test_damaged_numbers_are_named_and_left_out_of_the_rest(value):
    eeg, label = noise(120), np.arange(120) % 2
    eeg[60:, 0] *= 1e-6  # a recording of another unit, whose trials are not damaged
    eeg[7, 2, 5], eeg[70] = value, 0.
    trials = made_trials(eeg, label, recording=np.arange(120) // 60)
    found = {f.check: f for f in run_audit(trials, split_of(thirds(120)), permutations=99)}
    assert found["Values"].severity == "severe"
    assert found["Values"].numbers == {"trials": 120, "broken": ["7 of subject 1 session 1"],
                                       "still": ["70 of subject 1 session 1"]}
    assert found["Counts"].numbers["parts"] == {"train": 78, "val": 0, "test": 40}
    json.dumps([finding.numbers for finding in found.values()], allow_nan=False)
    found = {f.check: f for f in run_audit(made_trials(noise(60), label[:60]), split_of(thirds(60)), permutations=99)}
    assert found["Values"].severity == "passed"


def test_eeg_that_never_changes():
    trials = made_trials(np.ones((60, 4, 50)), np.arange(60) % 2)
    found = {f.check: f for f in run_audit(trials, split_of(thirds(60)), permutations=99)}
    assert found["Values"].severity == "warning" and "60 trials hold the same value" in found["Values"].sentence
    first = ", ".join(f"{number} of subject 1 session 1" for number in range(3))
    assert f"{first} and 57 more" in found["Values"].sentence
    assert found["Counts"].severity == "severe" and "Channels" not in found


def test_edges_of_trials_filtered_after_cutting():
    rng = np.random.default_rng(0)
    data = rng.normal(size=(4, 40 * 250)).cumsum(1)
    high_pass = butter(4, 4., "high", fs=250., output="sos")
    cut = data.reshape(4, 40, 250)
    made = {"whole": sosfiltfilt(high_pass, data).reshape(cut.shape), "cut": sosfilt(high_pass, cut + 50),
            "detrended": detrend(cut)}
    for name, eeg in made.items():
        trials = made_trials(eeg.transpose(1, 0, 2).copy(), np.arange(40) % 2)
        finding = signal.check_edges(material_of(trials, thirds(40)))
        assert finding.severity == ("passed" if name == "whole" else "warning"), name
        power = ((eeg - eeg.mean(2, keepdims=True)) ** 2).mean(1)
        power = (power / power.mean(1, keepdims=True)).mean(0)
        ratio = power[:8].mean() / np.median(power[12:62])
        assert finding.numbers["power_ratio"]["first"] == pytest.approx(ratio, abs=.002)


def test_filter_longer_than_a_recording():
    record = {"about": {"steps": ["band-pass 0.1 to 40 Hz"]}, "recordings": [{"name": "one"}]}
    finding = signal.check_filters(material_of(made_trials(noise(30), np.arange(30) % 2, record=record), thirds(30)))
    assert finding.numbers["filter_seconds"] == pytest.approx(33) and finding.severity == "warning"


def test_counts_by_hand():
    label = np.array([0] * 40 + [1] * 12 + [2] * 5)
    parts = np.array((["train"] * 30 + ["test"] * 10) + (["train"] * 8 + ["test"] * 4) + ["test"] * 5)
    record = {"recordings": [{"name": "one", "dropped": {"noisy": 57}, "shards": [{"trials": 57}]}]}
    finding = counts.check_counts(material_of(made_trials(noise(57, 2, 20), label, record=record), parts))
    assert finding.severity == "severe"  # class 2 is in the test part only
    assert finding.numbers["classes"] == {"train": {"class 0": 30, "class 1": 8, "class 2": 0},
                                          "val": {"class 0": 0, "class 1": 0, "class 2": 0},
                                          "test": {"class 0": 10, "class 1": 4, "class 2": 5}}
    text = finding.sentence
    assert "class 2" in text and "1 class with fewer than 10" in text and "8 to 30" in text and "30% of the events" in text


def test_an_audit_of_one_person_counts_that_persons_recordings():
    record = {"recordings": [{"name": "of one", "subject": 1, "dropped": {"noisy": 57}, "shards": [{"trials": 57}]},
                             {"name": "of two", "subject": 2, "dropped": {"noisy": 3}, "shards": [{"trials": 57}]}]}
    trials = made_trials(noise(57, 2, 20), np.arange(57) % 2, subject=np.full(57, 2), chosen_subject=2, record=record)
    finding = counts.check_counts(material_of(trials, thirds(57)))
    assert finding.numbers["dropped"] == {"of two": {"noisy": 3}} and "of the events gave no trial" not in finding.sentence


def test_zero_shot_is_no_flaw():
    """Classes of training and test that have nothing in common are meant so."""
    trials = made_trials(noise(80, 2, 20), np.arange(80) // 20)
    finding = counts.check_counts(material_of(trials, np.repeat(["train", "train", "val", "test"], 20)))
    assert finding.severity == "note" and "a classifier cannot predict these classes" in finding.sentence


def test_classes_without_trials_are_named():
    trials = made_trials(noise(90, 2, 20), np.arange(90) // 3 % 2, class_names={0: "cat", 1: "dog", 2: "cow"})
    finding = counts.check_counts(material_of(trials, thirds(90)))
    assert finding.severity == "warning" and "1 class without any trial (cow)" in finding.sentence


@pytest.mark.parametrize("n", (12, 48, 300))
def test_smallest_accuracy_is_the_binomial_tests(n):
    label = np.arange(2 * n) % 4
    finding = counts.check_test_size(material_of(made_trials(noise(2 * n, 2, 20), label), np.repeat(["train", "test"], n)))
    first = round(finding.numbers["significant_from"] * n)
    assert binomtest(first, n, .25, alternative="greater").pvalue <= .05 < binomtest(first - 1, n, .25, "greater").pvalue
    assert finding.numbers["pictures"] == n and "independent" not in finding.sentence
    assert finding.severity == ("warning" if n == 12 else "passed")


def test_whoever_always_names_the_largest_class_is_not_above_chance():
    """90 of 100 test trials are of one class: 58% would be above chance with two classes of equal size."""
    label = np.tile(np.arange(100) >= 90, 2).astype(int)
    finding = counts.check_test_size(material_of(made_trials(noise(200, 2, 20), label), np.repeat(["train", "test"], 100)))
    assert finding.numbers["chance"] == .9 and finding.numbers["significant_from"] == pytest.approx(.96)
    assert "above chance (90%, the share of the largest class) from 96% on" in finding.sentence


@pytest.mark.parametrize("pictures, said", [(40, "from 40% on"), (4, "from 100% on"), (2, "no accuracy would be")])
def test_repeated_pictures_are_no_independent_trials(pictures, said):
    """Each picture 40 times: as so many independent trials, much less seemed to be enough."""
    image = np.tile(np.arange(2 * pictures), 40)
    trials = made_trials(noise(len(image), 2, 20), image % 4, image=image, images=[f"c_{i}" for i in range(2 * pictures)])
    finding = counts.check_test_size(material_of(trials, np.where(image < pictures, "train", "test")))
    assert finding.sentence.count("Trials of one picture count as independent here; were they all answered alike") == 1
    assert said in finding.sentence.split("answered alike")[1]


def test_too_few_test_trials_for_any_accuracy():
    """Four of four right by chance have p = .0625."""
    trials, parts = made_trials(noise(24, 2, 20), np.arange(24) % 2), np.repeat(["train", "test"], [20, 4])
    finding = counts.check_test_size(material_of(trials, parts))
    assert finding.severity == "warning" and "not even an accuracy of 100% is significantly above" in finding.sentence
    assert finding.numbers["significant_from"] is None and finding.numbers["detectable"] is None
