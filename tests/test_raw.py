"""prepare_data.py raw: recordings that MNE, pyxdf and mne-bids read, against MNE used by hand."""

import json
import shutil

import numpy as np
import pytest

import prepare_data
from eegdata.dataset_folder import open_folder
from raw_material import CHANNELS, ONSETS, SFREQ, make_pictures, make_raw, save, write_table, write_xdf
from sources import epochs, preprocessing, raw_files

mne = pytest.importorskip("mne")
UNFILTERED = ("--l_freq", "0", "--h_freq", "0", "--resample", "0", "--baseline", "none")
AS_IT_IS = (*UNFILTERED, "--bads", "none", "--reference", "keep", "--reject", "0", "--flat", "0")


def prepare(output, *options):
    """The record, EEG in microvolts [trials, channels, samples] and other columns of the data set that the options give."""
    prepare_data.main(["raw", "--output", str(output), "--scale", "none", "--no_audit", "--split_gap", "0",
                       *map(str, options)])
    record, blocks, columns = open_folder(output)
    return record, np.concatenate(blocks), columns


def fails(capsys, output, *options):
    with pytest.raises(SystemExit) as stop:
        prepare(output, *options)
    assert stop.value.code == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("error: ") and "Traceback" not in message
    return message


def by_hand(raw, samples, first, last):
    """Windows of EEG in microvolts around samples, by slicing."""
    data = raw.get_data(picks="eeg") * 1e6
    return np.stack([data[:, at + first:at + last] for at in samples])


@pytest.mark.parametrize("name", ["one.edf", "one.bdf", "one.vhdr", "one.set", "one_raw.fif", "sub-one.edf"])
def test_formats(tmp_path, name):
    if name.endswith((".edf", ".bdf")):
        pytest.importorskip("edfio")
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
    raw.notch_filter([50], verbose="error").filter(1, 30, verbose="error").resample(100, verbose="error")
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


def test_bad_channels_are_interpolated_as_mne_does(tmp_path):
    """A flat channel and one that is named, from the places of a montage."""
    rng = np.random.default_rng(0)
    montage = mne.channels.make_standard_montage("biosemi32")
    sources = rng.normal(size=(6, 8000))
    info = mne.create_info(montage.ch_names, SFREQ, "eeg").set_montage(montage)
    centres = np.concatenate([np.eye(3), -np.eye(3)]) * .07  # m: six sources that spread over neighbours
    mix = np.array([np.exp(-np.linalg.norm(ch["loc"][:3] - centres, axis=1) / .04) for ch in info["chs"]])
    raw = mne.io.RawArray((mix @ sources + .05 * rng.normal(size=(32, 8000))) * 2e-5, info, verbose="error")
    truth = raw.get_data() * 1e6
    raw.apply_function(lambda x: x * 0, picks=["Cz"], verbose="error")
    raw.set_annotations(mne.Annotations(ONSETS, 0, "cat"))
    path = save(raw, tmp_path / "one_raw.fif")
    options = ("--recordings", path, "--event_names", "cat", *UNFILTERED, "--reject", "0")
    record, eeg, _ = prepare(tmp_path / "out", *options, "--reference", "keep")
    assert "Cz was flat: interpolated" in record["recordings"][0]["notes"]
    raw.info["bads"] = ["Cz"]
    mended = raw.copy().interpolate_bads(verbose="error")
    samples = np.round(ONSETS * SFREQ).astype(int)
    np.testing.assert_allclose(eeg, by_hand(mended, samples, -40, 160), atol=.2)
    cz = raw.ch_names.index("Cz")
    wave = np.stack([truth[cz, at - 40:at + 160] for at in samples])
    assert np.corrcoef(eeg[:, cz].ravel(), wave.ravel())[0, 1] > .9
    record, average, _ = prepare(tmp_path / "average", *options, "--reference", "average", "--bads", "Cz,Pz")
    raw.info["bads"] = ["Cz", "Pz"]
    mended = raw.copy().interpolate_bads(verbose="error").set_eeg_reference("average", verbose="error")
    np.testing.assert_allclose(average, by_hand(mended, samples, -40, 160), atol=.2)
    for name in ("Cz", "Pz"):
        assert f"{name} was named by --bads: interpolated" in record["recordings"][0]["notes"]


def test_an_outlier_is_found(tmp_path):
    """--bads auto from 32 channels and 30 s on: one channel of another kind than the others."""
    montage, rng = mne.channels.make_standard_montage("biosemi64"), np.random.default_rng(0)
    common, places = rng.normal(size=(4, 8000)), np.array(list(montage.get_positions()["ch_pos"].values()))
    data = np.tanh(places @ rng.normal(0, 10, (3, 4))) @ common + .2 * rng.normal(size=(64, 8000))
    data[20] = 3 * rng.normal(size=8000)
    raw = mne.io.RawArray(data * 1e-5, mne.create_info(montage.ch_names, SFREQ, "eeg"), verbose="error")
    raw.set_annotations(mne.Annotations(ONSETS, 0, "cat"))
    record, _, _ = prepare(tmp_path / "out", "--recordings", save(raw, tmp_path / "one_raw.fif"), "--event_names", "cat")
    assert [note for note in record["recordings"][0]["notes"] if "LOF" in note] == [
        f"{raw.ch_names[20]} was unlike the others (LOF): interpolated"]


def test_references(tmp_path, capsys):
    raw = make_raw(channels=[*CHANNELS, "EXG1"])
    path = save(raw, tmp_path / "one_raw.fif")
    samples, plain = np.round(ONSETS * SFREQ).astype(int), (*UNFILTERED, "--bads", "none", "--reject", "0")
    for name, reference in (("O1,O2", ["O1", "O2"]), ("EXG1", ["EXG1"])):
        record, eeg, _ = prepare(tmp_path / name, "--recordings", path, "--event_names", ".*", *plain, "--reference", name)
        hand = raw.copy().set_eeg_reference(reference, verbose="error").pick(CHANNELS)
        np.testing.assert_allclose(eeg, by_hand(hand, samples, -40, 160), atol=1e-3)
        assert record["ch_names"] == CHANNELS
    message = fails(capsys, tmp_path / "no", "--recordings", path, "--event_names", ".*", "--reference", "M1,M2")
    assert "--reference M1" in message
    record, eeg, _ = prepare(tmp_path / "Cz", "--recordings", path, "--event_names", ".*", *plain, "--reference", "Cz")
    assert record["ch_names"] == [name for name in CHANNELS if name != "Cz"] and "Cz is left out" in capsys.readouterr().out
    hand = raw.copy().set_eeg_reference(["Cz"], verbose="error").pick(record["ch_names"])
    np.testing.assert_allclose(eeg, by_hand(hand, samples, -40, 160), atol=1e-3)
    for flag in ("--reference", "--bads"):
        assert f"{flag} ''" in fails(capsys, tmp_path / "no", "--recordings", path, "--event_names", ".*", flag, "")


def test_options_beyond_reason(tmp_path, capsys):
    """They are named before anything is written; the file is not called damaged for them."""
    path = save(make_raw(sfreq=100.4), tmp_path / "one_raw.fif")  # 50 Hz lie below Nyquist, MNE's filter for them does not
    for options in (("--notch", "0.1"), ("--notch", "50"), ("--tmin", "0", "--tmax", "0.001"), ("--h_freq", "50.3")):
        message = fails(capsys, tmp_path / "no", "--recordings", path, "--event_names", ".*", *options)
        assert message.startswith(f"error: {options[0]} {options[1]}") and not (tmp_path / "no").exists()
    with pytest.raises(SystemExit):
        prepare(tmp_path / "no", "--recordings", path, "--event_names", ".*", "--resample", "1e9")
    assert "1e9 is out of range" in capsys.readouterr().err and not (tmp_path / "no").exists()


@pytest.mark.parametrize(("sfreq", "notch"), [(100.4, 16.7), (101., 50.), (120.5, 60.), (200.5, 50.), (500.3, 50.)])
def test_notches_end_where_mnes_filter_does(sfreq, notch):
    raw, found = make_raw(n_seconds=30, sfreq=sfreq), epochs.notches(notch, sfreq)
    if found:
        raw.copy().notch_filter(found, verbose="error")
    assert found == [k * notch for k in range(1, len(found) + 1)]
    if (more := notch * (len(found) + 1)) < sfreq / 2:
        with pytest.raises(ValueError, match="Nyquist"):
            raw.notch_filter([more], verbose="error")


def test_trials_that_are_left_out_are_counted(tmp_path):
    """One beyond the end, one across a BAD stretch, one across an EEGLAB boundary, one too large, one flat."""
    raw = make_raw()
    data = raw.get_data()
    data[2, round(ONSETS[4] * SFREQ) + 20] += 1e-3
    data[:, round(ONSETS[6] * SFREQ) - 60:round(ONSETS[6] * SFREQ) + 180] = 0
    raw = mne.io.RawArray(data, raw.info, verbose="error")
    raw.set_annotations(mne.Annotations([*ONSETS, 39.9, ONSETS[8] + .1, ONSETS[10] + .3], [*np.zeros(29), .2, 0],
                                        [*["cat", "dog"] * 14, "cat", "BAD_move", "boundary"]))
    path = save(raw, tmp_path / "one_raw.fif")
    options = (*UNFILTERED, "--bads", "none", "--reference", "keep")
    record, eeg, columns = prepare(tmp_path / "out", "--recordings", path, "--event_names", ".*", *options)
    assert record["recordings"][0]["dropped"] == {
        "outside the recording": 1, "across 'BAD_move'": 1, "across 'BAD boundary'": 1, "more than 500 uV peak to peak": 1,
        "less than 0.1 uV peak to peak": 1}
    kept = [i for i in range(28) if i not in (4, 6, 8, 10)]
    np.testing.assert_allclose(columns["onset"], ONSETS[kept])
    samples = np.round(ONSETS[kept] * SFREQ).astype(int)
    np.testing.assert_allclose(eeg, by_hand(raw, samples, -40, 160), atol=1e-3)


def test_filters_stop_at_a_boundary(tmp_path):
    """A step of 500 microvolts at a pause leaves the trials beside it alone."""
    raw = make_raw(n_seconds=60)
    data = raw.get_data()
    data[:, 20 * 200:] += 5e-4
    raw = mne.io.RawArray(data, raw.info, verbose="error")
    size, trials = {}, [10., 18.9, 20.3, 22., 30.]
    for text in ("boundary", "other"):
        raw.set_annotations(mne.Annotations([*trials, 20.], 0, [*["cat"] * 5, text]))
        path = save(raw, tmp_path / f"{text}_raw.fif")
        record, eeg, _ = prepare(tmp_path / text, "--recordings", path, "--event_names", "cat", "--reject", "0")
        size[text] = eeg.std(axis=(1, 2))
        assert any("1 pauses" in note for note in record["recordings"][0]["notes"]) == (text == "boundary")
    assert size["boundary"].max() < 1.2 * size["boundary"].min()
    assert size["other"][1:3].min() > 2 * size["other"][[0, 4]].max()


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
    assert "left out, its data are those of" in printed and "Pz" in printed
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


def test_recordings_that_do_not_fit(tmp_path, capsys):
    slow = save(make_raw(sfreq=200.), tmp_path / "slow_raw.fif")
    fast = save(make_raw(sfreq=250.), tmp_path / "fast_raw.fif")
    other = save(make_raw(channels=["A", "B", "C"]), tmp_path / "other_raw.fif")
    options = ("--event_names", ".*")
    assert "--resample" in fails(capsys, tmp_path / "no", "--recordings", slow, fast, *options)
    assert "in common" in fails(capsys, tmp_path / "no", "--recordings", slow, other, *options)
    assert "--h_freq 120" in fails(capsys, tmp_path / "no", "--recordings", slow, "--h_freq", "120", *options)
    assert "are 66.00 s long" in fails(capsys, tmp_path / "no", "--recordings", slow, "--l_freq", "0.05", *options)
    assert "no such file" in fails(capsys, tmp_path / "no", "--recordings", tmp_path / "none.edf", *options)
    assert "--exclude Q" in fails(capsys, tmp_path / "no", "--recordings", slow, "--exclude", "Q", *options)
    assert "--baseline" in fails(capsys, tmp_path / "no", "--recordings", slow, "--baseline", "-3", "0", *options)
    assert "--tmin" in fails(capsys, tmp_path / "no", "--recordings", slow, "--tmin", "2", *options)
    assert "--event_names" in fails(capsys, tmp_path / "no", "--recordings", slow)
    assert "--cut" not in fails(capsys, tmp_path / "no", "--recordings", _file(tmp_path / "a.cnt"), *options)
    assert "unsupported" in fails(capsys, tmp_path / "no", "--recordings", _file(tmp_path / "a.xyz"), *options).lower()
    (tmp_path / "notes").mkdir()
    assert "holds no recording" in fails(capsys, tmp_path / "no", "--recordings", tmp_path / "notes", *options)
    assert "either --recordings or --bids" in fails(capsys, tmp_path / "no")


def _file(path, content=b"Version 3.0" + bytes(900)):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("wrong", "flag"), [(1e6, "--unit_scale 1e-06"), (1e-6, "--unit_scale 1e+06"),
                                             (0, "not connected")])
def test_implausible_units(tmp_path, capsys, wrong, flag):
    raw = make_raw().apply_function(lambda data: data * wrong, verbose="error")
    path = save(raw, tmp_path / "one_raw.fif")
    options = ("--recordings", path, "--event_names", "cat|dog")
    message = fails(capsys, tmp_path / "out", *options)
    assert "one_raw.fif" in message and "uV" in message and flag in message
    if wrong:
        _, mended, _ = prepare(tmp_path / "mended", *options, *flag.split())
        right = save(make_raw(), tmp_path / "right_raw.fif")
        _, right, _ = prepare(tmp_path / "right", "--recordings", right, *options[2:])
        np.testing.assert_allclose(mended, right, rtol=1e-3, atol=1e-2)


def test_values_that_are_no_numbers(tmp_path, capsys):
    data = make_raw().get_data()
    data[3, 1000] = np.nan
    raw = make_raw()
    path = save(mne.io.RawArray(data, raw.info, verbose="error").set_annotations(raw.annotations), tmp_path / "one_raw.fif")
    message = fails(capsys, tmp_path / "out", "--recordings", path, "--event_names", ".*")
    assert "channel Oz" in message and "5.000 s" in message


def test_the_filters_length_is_that_of_mne():
    for low, high, sfreq in ((.5, 40, 250), (.1, 0, 500), (0, 40, 128), (1, 30, 256), (4, 8, 100), (10, 0, 128)):
        taps = mne.filter.create_filter(None, sfreq, low or None, high or None, verbose="error")
        settings = epochs.Epoching(low, high, 0, sfreq, 0, 1, None, 0, 0)
        assert epochs.filter_seconds(settings) == pytest.approx(len(taps) / sfreq, abs=2 / sfreq)


def test_channels_that_are_no_eeg_by_name():
    names = ["Fp1", "EEG Fp1-REF", "TP9", "T7", "E12", "EEG 001", "A1", "M1", "Ex", "POz", "ECoG1",
             "EOG", "HEOG", "VEOG", "EOG1", "EOG LOC", "REOG", "ECG", "EKG1", "EMG", "ECG ECG1", "Status", "STI 014",
             "TRIG", "Trigger", "EXG1", "Photic", "Ergo-Left", "GSR1", "AUX_2", "DC1", "ACC_X", "Marker"]
    info = mne.create_info(names, 100., "eeg")
    kept, left = preprocessing.eeg_channels(mne.io.RawArray(np.zeros((len(names), 10)), info, verbose="error"), ("M1",))
    assert kept == ["Fp1", "EEG Fp1-REF", "TP9", "T7", "E12", "EEG 001", "A1", "Ex", "POz", "ECoG1"]
    assert left["--exclude"] == ["M1"] and len(left["no EEG by name"]) == len(names) - 11


FILES = {  # the file of its data, names of events
    "eeglab_data.set": ("eeglab_data.fdt", "square"), "test.vhdr": ("test.eeg", "Stimulus/.*"),
    "mne_test.edf": (None, "type ."), "mne_test.bdf": (None, ".*"), "NA_271/test-na-271.cnt": (None, ".*"),
    "NA_271/test-na-271.vhdr": ("NA_271/test-na-271.eeg", ".*")}


@pytest.mark.parametrize("name", FILES)
def test_damaged_real_recordings(shared, tmp_path, capsys, monkeypatch, name):
    """Cut anywhere, a part missing, header bytes flipped: one sentence that names the file, or a data set; no traceback."""
    if ".cnt" in name:
        pytest.importorskip("antio")
    monkeypatch.setattr(raw_files, "ANT_SECONDS", 3)
    source, (part, pattern) = shared / "raw_formats", FILES[name]
    folder = tmp_path / "in"

    def fresh():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for file in (source / name).parent.glob((source / name).stem + ".*"):
            (folder / file.name).write_bytes(file.read_bytes())
        return folder / (source / name).name

    def run():
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        return fails(capsys, tmp_path / "out", "--recordings", path, "--event_names", pattern, "--l_freq", "1")

    for target in {(source / name).name, (source / (part or name)).name}:
        for share in (0, .002, .4, .9, .9995):
            path = fresh()
            data = (folder / target).read_bytes()
            if target.endswith(".vhdr") and share > .95:
                continue  # ends in a comment
            (folder / target).write_bytes(data[:int(len(data) * share)])
            assert path.name in run(), (target, share)
    if part:
        path = fresh()
        (folder / (source / part).name).unlink()
        message = run()
        assert path.name in message and "not there" in message
    rng = np.random.default_rng(0)
    for _ in range(12):
        path = fresh()
        data = bytearray(path.read_bytes())
        for at in rng.integers(0, 600, 3):
            data[at] ^= int(rng.integers(1, 256))
        path.write_bytes(data)
        try:
            prepare(tmp_path / "out", "--recordings", path, "--event_names", pattern, "--l_freq", "0", "--overwrite",
                    "--tmax", ".3")
        except SystemExit as stop:
            assert stop.code == 2
            assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["test-na-271.cnt", "test-na-271-legacy.cnt"])
def test_a_damaged_table_of_channels(shared, tmp_path, capsys, name):
    """ANT's library takes it and writes outside of its memory (the high byte) or over another channel (the low one)."""
    pytest.importorskip("antio")
    data = (shared / "raw_formats" / "NA_271" / name).read_bytes()
    table = data.index(b"".join(number.to_bytes(2, "little") for number in range(20)))
    for at, value in ((table + 4, 3), (table + 5, 0x8b)):
        path = tmp_path / name
        path.write_bytes(data[:at] + bytes([value]) + data[at + 1:])
        message = fails(capsys, tmp_path / "out", "--recordings", path, "--event_names", ".*")
        assert f"{name}: its table of channels" in message and "0 to 127" in message


def test_wrong_header_numbers(shared, tmp_path, capsys):
    source = shared / "raw_formats"
    edf = bytearray((source / "mne_test.edf").read_bytes())
    for at, text in ((236, b"9999    "), (236, b"2       "), (252, b"0   "), (252, b"900 "), (184, b"12      ")):
        data = bytearray(edf)
        data[at:at + len(text)] = text
        path = tmp_path / "one.edf"
        path.write_bytes(data)
        message = fails(capsys, tmp_path / "out", "--recordings", path, "--event_names", "type .", "--l_freq", "1")
        assert "one.edf" in message
    for file in ("test.eeg", "test.vmrk"):
        shutil.copy(source / file, tmp_path / file)
    header = (source / "test.vhdr").read_text(encoding="utf-8")
    for old, new in (("NumberOfChannels=32", "NumberOfChannels=31"), ("BinaryFormat=INT_16", "BinaryFormat=IEEE_FLOAT_32"),
                     ("SamplingInterval=1000", "SamplingInterval=0"), ("DataFile=test.eeg", "DataFile=other.eeg"),
                     ("NumberOfChannels=32", "NumberOfChannels=32\nDataPoints=8000")):
        path = tmp_path / "one.vhdr"
        path.write_text(header.replace(old, new), encoding="utf-8")
        assert "one.vhdr" in fails(capsys, tmp_path / "out", "--recordings", path, "--event_names", "Stimulus/.*"), new


def test_cut_short_on_purpose(shared, tmp_path):
    pytest.importorskip("edfio")
    raw = make_raw()
    path = save(raw, tmp_path / "one.edf")
    path.write_bytes(path.read_bytes()[:int(path.stat().st_size * .6)])
    _, eeg, _ = prepare(tmp_path / "out", "--recordings", path, "--event_names", "cat|dog", "--cut_short", *AS_IT_IS)
    assert 10 < len(eeg) < len(ONSETS)


def test_parts_and_cut_trials_are_refused(shared, tmp_path, capsys):
    message = fails(capsys, tmp_path / "out", "--recordings", shared / "raw_formats" / "eeglab_data.fdt")
    assert "give eeglab_data.set instead" in message
    pytest.importorskip("eeglabio")
    raw = make_raw()
    events, _ = mne.events_from_annotations(raw, verbose="error")
    epochs = mne.Epochs(raw, events, None, 0, 1, baseline=None, verbose="error", preload=True)
    epochs.export(tmp_path / "cut.set", verbose="error")
    assert "cut already" in fails(capsys, tmp_path / "out", "--recordings", tmp_path / "cut.set", "--event_names", ".*")


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
