"""Simulated EEG and drawn pictures: physics, labels, splits, captions."""

import itertools

import mne
import numpy as np
import pytest
import torch
from scipy.signal import welch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import cross_val_score

import prepare_data
from eegdata.dataset_folder import read_record
from eegdata.splits import read_splits
from eegdata.trials import load_trials
from sources import drawings, epochs, simulated

SFREQ = 250.


@pytest.fixture(scope="module")
def scenes():
    return drawings.sample_scenes(40, seed=3)


@pytest.fixture(scope="module")
def recordings(scenes):
    """The same person and noise, without and with signal."""
    return {snr: simulated.simulate_recording(scenes, 5, snr, SFREQ, (0, 1)) for snr in (0., 1.)}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return make(tmp_path_factory.mktemp("simulated"))


def make(folder, *options):
    prepare_data.main(["simulated", "--output", str(folder), "--n_subjects", "2", "--n_pictures", "24",
                       "--image_size", "64", "--no_audit", *options])
    return folder


def at(recording, names):
    return [recording["ch_names"].index(name) for name in names]


def windows_and_kinds(recording, scenes):
    """Mean EEG in 12 windows of 48 ms a channel [trials, 64 * 12], and the class that each trial shows."""
    settings = epochs.Epoching(.5, 40., 0., SFREQ, -50, 150, (-.1, -.004), 0., 0.)
    eeg = simulated.preprocess(recording, settings)[0][:, :, 50:]
    features = eeg[:, :, :144].reshape(len(eeg), 64, 12, 12).mean(3).reshape(len(eeg), -1)
    return features, np.array([drawings.CLASSES.index(scenes[i].kind) for i in recording["image"]])


def separation_p(features, kinds, n_permutations=300):
    """Permutation p value of the spread of the class means."""
    rng, member = np.random.default_rng(0), np.eye(len(drawings.CLASSES))

    def spread(kinds):
        return ((member[kinds].T @ features) / member[kinds].sum(0)[:, None]).var(0).sum()

    null = [spread(rng.permutation(kinds)) for _ in range(n_permutations)]
    return (1 + np.sum(null >= spread(kinds))) / (1 + n_permutations)


def test_snr_decides_whether_the_eeg_knows_the_class(recordings, scenes):
    assert separation_p(*windows_and_kinds(recordings[0.], scenes)) > .01
    features, kinds = windows_and_kinds(recordings[1.], scenes)
    assert separation_p(features, kinds) < .01
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    assert cross_val_score(lda, features, kinds, cv=5).mean() > .3  # chance .125; one person, 160 trials to learn from


def test_without_signal_the_order_of_pictures_leaves_no_trace(scenes):
    """At SNR 0 the recording does not depend on what the pictures show."""
    other = drawings.sample_scenes(40, seed=4)
    first, second = (simulated.simulate_recording(s, 1, 0., SFREQ, (0, 1))["data"] for s in (scenes, other))
    np.testing.assert_array_equal(first, second)


def test_snr_is_the_ratio_of_amplitudes(recordings, scenes):
    evoked = recordings[1.]["data"] - recordings[0.]["data"]
    start = recordings[1.]["onset"]
    windows = np.stack([evoked[:, s:s + 150] for s in start])
    assert np.sqrt(np.mean(windows ** 2)) == pytest.approx(simulated.BACKGROUND_RMS, rel=.02)
    doubled = simulated.simulate_recording(scenes, 5, 2., SFREQ, (0, 1))["data"] - recordings[0.]["data"]
    np.testing.assert_allclose(doubled, 2 * evoked, atol=1e-9)
    before_first = slice(0, start[0])
    assert not evoked[:, before_first].any()


def test_evoked_response_is_strongest_over_visual_areas(recordings):
    evoked = recordings[1.]["data"] - recordings[0.]["data"]
    back = at(recordings[1.], ["O1", "Oz", "O2", "PO7", "PO8", "P7", "P8"])
    front = at(recordings[1.], ["Fp1", "Fpz", "Fp2", "AF3", "AF4", "F3", "Fz", "F4"])
    assert evoked[back].var(1).mean() > 3 * evoked[front].var(1).mean()


def test_left_and_right_drive_opposite_hemispheres():
    amplitude, _ = simulated.scene_code([drawings.Scene("ball", "red", 1, place, "snow") for place in ("left", "right")])
    difference = (amplitude[0] - amplitude[1])[:, 0]
    left, right = np.split(difference, 2)  # dipoles of the two hemispheres, first component
    assert right.mean() > left.mean()


def test_hum_alpha_and_blinks_are_where_they_belong(recordings):
    raw, data = recordings[0.], recordings[0.]["data"]
    frequency, power = welch(data, SFREQ, nperseg=1000)
    near = lambda f: np.abs(frequency - f).argmin()  # noqa: E731
    hum = power[:, near(50)]
    assert (hum > 20 * np.maximum(power[:, near(46)], power[:, near(54)])).all()
    occipital, frontal = at(raw, ["O1", "O2", "Oz", "POz"]), at(raw, ["Fp1", "Fp2", "Fpz"])
    band = (frequency > 8) & (frequency < 12)
    around = ((frequency > 5) & (frequency < 7)) | ((frequency > 14) & (frequency < 16))
    assert power[occipital][:, band].mean() > 2 * power[occipital][:, around].mean()
    slope = np.polyfit(np.log(frequency[(frequency > 1) & (frequency < 6)]),
                       np.log(power[at(raw, ["Cz"])[0], (frequency > 1) & (frequency < 6)]), 1)[0]
    assert -1.6 < slope < -.5  # 1/f
    large = np.percentile(data, 99.5, axis=1)
    assert large[frontal].min() > 1.5 * np.median(large)
    filtered = mne.filter.filter_data(data.astype(float), SFREQ, .5, 40., verbose="error")
    after = welch(filtered, SFREQ, nperseg=1000)[1]
    assert after[:, near(50)].max() < .01 * hum.min()


def test_gain_agrees_with_the_potential_of_a_dipole_in_a_homogeneous_sphere_in_sign_and_symmetry():
    """An upward dipole under the vertex makes Cz positive; mirrored dipoles make mirrored maps."""
    gain, names = simulated.forward_gain(np.array([[0., 0., .06], [-.04, -.04, 0.], [.04, -.04, 0.]]),
                                         np.array([[0., 0., 1.], [-1., 0., 0.], [1., 0., 0.]]))
    assert names[gain[:, 0].argmax()] == "Cz"
    np.testing.assert_allclose(gain.mean(0), 0, atol=1e-9)
    left, right = (names.index(name) for name in ("P7", "P8"))
    assert gain[left, 1] == pytest.approx(gain[right, 2], rel=1e-3)


def test_files_and_splits(prepared):
    trials, (split,) = load_trials(prepared), read_splits(prepared / "splits.pth")
    record = trials.record
    assert trials.eeg.shape == (48, 64, 150) and trials.sfreq == 250 and record["n_times"] == 200 and record["tmin"] == -.2
    assert len(trials.ch_names) == 64 and record["about"]["snr"] == 1.0 and record["about"]["seed"] == 42
    assert sorted(i for part in ("train", "val", "test") for i in split[part]) == list(range(48))
    pictures = {part: set(trials.image[split[part]].tolist()) for part in ("train", "val", "test")}
    assert sum(map(len, pictures.values())) == len(trials.images) == 24  # no picture in two parts
    for part in pictures:
        assert set(trials.label[split[part]].tolist()) == set(range(len(drawings.CLASSES)))
    names = trials.names(torch.arange(48))
    assert [name.split("_")[0] for name in names] == [trials.class_names[i] for i in trials.label.tolist()]
    for subject in (1, 2):  # in random order: a class never stands in one block
        labels = trials.label[trials.subject == subject].tolist()
        assert len(list(itertools.groupby(labels))) > 2 * len(drawings.CLASSES)
        assert (np.diff(trials.onset[trials.subject == subject]) >= .85).all()


def test_blocks_and_drift_change_only_what_they_say(scenes):
    blocked = simulated.simulate_recording(scenes, 5, 0., SFREQ, (0, 1), "blocks", 20.)
    kinds = [scenes[i].kind for i in blocked["image"]]
    assert len(list(itertools.groupby(kinds))) == len(set(kinds))
    still = simulated.simulate_recording(scenes, 5, 0., SFREQ, (0, 1), "blocks")
    assert sorted(still["image"]) == sorted(blocked["image"])
    drift = (blocked["data"] - still["data"])[:, ::250]
    power = np.abs(np.fft.rfft(drift))[:, 1:] ** 2
    below = np.fft.rfftfreq(drift.shape[1])[1:] < .02  # Hz; 4% of the band
    assert power[:, below].sum() > .6 * power.sum()
    assert drift.std(1).mean() == pytest.approx(20, rel=.1)


def test_captions_lie_beside_the_pictures_and_name_their_scenes(prepared):
    for name, scene in zip(read_record(prepared)["pictures"], drawings.sample_scenes(24, 42), strict=True):
        folder = prepared / "images" / scene.kind
        assert (folder / f"{name}.JPEG").is_file()
        assert (folder / f"{name}_caption.txt").read_text().strip() == drawings.caption(scene)


def test_equal_seeds_give_equal_files(prepared, tmp_path):
    again, other = make(tmp_path / "again"), make(tmp_path / "other", "--seed", "1")
    first, second, third = (load_trials(folder) for folder in (prepared, again, other))
    assert torch.equal(first.eeg[:], second.eeg[:]) and torch.equal(first.image, second.image)
    assert first.fingerprint == second.fingerprint != third.fingerprint
    assert read_splits(prepared / "splits.pth") == read_splits(again / "splits.pth")
    assert not torch.equal(first.eeg[0], third.eeg[0])


@pytest.mark.parametrize("options", [["--snr", "-1"], ["--n_pictures", "10"], ["--l_freq", "50"], ["--tmax", ".8"],
                                     ["--drift", "-1"], ["--sfreq", "100"], ["--classes", "ball"], ["--seed", "-1"]])
def test_bad_options_end_with_one_sentence(options, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        prepare_data.main(["simulated", "--output", str(tmp_path), *options])
    assert stop.value.code == 2 and options[0] in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_pictures_of_another_data_set_are_left_alone(prepared, tmp_path, capsys):
    stranger = tmp_path / "images" / "dog" / "dog_1.JPEG"
    stranger.parent.mkdir(parents=True)
    stranger.write_bytes(b"mine")
    with pytest.raises(SystemExit) as stop:
        make(tmp_path)
    assert stop.value.code == 2 and "dog_1" in capsys.readouterr().err and stranger.read_bytes() == b"mine"


def test_captions_are_short_unique_and_say_what_the_scene_holds():
    scenes = drawings.sample_scenes(len(drawings.CLASSES) * drawings.SCENES_PER_CLASS)
    captions = [drawings.caption(scene) for scene in scenes]
    assert len(set(captions)) == len(captions)
    for scene, text in zip(scenes, captions, strict=True):
        words = text.lower().rstrip(".").split()
        assert len(words) <= 12 and text[0].isupper() and text.endswith(".")
        assert scene.colour in words and any(word.startswith(scene.kind) for word in words)
        assert drawings.PLACES[scene.place] in text and drawings.BACKGROUNDS[scene.background] in text.lower()
        assert (drawings.NUMBERS[scene.number] in words) == (scene.number > 1)
    assert drawings.caption(drawings.Scene("car", "red", 2, "left", "snow")) == \
        "Two red cars on the left of a snowy field."
    assert drawings.caption(drawings.Scene("fish", "orange", 1, "top", "sand")) == \
        "There is an orange fish at the top of a sandy beach."


def test_left_out_captions_are_left_out():
    known = {drawings.caption(scene) for scene in drawings.sample_scenes(200, 0)}
    assert not known & {drawings.caption(s) for s in drawings.sample_scenes(2000, 1, exclude=known)}


def test_each_attribute_changes_the_drawing_and_the_place_moves_it():
    base = {"kind": "house", "colour": "red", "number": 2, "place": "left", "background": "snow", "variant": 5}
    values = {"kind": drawings.CLASSES, "colour": drawings.COLOURS, "number": drawings.NUMBERS,
              "place": drawings.PLACES, "background": drawings.BACKGROUNDS}
    for attribute, options in values.items():
        pixels = [np.asarray(drawings.draw(drawings.Scene(**(base | {attribute: v})), 64), float) for v in options]
        for a, b in itertools.combinations(pixels, 2):
            assert np.abs(a - b).mean() > 1
    left, right = (np.asarray(drawings.draw(drawings.Scene(**(base | {"place": p})), 64), float) for p in ("left", "right"))
    red = [(image[..., 0] - image[..., 2] > 60).sum(0) for image in (left, right)]  # by column
    centre = [(np.arange(64) * r).sum() / r.sum() for r in red]
    assert centre[0] < 24 and centre[1] > 40
    np.testing.assert_array_equal(left, np.asarray(drawings.draw(drawings.Scene(**base), 64)))
