"""prepare_data.py raw: filters, bad channels, references and trials that are left out, against MNE used by hand."""

import numpy as np
import pytest

from raw_material import CHANNELS, ONSETS, SFREQ, make_raw, save
from raw_runs import AS_IT_IS, UNFILTERED, by_hand, fails, prepare
from sources import channel_kinds, epochs

mne = pytest.importorskip("mne")


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


def test_a_named_bad_channel_counts_in_every_spelling(tmp_path):
    """Of FZ in one recording and Fz in the other, only the one as typed was interpolated; the record said both were."""
    for number, names in enumerate((CHANNELS, [name.upper() for name in CHANNELS]), 1):
        save(make_raw(seed=number, channels=names), tmp_path / "all" / f"sub-{number}_raw.fif")
    record, _, _ = prepare(tmp_path / "out", "--recordings", tmp_path / "all", "--event_names", "cat|dog", "--bads", "Fz")
    assert [each["notes"][-1] for each in record["recordings"]] == [
        f"{name} was named by --bads: interpolated" for name in ("Fz", "FZ")]


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


@pytest.mark.parametrize("kind", ["eeg", "misc", "eog"])
def test_the_baseline_of_a_reference_that_is_no_eeg(tmp_path, kind):
    made, names = make_raw(channels=[*CHANNELS, "M1"]), [*CHANNELS, "M1"]
    info = mne.create_info(names, SFREQ, ["eeg"] * len(CHANNELS) + [kind])
    raw = mne.io.RawArray(made.get_data() + 2e-4 * (np.array(names) == "M1")[:, None], info, verbose="error")
    path = save(raw.set_annotations(made.annotations), tmp_path / "one_raw.fif")
    options = ("--event_names", ".*", *AS_IT_IS, "--reference", "M1", "--baseline", "-0.2", "0")
    _, eeg, _ = prepare(tmp_path / "out", "--recordings", path, *options)
    assert np.abs(eeg[:, :, :41].mean(2)).max() < 1e-3  # microvolts


def test_options_beyond_reason(tmp_path, capsys):
    """They are named before anything is written; the file is not called damaged for them."""
    path = save(make_raw(sfreq=100.4), tmp_path / "one_raw.fif")  # 50 Hz lie below Nyquist, MNE's filter for them does not
    for options in (("--notch", "0.1"), ("--notch", "50"), ("--tmin", "0", "--tmax", "0.001"), ("--h_freq", "50.3"),
                    ("--baseline", "0.001", "0.002")):
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
    limits = "trials with more than 500 uV or less than 0.1 uV peak to peak on any channel left out"
    assert record["about"]["steps"][-1] == limits
    kept = [i for i in range(28) if i not in (4, 6, 8, 10)]
    np.testing.assert_allclose(columns["onset"], ONSETS[kept])
    samples = np.round(ONSETS[kept] * SFREQ).astype(int)
    np.testing.assert_allclose(eeg, by_hand(raw, samples, -40, 160), atol=1e-3)
    record, _, _ = prepare(tmp_path / "flat", "--recordings", path, "--event_names", ".*", *options, "--reject", "0")
    assert record["recordings"][0]["dropped"]["less than 0.1 uV peak to peak"] == 1
    assert record["about"]["steps"][-1] == "trials with less than 0.1 uV peak to peak on any channel left out"


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
    kept, left = channel_kinds.eeg_channels(mne.io.RawArray(np.zeros((len(names), 10)), info, verbose="error"), ("M1",))
    assert kept == ["Fp1", "EEG Fp1-REF", "TP9", "T7", "E12", "EEG 001", "A1", "Ex", "POz", "ECoG1"]
    assert left["--exclude"] == ["M1"] and len(left["no EEG by name"]) == len(names) - 11
