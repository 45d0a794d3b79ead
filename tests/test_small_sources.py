"""prepare_data.py bdd and mindbigdata: recordings of the Emotiv Insight into data set folders."""

import numpy as np
import pytest
import torch
from PIL import Image

import prepare_data
from eegdata.splits import read_splits
from eegdata.trials import load_trials
from sources import mindbigdata

ORDER = ["AF3", "AF4", "Pz", "T7", "T8"]
HEADER = "COUNTER, AF3, T7, Pz, T8, AF4, MARKERS['Blank','Image'], TICK, ContactQuality"
SHOWN = (1, 1, 0, 1, 0, 0, 1, 0, 1, 0) * 2  # classes of a made-up recording's pictures
BDD_NAME = "Image-Blank/Image-Blank(50-50)_2.0sx20_201226-111105.csv"


def prepare(source, output, *options):
    prepare_data.main([source, "--output", str(output), "--no_audit", *map(str, options)])
    return load_trials(output, time_low=0)


def fails(capsys, *argv):
    with pytest.raises(SystemExit) as stop:
        prepare(*argv)
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert stop.value.code == 2 and message.startswith("error: ")
    return message


def dropped(trials):
    counts = {}
    for recording in trials.record["recordings"]:
        for reason, count in recording["dropped"].items():
            counts[reason] = counts.get(reason, 0) + count
    return counts


# BDD

def write_bdd(path, signal=None, classes=SHOWN, counter=None, contact=None, header=HEADER, lag=5,
              seed=0):
    """A made-up recording: a new picture every 254 samples, the marker `lag` samples late where it changes."""
    count = 254 * len(classes)
    signal = np.random.default_rng(seed).normal(0, 10, (5, count)) if signal is None else signal
    marker = np.repeat(classes, 254)
    marker[lag:] = marker[:-lag].copy()
    table = np.column_stack([
        np.arange(count) % 128 if counter is None else counter, *(4200 + signal[[0, 3, 2, 4, 1]]), marker,
        np.arange(count) // 254 % 2, np.full(count, 100) if contact is None else contact])
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, table, fmt="%.18e", delimiter=", ", header=header, comments="", newline="\r\n")
    return path


def bdd(folder, *options):
    return prepare("bdd", folder / "out", "--folder", folder, "--split_by", "time", "--split_gap", "0",
                   "--val_fraction", ".3", "--test_fraction", ".3", *options)


def test_a_trial_a_picture_also_where_the_class_stays_the_same(tmp_path):
    write_bdd(tmp_path / BDD_NAME)
    trials = bdd(tmp_path)
    assert trials.label.tolist() == list(SHOWN[1:]) and trials.class_names == {0: "blank screen", 1: "picture"}
    assert dropped(trials) == {"cut off or across a gap": 1}  # the first picture: the recording begins with it
    np.testing.assert_allclose(trials.onset, 254 * np.arange(1, 20) / 128)
    assert trials.ch_names == ORDER and trials.sfreq == 128
    assert trials.eeg.shape == (19, 5, 155) and trials.tmin == -26 / 128
    assert trials.record["class_ids"] == ["blank", "image"] and trials.record["pictures_known"] == "no"
    assert (trials.record["units"], trials.record["split_by"]) == ("uV", "recording")
    assert [trials.images[i] for i in trials.image[:2]] == ["image_unknown", "blank_unknown"]
    assert dropped(bdd(tmp_path, "--tmin", "0", "--overwrite")) == {}


def test_filter_keeps_10_hz_without_the_headsets_offset(tmp_path):
    times = np.arange(5080) / 128
    sines = np.stack([30 * np.sin(2 * np.pi * f * times) for f in (10, 50, 0.1, 20, 5)])
    write_bdd(tmp_path / BDD_NAME, sines)
    trials = bdd(tmp_path, "--scale", "none")
    for eeg, onset in list(zip(trials.eeg, trials.onset, strict=True))[2:-2]:
        first = round(onset * 128) - 26
        np.testing.assert_allclose(eeg[[0, 3, 4]], sines[[0, 3, 4], first:first + 155], atol=.7)
        assert abs(eeg[1]).max() < .5 and abs(eeg[2]).max() < 1


def test_lost_packets_are_crossed_by_no_trial_and_no_filter(tmp_path):
    """Samples are lost just after the fourth picture's trial, and within the eleventh's; what comes after the first gap
    changes nothing before it."""
    counter, signal = np.arange(5080), np.random.default_rng(0).normal(0, 5, (5, 5080))
    gap = 3 * 254 + 135
    counter[gap:] += 5
    counter[10 * 254 + 50:] += 3
    found = []
    for step in (0, 200):
        signal[:, gap:] += step
        write_bdd(tmp_path / BDD_NAME, signal, counter=counter % 128)
        trials = bdd(tmp_path, "--scale", "none", "--overwrite")
        assert dropped(trials) == {"cut off or across a gap": 2}
        assert trials.record["recordings"][0]["notes"] == ["2 gaps of lost samples"]
        onsets = [254 * k + 5 * (k > 3) + 3 * (k > 10) for k in range(1, 20) if k != 10]
        np.testing.assert_allclose(trials.onset, np.array(onsets) / 128)
        found.append(trials.eeg[:3].numpy())
    np.testing.assert_allclose(*found, atol=.01)


def test_contact_quality_and_amplitude(tmp_path):
    signal, contact = np.random.default_rng(0).normal(0, 10, (5, 5080)), np.full(5080, 100)
    signal[2, 2 * 254 + 60] += 5000
    contact[3 * 254 + 128] = 75  # the last sample of the fourth trial
    contact[4 * 254 - 27] = 75  # just before the fifth
    write_bdd(tmp_path / BDD_NAME, signal, contact=contact)
    trials = bdd(tmp_path)
    assert dropped(trials) == {"cut off or across a gap": 1, "amplitude above 500 uV": 1, "contact quality below 100%": 1}
    assert trials.onset[[0, 1]].tolist() == [254 / 128, 4 * 254 / 128]
    assert dropped(bdd(tmp_path, "--min_contact", "70", "--reject", "0", "--overwrite")) == {"cut off or across a gap": 1}


def test_sessions_are_days_in_order_and_copies_are_left_out(tmp_path, capsys):
    for number, stamp in enumerate(("201227-090000", "201226-120000", "201226-111105")):
        path = write_bdd(tmp_path / "BDD" / "Image-Blank" / f"{number}_{stamp}.csv", seed=number)
    (path.parent / "again.csv").write_bytes(path.read_bytes())
    trials = prepare("bdd", tmp_path / "out", "--folder", tmp_path)
    assert "1 copies" in capsys.readouterr().out
    assert [(r["name"][12:], r["subject"], r["session"]) for r in trials.record["recordings"]] == [
        ("2_201226-111105.csv", 1, 1), ("1_201226-120000.csv", 1, 1), ("0_201227-090000.csv", 1, 2)]
    split, = read_splits(tmp_path / "out" / "splits.pth")
    assert [set(trials.recording[split[part]].tolist()) for part in ("train", "val", "test")] == [{0}, {1}, {2}]


def test_markers_are_read_by_name(tmp_path, capsys):
    """The recording software did not always sort the names: the same number may mean another class in another file."""
    turned = HEADER.replace("'Blank','Image'", "'Image','Blank'")
    for number, header in enumerate((HEADER, turned)):
        write_bdd(tmp_path / "Image-Blank" / f"{number}.csv", header=header, seed=number)
    trials = bdd(tmp_path)
    assert trials.label[trials.recording == 0].tolist() == list(SHOWN[1:])
    assert trials.label[trials.recording == 1].tolist() == [1 - label for label in SHOWN[1:]]
    write_bdd(tmp_path / "Image-Blank" / "2.csv", header=HEADER.replace("Image", "Dog"))
    assert "2.csv: the markers are Blank, Dog" in fails(capsys, "bdd", tmp_path / "x", "--folder", tmp_path)


def test_bdd_that_holds_no_pictures(tmp_path, capsys):
    write_bdd(tmp_path / "Baseline" / "a.csv")
    folder = ("bdd", tmp_path / "out", "--folder", tmp_path)
    assert "nothing to be seen" in fails(capsys, *folder, "--paradigm", "Baseline")
    assert "no CSV of the paradigm Image-Blank" in fails(capsys, *folder)
    assert "--min_contact 101" in fails(capsys, *folder, "--min_contact", "101")
    assert "--tmin 1.0 --tmax 0.5" in fails(capsys, *folder, "--tmin", "1", "--tmax", ".5")
    write_bdd(tmp_path / BDD_NAME)
    assert "amplitude above 1 uV" in fails(capsys, *folder, "--reject", "1")  # the writer names the reasons
    assert not (tmp_path / "out" / "dataset.json").exists()


@pytest.mark.parametrize(("change", "expected"), [
    (lambda text: text[: len(text) // 2 - 40], "cut short"),
    (lambda text: text[: len(text) // 20].rsplit(b"\n", 1)[0], "s long, but the filter"),
    (lambda text: text[:300_000] + b"\xff\xfe" + text[300_002:], "is no text"),
    (lambda text: text.replace(b"e+03", b"e+83", 1), "expected finite microvolts"),
    (lambda text: b"\n".join([*text.split(b"\n")[:1], *reversed(text.split(b"\n")[1:-1])]), "COUNTER jumps"),
    (lambda text: text.replace(b"MARKERS['Blank','Image']", b"MARKERS", 1), "names no classes"),
    (lambda text: text.replace(b"MARKERS['Blank','Image']", b"MARKERS[Blank,Image]", 1), "names no classes"),
    (lambda text: text.replace(b"TICK", b"TOCK", 1), "column TICK is missing"),
    (lambda text: text.replace(b"ContactQuality", b"Quality", 1), "--min_contact 0"),
    (lambda text: text.replace(b"COUNTER", b"COUNT", 1), "column COUNTER is missing"),
    (lambda text: text.replace(b" AF4,", b" AF8,", 1), "column AF4 is missing"),
    (lambda text: text.replace(b", AF4", b"", 1), "column AF4 is missing"),
    (lambda text: text.replace(b"AF3, T7", b"T7, AF3, F7", 1), "columns in the header"),
    (lambda text: swap_columns(text), "is 100, expected a whole number"),
])
def test_damaged_real_bdd(shared, tmp_path, capsys, change, expected):
    real = sorted((shared / "bdd" / "Image-Blank").glob("*.csv"))[0]
    path = tmp_path / "Image-Blank" / real.name
    path.parent.mkdir()
    path.write_bytes(change(real.read_bytes()))
    message = fails(capsys, "bdd", tmp_path / "out", "--folder", tmp_path)
    assert expected in message and path.name in message
    assert not (tmp_path / "out" / "dataset.json").exists()


def swap_columns(text):
    """Header with the contact quality (100) where the marker is."""
    marker, rest = b"MARKERS['Blank','Image']", b"ContactQuality"
    return text.replace(marker + b", TICK, " + rest, rest + b", TICK, " + marker)


def test_swapped_rows_of_a_real_recording_cost_their_trial_only(shared, tmp_path):
    real = sorted((shared / "bdd" / "Image-Blank").glob("*.csv"))[0]
    rows = real.read_bytes().split(b"\n")
    rows[1100], rows[1101] = rows[1101], rows[1100]  # after the fifth picture, in its trial
    path = tmp_path / "Image-Blank" / real.name
    path.parent.mkdir()
    path.write_bytes(b"\n".join(rows))
    assert dropped(bdd(tmp_path)) == {"cut off or across a gap": 3}


@pytest.mark.parametrize(("paradigm", "class_ids"), [("Image-Blank", ["blank", "image"]), ("Visual_Q&A", ["yes", "no"]),
                                                      ("Left-Right_Arrows", ["center", "left", "right"])])
def test_real_bdd(shared, tmp_path, paradigm, class_ids):
    """Trials and labels against the publishers' rule (splitter.py: cut where TICK flips, class 100 samples later); EEG
    against SciPy with MNE's kernel."""
    import mne
    from scipy.signal import fftconvolve

    trials = prepare("bdd", tmp_path / "out", "--folder", shared / "bdd", "--paradigm", paradigm, "--reject", "0",
                     "--split_by", "time", "--split_gap", "0")
    assert trials.record["class_ids"] == class_ids
    kernel = mne.filter.create_filter(None, 128., 1., 30., verbose="error")
    for number, path in enumerate(sorted((shared / "bdd" / paradigm).glob("*.csv"))):
        table = np.array([line.split(",") for line in path.read_text().splitlines()[1:]]).astype(float)
        flips = np.flatnonzero(np.diff(table[:, 7])) + 1
        rows = [i for i in flips if i >= 26 and i + 129 <= len(table) and (table[i - 26:i + 129, 8] == 100).all()]
        own = np.flatnonzero(trials.recording == number)
        assert trials.label[own].tolist() == table[[row + 100 for row in rows], 6].tolist()
        np.testing.assert_allclose(trials.onset[own], np.array(rows) / 128)  # no packets were lost
        filtered = fftconvolve(table[:, [1, 5, 3, 2, 4]].T, kernel[None], mode="same", axes=1)
        scale = np.array(trials.record["recordings"][number]["scale"])[:, None]
        for row in range(5, 12):
            expected = filtered[:, rows[row] - 26:rows[row] + 129] / scale
            np.testing.assert_allclose(trials.eeg[int(own[row])], expected, atol=1e-3)


# MindBigData

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
    trials = digits(tmp_path, "--scale", "none", "--band", "2", "20")
    first = samples[1000][[0, 1, 4, 2, 3], :256]
    sections = butter(4, (2, 20), "bandpass", output="sos", fs=128)
    expected = sosfiltfilt(sections, first - first.mean(1, keepdims=True), padlen=255)
    np.testing.assert_allclose(trials.eeg[0], expected, atol=.1)
    assert any("2 to 20 Hz within each trial" in step for step in trials.record["about"]["steps"])


def test_recordings_are_stretches_of_the_file_whose_rows_may_stand_in_any_order(tmp_path, monkeypatch):
    """Memory is bounded by the stretch; a split by recording keeps stretches apart."""
    monkeypatch.setattr(mindbigdata, "STRETCH", 4)
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
    assert "--band 20 2" in fails(capsys, *folder, "--set", "mnist", "--band", "20", "2")
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
    """A session of any length is read in blocks of STRETCH trials, and scaled as one."""
    monkeypatch.setattr(mindbigdata, "STRETCH", 5)
    write_photographs(tmp_path, sessions=(1,), each=6)
    trials = photographs(tmp_path, "--pictures", tmp_path / "train")
    assert [shard["trials"] for shard in trials.record["recordings"][0]["shards"]] == [5, 5, 2]
    assert torch.allclose(trials.eeg[:5].transpose(0, 1).flatten(1).std(1), torch.ones(5), atol=.01)
