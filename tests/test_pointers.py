"""Headers that name the files of another recording."""

import shutil

import numpy as np
import pytest

from raw_material import CHANNELS, ONSETS, SFREQ, make_raw, save
from raw_runs import AS_IT_IS, by_hand, fails, prepare

mne = pytest.importorskip("mne")
OPTIONS = ("--event_names", ".*(cat|dog)", *AS_IT_IS)


def change(path, old, new):
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    return path


@pytest.fixture
def two(tmp_path):
    """Two BrainVision recordings in one folder, the second with its markers half a second later."""
    pytest.importorskip("pybv")
    later = make_raw(seed=2)
    later.set_annotations(mne.Annotations(ONSETS + .5, .1, ["dog", "cat"] * 14))
    return save(make_raw(seed=1), tmp_path / "sub-01.vhdr"), save(later, tmp_path / "sub-02.vhdr"), later


@pytest.mark.parametrize(("key", "ending"), [("MarkerFile", "vmrk"), ("DataFile", "eeg")])
@pytest.mark.parametrize("own", [True, False])
def test_another_recordings_markers_or_data(tmp_path, capsys, two, key, ending, own):
    _, path, later = two
    options = ("--recordings", path, *OPTIONS)
    _, eeg, columns = prepare(tmp_path / "right", *options)
    np.testing.assert_allclose(columns["onset"], ONSETS + .5, atol=1e-9)
    np.testing.assert_allclose(eeg, by_hand(later, np.round((ONSETS + .5) * SFREQ).astype(int), -40, 160), atol=1e-3)
    change(path, f"{key}=sub-02.{ending}", f"{key}=sub-01.{ending}")
    if not own:
        path.with_suffix(f".{ending}").unlink()
    message = fails(capsys, tmp_path / "no", *options)
    assert f"{path}: {key}=sub-01.{ending}, but" in message and "--allow_other_files" in message
    assert (f"sub-02.{ending} lies beside it" if own else "belongs to sub-01.vhdr") in message
    record, _, columns = prepare(tmp_path / "allowed", *options, "--allow_other_files")
    assert columns["onset"][0] == ONSETS[0] + (.5 if ending == "eeg" else 0)
    assert record["about"]["options"]["allow_other_files"]


def test_a_copied_marker_file_a_path_and_a_renamed_recording(tmp_path, capsys, two):
    first, path, _ = two
    options = ("--recordings", path, *OPTIONS)
    markers = path.with_suffix(".vmrk").read_text(encoding="utf-8")
    shutil.copy(first.with_suffix(".vmrk"), path.with_suffix(".vmrk"))
    assert "belongs to sub-01.vhdr and not to sub-02.vhdr" in fails(capsys, tmp_path / "no", *options)
    path.with_suffix(".vmrk").write_text(markers, encoding="utf-8")
    change(path, "DataFile=sub-02.eeg", "DataFile=../other/sub-02.eeg")
    assert "that is a path" in fails(capsys, tmp_path / "no", *options)
    change(path, "DataFile=../other/sub-02.eeg", "DataFile=me.eeg")
    message = fails(capsys, tmp_path / "no", *options)
    assert "me.eeg is not there and sub-02.eeg lies beside it" in message
    path.with_suffix(".eeg").rename(tmp_path / "signal.eeg")  # a name of its own that no other recording has
    change(path, "DataFile=me.eeg", "DataFile=signal.eeg")
    prepare(tmp_path / "own", *options)


OWN = {"case": "SUB-02.", "folder": "./sub-02.", "the recorder's folder": "C:\\Vision\\Raw Files\\sub-02.",
       "another recorder's": "/home/me/sub-02.", "BrainVision's word": "$b."}


@pytest.mark.parametrize("name", OWN.values(), ids=OWN)
def test_its_own_files_by_another_name(tmp_path, two, name):
    _, path, later = two
    for key, ending in (("DataFile", "eeg"), ("MarkerFile", "vmrk")):
        change(path, f"{key}=sub-02.{ending}", f"{key}={name}{ending}")
    _, eeg, columns = prepare(tmp_path / "out", "--recordings", path, *OPTIONS)
    np.testing.assert_allclose(columns["onset"], ONSETS + .5, atol=1e-9)
    np.testing.assert_allclose(eeg, by_hand(later, np.round((ONSETS + .5) * SFREQ).astype(int), -40, 160), atol=1e-3)


def test_files_of_one_name_in_another_folder(tmp_path, capsys, two):
    """They may be another version of the recording."""
    first, path, _ = two
    (tmp_path / "raw").mkdir()
    there = shutil.copy(first.with_suffix(".eeg"), tmp_path / "raw" / "sub-02.eeg")
    content = path.read_text(encoding="utf-8")
    for name in (there, "raw/sub-02.eeg"):
        path.write_text(content.replace("DataFile=sub-02.eeg", f"DataFile={name}"), encoding="utf-8")
        assert "that is a path" in fails(capsys, tmp_path / "no", "--recordings", path, *OPTIONS)


def test_a_recording_that_was_renamed(tmp_path, capsys, two):
    """All files, but not the names inside; --allow_other_files then takes the files beside the header."""
    _, path, later = two
    for ending in ("vhdr", "vmrk", "eeg"):
        path.with_suffix(f".{ending}").rename(tmp_path / f"new.{ending}")
    options = ("--recordings", tmp_path / "new.vhdr", *OPTIONS)
    message = fails(capsys, tmp_path / "no", *options)
    assert "sub-02.eeg is not there and new.eeg lies beside it" in message
    assert "--allow_other_files to take new.eeg" in message
    _, eeg, columns = prepare(tmp_path / "out", *options, "--allow_other_files")
    np.testing.assert_allclose(columns["onset"], ONSETS + .5, atol=1e-9)
    np.testing.assert_allclose(eeg, by_hand(later, np.round((ONSETS + .5) * SFREQ).astype(int), -40, 160), atol=1e-3)


def test_eeglab_data(tmp_path, capsys):
    scipy_io = pytest.importorskip("scipy.io")
    for number in (1, 2):
        data = make_raw(seed=number).get_data() * 1e6
        data.T.astype("<f4").tofile(tmp_path / f"s{number}.fdt")
        held = {"data": "s1.fdt", "nbchan": len(CHANNELS), "pnts": data.shape[1], "trials": 1, "srate": SFREQ, "xmin": 0.,
                "chanlocs": [{"labels": name} for name in CHANNELS],
                "event": [{"type": "cat", "latency": at * SFREQ + 1} for at in ONSETS]}
        scipy_io.savemat(tmp_path / f"s{number}.set", {"EEG": held}, oned_as="row")
    prepare(tmp_path / "right", "--recordings", tmp_path / "s1.set", *OPTIONS)
    message = fails(capsys, tmp_path / "no", "--recordings", tmp_path / "s2.set", *OPTIONS)
    assert "s2.set: names s1.fdt as its data, but s2.fdt lies beside it" in message


def test_parts_of_a_fif_recording(tmp_path, capsys):
    for name, seed in (("a", 1), ("b", 2)):
        make_raw(seed=seed, n_seconds=40, channels=[f"E{i}" for i in range(70)]).save(
            tmp_path / f"{name}_raw.fif", split_size="2MB", verbose="error")
    options = ("--recordings", tmp_path / "b_raw.fif", *OPTIONS)
    assert len(prepare(tmp_path / "right", *options)[1]) == len(ONSETS)
    (tmp_path / "b_raw.fif").write_bytes((tmp_path / "a_raw.fif").read_bytes())  # its parts are those of a_raw.fif
    assert "b_raw.fif: names a_raw-1.fif as its data" in fails(capsys, tmp_path / "no", *options)


def test_the_case_of_the_issue(cases, tmp_path, capsys):
    folder = cases / "stale_marker"
    options = ("--pictures", cases / "pics8", "--picture_map", cases / "bv_map.tsv", *AS_IT_IS)
    message = fails(capsys, tmp_path / "no", "--recordings", folder / "sub-02_task-x.vhdr", *options)
    assert "MarkerFile=sub-01_task-x.vmrk, but sub-02_task-x.vmrk lies beside it" in message
    assert len(prepare(tmp_path / "right", "--recordings", folder / "sub-01_task-x.vhdr", *options)[1]) == 30
