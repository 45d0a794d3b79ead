"""Whether an encoder learned anything of its own training trials."""

import torch
from torch import nn
from torch.nn import functional as F

from eegdata.dataset_folder import MappedEEG
from metrics.classification import balanced_accuracy
from metrics.pairing import pairing_z

from . import encode

MOST_TRIALS = 10_000  # which tell as much as more
SIGNIFICANT = 3.09  # z of p = .001, one-sided


def training_warnings(encoder: nn.Module, eeg: torch.Tensor | MappedEEG, labels: torch.Tensor, target: torch.Tensor | None,
                      rows: torch.Tensor, device: str) -> list[str]:
    """Sentences on what the encoder tells of its training trials `rows` no better than chance; [] where all is well.

    labels [N], or [N, K] float where pictures have any number of classes, and target [N, E], the embeddings of the
    pictures; None for a classifier only.
    """
    rows = rows[torch.linspace(0, len(rows) - 1, min(len(rows), MOST_TRIALS)).long()]
    embedding, logits = encode(encoder, eeg, rows, device=device)
    labels, classes = labels[rows], logits.shape[1]
    found = []
    if labels.ndim == 2:
        if classes and _at_chance(logits.sigmoid(), labels):
            found.append("The EEG encoder tells what is in the pictures of its own training trials no better than chance, "
                         "so its training failed.")
    elif _at_chance(F.one_hot(predicted := logits.argmax(1), classes), F.one_hot(labels, classes)):
        accuracy, chance = balanced_accuracy(labels, predicted), 1 / len(labels.unique())
        found.append("The EEG encoder tells the classes of its own training trials no better than chance (balanced "
                     f"accuracy {accuracy:.3f}, chance {chance:.3f}), so its training failed.")
    if target is not None and _at_chance(embedding, target[rows]):
        found.append("The picture embeddings that the EEG encoder predicts for its own training trials fit these pictures "
                     "no better than others, so its training failed.")
    return found


def _at_chance(predicted, true):
    """Whether predictions [N, D] might as well belong to other trials. Few trials cannot be significant; there half of what
    is possible counts."""
    possible = pairing_z(true, true)
    return possible > 0 and pairing_z(predicted, true) < min(SIGNIFICANT, possible / 2)
