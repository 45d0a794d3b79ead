"""Channels that are no EEG: by name, unit and behaviour; electrodes stay, whatever they show."""

import numpy as np
import pytest

from raw_material import ONSETS, SFREQ, make_raw, save, template_montage, write_xdf
from raw_runs import AS_IT_IS, UNFILTERED, by_hand, fails, prepare
from sources.channel_kinds import NO_EEG, eeg_channels

mne = pytest.importorskip("mne")
ELECTRODES = ["Fp1", "Fp2", "EEG C3-Ref", "C4", "Oz", "Pz"]


NO_ELECTRODES = """VEO, HEO, HEOR, HEOL, VEOU, LO1, LO2, IO1, SO2, ROC-A1, Left Eye, EMG1, Resp, BIP1, SpO2, SaO2, EtCO2,
CQ_AF3, CQ.AF3, EQ.OVERALL, RAW_CQ, MOT.Q0, TIME_STAMP_s, TIME_STAMP_ms, INTERPOLATED, GYROX, MARKER_HARDWARE, CMS,
Accel Channel 0, Accel X, ACC-Y, Accelerometer_Z, Accelerometer X, Gyroscope Y, x_dir, Digital Channel 0 (D11), Analog 0,
Analog Channel 1, Sample Index, Timestamp, Timestamp (Formatted), Other, Packet Counter, Battery Level, Right AUX, Mic,
Validation Indicator, Photodiode, ChinEMG, Erg1, Plet, HR, Heart Rate, PulseRate, LOC, ROC, E1-M2, E2-A1, GYR_X, GyrX,
Package Num Channel, PacketNum, Optics1, fNIRS_1, Temperature, Temp, Ref, GND, LightSensor, GazeX, Gaze_Y, Pupil, Blink,
Key, Jaw Clench, Concentration, Delta_TP9, Alpha_AF7, Elements, HeadBandOn, Response, Button, BUTTON1, TriggerIn, SyncIn,
X1 DC, AUX_R, Left AUX, EXG8, GSR2, EKG, BIP65, DIN1, DC01, horEOG, EOGleft, EMGchin, LHEye, left_eye, PupilDiam, L-GAZE-X,
R-AREA, L-VEL-Y, xpos_left, Respiration, Breath, Thermistor, Snoring, TTL, Annotations, Not Used, Unused, Reference,
Microphone, BatteryLevel, AuxLeft, TriggerChannel, PulseOx, EEG.Counter, EEG.Interpolated, EEG.RawCq, EEG.Battery,
EEG.BatteryPercent, Interpolate, HardwareMarker, POL DC01, POL Mark1, PHO, OSAT, RLEG, PLM, Dig-In, DigIn, Ana1,
OptoSensor"""
OTHERS = ["A1", "E12", "EEG 001", "EEG Channel 0", "EXG Channel 0", "ECoG1", "Ex", "RM", "CB1", "C3-A2", "B23", "Ch 3",
          "LA1", "ROF2", "1", "VREF", "E1", "E129", "E2", "LOC1", "D11", "M1", "CB2", "TP10", "T1", "Sp1",
          "EEG.AF3", "POL $A1", "POL E", "POL B1", "RS"]


def test_names():
    for name in NO_ELECTRODES.replace("\n", " ").split(", "):
        assert NO_EEG.fullmatch(name), name
    for name in [*mne.channels.make_standard_montage(template_montage()).ch_names, *OTHERS]:
        assert not NO_EEG.fullmatch(name), name


def recording(extra, seconds=40, scale=1.):
    """mne Raw of ELECTRODES and of `extra`: name -> values [samples] in microvolts."""
    raw = make_raw(seconds, channels=ELECTRODES)
    data = np.vstack([raw.get_data() * scale, *(np.asarray(values)[None] * 1e-6 for values in extra.values())])
    both = mne.io.RawArray(data, mne.create_info([*ELECTRODES, *extra], SFREQ, "eeg"), verbose="error")
    return both.set_annotations(raw.annotations)


def made_up():
    """What channels without a telling name hold: name -> values."""
    n, rng = np.arange(8000), np.random.default_rng(3)
    return {"X1": n % 128, "X2": 1e6 + n / SFREQ, "X3": 3 + (n // 400 % 2), "X4": rng.normal(0, 8, 8000)}


def test_behaviour(tmp_path):
    """A counter, a clock and a line of two levels go beside electrodes; a fourth channel of unknown name is like EEG."""
    extra = made_up()
    path = save(recording(extra), tmp_path / "one_raw.fif")
    record, eeg, _ = prepare(tmp_path / "out", "--recordings", path, "--event_names", ".*", "--reference", "average",
                             *UNFILTERED, "--bads", "none")
    assert record["ch_names"] == [*ELECTRODES, "X4"]
    kept = recording({"X4": extra["X4"]})
    windows = by_hand(kept, np.round(ONSETS * SFREQ).astype(int), -40, 160)
    np.testing.assert_allclose(eeg, windows - windows.mean(1, keepdims=True), atol=1e-3)
    notes = " ".join(record["recordings"][0]["notes"])
    assert "counts in equal steps): X1" in notes and "rises or falls, as a clock does): X2" in notes and "levels" in notes
    ramp = recording({})
    ramp = mne.io.RawArray(np.vstack([np.arange(8000)[None] * 1e-8, ramp.get_data()[1:]]), ramp.info, verbose="error")
    assert eeg_channels(ramp) == (ELECTRODES, {})  # an electrode stays
    unknown = mne.io.RawArray(np.vstack(list(extra.values())), mne.create_info(list(extra), SFREQ, "eeg"), verbose="error")
    assert eeg_channels(unknown) == (list(extra), {})  # nothing to compare with


def test_the_reference_of_an_egi_net(tmp_path):
    """Zero throughout, it would be flat in every trial; with data of its own it stays."""
    names = [*(f"E{i}" for i in range(1, 9)), "VREF"]
    raw = make_raw(channels=names)
    noise = raw.copy()
    raw.apply_function(lambda data: 0 * data, picks="VREF", verbose="error")
    for each, kept in ((raw, names[:-1]), (noise, names)):
        path = save(each, tmp_path / f"{len(kept)}_raw.fif")
        record, eeg, _ = prepare(tmp_path / str(len(kept)), "--recordings", path, "--event_names", ".*", *UNFILTERED)
        assert record["ch_names"] == kept and len(eeg) == len(ONSETS)


def test_units_of_edf(tmp_path):
    """Where electrodes have volts, a channel of another unit is no EEG."""
    edfio = pytest.importorskip("edfio")
    rng, names = np.random.default_rng(0), ["Fp1", "Fp2", "C3", "C4", "Oz", "Q"]
    signals = [edfio.EdfSignal(rng.normal(0, 10, 8000), SFREQ, label=name, physical_range=(-100, 100),
                               physical_dimension="degC" if name == "Q" else "uV") for name in names]
    edfio.Edf(signals, annotations=[edfio.EdfAnnotation(onset, 0, "cat") for onset in ONSETS]).write(tmp_path / "one.edf")
    record, _, _ = prepare(tmp_path / "out", "--recordings", tmp_path / "one.edf", "--event_names", ".*", *AS_IT_IS)
    assert record["ch_names"] == names[:-1]


def test_what_rejects_is_named(tmp_path, capsys):
    noise = np.random.default_rng(0).normal(0, 300, 8000)
    some = np.where(np.arange(8000) < 2000, noise, noise / 50)
    path = save(recording({"Y1": some, "Y2": some[::-1]}), tmp_path / "one_raw.fif")
    options = ("--event_names", ".*", *UNFILTERED, "--bads", "none", "--reference", "keep")
    record, eeg, _ = prepare(tmp_path / "out", "--recordings", path, *options)
    data = recording({"Y1": some, "Y2": some[::-1]}).get_data() * 1e6
    spans = np.array([np.ptp(data[:, at - 40:at + 160], axis=1) for at in np.round(ONSETS * SFREQ).astype(int)])
    count = (spans > 500).sum(0)
    assert len(eeg) == (spans.max(1) <= 500).sum() and count[-2] and count[-1] and not count[:-2].any()
    order = sorted(((name, n) for name, n in zip(("Y1", "Y2"), count[-2:], strict=True)), key=lambda each: -each[1])
    said = "trials rejected for their amplitude, by channel: " + ", ".join(f"{name} {n}" for name, n in order)
    assert said in record["recordings"][0]["notes"]
    path = save(recording({"Y1": noise}), tmp_path / "all_raw.fif")
    assert f"by channel: Y1 {len(ONSETS)}; check" in fails(capsys, tmp_path / "no", "--recordings", path, *options)


def test_units_are_judged_by_electrodes(tmp_path, capsys):
    """Ten channels of large numbers and unknown names beside six electrodes in microvolts give no advice on the unit."""
    large = {f"Z{i}": np.random.default_rng(i).normal(0, 1e5, 8000) for i in range(10)}
    options = ("--event_names", ".*", "--reject", "0", "--reference", "keep", "--bads", "none")
    prepare(tmp_path / "out", "--recordings", save(recording(large), tmp_path / "one_raw.fif"), *options)
    wrong = save(recording(large, scale=1e6), tmp_path / "two_raw.fif")
    assert "--unit_scale 1e-06" in fails(capsys, tmp_path / "no", "--recordings", wrong, *options)


def test_the_cases_of_the_issue(cases, tmp_path):
    emotiv = ["AF3", "F7", "F3", "FC5", "T7", "P7", "O1", "O2", "P8", "T8", "FC6", "F4", "F8", "AF4"]
    scalp = ["FP1", "FP2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "FZ", "CZ", "PZ", "OZ", "T7", "T8", "M1", "CB1"]
    kept = {"emotiv_uV": emotiv, "emotiv_none": emotiv, "eog_names": scalp,
            "openbci_names": [f"EEG Channel {i}" for i in range(8)]}
    for name, channels in kept.items():
        record, eeg, columns = prepare(tmp_path / name, "--recordings", cases / f"{name}.edf", "--pictures",
                                       cases / "pics8", *UNFILTERED, "--bads", "none")
        assert record["ch_names"] == channels and len(eeg) == 36
        raw = mne.io.read_raw(cases / f"{name}.edf", preload=True, verbose="error").pick(channels)
        windows = by_hand(raw, np.round(columns["onset"] * 128).astype(int), -26, 102)
        average = windows - windows.mean(1, keepdims=True) if len(channels) >= 16 else windows
        np.testing.assert_allclose(eeg, average, atol=1e-2)


@pytest.mark.parametrize("labels", [["Fz", "Cz", "", "", ""], ["a", "a", "a", "a", "a"]])
def test_channels_of_a_stream_without_a_name_of_their_own(tmp_path, labels):
    """One label that is missing took all names, units and types away: an amplifier's AUX was EEG, millivolts were
    microvolts."""
    pytest.importorskip("pyxdf")
    times, values = 100 + np.arange(8000) / SFREQ, np.random.default_rng(0).normal(0, .01, (8000, 5)).astype(np.float32)
    channels = [(label, "millivolts", kind) for label, kind in zip(labels, ["EEG"] * 4 + ["AUX"], strict=True)]
    path = write_xdf(tmp_path / "one.xdf", [
        {"name": "A", "type": "EEG", "rate": SFREQ, "times": times, "values": values, "channels": channels},
        {"name": "M", "type": "Markers", "rate": 0, "times": 100 + ONSETS, "values": [["cat"]] * len(ONSETS)}])
    record, eeg, _ = prepare(tmp_path / "out", "--recordings", path, "--event_names", "cat", *AS_IT_IS)
    numbers = [f"EEG {i:03d}" for i in range(1, 5)]
    assert record["ch_names"] == (["Fz", "Cz", *numbers[2:]] if labels[0] == "Fz" else numbers)
    assert 9 < eeg.std() < 11 and "channels no name of their own" in " ".join(record["recordings"][0]["notes"])
