"""Weights of people's own in the linear branch: chosen where people differ, for people of the training data alone."""

import numpy as np
import pytest
import torch

import test_eeg_classifier as scoring
import train_eeg_classifier as training
from bench.synthetic import write_pth
from config import EEGEncoderConfig
from eegdata.dataset_folder import MappedEEG
from eegdata.splits import load_split, write_splits
from eegdata.trials import load_trials
from encoders import build_encoder, encode, fit_to_encoder, load_encoder
from encoders.branches import BranchFitting
from encoders.linear_branch import DiscriminantAnalysis
from encoders.people import Subjects

TRIALS = 110  # of each person


def responses(opposite, seed=0):
    """EEG [220, 5, 60] of two people in two classes, which the second may answer in the opposite way; labels; person."""
    rng = np.random.default_rng(seed)
    labels, person = rng.integers(2, size=2 * TRIALS), np.repeat([4, 7], TRIALS)
    sign = (2 * labels - 1) * np.where(opposite & (person == 7), -1, 1)
    eeg = rng.normal(size=(2 * TRIALS, 5, 60)) + .5 * sign[:, None, None] * np.hanning(60) * np.eye(5)[2][:, None]
    return eeg, labels, person


@pytest.fixture(scope="module")
def opposite(tmp_path_factory):
    """(data set arguments, encoder folder) of people with opposite responses."""
    folder = tmp_path_factory.mktemp("people")
    eeg, labels, person = responses(True)
    write_pth(folder / "eeg.pth", eeg=eeg, label=labels, image=np.arange(len(eeg)), subject=person,
              images=[f"{('cat', 'dog')[label]}_{i}" for i, label in enumerate(labels)], class_ids=["cat", "dog"],
              class_names=["cat", "dog"], sfreq=100, ch_names=["Fz", "Cz", "Pz", "O1", "O2"])
    part = np.arange(len(eeg)) % 11
    write_splits(folder / "splits.pth", {"train": np.flatnonzero(part < 8), "val": np.flatnonzero(part == 8),
                                         "test": np.flatnonzero(part > 8)})
    data = ["--eeg_dataset", str(folder / "eeg.pth"), "--splits_path", str(folder / "splits.pth"), "--device", "cpu"]
    training.main([*data, "--output", str(folder / "encoder"), "--loss_weight", "0", "--num_epochs", "1", "--d_model", "16",
                   "--attn_heads", "2", "--layers", "1"])
    return data, folder / "encoder"


def test_people_who_answer_in_opposite_ways_are_both_read(opposite, capsys):
    data, folder = opposite
    encoder, trials = load_encoder(folder), load_trials(data[1])
    assert encoder.config.people["subjects"] == [4, 7] and encoder.config.people["share"] > .5
    rows = load_split(data[3], trials, needed=("test",))["test"]
    fit_to_encoder(encoder.config, trials, "--output")

    def right(eeg):
        return (encode(encoder, eeg, rows)[1].argmax(1) == trials.label[rows]).double().mean()

    assert right(trials.eeg) > .85
    assert .3 < right(trials.eeg[:]) < .7  # of nobody: with the weights of all people
    scoring.main([*data, "--output", str(folder), "--classical_baseline"])
    assert "of the linear branch's class weights are people's own" in capsys.readouterr().out


def test_subject_numbers_of_another_data_set_are_other_people(opposite):
    encoder, trials = load_encoder(opposite[1]), load_trials(opposite[0][1])
    trials.fingerprint = "another"
    fit_to_encoder(encoder.config, trials, "--output")
    assert trials.eeg.person is None


def fitted(opposite, groups):
    eeg, labels, person = (torch.from_numpy(values) for values in responses(opposite))
    order = torch.arange(len(eeg)) % 6
    rows = {"train": (order > 0).nonzero()[:, 0], "val": (order == 0).nonzero()[:, 0]}
    model = build_encoder(EEGEncoderConfig(5, 60, 100., num_classes=2, embedding_size=4, d_model=16, attn_heads=2, layers=1,
                                           spatial_filters=4))
    fitting = BranchFitting(eeg.float(), labels, None, 2, rows, person.numpy() if groups else np.arange(len(eeg)), 100., 0,
                            Subjects(person, "this"))
    fitting.add_to(model, eeg.float(), "cpu", 1.)
    return model, fitting, eeg.float(), person


def test_weights_are_between_those_of_all_and_ones_own():
    model, fitting, eeg, person = fitted(True, groups=False)
    values, labels = fitting.features.values, fitting.labels
    of_all = DiscriminantAnalysis(values, labels, 2).logits(values, [fitting.choice.strength])[0]
    place = torch.where(person == 4, 0, 1)
    found = model.linear(eeg, place)[1]
    assert torch.allclose(model.linear(eeg)[1].double(), fitting.linear_weight * of_all, atol=1e-3)
    assert torch.equal(model.linear(eeg, torch.full_like(place, -1))[1], model.linear(eeg)[1])
    for number in (4, 7):
        own = person == number
        alone = DiscriminantAnalysis(values[own], labels[own], 2).logits(values[own], [fitting.own.strength])[0]
        mixed = (1 - fitting.own.share) * of_all[own] + fitting.own.share * fitting.own.scale * alone
        assert torch.allclose(found[own].double(), fitting.linear_weight * mixed, atol=1e-3)


def test_people_who_are_alike_share_their_weights():
    model, *_ = fitted(False, groups=False)
    assert model.config.people is None or model.config.people["share"] <= .25


def test_no_own_weights_where_the_held_out_people_have_none():
    model, *_ = fitted(True, groups=True)
    assert model.config.people is None and not hasattr(model.linear, "people_weight")


def test_trials_on_disk_tell_their_person():
    eeg = MappedEEG([np.zeros((7, 3, 5), np.float32)], 0, 5, np.array([6, 1, 0, 4]))
    assert eeg.person_of(np.array([0])) is None
    known = eeg.of_people(torch.tensor([1, -1, 0, 1]))
    assert known.person_of(torch.tensor([2, 0])).tolist() == [0, 1]
    assert known.take(np.array([1, 2])).person_of(torch.tensor([1])).tolist() == [0]
