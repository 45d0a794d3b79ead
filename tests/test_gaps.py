"""prepare_data.py raw: recordings with gaps. A channel that shows the time tells where each trial was cut."""

import json
import struct

import numpy as np
import pytest

from edf_material import write_edf_plus
from raw_material import CHANNELS, make_pictures, make_raw, save, write_table, write_xdf
from raw_material import ONSETS as RAW_ONSETS
from raw_runs import AS_IT_IS, fails, prepare
from sources.clock import Clock
from sources.readers import open_raw

mne = pytest.importorskip("mne")
SFREQ = 200.
STARTS = np.concatenate([np.arange(20), np.arange(27, 47), np.arange(52.5, 60)])  # s, of records of 1 s
ONSETS = np.arange(3., 59., 1.5)
INSIDE = [onset for onset in ONSETS if ((onset >= STARTS) & (onset < STARTS + 1)).any()]
WHOLE = [onset for onset in INSIDE if all(((at >= STARTS) & (at < STARTS + 1)).any() and
                                          not ((STARTS[20] - onset) * (STARTS[20] - at) < 0 or
                                               (STARTS[40] - onset) * (STARTS[40] - at) < 0)
                                          for at in (onset - .2, onset + .495))]  # those whose trial no gap cuts


def clock_signal():
    """10 microvolts a second on the first channel, noise on the others: [4, samples]."""
    times = (STARTS[:, None] + np.arange(200) / SFREQ).ravel()
    return np.vstack([10 * times, np.random.default_rng(0).normal(0, 10, (3, len(times)))])


@pytest.mark.parametrize("kind", ["EDF+D", "BDF+D", "EDF+C"])
@pytest.mark.parametrize("table", [False, True])
def test_trials_lie_at_their_own_time(tmp_path, capsys, kind, table):
    """Also where the header says "continuous" (C) against its records."""
    marks = [(onset, f"{('cat', 'dog')[i % 2]}_{i // 2 % 4}") for i, onset in enumerate(ONSETS)]
    path = write_edf_plus(tmp_path / f"one.{kind[:3].lower()}", clock_signal(), SFREQ, STARTS + .25,
                          [(onset + .25, text) for onset, text in marks], kind)
    pictures = make_pictures(tmp_path / "pictures")
    options = ["--recordings", path, "--pictures", pictures, "--tmax", ".5", *AS_IT_IS]
    if table:
        options += ["--events", write_table(tmp_path / "events.tsv", ("onset", "picture"), *(
            (onset, f"{text}.png") for onset, text in marks))]
    record, eeg, columns = prepare(tmp_path / "out", *options)
    np.testing.assert_allclose(eeg[:, 0, 40] / 10, WHOLE, atol=.004)  # 16 bits; the trial's sample at the onset
    np.testing.assert_allclose(columns["onset"], WHOLE, atol=1e-6)
    shown = dict(marks)
    assert columns["picture"].tolist() == [shown[onset] for onset in WHOLE]
    dropped = record["recordings"][0]["dropped"]
    assert len(eeg) + sum(dropped.values()) == len(ONSETS)
    in_gaps = sum(count for why, count in dropped.items() if "in a gap" in why or "in gaps" in why)
    assert in_gaps == len(ONSETS) - len(INSIDE)
    assert dropped["across lost samples"] == len(INSIDE) - len(WHOLE)
    assert record["about"]["files"][0]["seconds_in_gaps"] == 12.5


def test_the_case_of_the_issue(cases, tmp_path):
    record, eeg, columns = prepare(tmp_path / "out", "--recordings", cases / "edfd.edf", "--pictures", cases / "pics8",
                                   "--tmax", ".5", *AS_IT_IS)
    np.testing.assert_allclose(eeg[:, 0, 40] / 10, columns["onset"], atol=.01)
    assert len(eeg) + sum(record["recordings"][0]["dropped"].values()) == 36
    record, eeg, _ = prepare(tmp_path / "filtered", "--recordings", cases / "edfd.edf", "--pictures", cases / "pics8",
                             "--tmax", ".5")
    assert len(eeg) == 27  # the clock is flat when filtered, but for its steps at the gaps
    assert any("Fz-Ref was flat: interpolated" in note for note in record["recordings"][0]["notes"])
    for name, shift in (("cont.edf", 0), ("subsecond.edf", .37)):
        _, eeg, columns = prepare(tmp_path / name, "--recordings", cases / name, "--pictures", cases / "pics8", *AS_IT_IS)
        np.testing.assert_allclose(eeg[:, 0, 40] / 10, columns["onset"] + shift, atol=.01)


def test_records_that_overlap_or_say_nothing(tmp_path, capsys):
    path = write_edf_plus(tmp_path / "one.edf", clock_signal(), SFREQ, np.where(STARTS == 30, 28, STARTS))
    assert "record 24 starts at 28 s, before the end" in fails(capsys, tmp_path / "out", "--recordings", path)
    content = path.read_bytes()
    at = content.index(b"+31\x14\x14")
    path.write_bytes(content[:at] + b"   \0\0" + content[at + 5:])
    assert "1 of its 48 records do not say when they start" in fails(capsys, tmp_path / "out", "--recordings", path)


def test_filters_do_not_reach_across_gaps(tmp_path):
    """Each stretch is filtered like a recording of its own, by MNE by hand."""
    signal = clock_signal()
    path = write_edf_plus(tmp_path / "one.edf", signal, SFREQ, STARTS)
    table = write_table(tmp_path / "events.tsv", ("onset", "class"), *((onset, "cat") for onset in WHOLE))
    _, eeg, _ = prepare(tmp_path / "out", "--recordings", path, "--events", table, "--tmax", ".5", "--l_freq", "1",
                              *AS_IT_IS[4:])
    raw, _ = open_raw(path)
    second = raw.get_data()[:, 20 * 200 + 1:40 * 200]
    filtered = mne.filter.filter_data(second, SFREQ, 1, 40, verbose="error") * 1e6
    own = [i for i, onset in enumerate(WHOLE) if 27 < onset < 47]
    for i in own:
        at = round((WHOLE[i] - 27) * 200) - 1
        np.testing.assert_allclose(eeg[i], filtered[:, at - 40:at + 100], atol=1e-3)


def test_a_table_of_events_for_an_xdf_file_with_a_gap(tmp_path):
    pytest.importorskip("pyxdf")
    times = np.arange(6000) / 250
    times = np.where(times < 10, times, times + 5)
    values = np.stack([10 * times, *np.random.default_rng(0).normal(0, 10, (3, 6000))], 1).astype(np.float32)
    path = write_xdf(tmp_path / "one.xdf", [{"name": "Amp", "type": "EEG", "rate": 250, "times": 100 + times,
                                             "values": values}])
    onsets = [2, 4, 6, 8, 12, 16, 18, 20, 22]  # 12: in the gap
    table = write_table(tmp_path / "events.tsv", ("onset", "class"), *((onset, "cat") for onset in onsets))
    record, eeg, _ = prepare(tmp_path / "out", "--recordings", path, "--events", table, *AS_IT_IS)
    np.testing.assert_allclose(eeg[:, 0, 50] / 10, [onset for onset in onsets if onset != 12], atol=.004)
    assert record["recordings"][0]["dropped"] == {"in a gap of the recording": 1}


def test_clock():
    clock = Clock([0, 27, 52.5], [0, 20, 40], 48)
    assert clock.seconds == 60.5 and clock.lost == 12.5
    for time, position in ((0, 0), (19.9, 19.9), (27, 20), (46.9, 39.9), (52.5, 40), (60, 47.5), (-1, -1), (61, 48.5)):
        assert clock.to_position(time) == pytest.approx(position) and clock.to_time(position) == pytest.approx(time)
    assert np.isnan([clock.to_position(time) for time in (20, 26.9, 47, 52.4)]).all()


def test_persyst(tmp_path):
    """The times of samples stand in the .lay file; comments and a table of events count seconds, gaps included."""
    data = np.rint(clock_signal() * 30).astype("<i2")  # 1/30 microvolt
    (tmp_path / "one.dat").write_bytes(data.T.tobytes())
    shown = [f"{('cat', 'dog')[i % 2]}" for i in range(len(ONSETS))]
    comments = "".join(f"{onset},0,0,100,{text}\n" for onset, text in zip(ONSETS, shown, strict=True))
    (tmp_path / "one.lay").write_text(
        "[FileInfo]\nFile=one.dat\nFileType=Interleaved\nSamplingRate=200\nHeaderLength=0\nCalibration=0.0333333333\n"
        "WaveformCount=4\nDataType=0\n[ChannelMap]\nFz-Ref=1\nCz-Ref=2\nPz-Ref=3\nOz-Ref=4\n[Sheets]\n[Comments]\n"
        f"{comments}[Patient]\nFirst=A\nMI=B\nLast=C\nSex=\nHand=\nBirthDate=01/01/1980\nID=1\n"
        "TestDate=01/01/2020\nTestTime=12:00:00\n"
        "[SampleTimes]\n0=43200.0\n2000=43210.0\n4000=43227.0\n8000=43252.5\n", encoding="utf-8")
    table = write_table(tmp_path / "events.tsv", ("onset", "class"), *zip(ONSETS, shown, strict=True))
    for name, options in (("own", ("--event_names", "cat|dog")), ("table", ("--events", table))):
        record, eeg, columns = prepare(tmp_path / name, "--recordings", tmp_path / "one.lay", "--tmax", ".5", *options,
                                       *AS_IT_IS)
        np.testing.assert_allclose(eeg[:, 0, 40] / 10, WHOLE, atol=.004)
        assert [record["class_names"][label] for label in columns["label"]] == [dict(zip(ONSETS, shown, strict=True))[onset]
                                                                               for onset in WHOLE]
        assert len(eeg) + sum(record["recordings"][0]["dropped"].values()) == len(ONSETS)


@pytest.mark.parametrize("table", [False, True])
def test_fif_with_skipped_buffers(tmp_path, table):
    """Two of the buffers of 1 s are not in the file, but a tag that counts them: times go on."""
    raw = make_raw()
    data = raw.get_data()
    data[0] = np.arange(8000) * 1e-5 / SFREQ
    raw = mne.io.RawArray(data, raw.info, verbose="error").set_annotations(raw.annotations)
    path = tmp_path / "one_raw.fif"
    raw.save(path, buffer_size_sec=1., verbose="error")
    content, at, buffers = bytearray(path.read_bytes()), 0, []
    while at < len(content):  # tags: kind, type, size, next
        kind, _, size, after = struct.unpack(">iiii", content[at:at + 16])
        if kind == mne.io.constants.FIFF.FIFF_DIR_POINTER:
            content[at + 16:at + 20] = struct.pack(">i", -1)
        buffers += [at] if kind == mne.io.constants.FIFF.FIFF_DATA_BUFFER else []
        at = len(content) if after < 0 else after or at + 16 + size
    start, end = buffers[10], buffers[12]
    content[start:start + 20] = struct.pack(">iiiii", mne.io.constants.FIFF.FIFF_DATA_SKIP, 3, 4, end, 2)
    path.write_bytes(content)
    rows = write_table(tmp_path / "events.tsv", ("onset", "class"), *((onset, "cat") for onset in RAW_ONSETS))
    _, eeg, columns = prepare(tmp_path / "out", "--recordings", path, *AS_IT_IS,
                              *(("--events", rows) if table else ("--event_names", ".*")))
    whole = [onset for onset in RAW_ONSETS if onset + .795 < 10 or onset - .2 >= 12]
    np.testing.assert_allclose(eeg[:, 0, 40] / 10, whole, atol=1e-4)
    np.testing.assert_allclose(columns["onset"], whole)


def test_pauses_of_unknown_length(tmp_path, capsys):
    """BrainVision's New Segment, EEGLAB's boundary, also as -99: no trial across; a table counts recorded seconds."""
    pytest.importorskip("pybv")
    path = save(make_raw(), tmp_path / "one.vhdr")
    markers = path.with_suffix(".vmrk")
    markers.write_text(markers.read_text(encoding="utf-8").rstrip() + "\nMk99=New Segment,,2001,1,0,20200101100500000000\n",
                       encoding="utf-8")
    table = write_table(tmp_path / "events.tsv", ("onset", "class"), *((onset, "cat") for onset in RAW_ONSETS))
    for name, options in (("own", ("--event_names", ".*")), ("table", ("--events", table))):
        record, eeg, _ = prepare(tmp_path / name, "--recordings", path, *options, *AS_IT_IS)
        assert record["recordings"][0]["dropped"] == {"across 'BAD boundary'": 1} and len(eeg) == len(RAW_ONSETS) - 1
    assert "1 pauses whose length the file does not state" in capsys.readouterr().out
    scipy_io = pytest.importorskip("scipy.io")
    for number, kind in enumerate(("boundary", -99)):
        events = [{"type": 1 if kind == -99 else "1", "latency": onset * SFREQ + 1, "duration": 0.} for onset in RAW_ONSETS]
        events.append({"type": kind, "latency": 2000.5, "duration": 700.})
        held = {"data": make_raw().get_data() * 1e6, "nbchan": len(CHANNELS), "pnts": 8000, "trials": 1, "srate": SFREQ,
                "xmin": 0., "chanlocs": [{"labels": name} for name in CHANNELS], "event": events}
        path = tmp_path / f"{number}.set"
        scipy_io.savemat(path, {"EEG": held}, oned_as="row")
        record, eeg, _ = prepare(tmp_path / f"set{number}", "--recordings", path, "--event_names", "1", *AS_IT_IS)
        assert record["recordings"][0]["dropped"] == {"across 'BAD boundary'": 1} and len(eeg) == len(RAW_ONSETS) - 1
        assert record["about"]["events"]["no_events"] == {"boundary": 1}


@pytest.mark.parametrize("ending", ["vhdr", "set"])
def test_pauses_of_a_bids_recording(tmp_path, ending):
    """The events table, which mne-bids reads in place of the recording's own marks, names no pause: a trial lay across."""
    pytest.importorskip("mne_bids")
    raw = make_raw()
    raw.set_annotations(raw.annotations + mne.Annotations([15.5], 0, "boundary" if ending == "set" else "New Segment"))
    folder = tmp_path / "bids" / "sub-01" / "eeg"
    path = save(raw, folder / f"sub-01_task-x_eeg.{ending}")
    if ending == "vhdr":
        markers = path.with_suffix(".vmrk")
        markers.write_text(markers.read_text(encoding="utf-8").replace("Comment,New Segment,", "New Segment,,"))
    (tmp_path / "bids" / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}', encoding="utf-8")
    if ending == "set":  # with an event before the start, which MNE refuses
        scipy_io = pytest.importorskip("scipy.io")
        held = scipy_io.loadmat(path, simplify_cells=True)
        held = {name: value for name, value in held.get("EEG", held).items() if not name.startswith("__")}
        held["event"] = [*held["event"], {"type": "cat", "latency": -30., "duration": 0.}]
        scipy_io.savemat(path, {"EEG": held}, oned_as="row")
    write_table(folder / "sub-01_task-x_events.tsv", ("onset", "duration", "trial_type"), *(
        (onset, 0, "cat") for onset in RAW_ONSETS))
    record, eeg, _ = prepare(tmp_path / "out", "--bids", tmp_path / "bids", "--event_names", "cat", *AS_IT_IS)
    assert record["recordings"][0]["dropped"] == {"across 'BAD boundary'": 1} and len(eeg) == len(RAW_ONSETS) - 1
    assert str(tmp_path) not in json.dumps(record)  # mne-bids tells of files that are not there with their folders
