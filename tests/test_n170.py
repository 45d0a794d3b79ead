"""prepare_data.py n170: Muse recordings of faces and houses into a data set split by recording within subject."""

from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

import prepare_data
from sources import n170
from sources.eegcvpr40 import read_pth
from splits import read_splits

REAL = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "n170"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason=f"{REAL} is absent")
COLUMNS = ["timestamps", "TP9", "AF7", "AF8", "TP10", "Right AUX", "Marker0"]
PARTS = ("train", "val", "test")


def write_recording(path, signal=None, every=200, seconds=20, seed=0):
    """A made-up Muse CSV: 10 microvolts of noise, or `signal` [4, samples]; house and face in turn."""
    rng = np.random.default_rng(seed)
    count = int(seconds * 256)
    signal = rng.normal(0, 10, (4, count)) if signal is None else signal
    marker = np.zeros(count, int)
    onsets = np.arange(100, count - 300, every)
    marker[onsets] = 1 + np.arange(len(onsets)) % 2
    table = np.column_stack([1000 + np.arange(count) / 256, *signal, np.zeros(count)])
    frame = pandas.DataFrame(table, columns=COLUMNS[:-1]).round(4).assign(Marker0=marker)
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)
    return path


def name(subject, minute):
    return f"subject{subject:04d}_session001_data_2020-01-01-10.{minute:02d}.00.csv"


@pytest.fixture
def folder(tmp_path):
    """Subject 1 with five recordings, subject 2 with two, subject 3 with one; three photographs a class."""
    for subject, count in ((1, 5), (2, 2), (3, 1)):
        for minute in range(count):
            write_recording(tmp_path / "recordings" / name(subject, minute), seed=10 * subject + minute)
    for class_folder in ("faces", "houses"):
        for number in range(6):
            path = tmp_path / "stimuli" / class_folder / f"one{number}.1.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (20, 30), 30 * number).save(path)
    return tmp_path


def prepare(folder, *options):
    prepare_data.main(["n170", "--recordings", str(folder / "recordings"), "--stimuli", str(folder / "stimuli"),
                       "--output", str(folder / "out"), *map(str, options)])
    return read_pth(folder / "out" / "eeg.pth"), read_splits(folder / "out" / "splits.pth")[0]


def fails(capsys, folder, *options):
    with pytest.raises(SystemExit) as stop:
        prepare(folder, *options)
    assert stop.value.code == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("error: ")
    return message


def column(data, key):
    return np.array([record[key] for record in data["dataset"]])


def check_split(data, split):
    """Every trial in one part; no recording and no picture in two; both classes in each part."""
    assert sorted(split["train"] + split["val"] + split["test"]) == list(range(len(data["dataset"])))
    session, image, label = (column(data, key) for key in ("session", "image", "label"))
    for values in (session, image):
        sets = [set(values[split[part]].tolist()) for part in PARTS]
        assert sum(map(len, sets)) == len(set.union(*sets))
    assert all(set(label[split[part]]) == {0, 1} for part in PARTS)


def test_made_up_recordings_are_split_by_time_within_subject(folder):
    data, split = prepare(folder)
    check_split(data, split)
    about = data["about"]
    parts = dict(zip(about["recordings"], about["parts"], strict=True))
    assert parts == {name(1, 0): "train", name(1, 1): "train", name(1, 2): "train", name(1, 3): "val",
                     name(1, 4): "test", name(2, 0): "train", name(2, 1): "test", name(3, 0): "train"}
    assert data["sfreq"] == 256 and data["ch_names"] == ["TP9", "AF7", "AF8", "TP10"]
    assert data["labels"] == data["class_names"] == ["house", "face"]
    training = torch.stack([data["dataset"][i]["eeg"] for i in split["train"]])
    torch.testing.assert_close(training.mean(dim=(0, 2)), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(training.transpose(0, 1).flatten(1).std(dim=1), torch.ones(4), atol=1e-3, rtol=0)


def test_test_recordings_do_not_change_what_the_training_trials_are(folder):
    """No leakage: ten times the amplitude in the test recording leaves every training trial's numbers as they are."""
    data, split = prepare(folder, "--reject", 0)
    before = torch.stack([data["dataset"][i]["eeg"] for i in split["train"]])
    signal = np.random.default_rng(3).normal(0, 100, (4, 20 * 256))
    write_recording(folder / "recordings" / name(1, 4), signal)
    data, split = prepare(folder, "--reject", 0)
    assert torch.equal(before, torch.stack([data["dataset"][i]["eeg"] for i in split["train"]]))


def test_pictures_and_captions(folder):
    data, split = prepare(folder)
    assert len(data["images"]) == 12 and "face_one0-1" in data["images"]
    for image in data["images"]:
        class_id = image.split("_")[0]
        path = folder / "out" / "images" / class_id / f"{image}.JPEG"
        with Image.open(path) as picture:
            assert picture.mode == "RGB" and picture.size == (20, 30) and picture.format == "JPEG"
        caption = path.with_name(f"{image}_caption.txt").read_text().strip()
        assert caption in n170.WORDINGS[class_id] and class_id in caption
    for record in data["dataset"]:
        assert data["images"][record["image"]].startswith(data["labels"][record["label"]] + "_")
    image, label = column(data, "image"), column(data, "label")
    for part in PARTS:  # a fixed rotation: each of the part's pictures equally often, give or take one
        for this in (0, 1):
            own = [i for i in split[part] if label[i] == this]
            counts = np.unique(image[own], return_counts=True)[1]
            assert counts.max() - counts.min() <= 1
    assert "NOT known" in data["about"]["pictures"] and "NOT known" in n170.__doc__


def test_wordings_vary_and_depend_on_the_name_alone():
    names = [f"face_{number}" for number in range(40)]
    captions = [n170.caption("face", name) for name in names]
    assert set(captions) == set(n170.WORDINGS["face"])
    assert captions == [n170.caption("face", name) for name in names]


def test_filter_keeps_10_hz_and_takes_60_hz_and_drift_away(folder):
    """Sines on four channels, against the sines themselves: only the one inside 1..30 Hz comes through, unshifted."""
    times = np.arange(20 * 256) / 256
    sines = np.stack([30 * np.sin(2 * np.pi * frequency * times) for frequency in (10, 60, 0.1, 20)])
    path = write_recording(folder / "one.csv", sines)
    recording = n170.read_recording(path, "one", 1, "t", parse(folder, "--reject", 0))
    onsets = np.flatnonzero(pandas.read_csv(path).Marker0)
    assert recording.markers == len(onsets) == len(recording.label)
    assert recording.label.tolist() == [number % 2 for number in range(len(onsets))]
    start = round(-0.1 * 256)
    for epoch, onset in list(zip(recording.eeg, onsets, strict=True))[4:-4]:
        window = slice(onset + start, onset + start + epoch.shape[1])
        np.testing.assert_allclose(epoch[[0, 3]], sines[[0, 3], window], atol=0.5)
        assert np.abs(epoch[1]).max() < 0.5 and np.abs(epoch[2]).max() < 1.0


def parse(folder, *options):
    parser = ArgumentParser()
    n170.add_arguments(parser)
    return parser.parse_args(["--recordings", str(folder), "--stimuli", str(folder), *map(str, options)])


def test_large_amplitudes_are_rejected_and_gaps_cut_off(folder):
    signal = np.random.default_rng(0).normal(0, 5, (4, 20 * 256))
    path = write_recording(folder / "one.csv", signal)
    table = pandas.read_csv(path)
    onsets = np.flatnonzero(table.Marker0)
    table.loc[onsets[5] + 50, "AF7"] += 1500  # an artefact in one trial
    table.loc[onsets[12] + 20 :, "timestamps"] += 0.5  # half a second was lost within another
    table.to_csv(path, index=False)
    recording = n170.read_recording(path, "one", 1, "t", parse(folder))
    assert (recording.markers, recording.rejected, recording.cut_off, recording.gaps) == (len(onsets), 1, 1, 1)
    assert len(recording.label) == len(onsets) - 2


def change(path, edit):
    table = pandas.read_csv(path)
    edit(table).to_csv(path, index=False)


@pytest.mark.parametrize(("edit", "expected"), [
    (lambda t: t.drop(columns="AF8"), "column AF8 is missing"),
    (lambda t: t.drop(columns="Marker0"), "the last column is Right AUX"),
    (lambda t: t.assign(Marker0=0), "no markers"),
    (lambda t: t.assign(Marker0=t.Marker0 * 2), "marker 4"),
    (lambda t: t.iloc[::-1], "before an earlier one"),
    (lambda t: t.assign(timestamps=t.timestamps * 2), "128.0 samples/s"),
    (lambda t: t.assign(TP9=t.TP9.astype(str).where(t.index != 7, "1.2#")), "line 9: TP9 is '1.2#'"),
    (lambda t: t.assign(TP9=t.TP9.where(t.index != 7, np.inf)), "line 9: TP9 is 'inf'"),
    (lambda t: t.iloc[:300], "cut short"),
])
def test_bad_recordings_are_named(folder, capsys, edit, expected):
    path = folder / "recordings" / name(1, 2)
    change(path, edit)
    message = fails(capsys, folder)
    assert expected in message and path.name in message
    assert not (folder / "out").exists()


def test_files_that_are_cut_or_no_text(folder, capsys):
    path = folder / "recordings" / name(1, 2)
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
    assert "holds no .csv" in fails(capsys, folder)
    write_recording(recordings / "something.csv")
    assert "subject<n>_session<n>" in fails(capsys, folder)
    assert "no such folder" in fails(capsys, folder / "nowhere")
    assert "--band_low" in fails(capsys, folder, "--band_low", "40")


def test_missing_and_broken_photographs(folder, capsys):
    picture = folder / "stimuli" / "faces" / "one3.1.jpg"
    picture.write_bytes(picture.read_bytes()[:200])
    assert "one3.1.jpg: not a readable picture" in fails(capsys, folder)
    assert not (folder / "out" / "eeg.pth").exists()
    for file in (folder / "stimuli" / "houses").glob("*"):
        file.unlink()
    assert "0 photographs" in fails(capsys, folder)


@needs_real
def test_real_recordings(tmp_path, capsys):
    """Markers and trials against counting with pandas; the trials against MNE's filter redone over the whole file."""
    prepare_data.main(["n170", "--recordings", str(REAL / "muse2016"), "--stimuli", str(REAL / "stimuli"),
                       "--output", str(tmp_path), "--reject", "0"])
    data, split = read_pth(tmp_path / "eeg.pth"), read_splits(tmp_path / "splits.pth")[0]
    check_split(data, split)
    assert set(column(data, "subject")) == {1, 2, 10}
    assert len(data["images"]) == len(list((tmp_path / "images").rglob("*.JPEG"))) == 96
    assert data["dataset"][0]["eeg"].shape[0] == 4
    printed = capsys.readouterr().out
    session, label = column(data, "session"), column(data, "label")
    for number, recording in enumerate(data["about"]["recordings"]):
        marker = pandas.read_csv(REAL / "muse2016" / recording).iloc[:, -1].to_numpy()
        whole = [i for i in np.flatnonzero(marker) if i >= 26 and i + 205 < len(marker)]  # -0.1 to 0.8 s
        assert label[session == number].tolist() == (marker[whole] - 1).tolist()
        row = next(line.split() for line in printed.splitlines() if line.startswith(recording))
        assert int(row[2]) == (marker > 0).sum() and int(row[3]) == len(whole)
    times = {recording: recording.split("_")[-1] for recording in data["about"]["recordings"]}
    for subject in ("0001", "0002", "0010"):
        own = [(times[r], p) for r, p in zip(data["about"]["recordings"], data["about"]["parts"], strict=True)
               if r.startswith(f"subject{subject}")]
        assert own == sorted(own) and [p for _, p in own] == {
            "0001": ["train"] * 4 + ["val", "test"], "0002": ["train", "test"], "0010": ["train"] * 4}[subject]


@needs_real
def test_real_trials_are_told_apart_as_in_the_data_notes(tmp_path):
    """Labels and trials belong together: cross-validated above chance with pyriemann, without test trials."""
    from pyriemann.estimation import XdawnCovariances
    from pyriemann.tangentspace import TangentSpace
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline

    prepare_data.main(["n170", "--recordings", str(REAL / "muse2016"), "--stimuli", str(REAL / "stimuli"),
                       "--output", str(tmp_path)])
    data, split = read_pth(tmp_path / "eeg.pth"), read_splits(tmp_path / "splits.pth")[0]
    chosen = [i for i in split["train"] + split["val"] if data["dataset"][i]["subject"] == 1]
    eeg = torch.stack([data["dataset"][i]["eeg"] for i in chosen]).double().numpy()
    pipeline = make_pipeline(XdawnCovariances(2, estimator="oas"), TangentSpace(), LogisticRegression(max_iter=1000))
    scores = cross_val_score(pipeline, eeg, column(data, "label")[chosen], scoring="balanced_accuracy",
                             cv=StratifiedKFold(5, shuffle=True, random_state=0))
    assert scores.mean() > 0.6
