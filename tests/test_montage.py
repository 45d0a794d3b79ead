"""Channels by name: against MNE's own interpolation of a real recording, and through the encoders and stages."""

import subprocess
import sys

from runtime.errors import InputError

import numpy as np
import pytest
import torch

import test_eeg_classifier as scoring
from config import EEGEncoderConfig
from eegdata.dataset_writer import write_folder
from eegdata.montage import match_channels, plain_name
from eegdata.records import Block, DataSet, Recording
from eegdata.splits import write_splits
from eegdata.trials import load_trials
from encoders import build_encoder, encode, fit_to_encoder, save_encoder
from raw_material import template_montage

NAMES = ["Fp1", "Fz", "Cz", "Pz", "Oz", "T7", "T8", "P7", "P8"]


def test_equal_names_give_the_identity_and_say_nothing():
    matrix, notes = match_channels(NAMES, NAMES)
    assert matrix.dtype == np.float32 and np.array_equal(matrix, np.eye(9)) and notes == []
    assert match_channels(["1", "EEG 1"], ["1", "EEG 1"])[1] == []  # the same names at the same places: nothing to match


def test_another_order_is_a_permutation():
    order = np.random.default_rng(0).permutation(9)
    matrix, notes = match_channels([NAMES[i] for i in order], NAMES)
    assert np.array_equal(matrix @ np.arange(9)[order], np.arange(9))
    assert notes == ["9 channels put in the order asked for, by name"]


@pytest.mark.parametrize(("one", "other"), [
    ("Fp1", "EEG FP1-REF"), ("Fc5", "Fc5.."), ("T3", "T7"), ("T4", "eeg T8-LE"), ("T5", "P7 "), ("T6-Ref", "P8"),
    ("EEG-Cz", "cz"), ("F p z", "FPZ")])
def test_spellings_of_one_channel(one, other):
    matrix, notes = match_channels(["Oz", other], ["Oz", one])
    assert np.array_equal(matrix, np.eye(2)) and notes == [f"channels known by other names: {other} as {one}"]


def test_derivations_and_neighbours_stay_apart():
    """A bipolar channel is no electrode, and names that only begin alike are other channels."""
    assert len({plain_name(name) for name in ("Fp1-F7", "Fp1", "F7", "Fp1h", "FpZ", "C3-A2", "EEG", "EEG001")}) == 8


@pytest.mark.parametrize(("found", "wanted", "named"), [
    (["T3", "Cz", "T7"], ["T7", "Cz"], "T3, T7 .found"), (["Cz", "Pz"], ["Pz", "EEG Cz", "CZ"], "EEG Cz, CZ .asked")])
def test_ambiguous_names_are_refused(found, wanted, named):
    with pytest.raises(InputError, match=f"{named}.*rename or drop"):
        match_channels(found, wanted)


def test_what_is_not_asked_for_is_left_out_with_a_note():
    matrix, notes = match_channels(["ECG", "Cz", "ECG", "Pz"], ["Pz", "Cz"])
    assert np.array_equal(matrix, [[0, 0, 0, 1], [0, 1, 0, 0]])
    assert "2 channels not asked for left out: ECG, ECG" in notes


def test_no_place_and_too_few_places_are_refused():
    with pytest.raises(InputError, match=r"channels A12: not among the 9 channels found \(Fp1, .*rename"):
        match_channels(NAMES, ["Cz", "A12"])
    with pytest.raises(InputError, match=r"channels Cz: missing, and only 3 of the 4 .*4 or more"):
        match_channels(["Pz", "Oz", "Fz", "nd"], ["Cz"])
    with pytest.raises(InputError, match="A1"):  # BioSemi's A1 lies on the cap, the ear of the 10-20 system does not help
        match_channels(NAMES, ["A1"])


@pytest.fixture(scope="module")
def recording(shared):
    import mne

    file = shared / "raw_formats" / "eeglab_data.set"
    raw = mne.io.read_raw_eeglab(file, preload=True, verbose="error")
    return raw.crop(tmax=10).drop_channels(["EOG1", "EOG2"])


@pytest.mark.parametrize("own_places", [True, False])
def test_interpolation_is_mnes(recording, own_places):
    """The same channels dropped here and marked as bad there, with the recording's own places and with standard ones."""
    import mne

    if not own_places:
        known = mne.channels.make_standard_montage(template_montage())
        recording = recording.copy().set_montage(known, match_case=False)
    bads = ["Cz", "PO3", "T8"]
    theirs = recording.copy()
    theirs.info["bads"] = bads
    theirs.interpolate_bads(verbose="error")
    found = [name for name in recording.ch_names if name not in bads][::-1]
    positions = recording.get_montage().get_positions()["ch_pos"] if own_places else None
    matrix, notes = match_channels(found, recording.ch_names, positions)
    ours = matrix @ np.stack([recording.get_data(picks=name)[0] for name in found])
    np.testing.assert_allclose(ours, theirs.get_data(), rtol=0, atol=1e-5 * theirs.get_data().std())
    assert "3 channels missing, interpolated on the scalp from 27 found: Cz, T8, PO3" in notes
    assert not np.allclose(ours[recording.ch_names.index("Cz")], recording.get_data(picks="Cz")[0], rtol=0.01)


def test_real_interpolation_finds_the_dropped_channel(shared):
    """What the others say of a dropped electrode is like it, and is not where the names are scrambled."""
    content = np.load(shared / "uci" / "uci_picture_evoked.npz")
    eeg, names = content["X"][::12], [str(name) for name in content["ch"]]
    scrambled = [str(name) for name in np.random.default_rng(0).permutation(names)]

    def likeness(names):
        for i in (i for i, name in enumerate(names) if name in ("F3", "FC5", "C4", "P3", "P8", "O2", "POZ")):
            others = [*names[:i], *names[i + 1:]]
            matrix, notes = match_channels(others, [names[i]])
            assert "from 60 found" in notes[0] and not matrix[0, [others.index(name) for name in ("X", "Y", "nd")]].any()
            yield np.corrcoef(np.einsum("f,nft->nt", matrix[0], np.delete(eeg, i, 1)).ravel(), eeg[:, i].ravel())[0, 1]

    right, wrong = list(likeness(names)), list(likeness(scrambled))
    assert min(right) > 0.75 and np.median(wrong) < 0.5


def test_few_channels_are_interpolated_around_the_middle_of_a_head():
    """MNE cannot fit a sphere to four electrodes; the standard places tell where the head's middle is."""
    left, notes = match_channels(["TP9", "AF7", "AF8", "TP10"], ["T7", "T8"])
    assert np.allclose(left.sum(1), 1, atol=1e-5) and np.allclose(left[0], left[1][::-1], atol=0.05)
    assert not [note for note in notes if note.startswith("MNE")]


def test_given_places_serve_names_that_no_standard_knows(recording):
    """BioSemi's A1... have places in the recording only; a wanted 10-20 name is placed by the standard."""
    places = recording.get_montage().get_positions()["ch_pos"]
    others = [name for name in recording.ch_names if name != "Cz"]
    renamed = {name: f"A{i + 1}" for i, name in enumerate(others)}
    matrix, _ = match_channels(list(renamed.values()), ["Cz"], {renamed[name]: places[name] for name in others})
    near = [others[i] for i in matrix[0].argsort()[-4:]]
    assert set(near) == {"FC1", "FC2", "CP1", "CP2"}


def test_mne_is_imported_only_to_interpolate():
    code = ("import sys; from eegdata.montage import match_channels\nmatch_channels(['T3', 'Cz'], ['Cz', 'T7'])\n"
            "assert 'mne' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)


def make_folder(folder, names, eeg, positions=None):
    read = lambda: iter([Block(eeg, np.arange(len(eeg)) % 2, ["a_unknown", "b_unknown"] * (len(eeg) // 2),  # noqa: E731
                               np.arange(len(eeg)) * 1.)])
    write_folder(DataSet([Recording("one", 1, 1, names, read)], sfreq=100., ch_names=names, n_times=eeg.shape[2], tmin=0.,
                         units="uV", class_ids=["a", "b"], class_names=["a", "b"], pictures={}, pictures_known="no",
                         positions=positions), folder, "test", "none")
    return load_trials(folder)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return build_encoder(EEGEncoderConfig(n_chans=9, n_times=40, sfreq=100., ch_names=NAMES, num_classes=2, d_model=16,
                                          attn_heads=2, layers=1, embedding_size=8, spatial_filters=4))


def test_scrambled_channels_give_the_encoder_the_same(tmp_path, encoder, capsys):
    """From a folder, read row by row, and from a tensor, as of a .pth."""
    eeg = np.random.default_rng(1).normal(size=(6, 9, 40)).astype(np.float32)
    right = make_folder(tmp_path / "right", NAMES, eeg)
    fit_to_encoder(encoder.config, right, "--x")
    capsys.readouterr()
    expected = encode(encoder, right.eeg[:])
    order = np.random.default_rng(2).permutation(9)
    names = [f"EEG {NAMES[i].upper()}-REF" for i in order]
    for tensor in (False, True):
        mixed = make_folder(tmp_path / f"mixed{tensor}", names, eeg[:, order])
        assert not torch.equal(encode(encoder, mixed.eeg[:])[0], expected[0])
        mixed.eeg = mixed.eeg[:] if tensor else mixed.eeg
        fit_to_encoder(encoder.config, mixed, "--x")
        assert mixed.ch_names == NAMES and "9 channels put in the order" in capsys.readouterr().out
        assert torch.equal(torch.as_tensor(mixed.eeg[:]), torch.from_numpy(eeg))
        assert all(map(torch.equal, encode(encoder, mixed.eeg[:]), expected))


def test_missing_channels_are_interpolated_for_the_encoder_and_told(tmp_path, encoder, capsys):
    eeg = np.random.default_rng(1).normal(size=(6, 10, 40)).astype(np.float32)
    names = ["nd", *NAMES[:4], *NAMES[5:], "POz"]
    trials = make_folder(tmp_path / "d", names, eeg)
    trials.record["scale"] = "recording"
    fit_to_encoder(encoder.config, trials, "--x")
    matrix, _ = match_channels(names, NAMES)
    torch.testing.assert_close(trials.eeg[2:4], torch.from_numpy(matrix @ eeg[2:4]), rtol=1e-4, atol=1e-5)
    told = capsys.readouterr().out
    assert "1 channels missing, interpolated on the scalp from 9 found: Oz" in told and "--match_encoder" in told
    assert "2 channels not asked for left out: nd, POz" in told


@pytest.mark.parametrize("known", ["the encoder", "the data set", ""])
def test_positions_are_believed_only_with_a_word(tmp_path, encoder, capsys, known):
    trials = make_folder(tmp_path / "d", NAMES[::-1], np.ones((2, 9, 40), np.float32))
    capsys.readouterr()
    trials.ch_names = trials.ch_names if known == "the data set" else None
    encoder.config.ch_names = encoder.config.ch_names if known == "the encoder" else None
    before = trials.eeg
    fit_to_encoder(encoder.config, trials, "--x")
    told = capsys.readouterr().out
    assert trials.eeg is before and told.count("taken by position") == told.count("\n") == (known != "")
    assert f"only {known}" in told or not known


def test_a_stage_scores_scrambled_channels_as_the_right_ones(tmp_path, encoder, capsys):
    eeg = np.random.default_rng(3).normal(size=(24, 9, 40)).astype(np.float32)
    order = np.random.default_rng(2).permutation(9)
    save_encoder(encoder, tmp_path / "encoder")
    scores = {}
    for kind, names, trials in (("right", NAMES, eeg), ("mixed", [NAMES[i] for i in order], eeg[:, order]),
                                ("wrong", NAMES, eeg[:, order])):
        make_folder(tmp_path / kind, names, trials)
        write_splits(tmp_path / kind / "splits.pth", {"train": [0], "val": [1], "test": list(range(2, 24))})
        scoring.main(["--eeg_dataset", str(tmp_path / kind), "--output", str(tmp_path / "encoder"), "--device", "cpu",
                      "--results_dir", str(tmp_path / kind / "scores")])
        scores[kind] = (tmp_path / kind / "scores" / "confusion_matrix.csv").read_text()
        assert ("9 channels put in the order asked for, by name" in capsys.readouterr().out) == (kind == "mixed")
    assert scores["mixed"] == scores["right"] != scores["wrong"]
