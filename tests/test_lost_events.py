"""What became of each event: trials, and those dropped, left out by a reader or ignored, add up to the file's events."""

import numpy as np
import pytest

from raw_material import CHANNELS, ONSETS, SFREQ, make_pictures, make_raw, save, write_table, write_xdf
from raw_runs import AS_IT_IS, by_hand, fails, prepare

mne = pytest.importorskip("mne")


def accounted(record, trials):
    """The number of events that the record accounts for."""
    return (trials + sum(sum(each["dropped"].values()) for each in record["recordings"])
            + sum(record["about"]["events"]["ignored"].values()))


def test_eeglab(tmp_path):
    """Events after the end of the data, before its start, without a time, and marks of pauses."""
    scipy_io = pytest.importorskip("scipy.io")
    pytest.importorskip("eeglabio")
    path = save(make_raw(), tmp_path / "one.set")
    content = scipy_io.loadmat(path, simplify_cells=True)
    held = content.get("EEG", content)
    held = {name: value for name, value in held.items() if not name.startswith("__")}
    latencies = [*(ONSETS * SFREQ + 1), 40 * SFREQ + 50, 41 * SFREQ, -30., np.nan, 3000.5]
    types = [*["cat", "dog"] * 14, "cat", "dog", "cat", "dog", "boundary"]
    held["event"] = [{"type": kind, "latency": at, "duration": 0.} for kind, at in zip(types, latencies, strict=True)]
    scipy_io.savemat(path, {"EEG": held}, oned_as="row")
    record, eeg, _ = prepare(tmp_path / "out", "--recordings", path, "--event_names", "cat", *AS_IT_IS)
    events = record["about"]["events"]
    assert events["no_events"] == {"boundary": 1} and accounted(record, len(eeg)) + 1 == len(types)
    assert events["left_out"] == {"outside the data of the file": 3, "without a time in the file": 1}


def test_xdf(tmp_path):
    pytest.importorskip("pyxdf")
    times, values = 100 + np.arange(6000) / 250, np.random.default_rng(0).normal(0, 10, (6000, 3)).astype(np.float32)
    marks = {"name": "Task", "type": "Markers", "rate": 0, "times": 95 + np.arange(1, 33, 1.5), "values": [["cat"]] * 22}
    path = write_xdf(tmp_path / "one.xdf", [{"name": "Amp", "type": "EEG", "rate": 250, "times": times, "values": values},
                                            marks])
    record, eeg, _ = prepare(tmp_path / "out", "--recordings", path, "--event_names", "cat", *AS_IT_IS)
    assert accounted(record, len(eeg)) == 22 and record["about"]["events"]["left_out"] == {
        "before, after or in gaps of the EEG": 6}


def test_brainvision_cut_short(tmp_path):
    pytest.importorskip("pybv")
    path = save(make_raw(), tmp_path / "one.vhdr")
    data = path.with_suffix(".eeg")
    data.write_bytes(data.read_bytes()[:len(CHANNELS) * 4 * 6000])
    path.write_text(path.read_text(encoding="utf-8").replace("DataPoints", "Points"), encoding="utf-8")
    record, eeg, _ = prepare(tmp_path / "out", "--recordings", path, "--event_names", ".*", "--cut_short", *AS_IT_IS)
    assert accounted(record, len(eeg)) == len(ONSETS)


def test_brainvision_before_the_start(tmp_path, capsys):
    """No sign of a file that is cut short, unlike markers after the end."""
    pytest.importorskip("pybv")
    path = save(make_raw(), tmp_path / "one.vhdr")
    markers = path.with_suffix(".vmrk")
    content = markers.read_text(encoding="utf-8").rstrip()
    markers.write_text(content + "\nMk90=Comment,cat,0,1,0\nMk91=Comment,dog,-30,1,0\n", encoding="utf-8")
    record, eeg, _ = prepare(tmp_path / "out", "--recordings", path, "--event_names", ".*", *AS_IT_IS)
    assert accounted(record, len(eeg)) == len(ONSETS) + 2
    markers.write_text(content + "\nMk90=Comment,cat,0,1,0\nMk91=Comment,dog,9000,1,0\n", encoding="utf-8")
    message = fails(capsys, tmp_path / "no", "--recordings", path, "--event_names", ".*", *AS_IT_IS)
    assert "1 of its markers lie after the end" in message


@pytest.mark.parametrize("capitals", ["vhdr", "set"])
def test_endings_in_capitals(tmp_path, capsys, capitals):
    """Of files from systems that write them so."""
    pytest.importorskip({"vhdr": "pybv", "set": "eeglabio"}[capitals])
    save(make_raw(), tmp_path / "in" / f"one.{capitals}")
    for path in list((tmp_path / "in").iterdir()):
        path.rename(path.with_name(path.name.upper()))
    options = ("--recordings", tmp_path / "in", "--event_names", ".*", *AS_IT_IS)
    if capitals == "set":
        assert "in small letters; rename" in fails(capsys, tmp_path / "out", *options)
    else:
        _, eeg, _ = prepare(tmp_path / "out", *options)
        np.testing.assert_allclose(eeg, by_hand(make_raw(), np.round(ONSETS * SFREQ).astype(int), -40, 160), atol=1e-3)


def test_the_cases_of_the_issue(cases, tmp_path):
    for name, lost in (("event_after_end", "outside the data of the file"), ("nan_latency", "without a time in the file"),
                       ("empty_type", None)):
        path = cases / f"set_{name}.set"
        record, eeg, _ = prepare(tmp_path / name, "--recordings", path, "--pictures", cases / "pics8", *AS_IT_IS)
        held = pytest.importorskip("scipy.io").loadmat(path, simplify_cells=True)["EEG"]
        assert accounted(record, len(eeg)) == len(held["event"])
        assert record["about"]["events"].get("left_out", {}) == ({lost: 1} if lost else {})


@pytest.mark.parametrize("delay", [.1, -.05])
def test_a_known_delay_of_the_triggers(tmp_path, delay):
    """Against MNE by hand: windows shifted by whole samples."""
    raw = make_raw()
    path = save(raw, tmp_path / "one_raw.fif")
    table = write_table(tmp_path / "events.tsv", ("onset", "class"), *((onset, "cat") for onset in ONSETS))
    for name, options in (("own", ("--event_names", ".*")), ("table", ("--events", table))):
        record, eeg, columns = prepare(tmp_path / name, "--recordings", path, "--event_delay", delay, *options, *AS_IT_IS)
        samples = np.round((ONSETS + delay) * SFREQ).astype(int)
        np.testing.assert_allclose(eeg, by_hand(raw, samples, -40, 160), atol=1e-3)
        np.testing.assert_allclose(columns["onset"], ONSETS + delay)
        assert record["about"]["options"]["event_delay"] == delay
        assert f"{delay:g} s added to the onset of each event" in record["about"]["steps"]


def test_events_of_one_time(tmp_path, capsys):
    raw = make_raw()
    raw.set_annotations(raw.annotations + mne.Annotations(ONSETS[[3, 7]] + [0, .001], 0, ["cat", "dog"]))
    options = ("--recordings", save(raw, tmp_path / "one_raw.fif"), "--event_names", "cat|dog", *AS_IT_IS)
    assert "--skip_ambiguous" in fails(capsys, tmp_path / "no", *options)
    record, eeg, columns = prepare(tmp_path / "out", "--skip_ambiguous", *options)
    kept = np.delete(ONSETS, [3, 7])
    np.testing.assert_allclose(columns["onset"], kept)
    np.testing.assert_allclose(eeg, by_hand(raw, np.round(kept * SFREQ).astype(int), -40, 160), atol=1e-3)
    assert record["recordings"][0]["dropped"] == {"at the time of another event": 4}
    assert accounted(record, len(eeg)) == len(ONSETS) + 2 and record["about"]["options"]["skip_ambiguous"]


def test_all_events_at_the_time_of_others(tmp_path, capsys):
    raw = make_raw()
    raw.set_annotations(mne.Annotations([3, 3, 9, 9], 0, ["cat", "dog"] * 2))
    options = ("--recordings", save(raw, tmp_path / "one_raw.fif"), "--event_names", "cat|dog", *AS_IT_IS)
    message = fails(capsys, tmp_path / "no", "--skip_ambiguous", *options)
    assert "one_raw.fif: each event that shows a picture is at the time of another one" in message


def test_columns_of_captions(tmp_path, capsys):
    from eegdata.pictures import read_captions

    pictures = make_pictures(tmp_path / "pictures")
    path = save(make_raw(), tmp_path / "one_raw.fif")
    header = ("onset", "picture", "caption_id", "caption_language", "captioned_by", "caption", "caption2", "text")
    rows = [(onset, f"{('cat', 'dog')[i % 2]}_{i // 2 % 4}.png", 77000 + i, "en", "me", f"First {i}.", f"Second {i}.",
             f"T{i}.") for i, onset in enumerate(ONSETS[:8])]
    events = write_table(tmp_path / "events.tsv", header, *rows)
    listed = write_table(tmp_path / "list.tsv", ("picture", "class", "caption_source"),
                         *((f"{kind}_{i}.png", kind, "COCO") for kind in ("cat", "dog") for i in range(4)))
    mapped = write_table(tmp_path / "map.tsv", ("event", "class", "caption_source"), ("x", "cat", "COCO"))
    options = ("--recordings", path, "--events", events, "--pictures", pictures, "--picture_list", listed, "--picture_map",
               mapped, *AS_IT_IS)
    prepare(tmp_path / "out", *options)
    assert read_captions(tmp_path / "out" / "images", "cat_0") == ["First 0.", "Second 0."]
    assert "caption_id, caption_language, captioned_by not read as captions" in capsys.readouterr().out
    prepare(tmp_path / "chosen", *options, "--caption_columns", "text,caption2")
    assert read_captions(tmp_path / "chosen" / "images", "dog_0") == ["Second 1.", "T1."]
    assert "no table has the column txt" in fails(capsys, tmp_path / "no", *options, "--caption_columns", "txt")


def test_a_run_that_fails_leaves_no_half_data_set(tmp_path, capsys):
    pictures = make_pictures(tmp_path / "pictures")
    first = save(make_raw(texts=("cat_0.png", "dog_0.png")), tmp_path / "sub-1_raw.fif")
    raw = make_raw(texts=("cat_0.png", "dog_0.png"), seed=1).apply_function(lambda data: data * 1e6, verbose="error")
    second = save(raw, tmp_path / "sub-2_raw.fif")
    options = ("--pictures", pictures)
    assert "--unit_scale" in fails(capsys, tmp_path / "out", "--recordings", first, second, *options)
    left = [path.name for path in (tmp_path / "out").rglob("*") if not path.name.startswith(".")]
    assert not left
    assert "no event gave" in fails(capsys, tmp_path / "out", "--recordings", first, "--reject", "1", *options)
    assert not [path for path in (tmp_path / "out").rglob("*") if not path.name.startswith(".")]
    assert len(prepare(tmp_path / "out", "--recordings", first, *options)[1]) == len(ONSETS)
