"""EEG for people to look at is in microvolts, where the data set knows them."""

import numpy as np
import pytest

from eegdata.dataset_writer import write_folder
from eegdata.microvolts import are_known, in_microvolts
from eegdata.records import Block, DataSet, Picture, Recording
from eegdata.trials import load_trials
from sources.drawings import draw, sample_scenes


def make(folder, units, scale):
    """Two recordings of two trials, whose channels have amplitudes of 1 to 30 uV; returns the EEG [4, 3, 20]."""
    rng = np.random.default_rng(0)
    eeg = [rng.normal(0, 1, (2, 3, 20)).astype(np.float32) * np.array([1, 10, 30])[:, None] * factor for factor in (1, 2)]
    picture = draw(sample_scenes(1, 0)[0], 32)
    recordings = [Recording(f"r{i}", i + 1, 1, i, lambda i=i: iter([Block(eeg[i].astype(np.float32), np.array([0, 1]),
                                                                           ["a_1", "b_1"], np.array([0., 1.]))]))
                  for i in range(2)]
    data = DataSet(recordings, 100., ["Fz", "Cz", "Oz"], 20, 0., units, ["a", "b"], ["a", "b"],
                   {name: Picture(lambda: picture, ("A.",)) for name in ("a_1", "b_1")}, about={})
    write_folder(data, folder, "test", scale)
    return np.concatenate(eeg)


@pytest.mark.parametrize(("units", "scale", "known"), [
    ("uV", "recording", True), ("uV", "none", True), ("standardised", "none", False)])
def test_amplitudes_come_back(tmp_path, units, scale, known):
    eeg = make(tmp_path / "data", units, scale)
    trials = load_trials(tmp_path / "data", 0, 20)
    assert are_known(trials) == known
    rows = np.array([3, 0])
    assert np.allclose(in_microvolts(trials, rows), eeg[rows], rtol=1e-5)
    if scale == "recording":
        assert not np.allclose(trials.eeg[rows].numpy(), eeg[rows])
