"""Tables and recordings as other people write them: blanks, n/a, other separators, other kinds of files."""

from runtime.errors import InputError

import numpy as np
import pytest
from PIL import Image

from eegdata.pictures import read_captions
from raw_material import CHANNELS, ONSETS, SFREQ, make_pictures, make_raw, save, write_table
from raw_runs import AS_IT_IS, by_hand, fails, prepare
from sources.stimuli import find_stimuli
from sources.tables import read_table

mne = pytest.importorskip("mne")
SAMPLES = np.round(ONSETS * SFREQ).astype(int)
SHOWN = [f"{('cat', 'dog')[i % 2]}_{i // 2 % 4}" for i in range(len(ONSETS))]


@pytest.fixture
def recording(tmp_path):
    return save(make_raw(), tmp_path / "one_raw.fif")


def test_csv_with_semicolons_and_line_ends_in_cells(tmp_path, recording, capsys):
    pictures = make_pictures(tmp_path / "pictures")
    table = tmp_path / "events.csv"
    for sep in (",", ";"):
        rows = [f'{onset}{sep}{name}.png{sep}"A ""small"" one,\r\nnumber {i}"' for i, (onset, name) in
                enumerate(zip(ONSETS, SHOWN, strict=True))]
        table.write_bytes("\r\n".join([f"onset{sep}picture{sep}caption", *rows, ""]).encode())
        out = tmp_path / f"out{ord(sep)}"
        _, _, columns = prepare(out, "--recordings", recording, "--events", table, "--pictures", pictures, *AS_IT_IS)
        assert columns["picture"].tolist() == SHOWN
        assert read_captions(out / "images", "dog_0")[0] == 'A "small" one, number 1'
    table.write_bytes(table.read_bytes().replace(b"cat_1.png", b"cat_9.png", 1))
    assert f"{table}, line 6: picture 'cat_9.png'" in fails(capsys, tmp_path / "no", "--recordings", recording, "--events",
                                                            table, "--pictures", pictures, *AS_IT_IS)


def test_csv_with_blanks_after_the_commas(tmp_path):
    """A caption kept the quotes around it, and one that holds a comma was two cells."""
    table = tmp_path / "list.csv"
    table.write_text('picture, caption, class\n"cat_0", "A ""small"" cat, asleep", cat\ncat_1, A cat, cat\n')
    assert [row for _, row in read_table(table, "--picture_list")[1]] == [
        {"picture": "cat_0", "caption": 'A "small" cat, asleep', "class": "cat"},
        {"picture": "cat_1", "caption": "A cat", "class": "cat"}]


def test_captions_that_a_program_wrote_for_missing_ones(tmp_path, capsys):
    """The picture's caption was "nan"."""
    make_pictures(tmp_path / "pictures")
    table = write_table(tmp_path / "list.tsv", ("picture", "caption1", "caption2"), ("cat_0", "nan", "A cat."),
                        ("cat_1", "NA", "None"), ("dog_0", "n/a", "None of them."))
    stimuli = find_stimuli(str(tmp_path / "pictures"), str(table))
    assert stimuli.captions == {"cat/cat_0.png": ("A cat.",), "cat/cat_1.png": (), "dog/dog_0.png": ("None of them.",)}
    assert "'nan' in a column of captions is taken for a missing one" in capsys.readouterr().out


def test_what_to_do_about_a_picture_that_a_list_names(tmp_path):
    """Other --event_names were advised, which change nothing about a list."""
    make_pictures(tmp_path / "pictures")
    table = write_table(tmp_path / "list.tsv", ("picture", "caption"), ("cow_0", "A cow."))
    with pytest.raises(InputError, match=r"picture 'cow_0' not found.*or add the file$"):
        find_stimuli(str(tmp_path / "pictures"), str(table))


def test_names_of_markers(tmp_path):
    """Blanks around them, the kind of BrainVision before them, capitals."""
    pictures = make_pictures(tmp_path / "pictures")
    told = [f" {name} " if i % 3 else f"Comment/{name}" if i % 2 else name.upper() for i, name in enumerate(SHOWN)]
    path = save(make_raw(texts=told), tmp_path / "one_raw.fif")
    _, eeg, columns = prepare(tmp_path / "out", "--recordings", path, "--pictures", pictures, *AS_IT_IS)
    assert columns["picture"].tolist() == SHOWN
    np.testing.assert_allclose(eeg, by_hand(make_raw(), SAMPLES, -40, 160), atol=1e-3)
    table = write_table(tmp_path / "map.tsv", ("event", "class"), *((name, name[:3]) for name in dict.fromkeys(SHOWN)))
    path = save(make_raw(texts=[f"Stimulus/{name}" for name in SHOWN]), tmp_path / "two_raw.fif")
    record, _, _ = prepare(tmp_path / "map", "--recordings", path, "--picture_map", table, *AS_IT_IS)
    assert record["class_names"] == ["cat", "dog"]


def test_bids_rows_without_an_onset_and_out_of_order(tmp_path, capsys):
    mne_bids = pytest.importorskip("mne_bids")
    root = tmp_path / "bids"
    make_pictures(root / "stimuli")
    raw = make_raw()
    raw.info["line_freq"] = 50
    path = mne_bids.BIDSPath(subject="1", task="images", root=root, datatype="eeg")
    mne_bids.write_raw_bids(raw, path, format="BrainVision", allow_preload=True, overwrite=True, verbose="error")
    table = path.copy().update(suffix="events", extension=".tsv").fpath
    rows = [(onset, "n/a", "image", f"{name}.png") for onset, name in zip(ONSETS, SHOWN, strict=True)]
    more = [("n/a", "n/a", "break", "n/a"), (0, 40, "recording", "n/a")]
    write_table(table, ("onset", "duration", "trial_type", "stim_file"), *rows[::-1], *more)
    record, eeg, columns = prepare(tmp_path / "out", "--bids", root, *AS_IT_IS)
    assert "not in order of time" in capsys.readouterr().out
    np.testing.assert_allclose(eeg, by_hand(raw, SAMPLES, -40, 160), atol=.1)
    assert columns["picture"].tolist() == SHOWN and record["about"]["events"]["ignored"] == {"break": 1, "recording": 1}
    write_table(table, ("onset", "duration", "trial_type", "stim_file"), *rows, ("n/a", "n/a", "image", "cat_0.png"))
    assert f"line {len(rows) + 2}: onset is missing" in fails(capsys, tmp_path / "no", "--bids", root, *AS_IT_IS)
    write_table(table, ("onset", "duration", "trial_type", "stim_file"), *rows, ("n/a", "n/a", "practice", "cat_0.png"))
    record, eeg, _ = prepare(tmp_path / "chosen", "--bids", root, "--event_names", "image", *AS_IT_IS)
    assert len(eeg) == len(rows) and record["about"]["events"]["ignored"] == {"practice": 1}


def test_one_class_that_is_no_class(tmp_path, recording, capsys):
    pictures = make_pictures(tmp_path / "flat", flat=True)
    table = write_table(tmp_path / "events.tsv", ("onset", "picture", "trial_type"), *(
        (onset, name, "stimulus") for onset, name in zip(ONSETS, SHOWN, strict=True)))
    options = ("--recordings", recording, "--events", table, "--pictures", pictures, *AS_IT_IS)
    assert "of the class 'stimulus'" in fails(capsys, tmp_path / "no", *options)
    listed = write_table(tmp_path / "list.tsv", ("picture", "class"), *((name, name[:3]) for name in dict.fromkeys(SHOWN)))
    assert prepare(tmp_path / "out", *options, "--picture_list", listed)[0]["class_names"] == ["cat", "dog"]


def test_a_picture_that_is_none(tmp_path, recording, capsys):
    """A fixation cross that is not among the pictures; what may be a missing picture stays an error."""
    pictures = make_pictures(tmp_path / "pictures")
    header, times = ("onset", "trial_type", "stim_file"), ONSETS - .5

    def table(name, file):
        rows = [*((onset, "image", picture + ".png") for onset, picture in zip(ONSETS, SHOWN, strict=True)),
                *((onset, name, file if isinstance(file, str) else f"{i}.png") for i, onset in enumerate(times))]
        return write_table(tmp_path / "events.tsv", header, *sorted(rows))

    def options(*given):
        return "--recordings", recording, "--events", table(*given), "--pictures", pictures, *AS_IT_IS

    record, _, columns = prepare(tmp_path / "out", *options("fixation", "fix.png"))
    assert columns["picture"].tolist() == SHOWN and record["about"]["events"]["ignored"] == {"fixation": len(ONSETS)}
    assert "all events of 'fixation' show fix.png, which is not among the pictures" in capsys.readouterr().out
    for given in (("fixation", 0), ("cat", "cat_77.png"), ("cat_77", "cat_77.png"), ("image", "cat_77.png")):
        assert "not found" in fails(capsys, tmp_path / "no", *options(*given))
    Image.new("RGB", (12, 10)).save(pictures / "fix.png")
    record, _, _ = prepare(tmp_path / "there", *options("fixation", "fix.png"))
    assert record["class_names"] == ["cat", "dog", "fixation"]
    assert "class fixation: so events are called" in capsys.readouterr().out


def test_events_of_a_map_with_other_blanks_or_decimals(tmp_path, capsys):
    """BrainVision writes `S  1`, a table of numbers with gaps 1.0; `s 1` is another event."""
    table = write_table(tmp_path / "map.tsv", ("event", "class"), ("S 1", "cat"), ("2", "dog"))
    path = save(make_raw(texts=("Stimulus/S  1", "2.0", "s 1", "20")), tmp_path / "one_raw.fif")
    record, _, columns = prepare(tmp_path / "out", "--recordings", path, "--picture_map", table, *AS_IT_IS)
    assert columns["label"].tolist() == [0, 1] * 7
    assert record["about"]["events"]["ignored"] == {"s 1": 7, "20": 7}
    printed = capsys.readouterr().out
    assert "'Stimulus/S  1' is taken for event S 1" in printed and "'2.0' is taken for event 2" in printed


def test_the_bids_case_of_the_issue(cases, tmp_path):
    for name in ("other_stim", "na_onset_other", "unsorted", "negative", "derivatives"):
        root = cases / f"bids_{name}"
        record, eeg, columns = prepare(tmp_path / name, "--bids", root, *AS_IT_IS)
        lines = (root / "sub-01/eeg/sub-01_task-images_events.tsv").read_text(encoding="utf-8").splitlines()[1:]
        rows = sorted((float(line.split("\t")[0]), line.split("\t")[3]) for line in lines if "\timage\t" in line)
        np.testing.assert_allclose(columns["onset"], [onset for onset, _ in rows])
        assert columns["picture"].tolist() == [file.split("/")[1][:-4] for _, file in rows]
        raw = mne.io.read_raw_edf(root / "sub-01/eeg/sub-01_task-images_eeg.edf", preload=True, verbose="error")
        sfreq = raw.info["sfreq"]
        samples = np.round(columns["onset"] * sfreq).astype(int)
        windows = by_hand(raw.pick(record["ch_names"]), samples, -round(.2 * sfreq), round(.8 * sfreq))
        np.testing.assert_allclose(eeg, windows, atol=1e-3)
        assert sum(record["about"]["events"]["ignored"].values()) + len(eeg) == len(lines)


def test_what_is_no_recording(tmp_path, capsys):
    pictures = make_pictures(tmp_path / "pictures")
    for path in (pictures / "cat" / "cat_0.png", write_table(tmp_path / "events.tsv", ("onset", "class"), (1, "cat"))):
        assert "--events" in (message := fails(capsys, tmp_path / "no", "--recordings", path)) and "damaged" not in message
    edfio = pytest.importorskip("edfio")
    edfio.Edf([], annotations=[edfio.EdfAnnotation(1, None, "Sleep stage W")]).write(tmp_path / "one.edf")
    assert "holds no signals, only 1 annotations" in fails(capsys, tmp_path / "no", "--recordings", tmp_path / "one.edf",
                                                           "--event_names", ".*")


@pytest.mark.parametrize(("page", "stated"), [("cp1252", None), ("cp1252", "ANSI"), ("cp1252", "UTF-8"),
                                              ("cp1251", "cp1251"), ("utf-8", None)])
def test_markers_in_another_code(tmp_path, page, stated):
    """As older programs wrote; the header may name the code page, or the wrong one, or none."""
    pytest.importorskip("pybv")
    kinds = ("Мяч", "Кот") if page == "cp1251" else ("Mädchen", "Tür")
    path = save(make_raw(texts=kinds), tmp_path / ("one.vhdr" if page == "cp1251" else "Müller.vhdr"))
    for file in (path, path.with_suffix(".vmrk")):
        text = file.read_text(encoding="utf-8").replace("µV", "µV" if page != "cp1251" else "uV")
        text = text.replace("Codepage=UTF-8\n", f"Codepage={stated}\n" if stated else "")
        file.write_bytes(text.encode(page, errors="replace"))
    record, eeg, columns = prepare(tmp_path / "out", "--recordings", path, "--event_names", ".*", *AS_IT_IS)
    shown = [record["class_names"][label] for label in columns["label"]]
    assert shown == [f"Comment/{kinds[i % 2]}" for i in range(len(ONSETS))]
    np.testing.assert_allclose(eeg, by_hand(make_raw(), SAMPLES, -40, 160), atol=1e-3)
    said = any("read as cp1252" in note for note in record["recordings"][0]["notes"])
    assert said == (page == "cp1252" and stated != "ANSI")


def test_an_unknown_code_page(tmp_path, capsys):
    pytest.importorskip("pybv")
    path = save(make_raw(), tmp_path / "one.vhdr")
    path.write_text(path.read_text(encoding="utf-8").replace("Codepage=UTF-8", "Codepage=EBCDIC-9"), encoding="utf-8")
    assert "Codepage=EBCDIC-9" in fails(capsys, tmp_path / "no", "--recordings", path, "--event_names", ".*")


def test_the_umlaut_of_the_issue(cases, tmp_path):
    options = ("--recordings", cases / "umlaut", "--pictures", cases / "pics8", *AS_IT_IS)
    record, eeg, columns = prepare(tmp_path / "out", *options)
    data = np.fromfile(next((cases / "umlaut").glob("*.eeg")), "<f4").reshape(-1, 6).T
    at = np.arange(30) * 375 + 750
    np.testing.assert_allclose(eeg, np.stack([data[:, each - 50:each + 200] for each in at]), rtol=1e-5)
    assert record["ch_names"] == ["Fz", "Cz", "Pz", "Oz", "O1", "Rücken"]
    assert columns["picture"].tolist() == [f"{('cat', 'dog')[i % 2]}_{i // 2 % 8}" for i in range(30)]


def test_nicolet(tmp_path):
    rng = np.random.default_rng(0)
    data = np.rint(rng.normal(0, 100, (8000, len(CHANNELS)))).astype("<i2")
    (tmp_path / "one.data").write_bytes(data.tobytes())
    (tmp_path / "one.head").write_text(
        "start_ts=2015-01-01 12:00:00.000\nnum_samples=8000\nsample_freq=200\nconversion_factor=0.179000\n"
        f"num_channels={len(CHANNELS)}\nelec_names=[{','.join(CHANNELS)}]\npat_id=1\nadm_id=1\nrec_id=1\nduration_in_sec=40\n"
        "sample_bytes=2\n", encoding="utf-8")
    table = write_table(tmp_path / "events.tsv", ("onset", "class"), *((onset, "cat") for onset in ONSETS))
    record, eeg, _ = prepare(tmp_path / "out", "--recordings", tmp_path / "one.data", "--events", table, *AS_IT_IS)
    assert record["ch_names"] == CHANNELS
    np.testing.assert_allclose(eeg, np.stack([data[at - 40:at + 160].T * .179 for at in SAMPLES]), rtol=1e-5)
