"""The data audit: leaks that are there are found and named, honest data pass, and the numbers are right."""

import dataclasses
import itertools
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.linalg import logm
from scipy.signal import butter, detrend, sosfilt, sosfiltfilt
from scipy.stats import binomtest
from sklearn.linear_model import Ridge
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler

import prepare_data
from audit import classifier, counts, duplicates, features, leaks, order, run_audit, same_pictures, signal
from audit.data import Material
from audit.findings import SEVERITIES
from eegdata.splits import load_split
from eegdata.trials import Trials, load_trials
from runtime.wording import percent
from test_readme import make_published_data

LEAK_CHECKS = ("Class against time of recording", "Before the picture", "Slow drift", "Labels of time-neighbours")


def simulate(folder, *options):
    prepare_data.main(["simulated", "--output", str(folder), "--n_subjects", "2", "--n_pictures", "160", "--image_size",
                       "64", "--no_audit", *options])
    return folder


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("honest"), "--snr", "1", "--order", "random")


def opened(folder):
    """Trials over the whole epoch, and the folder's split."""
    trials = load_trials(folder, 0, load_trials(folder).record["n_times"])
    return trials, load_split(folder / "splits.pth", trials)


def audited(folder, **options):
    return {finding.check: finding for finding in run_audit(*opened(folder), folder / "images", **options)}


def made_trials(eeg, label, **fields):
    """Trials in memory, in the order of presentation: a trial a second, every picture shown once, unless told otherwise."""
    n = len(label)
    eeg = torch.as_tensor(np.asarray(eeg), dtype=torch.float32)
    given = {"subject": np.ones(n), "image": np.arange(n), "recording": np.zeros(n), **fields}
    number = {name: torch.as_tensor(np.asarray(given.pop(name)).astype(np.int64))
              for name in ("subject", "image", "recording")}
    return Trials(**{"eeg": eeg, "label": torch.as_tensor(np.asarray(label)).long(), **number, "trial": torch.arange(n),
                     "session": torch.ones(n).long(), "images": [f"c_{i}" for i in range(n)],
                     "class_names": {k: f"class {k}" for k in range(int(max(label)) + 1)}, "sfreq": 100.,
                     "ch_names": [f"E{c}" for c in range(eeg.shape[1])], "fingerprint": "", "path": "made",
                     "chosen_subject": 0, "record_images": number["image"].tolist(),
                     "record_subjects": number["subject"].tolist(), "tmin": 0., "onset": np.arange(n, dtype=float),
                     "part": None, "record": {}, **given})


def split_of(parts):
    """{"train": [...], ...} of a list of part names."""
    return {part: torch.from_numpy(np.flatnonzero(np.asarray(parts) == part)) for part in ("train", "val", "test")}


def material_of(trials, parts, **options):
    return Material(trials, split_of(parts), **options)


def noise(n, n_chans=8, n_times=100, seed=0):
    """Noise with a memory of some samples, as EEG has it."""
    white = np.random.default_rng(seed).normal(size=(n, n_chans, n_times + 4)).astype(np.float32)
    return sum(white[:, :, k:k + n_times] for k in range(5))


def thirds(n):
    return np.array(["train", "train", "test"])[np.arange(n) % 3]


def test_drift_in_blocks_by_class_is_severe(tmp_path):
    found = audited(simulate(tmp_path, "--snr", "0", "--order", "blocks", "--drift", "20"))
    assert found["Class against time of recording"].severity == found["Slow drift"].severity == "severe"
    assert found["Labels of time-neighbours"].severity == "severe"
    time, drift = found["Class against time of recording"].numbers, found["Slow drift"].numbers
    assert time["pure"] == 1 and time["exposed"] == 1 and time["p"] < .005
    assert time["same"] == pytest.approx((2 * 152) / (2 * 159))  # 160 trials in 8 blocks a subject
    assert drift["residual"]["accuracy"] > .3 and drift["residual"]["p"] < .005 and drift["residual"]["chance"] == .125
    assert f"{percent(drift['residual']['accuracy'])} of the test trials" in found["Slow drift"].sentence
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


@pytest.mark.parametrize("copy", ("exact", "scaled", "noisy", "shifted"))
def test_a_leaked_copy_is_found_and_named(honest, copy):
    trials, split = opened(honest)
    eeg = trials.eeg[np.arange(len(trials))]
    source, target = int(split["test"][4]), int(split["train"][9])
    white = torch.randn(eeg.shape[1:], generator=torch.Generator().manual_seed(0))
    made = {"exact": lambda x: x, "scaled": lambda x: 2.5 * x, "noisy": lambda x: x + .1 * x.std(1, keepdim=True) * white,
            "shifted": lambda x: torch.cat([x[:, 5:], x[:, :5].flip(1)], 1)}[copy]
    eeg[target] = made(eeg[source])
    finding = duplicates.check_duplicates(Material(dataclasses.replace(trials, eeg=eeg), split))
    assert finding.severity == "severe"
    assert finding.numbers["exact" if copy == "exact" else "near"] == {"train-test": 1}
    assert set(finding.numbers["pairs"][0]["trials"]) == {source, target}
    assert f"trials {target} and {source}" in finding.sentence or f"trials {source} and {target}" in finding.sentence


def test_no_copies_no_finding_not_even_with_hum(honest):
    trials, split = opened(honest)
    time = np.arange(trials.eeg.shape[2]) / trials.sfreq
    hum = np.random.default_rng(0).uniform(0, 6.3, (len(trials), 1, 1)) + 2 * np.pi * 50 * time
    eeg = trials.eeg[np.arange(len(trials))] + 20 * torch.from_numpy(np.sin(hum)).float()
    for each in (trials, dataclasses.replace(trials, eeg=eeg)):
        assert duplicates.check_duplicates(Material(each, split)).severity == "passed"


def test_shifted_correlation_is_numpys():
    a, b = noise(2, 3, 80)
    r = [abs(np.corrcoef(_flat(a[:, max(0, -s):80 - max(0, s)]), _flat(b[:, max(0, s):80 + min(0, s)]))[0, 1])
         for s in range(-20, 21)]
    assert duplicates._shifted_correlation(a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)) == pytest.approx(
        max(r), abs=.05)
    shifted = np.concatenate([np.zeros((3, 7)), a[:, :-7]], axis=1)
    assert duplicates._shifted_correlation(a, shifted) == pytest.approx(1)


def _flat(x):
    return (x - x.mean(1, keepdims=True)).ravel()


def test_overlap_by_hand():
    label, parts = [0, 1, 0, 1, 0, 1], ["train", "test", "val", "train", "test", "train"]
    trials = made_trials(noise(6), label, onset=np.array([0., .75, 3., 3.5, 9., 10.]))  # windows of 1 s
    finding = duplicates.check_overlap(material_of(trials, parts))
    assert finding.numbers["pairs"] == {"train-test": 1, "train-val": 1}
    assert finding.numbers["largest_share"] == pytest.approx(.25) and finding.severity == "warning"
    trials.onset[1] = .3
    finding = duplicates.check_overlap(material_of(trials, parts))
    assert finding.numbers["largest_share"] == pytest.approx(.7) and finding.severity == "severe"


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


def test_pictures_shared_by_name_bytes_and_look(honest, tmp_path):
    trials, split = opened(honest)
    images = tmp_path / "images"
    shutil.copytree(honest / "images", images)
    check = lambda: same_pictures.check_pictures(Material(trials, split, images))  # noqa: E731
    assert check().severity == "passed"
    test, other = (trials.images[int(trials.image[split["test"][k]])] for k in (0, 1))
    one, two = (trials.images[int(trials.image[split["train"][k]])] for k in (0, 1))
    path = {name: images / name.split("_")[0] / f"{name}.JPEG" for name in (test, other, one, two)}
    Image.open(path[other]).resize((96, 96)).save(path[two], quality=85)
    finding = check()
    assert finding.severity == "warning" and [other, two] in finding.numbers["near"]
    shutil.copy(path[test], path[one])
    finding = check()
    assert finding.severity == "severe" and finding.numbers["same_file"] == [[test, one]] and test in finding.sentence
    path[one].unlink()
    assert check().numbers["missing"] == [one]
    both = {**split, "train": torch.cat([split["train"], split["test"][:1]])}
    assert same_pictures.check_pictures(Material(trials, both)).numbers["same_name"] == 1
    known = dataclasses.replace(trials, record={**trials.record, "pictures_known": "class"})
    assert same_pictures.check_pictures(Material(known, split)).severity == "note"


def test_damaged_shard_is_named(honest, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(honest, folder)
    shard = folder / "trials" / "00001-000.arrow"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 255
    shard.write_bytes(content)
    found = audited(folder, permutations=99)["Integrity of the files"]
    assert found.severity == "severe" and found.numbers == {"shards": 2, "damaged": ["00001-000.arrow"]}


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
    assert found["Values"].numbers == {"trials": 120, "broken": ["7 of subject 1"], "still": ["70 of subject 1"]}
    assert found["Counts"].numbers["parts"] == {"train": 78, "val": 0, "test": 40}
    json.dumps([finding.numbers for finding in found.values()], allow_nan=False)
    found = {f.check: f for f in run_audit(made_trials(noise(60), label[:60]), split_of(thirds(60)), permutations=99)}
    assert found["Values"].severity == "passed"


def test_eeg_that_never_changes():
    trials = made_trials(np.ones((60, 4, 50)), np.arange(60) % 2)
    found = {f.check: f for f in run_audit(trials, split_of(thirds(60)), permutations=99)}
    assert found["Values"].severity == "warning" and "60 trials hold the same value" in found["Values"].sentence
    assert "0 of subject 1, 1 of subject 1, 2 of subject 1 and 57 more" in found["Values"].sentence
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


def test_zero_shot_is_no_flaw():
    """Classes of training and test that have nothing in common are meant so."""
    trials = made_trials(noise(80, 2, 20), np.arange(80) // 20)
    finding = counts.check_counts(material_of(trials, np.repeat(["train", "train", "val", "test"], 20)))
    assert finding.severity == "note" and "cannot be named by a classifier" in finding.sentence


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
    assert finding.numbers["pictures"] == n
    assert finding.severity == ("warning" if n == 12 else "passed")


def test_real_recordings_in_random_order_pass(shared, tmp_path):
    folder = shared / "n170"
    prepare_data.main(["n170", "--recordings", str(folder / "muse2016"), "--stimuli", str(folder / "stimuli"), "--output",
                       str(tmp_path), "--no_audit"])
    found = audited(tmp_path, permutations=300)
    assert {name: found[name].severity for name in LEAK_CHECKS} == dict.fromkeys(LEAK_CHECKS, "passed")
    for name in ("Duplicate trials", "Units", "Line noise", "Channels", "Edges of trials", "Integrity of the files"):
        assert found[name].severity == "passed", found[name].sentence
