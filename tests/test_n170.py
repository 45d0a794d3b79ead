"""prepare_data.py n170: Muse recordings of faces and houses into a data set folder, split by recording within subject."""

import re
from argparse import ArgumentParser
from pathlib import Path

from runtime.errors import InputError

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

import prepare_data
from eegdata.splits import read_splits
from eegdata.trials import load_trials
from source_material import muse_name, write_muse
from sources import epochs, n170

PARTS = ("train", "val", "test")


@pytest.fixture
def folder(tmp_path):
    """Subject 1 with five recordings, subject 2 with two, subject 3 with one; three photographs a class."""
    for subject, count in ((1, 5), (2, 2), (3, 1)):
        for minute in range(count):
            write_muse(tmp_path / "recordings" / muse_name(subject, minute), seed=10 * subject + minute)
    for class_folder in ("faces", "houses"):
        for number in range(6):
            path = tmp_path / "stimuli" / class_folder / f"one{number}.1.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (20, 30), 30 * number).save(path)
    return tmp_path


def test_who_has_no_recordings_is_told_what_to_do(tmp_path):
    """`make n170` in a fresh clone said "no such folder" of a folder that nobody had named, and no more."""
    with pytest.raises(InputError, match=r"absent: no such folder; expected .*EEG-ExPy.*; give their folder"):
        n170.find_recordings(tmp_path / "absent")


def prepare(folder, *options):
    """The trials from -0.1 s on, and the split."""
    return prepare_from(folder / "recordings", folder / "stimuli", folder / "out", *options)


def prepare_from(recordings, stimuli, output, *options):
    prepare_data.main(["n170", "--recordings", str(recordings), "--stimuli", str(stimuli), "--output", str(output),
                       "--no_audit", *map(str, options)])
    return load_trials(output, time_low=0), read_splits(output / "splits.pth")[0]


def fails(capsys, folder, *options):
    with pytest.raises(SystemExit) as stop:
        prepare(folder, *options)
    assert stop.value.code == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("error: ")
    return message


def check_split(trials, split):
    """Every trial in one part; no recording and no picture in two; both classes in each part."""
    assert sorted(split["train"] + split["val"] + split["test"]) == list(range(len(trials)))
    for values in (trials.recording, trials.image):
        sets = [set(values[split[part]].tolist()) for part in PARTS]
        assert sum(map(len, sets)) == len(set.union(*sets))
    assert all(set(trials.label[split[part]].tolist()) == {0, 1} for part in PARTS)


def parts_of(trials, split):
    """{recording: part}"""
    numbers = {number: part for part in PARTS for number in trials.recording[split[part]].tolist()}
    return {trials.record["recordings"][number]["name"]: part for number, part in numbers.items()}


def test_made_up_recordings_are_split_by_time_within_subject(folder):
    trials, split = prepare(folder)
    check_split(trials, split)
    assert parts_of(trials, split) == {
        **{muse_name(1, minute): part for minute, part in enumerate(("train", "train", "train", "val", "test"))},
        muse_name(2, 0): "train", muse_name(2, 1): "test", muse_name(3, 0): "train"}
    assert trials.sfreq == 256 and trials.ch_names == ["TP9", "AF7", "AF8", "TP10"]
    assert trials.class_names == {0: "house", 1: "face"} and trials.tmin == -26 / 256 and trials.eeg.shape[1:] == (4, 231)
    assert load_trials(folder / "out").tmin == 0  # what the stages read
    assert (trials.record["units"], trials.record["pictures_known"], trials.record["split_by"]) == ("uV", "class", "given")
    onsets = {number: trials.onset[trials.recording == number] for number in range(8)}
    for seconds in onsets.values():  # the marker stands at row 100 + 200 k of 256 Hz
        np.testing.assert_allclose(seconds, (100 + 200 * np.arange(len(seconds))) / 256, atol=1e-4)


def test_test_recordings_do_not_change_what_the_training_trials_are(folder):
    """No leakage: ten times the amplitude in the test recording leaves every training trial's numbers as they are."""
    trials, split = prepare(folder, "--reject", 0)
    before, test = trials.eeg[split["train"]], trials.eeg[split["test"]]
    signal = np.random.default_rng(3).normal(0, 100, (4, 20 * 256))
    write_muse(folder / "recordings" / muse_name(1, 4), signal)
    trials, split = prepare(folder, "--reject", 0, "--overwrite")
    assert torch.equal(before, trials.eeg[split["train"]]) and not torch.equal(test, trials.eeg[split["test"]])


def test_pictures_and_captions(folder):
    trials, split = prepare(folder)
    assert len(trials.images) == 12 and "face_one0-1" in trials.images
    for image in trials.images:
        class_id = image.split("_")[0]
        path = folder / "out" / "images" / class_id / f"{image}.JPEG"
        with Image.open(path) as picture:
            assert picture.mode == "RGB" and picture.size == (20, 30) and picture.format == "JPEG"
        caption = path.with_name(f"{image}_caption.txt").read_text().strip()
        assert caption in n170.WORDINGS[class_id] and class_id in caption
    image, label = trials.image.numpy(), trials.label.numpy()
    assert [trials.images[i].split("_")[0] for i in image] == [trials.class_names[i] for i in label]
    for part in PARTS:  # a fixed rotation: each of the part's pictures equally often, give or take one
        for this in (0, 1):
            own = [i for i in split[part] if label[i] == this]
            counts = np.unique(image[own], return_counts=True)[1]
            assert counts.max() - counts.min() <= 1
    assert "NOT known" in trials.record["about"]["pictures"] and "NOT known" in n170.__doc__


def test_wordings_vary_and_depend_on_the_name_alone():
    names = [f"face_{number}" for number in range(40)]
    captions = [n170.caption("face", name) for name in names]
    assert set(captions) == set(n170.WORDINGS["face"])
    assert captions == [n170.caption("face", name) for name in names]


def test_filter_keeps_10_hz_and_takes_60_hz_and_drift_away(folder):
    """Sines on four channels, against the sines themselves: only the one inside 1..30 Hz comes through, unshifted."""
    times = np.arange(20 * 256) / 256
    sines = np.stack([30 * np.sin(2 * np.pi * frequency * times) for frequency in (10, 60, 0.1, 20)])
    path = write_muse(folder / "one.csv", sines)
    recording = n170.read_recording(path, "one", 1, 1, settings(folder, "--reject", 0))
    onsets = np.flatnonzero(pandas.read_csv(path).Marker0)
    assert not recording.dropped and len(onsets) == len(recording.label)
    assert recording.label.tolist() == [number % 2 for number in range(len(onsets))]
    start = round(-0.1 * 256)
    for epoch, onset in list(zip(recording.eeg, onsets, strict=True))[4:-4]:
        window = slice(onset + start, onset + start + epoch.shape[1])
        np.testing.assert_allclose(epoch[[0, 3]], sines[[0, 3], window], atol=0.5)
        assert np.abs(epoch[1]).max() < 0.5 and np.abs(epoch[2]).max() < 1.0


def settings(folder, *options):
    parser = ArgumentParser()
    n170.add_arguments(parser)
    given = ["--recordings", str(folder), "--stimuli", str(folder), *map(str, options)]
    return epochs.settle(parser.parse_args(given), n170.SFREQ, unset=epochs.no_baseline)


def test_large_amplitudes_are_rejected_and_gaps_cut_off(folder):
    signal = np.random.default_rng(0).normal(0, 5, (4, 20 * 256))
    path = write_muse(folder / "one.csv", signal)
    table = pandas.read_csv(path)
    onsets = np.flatnonzero(table.Marker0)
    table.loc[onsets[5] + 50, "AF7"] += 1500  # an artefact in one trial
    table.loc[onsets[12] + 20 :, "timestamps"] += 0.5  # half a second was lost within another
    table.to_csv(path, index=False)
    recording = n170.read_recording(path, "one", 1, 1, settings(folder))
    assert recording.dropped == {"more than 100 uV peak to peak": 1, "across lost samples": 1}
    assert recording.notes == ["1 gaps of lost samples"] and len(recording.label) == len(onsets) - 2
    later = onsets[13:] / 256 + 0.5  # the clock of the timestamps goes on in the gap
    np.testing.assert_allclose(recording.onset[-len(later):] + 100 / 256 - onsets[0] / 256, later, atol=1e-4)


def change(path, edit):
    table = pandas.read_csv(path)
    edit(table).to_csv(path, index=False)


@pytest.mark.parametrize(("edit", "expected"), [
    (lambda t: t.drop(columns="AF8"), "column AF8 is missing"),
    (lambda t: t.drop(columns="Marker0"), "no column of markers"),
    (lambda t: t.assign(Marker0=0), "no markers"),
    (lambda t: t.assign(Marker0=t.Marker0 * 2), "marker 4"),
    (lambda t: t.iloc[::-1], "before an earlier one"),
    (lambda t: t.assign(timestamps=t.timestamps * 2), "128.0 samples/s"),
    (lambda t: t.assign(TP9=t.TP9.astype(str).where(t.index != 7, "1.2#")), "line 9: TP9 is '1.2#'"),
    (lambda t: t.assign(TP9=t.TP9.astype(int).astype(str).where(t.index != 7, "9" * 400)), "line 9: TP9 is '999"),
    (lambda t: t.assign(TP9=t.TP9.where(t.index != 7, np.inf)), "line 9: TP9 is 'inf'"),
    (lambda t: t.assign(TP9=t.TP9.where(t.index != 7, -1e300)), "line 9: TP9 is -1e+300, expected microvolts"),
    (lambda t: t.iloc[:300], "lasts 1.17 s, but the filters"),
])
def test_bad_recordings_are_named(folder, capsys, edit, expected):
    path = folder / "recordings" / muse_name(1, 2)
    change(path, edit)
    message = fails(capsys, folder)
    assert expected in message and path.name in message
    assert not (folder / "out").exists()


def test_files_that_are_cut_or_no_text(folder, capsys):
    path = folder / "recordings" / muse_name(1, 2)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2 - 20], whole[:500] + b"\xff\xfe" + whole[502:], b""):
        path.write_bytes(damaged)
        assert path.name in fails(capsys, folder)


def test_what_is_missing_or_empty_is_named(folder, capsys):
    recordings = folder / "recordings"
    for file in recordings.glob("subject0001*"):
        file.unlink()
    assert "the part val has no trial of house and face" in fails(capsys, folder)
    for file in recordings.glob("*"):
        file.unlink()
    (recordings / muse_name(1, 2)).mkdir()
    write_muse(recordings / "._hidden.csv")
    assert "holds no .csv" in fails(capsys, folder)
    write_muse(recordings / "something.csv")
    assert "subject<n>_session<n>" in fails(capsys, folder)
    assert "no such folder" in fails(capsys, folder / "nowhere")
    assert "--l_freq 40 --h_freq 30" in fails(capsys, folder, "--l_freq", "40")


def test_fractions_and_another_split(folder, capsys):
    assert "their sum below 1" in fails(capsys, folder, "--val_fraction", "0.6", "--test_fraction", "0.5")
    for file in (folder / "recordings").glob("subject0001*"):
        file.unlink()  # no subject with three is left
    assert "the part val has no trial" in fails(capsys, folder)
    _, split = prepare(folder, "--split_by", "time", "--split_gap", "0")
    assert all(split[part] for part in PARTS)


def test_missing_and_broken_photographs(folder, capsys):
    picture = folder / "stimuli" / "faces" / "one3.1.jpg"
    picture.write_bytes(picture.read_bytes()[:200])
    assert "one3.1.jpg: not a readable picture" in fails(capsys, folder)
    assert not (folder / "out" / "dataset.json").exists() and not list((folder / "out").rglob("face_one3*"))
    for file in (folder / "stimuli" / "houses").glob("*"):
        file.unlink()
    assert "0 photographs" in fails(capsys, folder)


@pytest.fixture(scope="module")
def real(shared, tmp_path_factory):
    source, output = shared / "n170", tmp_path_factory.mktemp("n170")
    return source / "muse2016", *prepare_from(source / "muse2016", source / "stimuli", output)


def test_real_recordings(real):
    """Markers and trials against counting with pandas."""
    source, trials, split = real
    check_split(trials, split)
    assert set(trials.subject.tolist()) == {1, 2, 10}
    assert len(trials.images) == len(list((Path(trials.path) / "images").rglob("*.JPEG"))) == 96
    record = trials.record["recordings"]
    assert [each["name"] for each in record] == sorted((path.name for path in source.glob("*.csv")), key=by_time)
    for number, each in enumerate(record):
        table = pandas.read_csv(source / each["name"])
        marker = table.iloc[:, -1].to_numpy()
        outside = [i for i in np.flatnonzero(marker) if i < 26 or i + 204 >= len(marker)]  # -0.1 to 0.8 s
        own = (trials.recording == number).numpy()
        dropped = each["dropped"]
        assert own.sum() + sum(dropped.values()) == (marker > 0).sum()
        assert dropped.get("outside the recording", 0) == len(outside)
        shown = {(round(table.timestamps[i] - table.timestamps[0], 6), marker[i] - 1) for i in np.flatnonzero(marker)}
        assert set(zip(trials.onset[own].round(6).tolist(), trials.label[own].tolist(), strict=True)) <= shown
        assert set(trials.session[own].tolist()) <= {int(re.search(r"session(\d+)", each["name"])[1])}
    parts = parts_of(trials, split)
    for subject, expected in (("0001", ["train"] * 4 + ["val", "test"]), ("0002", ["train", "test"]), ("0010", ["train"])):
        assert [parts[each["name"]] for each in record
                if f"subject{subject}" in each["name"] and each["name"] in parts] == expected


def by_time(name):
    return name[:11], name.split("_")[-1]


def test_real_trials_are_the_files_own(real):
    """A trial against SciPy: the file's samples around the marker, filtered by MNE's kernel and divided by the scale."""
    import mne
    from scipy.signal import fftconvolve

    source, trials, _ = real
    entry = trials.record["recordings"][1]
    table = pandas.read_csv(source / entry["name"])
    signal = table[["TP9", "AF7", "AF8", "TP10"]].to_numpy().T
    kernel = mne.filter.create_filter(None, 256., 1., 30., verbose="error")
    filtered = fftconvolve(signal, kernel[None], mode="same", axes=1)
    own = np.flatnonzero(trials.recording == 1)
    checked = 0
    for row in own[20:40].tolist():
        onset = trials.onset[row]
        at = np.flatnonzero((table.iloc[:, -1] > 0) & (np.abs(table.timestamps - table.timestamps[0] - onset) < 1e-6))
        expected = filtered[:, at[0] - 26:at[0] + 205] / np.array(entry["scale"])[:, None]
        np.testing.assert_allclose(trials.eeg[row].numpy(), expected, atol=2e-3)
        checked += trials.label[row] + 1 == table.iloc[at[0], -1]
    assert checked == 20


def test_real_trials_are_told_apart_as_in_the_data_notes(real):
    """Labels and trials belong together: cross-validated above chance with pyriemann, without test trials."""
    from pyriemann.estimation import XdawnCovariances
    from pyriemann.tangentspace import TangentSpace
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline

    _, trials, split = real
    chosen = [i for i in split["train"] + split["val"] if trials.subject[i] == 1]
    pipeline = make_pipeline(XdawnCovariances(2, estimator="oas"), TangentSpace(), LogisticRegression(max_iter=1000))
    scores = cross_val_score(pipeline, trials.eeg[chosen].double().numpy(), trials.label[chosen].numpy(),
                             scoring="balanced_accuracy", cv=StratifiedKFold(5, shuffle=True, random_state=0))
    assert scores.mean() > 0.6


@pytest.mark.parametrize(("change", "expected"), [
    (lambda text: text[:len(text) // 2], "cut short"),
    (lambda text: text[:70_000] + b"\x00\xff" + text[70_002:], "not readable"),
    (lambda text: b"\n".join([*text.split(b"\n")[:1], *reversed(text.split(b"\n")[1:-1])]), "before an earlier one"),
    (lambda text: text.replace(b"TP9", b"TP7", 1), "column TP9 is missing"),
])
def test_damaged_real_recordings(shared, folder, capsys, change, expected):
    """A real recording cut in the middle of a number, with flipped bytes, with its rows turned round, of another cap."""
    real = sorted((shared / "n170" / "muse2016").glob("*.csv"))[0]
    path = folder / "recordings" / real.name
    path.write_bytes(change(real.read_bytes()))
    message = fails(capsys, folder)
    assert expected in message and real.name in message and not (folder / "out").exists()
