"""Trials are cut alike by every source that cuts continuous recordings: raw, n170, bdd and simulated."""

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
            (("--h_freq", "200"), "--h_freq 200"), (("--baseline", "-3", "0"), "--baseline -3 0")):
        with pytest.raises(SystemExit) as stop:
            prepare(source, tmp_path / "out", *recordings[source], *options)
        assert stop.value.code == 2 and message in capsys.readouterr().err
        assert not (tmp_path / "out" / "dataset.json").exists()


@pytest.mark.parametrize("count", [7000, 7002, 8000, 8192])
def test_resampling_moves_no_sample(count):
    """A sine stays where it was. MNE's own padding would move it by half a sample where there are 7002."""
    time = np.arange(count) / 200
    info = mne.create_info(["Cz"], 200., "eeg")
    settings = epochs.Epoching(0., 0., 0., 100., 0, 100, None, 0., 0.)
    raw = mne.io.RawArray(np.sin(2 * np.pi * 5 * time)[None], info, verbose="error")
    trials, _ = epochs.cut_trials(raw, np.array([15.]), settings, np.eye(1))
    eeg, _ = epochs.joined(trials, 1, settings)
    assert np.abs(eeg[0, 0] - np.sin(2 * np.pi * 5 * (15 + np.arange(100) / 100))).max() < 1e-3
