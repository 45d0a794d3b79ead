"""Trigger channels of several formats: each code is read as it was written, at its sample, whatever the channel's type."""

import numpy as np
import pytest

from raw_material import CHANNELS, SFREQ, make_pictures, make_raw, save, write_table, write_xdf
from raw_runs import AS_IT_IS, fails, prepare
from sources.stim_codes import codes_of

mne = pytest.importorskip("mne")
AT = np.arange(600, 7400, 250)  # samples
CODES = np.resize([1, 2, 3, 4, 4, 3, 2, 1], len(AT))
KINDS = ("cat", "dog", "car", "cup")
PLAIN = list(zip(AT.tolist(), CODES.tolist(), strict=True))


def pulses(plus=0):
    """Values [8000] that rest at 0 but for 20 samples after each of AT."""
    values = np.zeros(8000, int)
    for at, code in PLAIN:
        values[at:at + 20] = code
    return values + plus


@pytest.fixture
def options(tmp_path):
    pictures = make_pictures(tmp_path / "pictures", KINDS)
    table = write_table(tmp_path / "map.tsv", ("event", "class"), *enumerate(KINDS, 1))
    return ("--pictures", pictures, "--picture_map", table, *AS_IT_IS)


def right(folder, path, *options):
    """The record of a data set whose trials are those of CODES at AT."""
    record, _, columns = prepare(folder, "--recordings", path, *options)
    np.testing.assert_allclose(columns["onset"], AT / SFREQ, atol=1e-9)
    assert [record["class_names"][label] for label in columns["label"]] == [KINDS[code - 1] for code in CODES]
    return record


def fif(path, kind="stim", **values):
    raw = make_raw(channels=[*CHANNELS[:4], *values])
    raw.set_channel_types(dict.fromkeys(values, kind), verbose="error")
    data = np.vstack([raw.get_data(picks=CHANNELS[:4]), *(each[None] for each in values.values())])
    return save(mne.io.RawArray(data, raw.info, verbose="error"), path)


def test_lines_in_channels_of_their_own(tmp_path, options, capsys):
    """As Neuromag's STI 001 to STI 008, at 5 V each."""
    lines = {f"STI {bit + 1:03d}": 5. * (pulses() >> bit & 1) for bit in range(8)}
    right(tmp_path / "out", fif(tmp_path / "one_raw.fif", **lines), *options)
    assert "read as the 8 lines of one code" in capsys.readouterr().out


def test_two_channels(tmp_path, options, capsys):
    answers = np.roll(pulses() > 0, 100)
    both = fif(tmp_path / "both_raw.fif", TRIG=pulses(), ANSWER=1. * answers)
    assert "TRIG and ANSWER both have the code 1" in fails(capsys, tmp_path / "no", "--recordings", both, *options)
    right(tmp_path / "chosen", both, "--stim_channel", "TRIG", *options)
    record = right(tmp_path / "apart", fif(tmp_path / "apart_raw.fif", TRIG=pulses(), ANSWER=9. * answers), *options)
    assert record["about"]["events"]["ignored"] == {"9": len(AT)}
    assert "TRIG (28), ANSWER (28)" in capsys.readouterr().out
    nothing = fif(tmp_path / "nan_raw.fif", TRIG=np.where(pulses() > 0, pulses(), np.nan))
    message = fails(capsys, tmp_path / "no", "--recordings", nothing, *options)
    assert "channel TRIG: holds 7440 values that are NaN" in message


@pytest.mark.parametrize(("kind", "factor"), [("eeg", 1e-6), ("misc", 1.)])
def test_a_channel_of_another_type(tmp_path, options, kind, factor, capsys):
    path = fif(tmp_path / "one_raw.fif", kind, TRIG=pulses() * factor)
    assert "by its name, TRIG may be one" in fails(capsys, tmp_path / "no", "--recordings", path, *options)
    right(tmp_path / "out", path, "--stim_channel", "TRIG", *options)


@pytest.mark.parametrize(("label", "unit", "top"), [("Trigger", "uV", 1000), ("STATUS", "", 300), ("TRIG", "uV", 1000),
                                                    ("TRIG", "mV", 100), ("TRIG", "", 300)])
def test_edf(tmp_path, options, label, unit, top):
    """16 bits over a range of their own: a code may be 1.98, which MNE cuts to 1 in a channel of type stim."""
    edfio = pytest.importorskip("edfio")
    rng = np.random.default_rng(0)
    signals = [edfio.EdfSignal(rng.normal(0, 10, 8000), SFREQ, label=name, physical_dimension="uV",
                               physical_range=(-500, 500)) for name in CHANNELS[:4]]
    signals.append(edfio.EdfSignal(pulses(), SFREQ, label=label, physical_dimension=unit, physical_range=(-top, top)))
    edfio.Edf(signals).write(tmp_path / "one.edf")
    named = ("--stim_channel", label) if label == "TRIG" else ()
    record = right(tmp_path / "out", tmp_path / "one.edf", *named, *options)
    assert record["ch_names"] == CHANNELS[:4]


@pytest.mark.parametrize("label", ["TRIGGER", "TRIG"])
def test_edf_with_fewer_samples_of_the_codes(tmp_path, options, label):
    """MNE resamples them as EEG: the ringing around each step was taken for codes, twice as many as there were."""
    edfio = pytest.importorskip("edfio")
    rng = np.random.default_rng(0)
    signals = [edfio.EdfSignal(rng.normal(0, 10, 8000), SFREQ, label=name, physical_dimension="uV",
                               physical_range=(-500, 500)) for name in CHANNELS[:4]]
    signals.append(edfio.EdfSignal(pulses()[::2], SFREQ / 2, label=label, physical_range=(-300, 300)))
    edfio.Edf(signals).write(tmp_path / "one.edf")
    right(tmp_path / "out", tmp_path / "one.edf", "--stim_channel", label, *options)


def test_bdf(tmp_path, options, capsys):
    """BioSemi's Status holds more than codes: bit 16 at the start, bit 20 unless the CMS is out of range."""
    edfio = pytest.importorskip("edfio")
    rng = np.random.default_rng(0)
    status = pulses() | (np.arange(8000) < 200) << 16 | 1 << 20
    status[3000:3400] &= ~(1 << 20)
    signals = [edfio.BdfSignal(rng.normal(0, 10, 8000), SFREQ, label=name, physical_dimension="uV",
                               physical_range=(-500, 500)) for name in CHANNELS[:4]]
    limits = (-1 << 23, (1 << 23) - 1)
    signals.append(edfio.BdfSignal(status, SFREQ, label="Status", physical_range=limits))
    edfio.Bdf(signals).write(tmp_path / "one.bdf")
    record = right(tmp_path / "out", tmp_path / "one.bdf", *options)
    assert record["about"]["events"]["ignored"] == {} and "from the first sample" not in capsys.readouterr().out


def test_xdf(tmp_path, options):
    pytest.importorskip("pyxdf")
    times, rng = 100 + np.arange(8000) / SFREQ, np.random.default_rng(0)
    eeg = rng.normal(0, 10, (8000, 4))
    channels = [*((name, "microvolts", "EEG") for name in CHANNELS[:4]), ("TRG", "counts", "Trigger")]
    one = write_xdf(tmp_path / "one.xdf", [{"name": "A", "type": "EEG", "rate": SFREQ, "times": times, "channels": channels,
                                            "values": np.column_stack([eeg, pulses()]).astype(np.float32)}])
    two = write_xdf(tmp_path / "two.xdf", [
        {"name": "A", "type": "EEG", "rate": SFREQ, "times": times, "values": eeg.astype(np.float32)},
        {"name": "M", "type": "Markers", "rate": 0, "times": 100 + AT / SFREQ, "values": CODES[:, None] * 1.}])
    assert right(tmp_path / "channel", one, *options)["ch_names"] == CHANNELS[:4]
    right(tmp_path / "marks", two, *options)


NAMED = "1234".__contains__


@pytest.mark.parametrize(("values", "said"), [
    (np.where(pulses() == 0, -1, pulses()), "code 65535 is where the lines rest"),
    (np.where(pulses() == 0, 255, pulses()), "code 255 is where the lines rest"),
    (pulses(-32768), "taken for a line that hangs"), (pulses(1 << 20), "taken for a line that hangs")])
def test_rest_and_sign(values, said):
    found, notes = codes_of(values, SFREQ, wanted=NAMED)
    assert found == PLAIN and any(said in note for note in notes) and not any("held" in note for note in notes)


def test_negative_codes_that_are_meant():
    assert codes_of(-pulses(), SFREQ, wanted=["-1", "-2", "-3", "-4"].__contains__) == (
        [(at, -code) for at, code in PLAIN], [])


def test_a_line_of_answers_beside_codes():
    values = pulses()
    for at in AT[::2]:
        values[at - 30:at + 80] |= 128
    _, notes = codes_of(values, SFREQ, wanted=NAMED)
    assert any("129, 130, 131, 132: a named code plus 128" in note and "--stim_mask 127" in note for note in notes)
    assert codes_of(values, SFREQ, mask=127, wanted=NAMED)[0] == PLAIN


@pytest.mark.parametrize("unit", ["microvolts", "millivolts", "volts"])
def test_codes_of_a_stream_have_no_unit(tmp_path, options, unit):
    """Programs give the line of triggers the unit of the electrodes: 1 was code 1000, and one of 24 bits was cut to 17."""
    pytest.importorskip("pyxdf")
    high = 0xff << 16
    times, rng = 100 + np.arange(8000) / SFREQ, np.random.default_rng(0)
    channels = [*((name, "microvolts", "EEG") for name in CHANNELS[:4]), ("TRG", unit, "Trigger")]
    eeg = {"name": "A", "type": "EEG", "rate": SFREQ, "times": times, "channels": channels}
    for name, line in (("low", pulses()), ("high", np.where(pulses(), pulses() + high, 0))):
        values = np.column_stack([rng.normal(0, 10, (8000, 4)), line]).astype(np.float32)
        path = write_xdf(tmp_path / f"{name}.xdf", [{**eeg, "values": values}])
        mask = ("--stim_mask", 0xffff) if name == "high" else ()
        assert right(tmp_path / name, path, *options, *mask)["ch_names"] == CHANNELS[:4]
