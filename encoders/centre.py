"""Centring of people's trials (--centre subject): each person's mean trial is subtracted from their trials.

It takes away what is common to all of a person's trials, whatever was seen, and so what differs between people. The mean is
over all trials at hand, those to be decoded among them, without their labels: the decoding is transductive, and a trial's
reading depends on the others of its recording.
"""

from runtime.errors import InputError

import numpy as np
import torch
from transformers import PretrainedConfig

from eegdata.trials import Trials

from .batches import row_batches

LEAST = 10  # trials of a person whose mean says anything


def centre_people(trials: Trials) -> None:
    """Subtract from the trials of each subject their mean [C, T], over all parts; replaces `trials.eeg`."""
    people, group = trials.subject.unique(return_inverse=True)
    sums = torch.zeros(len(people), *trials.eeg.shape[1:])
    for part in row_batches(trials.eeg):
        sums.index_add_(0, group[part], trials.eeg[part])
    counts = torch.bincount(group)
    if counts.min() < LEAST:
        raise InputError(f"{trials.path}: subject {people[counts.argmin()]} has {counts.min()} trials, expected {LEAST} or "
                         "more for the mean that --centre subject subtracts; leave this person out, or train an encoder "
                         "with --centre none")
    trials.eeg = trials.eeg.without(sums / counts[:, None, None], group)


def centre_recording(eeg: np.ndarray, config: PretrainedConfig, what: str) -> np.ndarray:
    """The trials [n, C, T] of one person as an encoder of this config takes them. what: names them, for messages."""
    if config.centre == "none":
        return eeg
    if len(eeg) < LEAST:
        raise InputError(f"{what}: {len(eeg)} trials, expected {LEAST} or more, as the encoder was trained with --centre "
                         "subject, which subtracts their mean; give more trials of the same person together, or train an "
                         "encoder with --centre none")
    return eeg - eeg.mean(0)


def refuse_single_trials(config: PretrainedConfig, what: str, given: str) -> None:
    """InputError for an encoder that needs all trials of a person at once. given: words on what there is instead."""
    if config.centre != "none":
        raise InputError(f"{what}: the encoder was trained with --centre subject, which needs all trials of a person at "
                         f"once, and {given}; use caption.py on the recording, or train an encoder with --centre none")
