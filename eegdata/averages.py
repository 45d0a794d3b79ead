"""EEG averaged over repetitions of a picture, as THINGS-EEG2's test trials are."""

import numpy as np
import torch

from eegdata.dataset_folder import MappedEEG


class AveragedEEG:
    """Means [Q, C, T] float32 of groups of trials, made when they are indexed; `encode` takes it as it takes trials.

    eeg [N, C, T] is a tensor or a MappedEEG; groups [Q, k] are positions in it.
    """

    def __init__(self, eeg: torch.Tensor | MappedEEG, groups: np.ndarray) -> None:
        self.eeg, self.groups = eeg, groups

    def __len__(self):
        return len(self.groups)

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self), *self.eeg.shape[1:]))

    def __getitem__(self, index):
        groups = self.groups[np.asarray(index)]
        each = self.eeg[torch.as_tensor(groups.reshape(-1))]
        return each.unflatten(0, groups.shape).mean(1)


def groups_of(picture: np.ndarray, person: np.ndarray, order: np.ndarray, size: int) -> np.ndarray:
    """Positions [Q, size] of trials to average: those of one picture and person, in their `order`, `size` at a time.

    picture, person, order [N]. Trials that do not fill a group are left out.
    """
    sequence = np.lexsort((order, person, picture))
    changes = np.flatnonzero(np.diff(picture[sequence]) | np.diff(person[sequence])) + 1
    groups = [own[:len(own) // size * size].reshape(-1, size) for own in np.split(sequence, changes)]
    return np.concatenate(groups)
