"""prepare_data.py raw: recordings that MNE, pyxdf and mne-bids read, against MNE used by hand."""

import json
import shutil

import numpy as np
import pytest

import prepare_data
from edf_material import write_edf_plus
from eegdata.splits import read_splits
from raw_material import CHANNELS, ONSETS, SFREQ, make_pictures, make_raw, save, write_table, write_xdf
from raw_runs import AS_IT_IS, by_hand, fails, prepare
from sources import raw_files

mne = pytest.importorskip("mne")


@pytest.mark.parametrize("name", ["one.edf", "one.bdf", "one.vhdr", "one.set", "one_raw.fif", "sub-one.edf"])
def test_formats(tmp_path, name):
    if name.endswith((".edf", ".bdf")):
        pytest.importorskip("edfio")
        pytest.importorskip("mne", minversion="1.11" if name.endswith(".bdf") else None)  # which writes BDF
    elif not name.endswith(".fif"):
        pytest.importorskip({".vhdr": "pybv", ".set": "eeglabio"}[name[-5:] if name.endswith("vhdr") else name[-4:]])
    raw = make_raw()
    path = save(raw, tmp_path / name)
    record, eeg, columns = prepare(tmp_path / "out", "--recordings", path, "--event_names", ".*(cat|dog)", *AS_IT_IS)
    samples = np.round(ONSETS * SFREQ).astype(int)
    resolution = 2e-2 if name.endswith("edf") else 1e-3  # microvolts; EDF stores 16 bits
    np.testing.assert_allclose(eeg, by_hand(raw, samples, -40, 160), atol=resolution)
    assert record["ch_names"] == CHANNELS and record["sfreq"] == SFREQ and record["tmin"] == -.2 and record["units"] == "uV"
    np.testing.assert_allclose(columns["onset"], ONSETS, atol=1e-9)
    kind = "Comment/" if name.endswith("vhdr") else ""  # as pybv writes annotations
    assert record["class_names"] == [f"{kind}cat", f"{kind}dog"] and record["pictures_known"] == "no"
    assert columns["label"].tolist() == [i % 2 for i in range(len(ONSETS))]
    assert set(columns["picture"]) == {f"{each.replace('/', '-')}_unknown" for each in record["class_names"]}


def test_a_split_that_fails_names_a_command_that_runs(tmp_path, capsys):
    path = save(make_raw(), tmp_path / "one_raw.fif")
    message = fails(capsys, tmp_path / "my data", "--recordings", path, "--event_names", ".*", "--split_by", "subject")
    assert f"prepare_data.py split '{tmp_path / 'my data'}' --split_by" in message


def test_a_first_sample_other_than_0(tmp_path):
    """FIF files may begin at any sample of a clock, with or without a date; annotations and stim channels follow it."""
    for number, date in enumerate((None, 1_600_000_000)):
        raw = make_raw(channels=[*CHANNELS[:4], "STI 014"])
        raw.set_channel_types({"STI 014": "stim"}, verbose="error")
        codes = np.zeros(raw.n_times)
        for i, onset in enumerate(ONSETS):
            codes[round(onset * SFREQ) + 7:][:5] = 1 + i % 2
        raw = mne.io.RawArray(np.vstack([raw.get_data(picks="eeg"), codes]), raw.info, first_samp=500, verbose="error")
        raw.set_meas_date(date)
        raw.set_annotations(mne.Annotations(ONSETS, 0, ["cat", "dog"] * 14))
        path = save(raw, tmp_path / f"{number}_raw.fif")
        read = mne.io.read_raw_fif(path, preload=True, verbose="error")
        found = {("--event_names", "cat|dog"): mne.events_from_annotations(read, verbose="error")[0],
                 ("--stim_channel", "STI 014", "--event_names", "[12]"): mne.find_events(read, verbose="error")}
        for options, events in found.items():
            _, eeg, columns = prepare(tmp_path / f"{number}{len(options)}", "--recordings", path, *options, *AS_IT_IS)
            epochs = mne.Epochs(read, events, None, -.2, .8 - 1 / SFREQ, baseline=None, picks="eeg", verbose="error")
            np.testing.assert_allclose(eeg, epochs.get_data() * 1e6, atol=1e-3)
            np.testing.assert_array_equal(columns["label"], events[:, 2] - 1)


def test_real_eeglab_recording_step_by_step(shared, tmp_path):
    """80 targets, filtered, average reference, resampled and baseline-corrected as MNE does it by hand."""
    path = shared / "raw_formats" / "eeglab_data.set"
    record, eeg, _ = prepare(tmp_path / "out", "--recordings", path, "--event_names", "square", "--l_freq", "1",
                             "--h_freq", "30", "--notch", "50", "--resample", "100", "--reject", "0")
    raw = mne.io.read_raw(path, preload=True, verbose="error").drop_channels(["EOG1", "EOG2"])
    raw.notch_filter([50], verbose="error").filter(1, 30, verbose="error")
    longer = np.pad(raw.get_data(), ((0, 0), (0, -raw.n_times % 32)), "edge")  # else MNE stretches it by .25 of a sample
    raw = mne.io.RawArray(longer, raw.info, verbose="error").set_annotations(raw.annotations, verbose="error")
    raw.resample(100, verbose="error")
    raw.set_eeg_reference("average", verbose="error")
    events, ids = mne.events_from_annotations(raw, regexp="square", verbose="error")
    epochs = mne.Epochs(raw, events, ids, -.2, .79, baseline=(-.2, 0), verbose="error").drop_bad(verbose="error")
    assert len(eeg) == len(epochs) == 80
    np.testing.assert_allclose(eeg, epochs.get_data() * 1e6, atol=1e-3)
    assert record["about"]["events"] == {"shown": {"square": 80}, "ignored": {"rt": 74}}
    places = raw.get_montage().get_positions()["ch_pos"]
    np.testing.assert_allclose([record["positions"][name] for name in raw.ch_names], [places[n] for n in raw.ch_names])
    steps = " ".join(record["about"]["steps"])
    for said in ("notch filter at 50 Hz", "band-pass 1 to 30 Hz", "average reference of 30 channels", "from 128 to 100 Hz"):
        assert said in steps
    assert any("EOG1, EOG2" in note for note in record["recordings"][0]["notes"])

REAL = [  # file, its options, trials, channels, sampling rate: counted in MNE's listing of the file's annotations
    ("test_raw.set", ["--event_names", "square"], 80, 32, 128),
    ("test.vhdr", ["--event_names", "Stimulus/S255"], 5, 26, 250),
    ("mne_test.edf", ["--picture_map", "MAP", "--l_freq", "1", "--tmin", "0", "--tmax", "0.5"], 5, 136, 250),
    ("mne_test.bdf", ["--events", "TABLE", "--l_freq", "0", "--tmin", "-0.1", "--tmax", "0.08"], 3, 66, 250),
    ("NA_271/test-na-271.cnt", ["--events", "TABLE", "--l_freq", "1"], 3, 128, 250),
    ("NA_271/test-na-271-legacy.cnt", ["--events", "TABLE", "--l_freq", "1"], 3, 128, 250),
    ("NA_271/test-na-271.vhdr", ["--events", "TABLE", "--l_freq", "1"], 3, 128, 250),
]


@pytest.mark.parametrize(("name", "options", "trials", "channels", "sfreq"), REAL, ids=[row[0] for row in REAL])
def test_real_recordings(shared, tmp_path, name, options, trials, channels, sfreq):
    if ".cnt" in name:
        pytest.importorskip("antio")
    onsets = (.2, .4, .6) if ".bdf" in name else (1, 2, 3)
    table = write_table(tmp_path / "events.tsv", ("onset", "class"), *((onset, "cat") for onset in onsets))
    names = write_table(tmp_path / "map.tsv", ("event", "class"), ("start", "any"), ("type A", "any"), ("type B", "any"))
    options = [{"TABLE": table, "MAP": names}.get(option, option) for option in options]
    record, eeg, _ = prepare(tmp_path / "out", "--recordings", shared / "raw_formats" / name, "--reject", "0", *options)
    assert eeg.shape == (trials, channels, record["n_times"]) and record["sfreq"] == sfreq
    assert np.isfinite(eeg).all() and str(tmp_path) not in json.dumps(record) and str(shared) not in json.dumps(record)


def test_the_three_forms_of_one_ant_recording_agree(shared, tmp_path):
    pytest.importorskip("antio")
    table = write_table(tmp_path / "events.tsv", ("sample", "class"), (500, "cat"), (1000, "cat"), (1500, "cat"))
    found = {}
    options = ("--events", table, "--l_freq", "1", "--exclude", "R12", "--reject", "0")
    folder = shared / "raw_formats" / "NA_271"
    for name in ("test-na-271.cnt", "test-na-271-legacy.cnt", "test-na-271.vhdr"):
        record, found[name], _ = prepare(tmp_path / name, "--recordings", folder / name, *options)
        assert "R12" not in record["ch_names"]
    for eeg in found.values():
        np.testing.assert_allclose(eeg, found["test-na-271.vhdr"], atol=.01)


def test_xdf(tmp_path, capsys):
    pytest.importorskip("pyxdf")
    rng = np.random.default_rng(0)
    times, values = 100 + np.arange(6000) / 250, rng.normal(0, 10, (6000, 5)).astype(np.float32)
    channels = [(name, "microvolts", "EEG") for name in CHANNELS[:4]] + [("TRG", "counts", "stim")]
    eeg = {"name": "Amp", "type": "EEG", "rate": 250, "channels": channels, "times": times, "values": values}
    marks = {"name": "Task", "type": "Markers", "rate": 0, "times": 100 + np.arange(1, 20, 1.5),
             "values": [["cat" if i % 2 else "dog"] for i in range(13)]}
    options = ("--event_names", "cat|dog", *AS_IT_IS)
    path = write_xdf(tmp_path / "one.xdf", [eeg, marks])
    record, found, _ = prepare(tmp_path / "out", "--recordings", path, *options)
    samples = np.round((marks["times"] - 100) * 250).astype(int)
    np.testing.assert_array_equal(found, [values[at - 50:at + 200, :4].T for at in samples])
    assert record["ch_names"] == CHANNELS[:4]
    two = write_xdf(tmp_path / "two.xdf", [eeg, {**eeg, "name": "Other"}, marks])
    message = fails(capsys, tmp_path / "no", "--recordings", two, *options)
    assert "--stream NAME" in message and "Amp" in message and "Other" in message
    prepare(tmp_path / "chosen", "--recordings", two, "--stream", "Other", *options)
    one = {**marks, "values": [["cat"]] * 13}
    gap = {**eeg, "times": np.where(times < 110, times, times + 5)}
    record, found, columns = prepare(tmp_path / "gap", "--recordings", write_xdf(tmp_path / "gap.xdf", [gap, one]),
                                     *options)
    assert "4 of 13 marks lie before, after or in gaps of the EEG" in record["recordings"][0]["notes"]
    assert len(found) == 9 and not ((columns["onset"] > 9.2) & (columns["onset"] < 10.2)).any()
    open_end = write_xdf(tmp_path / "cut.xdf", [eeg, marks], footers=False)
    assert "--cut_short" in fails(capsys, tmp_path / "no", "--recordings", open_end, *options)
    path.write_bytes(path.read_bytes()[:70_000])
    assert "one.xdf" in fails(capsys, tmp_path / "no", "--recordings", path, *options)


def test_bids(tmp_path):
    mne_bids = pytest.importorskip("mne_bids")
    root = tmp_path / "bids"
    pictures = make_pictures(root / "stimuli", flat=True)
    for seed, subject in enumerate(("anna", "ben", "carl")):
        raw = make_raw(seed=seed)
        raw.info["line_freq"] = 50
        raw.info["bads"] = ["Pz"]
        path = mne_bids.BIDSPath(subject=subject, session="2", task="images", root=root, datatype="eeg")
        mne_bids.write_raw_bids(raw, path, format="BrainVision", allow_preload=True, overwrite=True, verbose="error")
        table = path.copy().update(suffix="events", extension=".tsv").fpath
        lines = table.read_text().splitlines()
        kind = lines[0].split("\t").index("trial_type")
        table.write_text("\n".join([lines[0] + "\tstim_file", *(
            f"{line}\t{line.split(chr(9))[kind]}_{i % 4}.png" for i, line in enumerate(lines[1:]))]) + "\n")
    options = ("--bids", root, "--task", "images", *AS_IT_IS)
    record, eeg, columns = prepare(tmp_path / "out", *options)
    assert record["about"]["subjects"] == {"1": "anna", "2": "ben", "3": "carl"}
    assert [r["session"] for r in record["recordings"]] == [2, 2, 2]
    assert len(eeg) == 3 * len(ONSETS) and set(record["pictures"]) == {f"{k}_{i}" for k, i in
                                                                       zip(["cat", "dog"] * 2, range(4), strict=True)}
    samples = np.round(ONSETS * SFREQ).astype(int)
    ben = eeg[columns["subject"] == 2]
    np.testing.assert_allclose(ben, by_hand(make_raw(seed=1), samples, -40, 160), atol=.1)
    assert record["class_names"] == ["cat", "dog"]  # from trial_type, as the pictures lie in one folder
    record, _, _ = prepare(tmp_path / "mended", *options[:4], "--pictures", pictures, "--l_freq", "1")
    assert any("Pz is marked bad in the file: interpolated" in note for note in record["recordings"][0]["notes"])


def test_bids_mistakes(tmp_path, capsys):
    pytest.importorskip("mne_bids")
    (tmp_path / "empty").mkdir()
    assert "holds no EEG recording" in fails(capsys, tmp_path / "out", "--bids", tmp_path / "empty")
    assert "no such folder" in fails(capsys, tmp_path / "out", "--bids", tmp_path / "absent")
    assert "--task" in fails(capsys, tmp_path / "out", "--bids", tmp_path / "empty", "--task", "rest")


def test_encoder_channels_by_name(tmp_path, capsys):
    """Channels in another order and spelling, and at another rate; a missing one is interpolated from the others."""
    raw = make_raw(channels=["Oz", "EEG Fz-REF", "CZ", "P3", "P4", "O1", "O2"])
    path = save(raw, tmp_path / "one_raw.fif")
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    (encoder / "config.json").write_text(json.dumps({"ch_names": ["Fz", "Cz", "Pz", "Oz"], "sfreq": 100.}))
    options = ("--recordings", path, "--event_names", "cat|dog", "--match_encoder", encoder, "--bads", "none")
    record, eeg, _ = prepare(tmp_path / "out", *options, "--baseline", "none", "--l_freq", "1")
    assert record["ch_names"] == ["Fz", "Cz", "Pz", "Oz"] and record["sfreq"] == 100
    hand = raw.copy().filter(1, 40, verbose="error").resample(100, verbose="error")
    samples = np.round(ONSETS * 100).astype(int)
    windows = by_hand(hand, samples, -20, 80)
    np.testing.assert_allclose(eeg[:, [0, 1, 3]], windows[:, [1, 2, 0]], atol=1e-3)
    assert any("interpolated" in note and "Pz" in note for note in record["recordings"][0]["notes"])
    assert "--match_encoder: 1 channels missing, interpolated on the scalp from 7 found: Pz" in capsys.readouterr().out
    assert "--reference CZ: would make" in fails(capsys, tmp_path / "no", *options, "--reference", "CZ")
    assert "--resample" in fails(capsys, tmp_path / "no", *options, "--resample", "250")
    (encoder / "config.json").write_text(json.dumps({"ch_names": ["Fz", "Q9"], "sfreq": 100.}))
    assert f"{path}: channels Q9" in fails(capsys, tmp_path / "no", *options)
    (encoder / "config.json").write_text("{}")
    assert "ch_names" in fails(capsys, tmp_path / "no", *options)


def test_several_recordings(tmp_path, capsys):
    """Subjects from the path, common channels by name, copies left out, one table for all."""
    for subject, channels in (("03", CHANNELS), ("11", [CHANNELS[1], "FZ", *CHANNELS[3:]])):
        for session in "12":
            raw = make_raw(channels=channels, seed=int(subject) + int(session))
            save(raw, tmp_path / "all" / f"sub-{subject}" / f"ses-{session}" / f"sub-{subject}_ses-{session}_raw.fif")
    shutil.copy(tmp_path / "all/sub-03/ses-1/sub-03_ses-1_raw.fif", tmp_path / "all" / "sub-03" / "copy_raw.fif")
    record, eeg, columns = prepare(tmp_path / "out", "--recordings", tmp_path / "all", "--event_names", ".*", *AS_IT_IS)
    printed = capsys.readouterr().out
    assert "left out, because it holds the same data as" in printed and "Pz" in printed
    assert record["ch_names"] == ["Fz", "Cz", *CHANNELS[3:]]
    assert [r["name"] for r in record["recordings"]] == [f"sub-{s}_ses-{i}_raw.fif" for s in ("03", "11") for i in "12"]
    people = set(zip(columns["subject"].tolist(), columns["session"].tolist(), strict=True))
    assert people == {(3, 1), (3, 2), (11, 1), (11, 2)}
    samples = np.round(ONSETS * SFREQ).astype(int)
    last = make_raw(channels=[CHANNELS[1], "FZ", *CHANNELS[3:]], seed=13).reorder_channels(["FZ", "Cz", *CHANNELS[3:]])
    own = (columns["subject"] == 11) & (columns["session"] == 2)
    np.testing.assert_allclose(eeg[own], by_hand(last, samples, -40, 160), atol=1e-3)
    rest = save(make_raw(texts=("BAD_x",), seed=9), tmp_path / "sub-03_raw.fif")
    record, _, _ = prepare(tmp_path / "rest", "--recordings", rest, *(tmp_path / "all" / "sub-03").rglob("*2_raw.fif"),
                           "--event_names", ".*")
    assert len(record["recordings"]) == 1 and "sub-03_raw.fif" in capsys.readouterr().out
    people = write_table(tmp_path / "people.tsv", ("file", "subject"), *(
        (f"sub-{s}_ses-{i}_raw.fif", "x") for s in ("03", "11") for i in "12"))
    (tmp_path / "all" / "sub-03" / "copy_raw.fif").unlink()
    record, _, _ = prepare(tmp_path / "x", "--recordings", tmp_path / "all", "--participants", people, "--event_names",
                           ".*", "--reject", "0")
    assert record["about"]["subjects"] == {"1": "x"} and {r["subject"] for r in record["recordings"]} == {1}
    assert [r["session"] for r in record["recordings"]] == [1, 2, 1, 2]  # of the paths, as the table does not say


def test_folders_of_sessions_lie_in_that_of_their_subject(tmp_path):
    """Two sessions of a person whose folders were given were taken for two people."""
    for session in ("sub-07/ses-1/eeg", "sub-07/ses-2/eeg", "sub-09/session_01"):
        (tmp_path / session).mkdir(parents=True)
        (tmp_path / session / "one.edf").touch()
    for given in (("sub-07/ses-1", "sub-07/ses-2/eeg", "sub-09/session_01"), ("sub-07", "sub-09"), (".",)):
        found = raw_files.find_files([str(tmp_path / each) for each in given])
        assert [file.subject for file in found] == ["07", "07", "09"]
        assert [file.session for file in found] == ["1", "2", None]


def test_labels_that_are_large_numbers(tmp_path):
    """A date and more as the label of a person does not fit the shards' 32 bits: such labels are numbered."""
    labels = ("20240115093", "20240116001")
    paths = [save(make_raw(seed=i), tmp_path / f"sub-{label}_raw.fif") for i, label in enumerate(labels)]
    record, _, columns = prepare(tmp_path / "out", "--recordings", *paths, "--event_names", "cat|dog")
    assert record["about"]["subjects"] == {"1": labels[0], "2": labels[1]} and set(columns["subject"]) == {1, 2}


def test_a_second_run_keeps_the_splits_that_were_made_in_between(tmp_path, capsys):
    """It put the default ones in their place, which models that were trained by the others do not fit."""
    for number in (1, 2, 3):
        save(make_raw(seed=number), tmp_path / "all" / f"sub-{number}_raw.fif")
    options = ["raw", "--output", str(tmp_path / "out"), "--recordings", str(tmp_path / "all"), "--event_names", "cat|dog",
               "--no_audit"]
    prepare_data.main(options)
    splits = tmp_path / "out" / "splits.pth"
    default = splits.read_bytes()
    prepare_data.main(["split", str(tmp_path / "out"), "--split_by", "subject"])
    made = splits.read_bytes()
    prepare_data.main(options)
    assert "the splits by subject" in capsys.readouterr().out and splits.read_bytes() == made != default
    prepare_data.main([*options, "--split_by", "recording"])
    assert splits.read_bytes() == default


def test_recordings_of_a_folder_follow_the_numbers_in_their_names(tmp_path):
    """Run 10 came before run 1, and so the last run was no part of the test of --split_by recording."""
    for run in (1, 2, 9, 10):
        save(make_raw(seed=run), tmp_path / "all" / f"sub-1_run-{run}_raw.fif")
    record, _, columns = prepare(tmp_path / "out", "--recordings", tmp_path / "all", "--event_names", "cat|dog",
                                 "--split_by", "recording")
    assert [each["name"] for each in record["recordings"]] == [f"sub-1_run-{run}_raw.fif" for run in (1, 2, 9, 10)]
    test = read_splits(tmp_path / "out" / "splits.pth")[0]["test"]
    assert set(columns["recording"][test]) == {3}


def test_a_label_that_is_no_number_moves_no_other(tmp_path, capsys):
    """One sub-pilot made sub-01 subject 2, without a word, so that --subject 1 was the pilot."""
    paths = [save(make_raw(seed=i), tmp_path / f"sub-{label}_raw.fif") for i, label in enumerate(("01", "02", "pilot"))]
    record, _, _ = prepare(tmp_path / "out", "--recordings", *paths, "--event_names", "cat|dog")
    assert record["about"]["subjects"] == {"1": "01", "2": "02", "3": "pilot"}
    assert [each["subject"] for each in record["recordings"]] == [1, 2, 3]
    assert "subjects whose labels are no numbers of their own are numbered: pilot is 3" in capsys.readouterr().out


def test_an_interrupted_run_goes_on_and_equal_input_gives_equal_bytes(tmp_path):
    paths = [save(make_raw(seed=i), tmp_path / f"sub-{i}_raw.fif") for i in (1, 2)]
    first, _, _ = prepare(tmp_path / "a", "--recordings", *paths, "--event_names", "cat|dog")
    (tmp_path / "a" / "dataset.json").unlink()
    (tmp_path / "a" / "trials" / "00001.json").unlink()
    again, _, _ = prepare(tmp_path / "a", "--recordings", *paths, "--event_names", "cat|dog")
    assert first["fingerprint"] == again["fingerprint"]
    moved = [save(make_raw(seed=i), tmp_path / "elsewhere" / f"sub-{i}_raw.fif") for i in (1, 2)]
    for old, new in zip(paths, moved, strict=True):
        shutil.copy(old, new)
    third, _, _ = prepare(tmp_path / "b", "--recordings", *moved, "--event_names", "cat|dog")
    assert third["fingerprint"] == first["fingerprint"]


@pytest.mark.parametrize("kind", ["EDF+C", "EDF+D", "BDF+C"])
def test_annotations_in_latin_1(tmp_path, capsys, kind):
    """EDF+ asks for UTF-8, which not every program writes: such a file was called damaged."""
    starts = np.arange(40.) + 5 * (np.arange(40) >= 38) * (kind == "EDF+D")
    marks = [(onset, "Bxr" if i % 2 else "Igel") for i, onset in enumerate(ONSETS[:24])]
    path = tmp_path / f"one.{kind[:3].lower()}"
    write_edf_plus(path, make_raw().get_data()[:4] * 1e6, SFREQ, starts, marks, kind)
    path.write_bytes(path.read_bytes().replace(b"Bxr", "Bär".encode("latin-1")))
    _, eeg, columns = prepare(tmp_path / "out", "--recordings", path, "--event_names", "Bär|Igel", *AS_IT_IS)
    assert len(eeg) == 24 and columns["label"].tolist() == [1, 0] * 12
    assert "its annotations are not in UTF-8: read as Latin-1" in capsys.readouterr().out
