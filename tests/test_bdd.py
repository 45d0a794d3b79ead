"""prepare_data.py bdd: recordings of the Emotiv Insight into data set folders."""

import numpy as np
import pytest

from eegdata.splits import read_splits
from source_material import BDD_NAME, HEADER, ORDER, SHOWN, bdd, dropped, fails, prepare, write_bdd


def test_a_trial_a_picture_also_where_the_class_stays_the_same(tmp_path):
    write_bdd(tmp_path / BDD_NAME)
    trials = bdd(tmp_path)
    assert trials.label.tolist() == list(SHOWN[1:]) and trials.class_names == {0: "blank screen", 1: "picture"}
    assert dropped(trials) == {"outside the recording": 1}  # the first picture: the recording begins with it
    np.testing.assert_allclose(trials.onset, 254 * np.arange(1, 20) / 128)
    assert trials.ch_names == ORDER and trials.sfreq == 128
    assert trials.eeg.shape == (19, 5, 154) and trials.tmin == -26 / 128
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
        np.testing.assert_allclose(eeg[[0, 3, 4]], sines[[0, 3, 4], first:first + 154], atol=.7)
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
        assert dropped(trials) == {"outside the recording": 1, "across lost samples": 1}
        assert trials.record["recordings"][0]["notes"] == ["2 gaps of lost samples"]
        onsets = [254 * k + 5 * (k > 3) + 3 * (k > 10) for k in range(1, 20) if k != 10]
        np.testing.assert_allclose(trials.onset, np.array(onsets) / 128)
        found.append(trials.eeg[:3].numpy())
    np.testing.assert_allclose(*found, atol=.01)


def test_contact_quality_and_amplitude(tmp_path):
    signal, contact = np.random.default_rng(0).normal(0, 10, (5, 5080)), np.full(5080, 100)
    signal[2, 2 * 254 + 60] += 5000
    contact[3 * 254 + 127] = 75  # the last sample of the fourth trial
    contact[4 * 254 - 27] = 75  # just before the fifth
    write_bdd(tmp_path / BDD_NAME, signal, contact=contact)
    trials = bdd(tmp_path)
    assert dropped(trials) == {"outside the recording": 1, "more than 500 uV peak to peak": 1,
                               "contact quality below 100%": 1}
    assert trials.onset[[0, 1]].tolist() == [254 / 128, 4 * 254 / 128]
    assert dropped(bdd(tmp_path, "--min_contact", "70", "--reject", "0", "--overwrite")) == {"outside the recording": 1}


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


def test_a_recording_without_a_day_is_a_session_of_its_own(tmp_path):
    """The first of them fell into the session of the last day."""
    for number, name in enumerate((BDD_NAME, "Image-Blank/a.csv", "Image-Blank/b.csv")):
        write_bdd(tmp_path / name, seed=number)
    trials = bdd(tmp_path)
    assert sorted(each["session"] for each in trials.record["recordings"]) == [1, 2, 3]


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
    assert "--tmin 1 --tmax 0.5" in fails(capsys, *folder, "--tmin", "1", "--tmax", ".5")
    write_bdd(tmp_path / BDD_NAME)
    assert "more than 1 uV peak to peak" in fails(capsys, *folder, "--reject", "1")  # the writer names the reasons
    assert not (tmp_path / "out" / "dataset.json").exists()


@pytest.mark.parametrize(("change", "expected"), [
    (lambda text: text[: len(text) // 2 - 40], "cut short"),
    (lambda text: text[: len(text) // 20].rsplit(b"\n", 1)[0], "but the filters of --l_freq 1"),
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
    assert dropped(bdd(tmp_path)) == {"outside the recording": 2, "across lost samples": 1}


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
        rows = [i for i in flips if i >= 26 and i + 128 <= len(table) and (table[i - 26:i + 128, 8] == 100).all()]
        own = np.flatnonzero(trials.recording == number)
        assert trials.label[own].tolist() == table[[row + 100 for row in rows], 6].tolist()
        np.testing.assert_allclose(trials.onset[own], np.array(rows) / 128)  # no packets were lost
        filtered = fftconvolve(table[:, [1, 5, 3, 2, 4]].T, kernel[None], mode="same", axes=1)
        scale = np.array(trials.record["recordings"][number]["scale"])[:, None]
        for row in range(5, 12):
            expected = filtered[:, rows[row] - 26:rows[row] + 128] / scale
            np.testing.assert_allclose(trials.eeg[int(own[row])], expected, atol=1e-3)
