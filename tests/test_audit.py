"""The data audit: leaks that are there are found and named, honest data pass, and the numbers are right."""

import dataclasses
import itertools
import json

from runtime.wording import percent

import numpy as np
import pytest
import torch
from scipy.linalg import logm
from sklearn.linear_model import Ridge
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler

import prepare_data
from audit import classifier, duplicates, features, leaks, order, run_audit
from audit.data import Material
from audit.findings import SEVERITIES
from audit_material import audited, made_trials, material_of, noise, opened, simulate, thirds
from eegdata.splits import load_split
from eegdata.trials import load_trials
from test_readme import make_published_data

LEAK_CHECKS = ("Class against time of recording", "Before the picture", "Slow drift", "Labels of time-neighbours")


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("honest"), "--snr", "1", "--order", "random")


def test_drift_in_blocks_by_class_is_severe(tmp_path):
    found = audited(simulate(tmp_path, "--snr", "0", "--order", "blocks", "--drift", "20"))
    assert found["Class against time of recording"].severity == found["Slow drift"].severity == "severe"
    assert found["Labels of time-neighbours"].severity == "severe"
    time, drift = found["Class against time of recording"].numbers, found["Slow drift"].numbers
    assert time["pure"] == 1 and time["exposed"] == 1 and time["p"] < .005
    assert time["same"] == pytest.approx((2 * 152) / (2 * 159))  # 160 trials in 8 blocks a subject
    assert drift["residual"]["accuracy"] > .3 and drift["residual"]["p"] < .005 and drift["residual"]["chance"] == .125
    # The balanced accuracy is no share of the trials where classes are uneven.
    assert (f"{percent(drift['residual']['accuracy'])} of the test trials, each class counting alike (chance 12.5%"
            in found["Slow drift"].sentence)
    assert next(iter(found.values())).severity == "severe"  # worst first


def test_drift_in_random_order_passes(tmp_path):
    found = audited(simulate(tmp_path, "--snr", "0", "--order", "random", "--drift", "20"))
    assert {name: found[name].severity for name in LEAK_CHECKS} == dict.fromkeys(LEAK_CHECKS, "passed")


def test_a_real_response_in_random_order_passes(honest):
    findings = run_audit(*opened(honest), honest / "images", permutations=300)
    assert {f.severity for f in findings if f.check in LEAK_CHECKS} == {"passed"}
    assert not [f.sentence for f in findings if f.severity in ("severe", "warning")]
    ranks = [SEVERITIES.index(finding.severity) for finding in findings]
    assert ranks == sorted(ranks)
    json.dumps([finding.numbers for finding in findings], allow_nan=False)  # audit.json holds them


def test_a_response_shown_in_blocks_is_no_drift(tmp_path):
    found = audited(simulate(tmp_path, "--snr", "1", "--order", "blocks"))
    assert found["Class against time of recording"].severity == "severe"
    assert found["Slow drift"].severity == "passed"  # a strong response, and nothing that drifts
    assert found["Labels of time-neighbours"].severity == "severe"


def test_a_shuffled_file_without_times_shows_its_drift(tmp_path):
    """As in EEGCVPR40: blocks of classes whose order the file does not tell, no time before the picture."""
    folder = simulate(tmp_path, "--snr", "0", "--order", "blocks", "--drift", "20", "--tmin", "0")
    trials, split = opened(folder)
    rows = torch.from_numpy(np.random.default_rng(0).permutation(len(trials)))
    fields = {name: getattr(trials, name)[rows] for name in ("label", "subject", "image", "session", "recording")}
    trials = dataclasses.replace(trials, eeg=trials.eeg[rows], onset=np.full(len(rows), np.nan), **fields)
    new = torch.argsort(rows)
    material = Material(trials, {part: new[positions] for part, positions in split.items()})
    assert order.check_order(material).severity == "not checked"
    finding = leaks.Leaks(material).check_drift()
    assert finding.severity in ("severe", "warning") and finding.numbers["residual"]["accuracy"] > .3


def test_published_layout_is_severe_by_what_is_known_of_it(tmp_path):
    make_published_data(tmp_path)
    trials = load_trials(tmp_path / "block" / "eeg_55_95_std.pth")
    split = load_split(tmp_path / "block" / "block_splits_by_image_all.pth", trials)
    found = {f.check: f for f in run_audit(trials, split, tmp_path / "images", permutations=99)}
    assert found["Class against time of recording"].severity == "severe"
    assert "each class in one block" in found["Class against time of recording"].sentence
    assert found["Before the picture"].severity == found["Integrity of the files"].severity == "not checked"


def test_neighbours_in_time_by_hand():
    label = [0, 0, 1, 1, 0, 1, 0, 0]
    trials = made_trials(noise(8), label, recording=[0, 0, 0, 0, 1, 1, 1, 1], onset=np.array([0, 3, 1, 2, 5, 6, 9, 8.]))
    material = material_of(trials, ["train"] * 6 + ["test", "train"])
    assert [rows.tolist() for rows in material.sequences] == [[0, 2, 3, 1], [4, 5, 7, 6]]
    numbers = material.order
    assert numbers["same"] == pytest.approx((1 + 1) / 6)  # pairs 0-2 2-3 3-1, 4-5 5-7 7-6
    # In a random order two neighbours are of one class as often as any two trials of the recording.
    assert numbers["expected"] == pytest.approx((3 * (1 / 3) + 3 * (1 / 2)) / 6, abs=.03)
    slots, neighbour = leaks.neighbours(material)
    assert dict(zip(slots.tolist(), slots[neighbour].tolist(), strict=True)) == {0: 2, 2: 3, 3: 1, 1: 3, 4: 5, 5: 4, 7: 5}


def test_classes_that_keep_to_recordings():
    rng = np.random.default_rng(0)
    recording, n = np.repeat([0, 1], 60), 120
    label = np.where(rng.random(n) < .9, recording, 1 - recording)
    finding = order.check_order(material_of(made_trials(noise(n, 2, 20), label, recording=recording), thirds(n)))
    assert finding.severity == "severe" and finding.numbers["p_recording"] < .005
    assert finding.numbers["cramer_v"] == pytest.approx(abs(np.corrcoef(recording, label)[0, 1]))  # phi of a 2 x 2 table
    apart = material_of(made_trials(noise(n, 2, 20), label, recording=recording), np.where(recording, "test", "train"))
    assert order.check_order(apart).severity == "warning"


@pytest.mark.parametrize("tied", [False, True])
def test_a_picture_that_is_repeated_in_a_recording_does_not_tie_its_class_to_it(tied):
    """40 pictures of 4 classes, each shown 5 times in one of 4 recordings: drawn at random, or by class."""
    rng, fired = np.random.default_rng(0), 0
    for _ in range(10):
        pictures = np.arange(40) if tied else rng.permutation(40)
        image = np.concatenate([rng.permutation(np.repeat(own, 5)) for own in np.split(pictures, 4)])
        made = made_trials(noise(200, 2, 20), image // 10, image=image, recording=np.repeat(range(4), 50))
        fired += material_of(made, np.where(image % 10 < 6, "train", "test"), permutations=200).order["p_recording"] <= .01
    assert fired == 10 if tied else fired <= 1  # all of them before


def test_one_picture_of_each_class_keeps_to_its_recording():
    """Its classes can only be renamed, so no order of the pictures is worse than that found, and the trials decide."""
    image = np.repeat(np.arange(8), 20)
    material = material_of(made_trials(noise(160, 2, 20), image, image=image, recording=image // 2), thirds(160))
    assert material.order["p_recording"] < .005 and order.check_order(material).severity == "severe"


def test_classes_in_turn_are_told_with_the_p_of_that_side():
    finding = order.check_order(material_of(made_trials(noise(60, 2, 20), np.arange(60) % 2), thirds(60)))
    assert finding.severity == "note" and finding.numbers["p"] == 1 and finding.numbers["p_less"] < .005
    assert "less often than by chance" in finding.sentence and "p = .001" in finding.sentence


def test_order_unknown_and_sorted_or_said_to_be_random():
    label = np.repeat([0, 1, 2], 20)
    unknown = made_trials(noise(60, 2, 20), label, onset=np.full(60, np.nan))
    assert order.check_order(material_of(unknown, thirds(60))).severity == "warning"
    said = dataclasses.replace(unknown, record={"about": {"presentation": "random: by a computer"}})
    for check in (order.check_order, lambda m: leaks.Leaks(m).check_neighbours(), duplicates.check_overlap):
        assert check(material_of(said, thirds(60))).severity == "not checked"
    said.record["about"]["presentation"] = "blocks: one a class"
    assert order.check_order(material_of(said, thirds(60))).severity == "severe"


def test_the_classifier_is_sklearns_ridge():
    rng = np.random.default_rng(0)
    train, test, label = rng.normal(size=(60, 9)), rng.normal(size=(20, 9)), rng.integers(0, 3, 60)
    train[np.arange(60), label] += 2
    scale = StandardScaler().fit(train)
    x, z = scale.transform(train) / 3, scale.transform(test) / 3
    alpha = np.trace(x @ x.T) / 60 * classifier.RIDGE + 1e-6
    target = np.eye(3)[label]
    expected = Ridge(alpha=alpha).fit(x, target - target.mean(0)).predict(z)
    ones = np.ones(60, int)
    models = classifier.fit([train], [test], ones, ones[:20], label)
    assert np.allclose(models[0].matrix @ (target - target.mean(0)), expected, atol=1e-4)
    share = target.mean(0)
    predicted = classifier.predict(models, label, np.arange(3), 20)
    assert (predicted == (expected / np.sqrt(share * (1 - share))).argmax(1)).all()
    truth = rng.integers(0, 3, 20)
    assert classifier.balanced_accuracy(truth, predicted) == pytest.approx(balanced_accuracy_score(truth, predicted))


def test_p_of_fixed_predictions_is_exact():
    label, predicted = np.array([0, 0, 1, 1, 1, 2]), np.array([0, 1, 1, 1, 0, 2])
    values = [balanced_accuracy_score(order, predicted) for order in itertools.permutations(label)]
    expected = np.mean(np.array(values) >= balanced_accuracy_score(label, predicted) - 1e-9)
    p, mean, dealt = classifier.p_of_fixed(label, predicted, np.ones(6), None, 4000, np.random.default_rng(0))
    assert p == pytest.approx(expected, abs=.02) and mean == pytest.approx(np.mean(values), abs=.01) and dealt == "trials"


def test_pictures_are_dealt_out_whole():
    """20 trials a picture that all look alike: many right trials, but of few pictures."""
    rng = np.random.default_rng(0)
    of_picture, picture = np.repeat([0, 1], 10), np.repeat(np.arange(20), 20)
    named = of_picture.copy()
    named[7:14] = 1 - named[7:14]  # 13 of 20 right
    label, predicted = of_picture[picture], named[picture]
    p, _, dealt = classifier.p_of_fixed(label, predicted, np.ones(400), picture, 500, rng)
    alone = classifier.p_of_fixed(label, predicted, np.ones(400), None, 500, rng)[0]
    assert dealt == "trials and pictures" and alone < .005 and .05 < p < .4


def test_log_covariance_is_scipys():
    trial = noise(1, 4, 200)
    covariance = np.cov(trial[0], bias=True)
    covariance = (1 - features.SHRINKAGE) * covariance + features.SHRINKAGE * np.trace(covariance) / 4 * np.eye(4)
    assert np.allclose(features.log_covariance(trial)[0], logm(covariance)[np.triu_indices(4)], atol=1e-4)


def test_quiet_mixtures_hold_no_response():
    rng = np.random.default_rng(0)
    label, pattern = rng.permutation(np.arange(90) % 3), rng.normal(size=(3, 8))
    course = np.sin(np.arange(100) / 5)
    eeg = noise(90) + 2 * pattern[label][:, :, None] * course
    material = material_of(made_trials(eeg, label), thirds(90))
    quiet = features.Features(material, material.split["train"], True).mixtures[1][1]

    def response_over_noise(mixtures):
        return ((mixtures @ (pattern - pattern.mean(0)).T) ** 2).sum(1) / (mixtures ** 2).sum(1)

    assert len(quiet) == 4
    assert response_over_noise(quiet).max() < .02 < .5 < np.median(response_over_noise(rng.normal(size=(50, 8))))


def test_neighbours_labels_do_not_fire_on_a_strong_response():
    """Of two classes that are told apart at once, chance decides which gets which label from neighbours: all or nothing."""
    p, accuracy = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        label = rng.permutation(np.arange(300) % 2)
        eeg = noise(300, 2, 30, seed) + 50 * label[:, None, None]
        numbers = leaks.Leaks(material_of(made_trials(eeg, label), thirds(300), permutations=99)).check_neighbours().numbers
        p.append(numbers["p"])
        accuracy.append(numbers["accuracy"])
    assert max(accuracy) > .9 and min(accuracy) < .1
    assert sum(np.array(p) <= .05) <= 3 and np.mean(p) > .3


def test_what_tells_the_class_before_the_picture_is_severe_unless_the_order_is_random():
    label = np.random.default_rng(0).permutation(np.arange(90) % 3)
    eeg = noise(90)
    eeg[:, :3, :20] += 3 * np.eye(3)[label][:, :, None]
    trials = made_trials(eeg, label, tmin=-.2)
    finding = leaks.Leaks(material_of(trials, thirds(90))).check_prestimulus()
    assert finding.severity == "warning" and finding.numbers["accuracy"] > .8 and "filter" in finding.sentence
    blocks = dataclasses.replace(trials, onset=np.argsort(np.argsort(label, kind="stable")).astype(float))
    assert leaks.Leaks(material_of(blocks, thirds(90))).check_prestimulus().severity == "severe"
    unknown = dataclasses.replace(trials, tmin=None)
    assert leaks.Leaks(material_of(unknown, thirds(90))).check_prestimulus().severity == "not checked"


def test_subjects_that_training_lacks_share_a_pooled_classifier():
    label, subject = np.arange(120) % 2, np.repeat([1, 2, 3, 4], 30)
    eeg = noise(120)
    eeg[:, :4, :20] += 5 * label[:, None, None]
    trials = made_trials(eeg, label, subject=subject, recording=subject, tmin=-.2)
    numbers = leaks.Leaks(material_of(trials, np.where(subject == 4, "test", "train"))).check_prestimulus().numbers
    assert numbers["accuracy"] > .9 and numbers["p"] < .005 and numbers["test_trials"] == 30


def test_real_recordings_in_random_order_pass(shared, tmp_path):
    folder = shared / "n170"
    prepare_data.main(["n170", "--recordings", str(folder / "muse2016"), "--stimuli", str(folder / "stimuli"), "--output",
                       str(tmp_path), "--no_audit"])
    found = audited(tmp_path, permutations=300)
    assert {name: found[name].severity for name in LEAK_CHECKS} == dict.fromkeys(LEAK_CHECKS, "passed")
    for name in ("Duplicate trials", "Units", "Line noise", "Channels", "Edges of trials", "Integrity of the files"):
        assert found[name].severity == "passed", found[name].sentence


def test_missing_captions(tmp_path):
    """Said when the data set is prepared, and not first by stage 2."""
    folder = simulate(tmp_path / "data")
    assert audited(folder, permutations=20)["Captions"].severity == "passed"
    names = sorted((folder / "images").glob("*/*_caption.txt"))[:3]
    for path in names:
        path.unlink()
    finding = audited(folder, permutations=20)["Captions"]
    assert finding.severity == "warning" and finding.numbers["without_caption"] == 3
    assert names[0].name.removesuffix("_caption.txt") in finding.sentence and "prepare_data.py caption" in finding.sentence
