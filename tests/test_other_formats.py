"""prepare_data.py raw: formats that no package writes, as files of their published layout; EEG and events to the sample."""

import numpy as np
import pytest

from other_formats import MICROVOLTS, write_curry, write_egi, write_gdf, write_mff, write_neuroscan, write_set
from raw_material import CHANNELS, make_pictures, write_table
from raw_runs import AS_IT_IS, fails, prepare

mne = pytest.importorskip("mne")
AT, SFREQ = np.arange(500, 7600, 250), 200
CODES = np.resize([1, 2, 2, 1, 9], len(AT))
COUNTS = np.random.default_rng(0).integers(-1000, 1000, (len(CHANNELS), 8000))
FORMATS = {  # the writer, names of codes 1, 2 and 9, names of channels, what MNE takes for volts
    "gdf": (write_gdf, ("1", "2", "9"), CHANNELS, ()), "cnt": (write_neuroscan, ("1", "2", "9"), CHANNELS, ()),
    "set": (write_set, ("1", "2", "9"), CHANNELS, ()),
    "raw": (write_egi, ("c001", "c002", "c009"), [f"E{i}" for i in range(1, 9)], ("--unit_scale", "1e-6"))}


def windows(at):
    return np.stack([COUNTS[:, each - 40:each + 160] for each in at]) * MICROVOLTS


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("table", [False, True])
def test_formats(tmp_path, ending, table):
    write, (one, two, other), names, scale = FORMATS[ending]
    if ending == "set":
        pytest.importorskip("pymatreader")
    path = write(tmp_path / f"one.{ending}", COUNTS, CHANNELS, SFREQ, list(zip(AT.tolist(), CODES.tolist(), strict=True)))
    meaning = write_table(tmp_path / "map.tsv", ("event", "class"), (one, "cat"), (two, "dog"))
    rows = write_table(tmp_path / "events.tsv", ("sample", "class"), *((at, ("cat", "dog")[code - 1]) for at, code in zip(
        AT, CODES, strict=True) if code < 9))
    options = ("--events", rows) if table else ("--picture_map", meaning)
    record, eeg, columns = prepare(tmp_path / "out", "--recordings", path, *options, *scale, *AS_IT_IS)
    shown = CODES < 9
    np.testing.assert_allclose(eeg, windows(AT[shown]), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(columns["onset"], AT[shown] / SFREQ)
    assert record["ch_names"] == names and columns["label"].tolist() == (CODES[shown] - 1).tolist()
    ignored = record["about"]["events"]["ignored"]
    assert len(eeg) + sum(ignored.values()) == (shown.sum() if table else len(AT)) and ignored == ({} if table else {
        other: (~shown).sum()})


def test_events_of_a_set_file_of_matlab_73(tmp_path, capsys):
    """As in older files: those before the start are counted, numbers have no decimals, epochs are called so. The first were
    called a damaged file, the second 1.0."""
    pytest.importorskip("h5py")
    pytest.importorskip("pymatreader")
    events = [(at, float(code)) for at, code in zip(AT.tolist(), CODES.tolist(), strict=True)]
    path = write_set(tmp_path / "one.set", COUNTS, CHANNELS, SFREQ, [(-30, 1.), *events, (2010, -99.)])
    record, eeg, _ = prepare(tmp_path / "out", "--recordings", path, "--event_names", "1|2", *AS_IT_IS)
    about = record["about"]["events"]
    assert len(eeg) == (CODES < 9).sum() - 1 and about["ignored"] == {"9": (CODES == 9).sum()}
    assert about["left_out"] == {"outside the data of the file": 1} and about["no_events"] == {"boundary": 1}
    path = write_set(tmp_path / "two.set", COUNTS, CHANNELS, SFREQ, events, trials=3)
    assert "contains epochs" in fails(capsys, tmp_path / "out", "--recordings", path, "--event_names", "1|2")


@pytest.mark.parametrize("hostile", ["link", "raw"])
def test_a_set_file_of_matlab_73_holds_all_itself(tmp_path, capsys, hostile):
    """HDF5 may lead to any file, whose bytes would be the EEG."""
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("pymatreader")
    path = write_set(tmp_path / "one.set", COUNTS, CHANNELS, SFREQ, [(500, 1), (900, 2)])
    secret = write_set(tmp_path / "secret.set", COUNTS, CHANNELS, SFREQ, [(500, 1)])
    with h5py.File(path, "r+") as file:
        del file["data"]
        if hostile == "link":
            file["data"] = h5py.ExternalLink(str(secret), "/data")
        else:
            file.create_dataset("data", (10, 8), "f4", external=[(str(secret), 0, 320)]).attrs["MATLAB_class"] = b"single"
    message = fails(capsys, tmp_path / "out", "--recordings", path, "--event_names", "1|2")
    assert f"{path}: /data leads to another place or file" in message


def test_eximia(tmp_path, capsys):
    """64 channels of fixed names and factors at 1450 Hz: three of triggers, one of EOG, 60 of EEG. MNE takes microvolts for
    volts, which is noticed."""
    rng = np.random.default_rng(0)
    counts = rng.integers(-1000, 1000, (64, 1450 * 20))
    counts[:3] = 0
    at = np.arange(1450 * 2, 1450 * 18, 1450)
    for i, each in enumerate(at):
        counts[1 + i % 2, each:each + 50] = 3277  # 5 V
    path = tmp_path / "one.nxe"
    path.write_bytes(counts.T.astype("<i2").tobytes())
    options = ("--stim_channel", "Trig1", "--event_names", "5", *AS_IT_IS)
    assert "--unit_scale 1e-06" in fails(capsys, tmp_path / "no", "--recordings", path, *options)
    record, eeg, columns = prepare(tmp_path / "out", "--recordings", path, "--unit_scale", "1e-6", *options)
    np.testing.assert_allclose(columns["onset"], at[::2] / 1450)
    first, last = record["tmin"] * 1450, record["tmin"] * 1450 + record["n_times"]
    expected = np.stack([counts[4:, each + round(first):each + round(last)] for each in at[::2]]) * .07629510948348212
    np.testing.assert_allclose(eeg, expected, rtol=1e-4, atol=1e-3)
    assert len(record["ch_names"]) == 60 and record["ch_names"][0] == "Fp1"


def test_curry(tmp_path):
    """Events of one code with remarks of their own, which MNE calls by the first one's."""
    pytest.importorskip("curryreader")
    pytest.importorskip("mne", minversion="1.13")  # earlier ones want more in the files
    pictures = make_pictures(tmp_path / "pictures")
    shown = [f"{('cat', 'dog')[i % 2]}_{i // 2 % 4}" if i % 5 else "" for i in range(len(AT))]
    path = write_curry(tmp_path / "one.cdt", COUNTS, CHANNELS, SFREQ, [(at, 7) for at in AT.tolist()], shown)
    options = ("--recordings", path, "--pictures", pictures, *AS_IT_IS)
    record, eeg, columns = prepare(tmp_path / "out", *options)
    named = [i for i, name in enumerate(shown) if name]
    assert columns["picture"].tolist() == [shown[i] for i in named] and record["ch_names"] == CHANNELS
    np.testing.assert_allclose(eeg, windows(AT[named]), atol=1e-3)
    assert record["about"]["events"]["ignored"] == {"7": len(AT) - len(named)}


def test_remarks_of_curry_in_a_windows_code_page(tmp_path):
    """Bär was B\ufffdr, so two names that differ in such a letter became one."""
    pytest.importorskip("curryreader")
    pytest.importorskip("mne", minversion="1.13")  # earlier ones want more in the files
    shown = [("Bär", "Bör")[i % 2] for i in range(len(AT))]
    path = write_curry(tmp_path / "one.cdt", COUNTS, CHANNELS, SFREQ, [(at, 7) for at in AT.tolist()], shown)
    events = tmp_path / "one.cdt.cef"
    events.write_bytes(events.read_text(encoding="utf-8").encode("cp1252"))
    record, _, _ = prepare(tmp_path / "out", "--recordings", path, "--event_names", "B.r", *AS_IT_IS)
    assert sorted(record["class_names"]) == ["Bär", "Bör"]
    assert "read as cp1252" in " ".join(record["recordings"][0]["notes"])


@pytest.mark.parametrize("ending", ["dpa", "cef"])
def test_a_file_beside_a_curry_recording_is_none(tmp_path, capsys, ending):
    """With one.cdt.dpa as the recording all events were called by the remark of the first one."""
    path = write_curry(tmp_path / "one.cdt", COUNTS, CHANNELS, SFREQ, [(500, 7), (900, 7)], ["cat", "dog"])
    message = fails(capsys, tmp_path / "out", "--recordings", f"{path}.{ending}", "--event_names", "cat|dog")
    assert "is only one file of a recording; give one.cdt instead" in message


@pytest.mark.parametrize("table", [False, True])
def test_mff(tmp_path, table):
    """EGI's own format, with a pause of 5 s: events and tables count it, and no trial lies across."""
    pytest.importorskip("mffpy")
    pytest.importorskip("mne", minversion="1.13")  # earlier ones want more in the files
    counts = np.vstack([COUNTS, 0 * COUNTS[:1]])
    times = AT / SFREQ + 5 * (AT >= 4000)
    events = [(time, ("cat", "dog")[i % 2]) for i, time in enumerate(times.tolist())]
    path = write_mff(tmp_path / "one.mff", counts, SFREQ, [(0, 0.), (4000, 25.)], events)
    rows = write_table(tmp_path / "events.tsv", ("onset", "class"), *events)
    options = ("--events", rows) if table else ("--event_names", "cat|dog")
    record, eeg, columns = prepare(tmp_path / "out", "--recordings", path, *options, *AS_IT_IS)
    whole = ~((AT - 40 < 4000) & (AT + 160 > 4000))
    np.testing.assert_allclose(columns["onset"], times[whole])
    np.testing.assert_allclose(eeg, windows(AT[whole]), atol=1e-3)
    assert columns["label"].tolist() == (np.arange(len(AT)) % 2)[whole].tolist()
    assert record["ch_names"] == [f"E{i}" for i in range(1, 9)]  # without the reference, which is zero throughout
    assert len(eeg) + sum(record["recordings"][0]["dropped"].values()) == len(AT)


def test_why_a_neuroscan_file_cannot_be_read(tmp_path, capsys):
    """MNE's last line only says which amplifier it is for; the reason stands before it."""
    path = write_neuroscan(tmp_path / "one.cnt", COUNTS, CHANNELS, SFREQ, [(500, 1)])
    content = bytearray(path.read_bytes())
    content[864:868] = bytes(4)  # number of samples
    path.write_bytes(content)
    message = fails(capsys, tmp_path / "out", "--recordings", path, "--event_names", "1")
    assert "number of samples (according to header) is 0" in message and "ANT" not in message


def test_a_new_segment_of_gdf(tmp_path):
    """Code 32766, 0x7ffe in its table of events: no trial lies across."""
    events = [*zip(AT.tolist(), CODES.tolist(), strict=True), (2010, 32766)]
    path = write_gdf(tmp_path / "one.gdf", COUNTS, CHANNELS, SFREQ, events)
    record, eeg, _ = prepare(tmp_path / "out", "--recordings", path, "--event_names", "[12]", *AS_IT_IS)
    assert len(eeg) == (CODES < 9).sum() - 1 and record["about"]["events"]["no_events"] == {"boundary": 1}
