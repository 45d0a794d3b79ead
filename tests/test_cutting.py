"""Trials are cut alike by every source that cuts continuous recordings: raw, n170, bdd and simulated."""

from pathlib import Path

import mne
import numpy as np
import pytest
from PIL import Image

import prepare_data
from eegdata.dataset_folder import open_folder
from raw_material import make_raw, save
from source_material import BDD_NAME, muse_name, write_bdd, write_muse
from sources import bdd, epochs, n170, raw, simulated

CONTINUOUS = {"raw": raw, "n170": n170, "bdd": bdd, "simulated": simulated}
SHARED_OPTIONS = {"l_freq", "h_freq", "resample", "tmin", "tmax", "baseline"}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """The options that name a small recording for each source."""
    folder = tmp_path_factory.mktemp("recordings")
    save(make_raw(sfreq=256.), folder / "one_raw.fif")
    for minute in range(3):
        write_muse(folder / "muse" / muse_name(1, minute), seed=minute)
    for kind in ("faces", "houses"):
        for number in range(3):
            path = folder / "stimuli" / kind / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (9, 9), 80 * number).save(path)
    write_bdd(folder / BDD_NAME)
    return {"raw": ("--recordings", folder / "one_raw.fif", "--event_names", "cat|dog", "--split_by", "time"),
            "n170": ("--recordings", folder / "muse", "--stimuli", folder / "stimuli"),
            "bdd": ("--folder", folder, "--split_by", "time"),
            "simulated": ("--n_subjects", 1, "--n_pictures", 24, "--image_size", 16, "--sfreq", 256)}


def prepare(source, output, *options):
    prepare_data.main([source, "--output", str(output), "--no_audit", "--split_gap", "0", "--scale", "none",
                       *map(str, options)])
    record, blocks, _ = open_folder(output)
    return record, np.concatenate(blocks)


@pytest.mark.parametrize(("rate", "samples", "first"), [(250, 200, -50), (100, 80, -20), (128, 103, -26)])
@pytest.mark.parametrize("source", CONTINUOUS)
def test_equal_windows_hold_equally_many_samples(recordings, tmp_path, source, rate, samples, first):
    """Counted by hand: round(0.6 rate) - round(-0.2 rate) samples, the end being exclusive."""
    record, eeg = prepare(source, tmp_path, *recordings[source], "--resample", rate, "--tmin", "-.2", "--tmax", ".6")
    assert record["sfreq"] == rate and record["n_times"] == samples == eeg.shape[2]
    assert record["tmin"] == first / rate


@pytest.mark.parametrize("source", CONTINUOUS)
def test_a_baseline_means_the_same_samples(recordings, tmp_path, source):
    """Both ends of --baseline belong to it: over those samples every channel's mean is 0, over one more it is not."""
    _, eeg = prepare(source, tmp_path, *recordings[source], "--resample", 100, "--tmin", "-.2", "--tmax", ".6",
                     "--baseline", "-.1", "0")
    scale = eeg.std()
    assert np.abs(eeg[:, :, 10:21].mean(2)).max() < 1e-5 * scale
    assert np.abs(eeg[:, :, 10:22].mean(2)).max() > 1e-3 * scale


@pytest.mark.parametrize("source", CONTINUOUS)
def test_options_are_spelled_alike(recordings, source):
    args = prepare_data.parse([source, "--output", "out", *map(str, recordings[source]), "--l_freq", "2", "--h_freq", "20"])
    assert set(vars(args)) >= SHARED_OPTIONS and (args.l_freq, args.h_freq) == (2, 20)
    assert not {"band", "band_low", "band_high"} & set(vars(args))


@pytest.mark.parametrize("source", CONTINUOUS)
def test_windows_and_bands_that_are_none(recordings, tmp_path, source, capsys):
    for options, message in (
            (("--tmin", ".3", "--tmax", ".1"), "--tmin"), (("--l_freq", "30", "--h_freq", "20"), "--l_freq"),
            (("--h_freq", "200"), "--h_freq 200"), (("--baseline", "-3", "0"), "--baseline -3 0"),
            (("--tmin", "-.2", "--tmax", ".001"), "--tmax 0.001: no sample of a trial lies at the onset or later")):
        with pytest.raises(SystemExit) as stop:
            prepare(source, tmp_path / "out", *recordings[source], *options)
        assert stop.value.code == 2 and message in capsys.readouterr().err
        assert not (tmp_path / "out" / "dataset.json").exists()


@pytest.mark.parametrize(("sfreq", "wanted", "count"), [
    *((200., 100., count) for count in (7000, 7001, 7002, 8000, 8192)), (512., 250., 18111), (300., 250., 10501),
    (1000., 250., 35002), (750., 250., 26251)])
def test_resampling_moves_no_sample(sfreq, wanted, count):
    """A sine stays where it was, at the start and at the end. MNE's own padding would move it by half a sample where there
    are 7002, and stretch it by half a sample where there are 7001."""
    raw = mne.io.RawArray(np.sin(2 * np.pi * 5 * np.arange(count) / sfreq)[None], mne.create_info(["Cz"], sfreq, "eeg"),
                          verbose="error")
    settings = epochs.Epoching(0., 0., 0., wanted, 0, round(wanted), None, 0., 0.)
    trials, _ = epochs.cut_trials(raw, np.array([2., 15., 32.]), settings, np.eye(1))
    eeg, _ = epochs.joined(trials, 1, settings)
    expected = np.sin(2 * np.pi * 5 * (np.array([[2.], [15.], [32.]]) + np.arange(round(wanted)) / wanted))
    assert np.abs(eeg[:, 0] - expected).max() < 2e-3


def test_resampling_keeps_the_end_and_the_marks():
    """The last whole sample is there and none beyond it, and no trial reaches across a mark."""
    raw = mne.io.RawArray(np.ones((2, 5001)), mne.create_info(2, 500., "eeg"), first_samp=777, verbose="error")
    raw.set_annotations(mne.Annotations([4.], [1 / 500], ["BAD_ACQ_SKIP"]))
    settings = epochs.Epoching(0., 0., 0., 200., 0, 200, None, 0., 0.)
    trials, dropped = epochs.cut_trials(raw, np.array([1., 3.5, 9., 9.01]), settings, np.eye(2))
    assert epochs.joined(trials, 2, settings)[1].tolist() == [0, 2]
    assert dropped == {"across lost samples": 1, "outside the recording": 1}


def test_the_size_of_a_block_is_that_of_the_documentation():
    """The scale of a long recording is that of its first block, which neither the page nor --help said."""
    page = (Path(prepare_data.__file__).parent / "docs" / "data.md").read_text(encoding="utf-8")
    assert f"blocks of {epochs.BLOCK_BYTES >> 20} MB" in page
