"""prepare_data.py raw: files that are damaged, cut short or do not fit together."""

import shutil

from runtime.errors import InputError

import numpy as np
import pytest

from edf_material import write_edf_plus
from other_formats import write_gdf
from raw_material import CHANNELS, ONSETS, SFREQ, make_pictures, make_raw, save
from raw_runs import AS_IT_IS, fails, prepare
from sources import damage, raw_files
from sources.readers import open_raw

mne = pytest.importorskip("mne")


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
    assert "contains no recordings" in fails(capsys, tmp_path / "no", "--recordings", tmp_path / "notes", *options)
    assert "either --recordings or --bids" in fails(capsys, tmp_path / "no")


@pytest.mark.parametrize("split", ["1", "01", "001"])
def test_the_first_part_of_a_bids_recording_stands_for_all(tmp_path, split):
    """As MNE writes it, split-01, it was taken for a later part, so a folder had lost the recording without a word."""
    for part in (split, "02", "2", "10", "11"):
        _file(tmp_path / f"sub-1_task-x_split-{part}_eeg.fif")
    (found,) = raw_files.find_files([str(tmp_path)])
    assert found.path.name == f"sub-1_task-x_split-{split}_eeg.fif"


def test_fif_names_that_end_in_a_number_are_recordings(tmp_path):
    """sub-01.fif was taken for a later part of sub.fif, so a folder lost its people without a word."""
    names = ["sub-01.fif", "sub-02.fif", "sub-02-1.fif", "run-10.FIF", "a_raw.fif", "a_raw-1.fif", "b_raw-1.fif"]
    for name in (*names, "sub-01_epo.fif", "sub-01-epo.fif", "sub-01_proc-clean_ica.fif.gz"):
        _file(tmp_path / name)
    found = [file.path.name for file in raw_files.find_files([str(tmp_path)])]
    assert sorted(found) == ["a_raw.fif", "run-10.FIF", "sub-01.fif", "sub-02.fif"]


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

FILES = {  # the file of its data, names of events
    "eeglab_data.set": ("eeglab_data.fdt", "square"), "test.vhdr": ("test.eeg", "Stimulus/.*"),
    "mne_test.edf": (None, "type ."), "mne_test.bdf": (None, ".*"), "NA_271/test-na-271.cnt": (None, ".*"),
    "NA_271/test-na-271.vhdr": ("NA_271/test-na-271.eeg", ".*")}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_damaged_real_recordings(shared, tmp_path, capsys, monkeypatch, name):
    """Cut anywhere, a part missing, header bytes flipped: one sentence that names the file, or a data set; no traceback."""
    if ".cnt" in name:
        pytest.importorskip("antio")
    monkeypatch.setattr(damage, "SECONDS", 3)
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
        assert path.name in message and "is missing" in message
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


def test_headers_without_time_or_samples(tmp_path, capsys):
    """MNE took 1 s for the length of an EDF record of 0 s, and so made a sampling rate up."""
    edf = write_edf_plus(tmp_path / "one.edf", np.zeros((2, 600)), 200, [0, 1, 2], kind="EDF+C")
    content = edf.read_bytes()
    _file(edf, content[:244] + b"0".ljust(8) + content[252:])
    assert "no length in seconds" in fails(capsys, tmp_path / "out", "--recordings", edf, "--event_names", ".*")
    gdf = write_gdf(tmp_path / "one.gdf", np.zeros((2, 600), int), ["Fz", "Cz"], 200, [(100, 1)])
    content = gdf.read_bytes()
    _file(gdf, content[:236] + (-5).to_bytes(8, "little", signed=True) + content[244:])
    assert "its header counts -5" in fails(capsys, tmp_path / "out", "--recordings", gdf, "--event_names", ".*")


@pytest.mark.parametrize("count", [3, 2**20, 2**32 - 1])
def test_a_gdf_that_counts_more_events_than_it_holds(tmp_path, count):
    """MNE took memory for 4 billion events, and the message advised a lower sampling rate."""
    path = write_gdf(tmp_path / "one.gdf", np.zeros((2, 600), int), ["Fz", "Cz"], 200, [(100, 1), (200, 1)])
    assert len(open_raw(path)[0].annotations) == 2
    content, at = path.read_bytes(), -12 - 4  # two events of 6 bytes behind their count
    path.write_bytes(content[:at] + count.to_bytes(4, "little") + content[at + 4:])
    with pytest.raises(InputError, match=rf"one\.gdf: its table of events counts {count:,}, more than .* damaged"):
        open_raw(path)


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
    assert "contains epochs" in fails(capsys, tmp_path / "out", "--recordings", tmp_path / "cut.set", "--event_names", ".*")
    (tmp_path / "fif").mkdir()
    epochs.save(tmp_path / "fif" / "cut-epo.fif", verbose="error")
    for given, said in ((tmp_path / "fif" / "cut-epo.fif", "holds no continuous recording, but epochs"),
                        (tmp_path / "fif", "cut-epo.fif is, by its name, one of epochs")):
        message = fails(capsys, tmp_path / "out", "--recordings", given, "--event_names", ".*")
        assert said in message and "damaged" not in message


def test_links_to_folders_are_followed(tmp_path, capsys):
    """A person's recordings, or the pictures of a class, that lay behind a link to their folder were left out without a
    word."""
    for number in (1, 2):
        save(make_raw(seed=number), tmp_path / "disk" / f"sub-0{number}" / "one_raw.fif")
    make_pictures(tmp_path / "archive")
    for kind, person in (("cat", "sub-01"), ("dog", "sub-02")):
        for folder, target in (("pictures", tmp_path / "archive" / kind), ("recordings", tmp_path / "disk" / person)):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / target.name).symlink_to(target)
    (tmp_path / "recordings" / "again").symlink_to(tmp_path / "recordings")  # which would have no end
    (tmp_path / "recordings" / "today").symlink_to(tmp_path / "disk" / "sub-02")  # which would be another person
    record, eeg, _ = prepare(tmp_path / "out", "--recordings", tmp_path / "recordings", "--pictures", tmp_path / "pictures")
    assert len(eeg) == 2 * len(ONSETS) and record["class_names"] == ["cat", "dog"]
    assert [entry["subject"] for entry in record["recordings"]] == [1, 2]


def test_channels_of_one_name_are_told(tmp_path, capsys):
    """MNE numbers them, and no encoder knows Fz-0: only the record said so."""
    raw = make_raw()
    data = raw.get_data(picks=CHANNELS[:4]) * 1e6
    write_edf_plus(tmp_path / "one.edf", data, SFREQ, range(40), [(onset, "cat") for onset in ONSETS], "EDF+C",
                   ["Fz", "Cz", "Fz", "Pz"])
    record, _, _ = prepare(tmp_path / "out", "--recordings", tmp_path / "one.edf", "--event_names", "cat", *AS_IT_IS)
    assert record["ch_names"] == ["Fz-0", "Cz", "Fz-1", "Pz"]
    assert "Channel names are not unique, found duplicates for: {'Fz'}" in capsys.readouterr().out
