"""prepare_data.py mindbigdata: recordings of the Emotiv Insight into data set folders."""

import numpy as np
import pytest
import torch
from PIL import Image

from eegdata.splits import read_splits
from source_material import ORDER, dropped, fails, prepare
from sources import mindbigdata

IN_ORDER = ["AF3", "AF4", "T7", "T8", "PZ"]
SYNSETS = ["n02106662", "n07873807", "n99999999"]


def write_digits(path, codes, sizes=None, first=1000, seed=0):
    """IN.txt in the layout of MindBigData-IN-v1.06; returns the samples {event: [5, size] in the order of IN_ORDER}."""
    rng, lines, samples = np.random.default_rng(seed), [], {}
    for event, code in enumerate(codes, first):
        size = 260 if sizes is None else sizes[event - first]
        samples[event] = (4200 + rng.normal(0, 20, (5, size))).round(6)
        for number, (channel, values) in enumerate(zip(IN_ORDER, samples[event], strict=True)):
            lines.append(f"{27100 + 5 * event + number}\t{event}\tIN\t{channel}\t{code}\t{size}\t"
                         + ",".join(f"{value:.6f}" for value in values) + "\r\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(lines).encode())
    return samples


def digits(folder, *options):
    return prepare("mindbigdata", folder / "out", "--folder", folder, "--set", "mnist", "--split_by", "time", "--split_gap",
                   "0", "--val_fraction", ".3", "--test_fraction", ".3", *options)


CODES = (3, 7, -1, 3, 7, 3, 7, 3, 7, 3, 7)


def test_digits(tmp_path):
    sizes = [260, 256, 260, 255, *[260] * 7]
    samples = write_digits(tmp_path / "IN.txt", CODES, sizes)
    trials = digits(tmp_path, "--scale", "none")
    kept = [event for event in samples if event not in (1002, 1003)]
    assert dropped(trials) == {"code -1, a random signal": 1, "fewer than 256 samples": 1}
    assert trials.label.tolist() == [CODES[event - 1000] for event in kept] and trials.ch_names == ORDER
    expected = np.stack([samples[event][[0, 1, 4, 2, 3], :256] for event in kept])
    np.testing.assert_allclose(trials.eeg[:], expected - expected.mean(2, keepdims=True), atol=1e-4)
    record = trials.record
    assert record["class_ids"] == list("0123456789") and trials.class_names[3] == "three"
    assert record["pictures_known"] == "no" and trials.tmin is None and np.isnan(trials.onset).all()
    assert trials.images == ["3_unknown", "7_unknown"] and trials.session.unique() == -1
    assert any("mean over the trial subtracted" in step for step in record["about"]["steps"])
    assert dropped(digits(tmp_path, "--n_times", "255", "--overwrite")) == {"code -1, a random signal": 1}


def test_a_band_filters_each_trial_by_itself(tmp_path):
    from scipy.signal import butter, sosfiltfilt

    samples = write_digits(tmp_path / "MindBigData-IN-v1.06" / "IN.txt", CODES)
    trials = digits(tmp_path, "--scale", "none", "--l_freq", "2", "--h_freq", "20")
    first = samples[1000][[0, 1, 4, 2, 3], :256]
    sections = butter(4, (2, 20), "bandpass", output="sos", fs=128)
    expected = sosfiltfilt(sections, first - first.mean(1, keepdims=True), padlen=255)
    np.testing.assert_allclose(trials.eeg[0], expected, atol=.1)
    assert any("2 to 20 Hz within each trial" in step for step in trials.record["about"]["steps"])


def test_recordings_are_stretches_of_the_file_whose_rows_may_stand_in_any_order(tmp_path, monkeypatch):
    """Memory is bounded by the stretch; a split by recording keeps stretches apart."""
    monkeypatch.setattr(mindbigdata, "MAX_BLOCK_TRIALS", 4)
    samples = write_digits(tmp_path / "IN.txt", (3, 7) * 6)
    lines = (tmp_path / "IN.txt").read_bytes().splitlines(keepends=True)
    lines[8], lines[33] = lines[33], lines[8]  # a row of the second event and one of the seventh
    (tmp_path / "IN.txt").write_bytes(b"".join(lines))
    trials = prepare("mindbigdata", tmp_path / "out", "--folder", tmp_path, "--set", "mnist", "--scale", "none")
    assert trials.recording.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert [each["name"] for each in trials.record["recordings"]] == ["events 1 to 4", "events 5 to 8", "events 9 to 12"]
    assert trials.label.tolist() == [3, 7] * 6
    expected = np.stack([each[[0, 1, 4, 2, 3], :256] for each in samples.values()])
    np.testing.assert_allclose(trials.eeg[:], expected - expected.mean(2, keepdims=True), atol=1e-4)
    split, = read_splits(tmp_path / "out" / "splits.pth")
    assert [set(trials.recording[split[part]].tolist()) for part in ("train", "val", "test")] == [{0}, {1}, {2}]


def change_lines(change):
    return lambda text: b"".join(change(text.splitlines(keepends=True)))


@pytest.mark.parametrize(("change", "expected", "lost"), [
    (lambda text: text[:-500], "the row is damaged", 1),
    (change_lines(lambda rows: rows[:-1]), "channel Pz is missing", 1),
    (change_lines(lambda rows: [*rows, rows[3]]), "is there twice", 1),
    (change_lines(lambda rows: [rows[0].replace(b"\t3\t", b"\t4\t", 1), *rows[1:]]), "code 3, 4 in the rows", 1),
    (change_lines(lambda rows: [row.replace(b"\t3\t260", b"\t12\t260") for row in rows[:5]] + rows[5:]), "code 12", 1),
    (lambda text: text.replace(b".", b"\x00", 1), "expected a number", 1),
    (lambda text: text.replace(b",4", b",4444444", 1), "expected finite microvolts", 1),
    (lambda text: text.replace(b"\tIN\t", b"\tEP\t", 1), "device 'EP'", 1),
    (lambda text: text[:3000] + bytes(255 - byte for byte in text[3000:3004]) + text[3004:], "expected a number", 1),
    (change_lines(lambda rows: [rows[0].replace(b"\t", b" "), *rows[1:]]), "tab-separated cells", 1),
])
def test_damaged_digits(tmp_path, capsys, change, expected, lost):
    path = tmp_path / "IN.txt"
    write_digits(path, CODES)
    path.write_bytes(change(path.read_bytes()))
    folder = ("mindbigdata", tmp_path / "out", "--folder", tmp_path, "--set", "mnist")
    message = fails(capsys, *folder)
    assert expected in message and "IN.txt" in message and "--skip_damaged" in message
    assert not (tmp_path / "out" / "dataset.json").exists()
    trials = digits(tmp_path, "--skip_damaged")
    assert dropped(trials) == {"code -1, a random signal": 1, "damaged": lost} and len(trials) == 10 - lost


def test_digits_that_are_not_there(tmp_path, capsys):
    folder = ("mindbigdata", tmp_path / "out", "--folder", tmp_path)
    assert "IN.txt is there" in fails(capsys, *folder, "--set", "mnist")
    (tmp_path / "IN.txt").write_text("\n")
    assert "holds no event" in fails(capsys, *folder, "--set", "mnist")
    assert "--pictures" in fails(capsys, *folder, "--set", "mnist", "--pictures", tmp_path)
    assert "--l_freq 20 --h_freq 2" in fails(capsys, *folder, "--set", "mnist", "--l_freq", "20", "--h_freq", "2")
    assert "--n_times 0" in fails(capsys, *folder, "--set", "mnist", "--n_times", "0")


def write_photographs(folder, sessions=(5, 20, 785), each=2, size=384, pictures=True):
    """MindBigData-Imagenet and ImageNet's pictures; returns {picture: [5, size]} in the order AF3 AF4 T7 T8 Pz."""
    rng, samples = np.random.default_rng(0), {}
    for number, session in enumerate(sessions):
        for synset in SYNSETS[:2]:
            for i in range(each):
                picture = f"{synset}_{100 * number + i}"
                samples[picture] = (4200 + rng.normal(0, 20, (5, size))).round(4)
                path = folder / "MindBigData-Imagenet" / f"MindBigData_Imagenet_Insight_{picture}_1_{session}.csv"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("".join(f"{channel},{','.join(map(str, values))}\n" for channel, values in zip(
                    ("AF3", "AF4", "T7", "T8", "Pz"), samples[picture], strict=True)))
                image = folder / "train" / synset / f"{picture}.JPEG"
                image.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(image)
    return samples


def photographs(folder, *options):
    return prepare("mindbigdata", folder / "out", "--folder", folder, "--set", "imagenet", *options)


def test_photographs_with_their_pictures(tmp_path):
    samples = write_photographs(tmp_path)
    trials = photographs(tmp_path, "--pictures", tmp_path / "train", "--scale", "none")
    assert trials.record["pictures_known"] == "yes" and trials.record["split_by"] == "picture"
    assert trials.record["class_ids"] == SYNSETS[:2] and trials.class_names == {0: "dog", 1: "pizza"}
    names = trials.names(slice(None))
    assert sorted(names) == sorted(samples) and [SYNSETS.index(n.split("_")[0]) for n in names] == trials.label.tolist()
    for eeg, name in zip(trials.eeg[:], names, strict=True):
        own = samples[name][[0, 1, 4, 2, 3], :256]
        np.testing.assert_allclose(eeg, own - own.mean(1, keepdims=True), atol=1e-3)
        copied = tmp_path / "out" / "images" / name.split("_")[0] / f"{name}.JPEG"
        assert copied.read_bytes() == (tmp_path / "train" / name.split("_")[0] / f"{name}.JPEG").read_bytes()
    assert [each["name"] for each in trials.record["recordings"]] == ["session 5", "session 20", "session 785"]
    assert trials.session.tolist() == [5] * 4 + [20] * 4 + [785] * 4
    split, = read_splits(tmp_path / "out" / "splits.pth")
    pictures = [set(trials.image[split[part]].tolist()) for part in ("train", "val", "test")]
    assert sum(map(len, pictures)) == 12 == len(set.union(*pictures))


def test_photographs_without_pictures_and_with_a_class_of_few(tmp_path, capsys):
    write_photographs(tmp_path)
    folder = tmp_path / "MindBigData-Imagenet"
    one = next(iter(sorted(folder.glob("*"))))
    (folder / "MindBigData_Imagenet_Insight_n99999999_1_1_20.csv").write_text(one.read_text().replace("42", "41"))
    (folder / "MindBigData_Imagenet_Insight_n02106662_7_1_785.csv").write_bytes(one.read_bytes())
    trials = photographs(folder.parent, "--min_trials", "6")
    printed = capsys.readouterr().out
    assert "1 trials of 1 classes left out" in printed and "1 copies" in printed
    assert len(trials) == 12 and trials.record["pictures_known"] == "no" and trials.record["split_by"] == "session"
    assert set(trials.images) == {f"{synset}_unknown" for synset in SYNSETS[:2]}
    split, = read_splits(tmp_path / "out" / "splits.pth")
    assert [set(trials.session[split[part]].tolist()) for part in ("train", "val", "test")] == [{5}, {20}, {785}]
    argv = ("mindbigdata", tmp_path / "x", "--folder", folder, "--set", "imagenet")
    assert "leaves 0 of 3 classes" in fails(capsys, *argv, "--min_trials", "60")
    assert "no trial of n99999999" in fails(capsys, *argv)  # a split by session wants every class in each part


def test_pictures_that_are_missing(tmp_path, capsys):
    write_photographs(tmp_path)
    for path in sorted((tmp_path / "train" / SYNSETS[1]).glob("*"))[:4]:
        path.unlink()
    argv = ("mindbigdata", tmp_path / "out", "--folder", tmp_path, "--set", "imagenet")
    message = fails(capsys, *argv, "--pictures", tmp_path / "train")
    assert "4 of 12 pictures are missing" in message and f"{SYNSETS[1]}_0.JPEG" in message
    assert not (tmp_path / "out").exists()
    assert "12 of 12" in fails(capsys, *argv, "--pictures", tmp_path / "nowhere")


@pytest.mark.parametrize(("change", "expected"), [
    (lambda text: text[:text.rindex(b",", 0, -200)], "different lengths"),
    (lambda text: text.replace(b"Pz", b"Oz"), "channel Pz is missing"),
    (lambda text: text.replace(b"Pz", b"T8"), "channel T8 is there twice"),
    (lambda text: text.replace(b"T8,", b"T8,nan,", 1), "expected finite"),
    (lambda text: text[:900] + b"\xfe\xff" + text[902:], "expected a number"),
    (lambda text: b"", "is missing"),
])
def test_damaged_photographs(tmp_path, capsys, change, expected):
    write_photographs(tmp_path)
    path = sorted((tmp_path / "MindBigData-Imagenet").glob("*"))[5]
    path.write_bytes(change(path.read_bytes()))
    message = fails(capsys, "mindbigdata", tmp_path / "out", "--folder", tmp_path, "--set", "imagenet")
    assert expected in message and path.name in message and "--skip_damaged" in message
    assert dropped(photographs(tmp_path, "--skip_damaged")) == {"damaged": 1}


def test_files_that_are_no_photographs(tmp_path, capsys):
    argv = ("mindbigdata", tmp_path / "out", "--folder", tmp_path, "--set", "imagenet")
    assert "no *.csv" in fails(capsys, *argv)
    (tmp_path / "EEG_n02106662.csv").write_text("AF3,1\n")
    assert "synset, picture and session cannot be read" in fails(capsys, *argv)


def test_blocks_are_bounded(tmp_path, monkeypatch):
    """A session of any length is read in blocks of MAX_BLOCK_TRIALS trials, and scaled as one."""
    monkeypatch.setattr(mindbigdata, "MAX_BLOCK_TRIALS", 5)
    write_photographs(tmp_path, sessions=(1,), each=6)
    trials = photographs(tmp_path, "--pictures", tmp_path / "train")
    assert [shard["trials"] for shard in trials.record["recordings"][0]["shards"]] == [5, 5, 2]
    assert torch.allclose(trials.eeg[:5].transpose(0, 1).flatten(1).std(1), torch.ones(5), atol=.01)
