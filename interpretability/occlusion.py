"""Occlusion: which classes an encoder still recognises when a part of its input is hidden (Zeiler and Fergus, ECCV 2014).

A hidden value is replaced by the mean over the training trials at that channel and sample. The mean is the same in every
trial, so it carries no information, and the input still resembles the training data. Zero would not work: the response
that all pictures share is not zero. An encoder that only expects this response would fail without it, and the failure would
look as if the encoder used the hidden part to tell pictures apart.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from encoders.batches import row_batches


def training_mean(eeg: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Mean over the trials `rows` (positions [n]) of eeg [N, C, T]: [C, T] float32."""
    total = torch.zeros(tuple(eeg.shape[1:]), dtype=torch.float64)
    for part in row_batches(eeg, rows):
        total += eeg[part].sum(0, dtype=torch.float64)
    return (total / len(rows)).float()


def time_windows(n_times: int, sfreq: float, window_ms: float) -> list[tuple[int, int]]:
    """Windows (first sample, end) of about `window_ms` that cover `n_times` samples; lengths differ by at most a sample."""
    number = min(n_times, max(1, round(n_times / (sfreq * window_ms / 1000))))
    edges = np.round(np.linspace(0, n_times, number + 1)).astype(int).tolist()
    return list(pairwise(edges))


def window_masks(shape: tuple[int, int], windows: Sequence[tuple[int, int]]) -> torch.Tensor:
    """bool [windows, C, T]: true within each window; shape: (C, T)."""
    masks = torch.zeros(len(windows), *shape, dtype=torch.bool)
    for mask, (low, high) in zip(masks, windows, strict=True):
        mask[:, low:high] = True
    return masks


def channel_masks(shape: tuple[int, int], groups: Sequence[list[int]]) -> torch.Tensor:
    """bool [groups, C, T]: true at the channel numbers of each group; shape: (C, T)."""
    masks = torch.zeros(len(groups), *shape, dtype=torch.bool)
    for mask, channels in zip(masks, groups, strict=True):
        mask[channels] = True
    return masks


@torch.no_grad()
def occluded_classes(model: nn.Module, eeg: torch.Tensor, fill: torch.Tensor, hidden: torch.Tensor,
                     rows: Sequence[int] | None = None, batch_size: int = 256, device: str = "cpu") -> np.ndarray:
    """Predicted class of each trial under each mask: int array [M, n].

    eeg [N, C, T]; hidden [M, C, T] bool: each mask is true where the trial is replaced by fill [C, T]; rows: positions [n]
    of the trials (None: all). Shows a progress bar. The model is put in evaluation mode and does not change.
    """
    model, fill, hidden = model.eval().to(device), fill.to(device), hidden.to(device)
    classes, parts = [], row_batches(eeg, rows, batch_size)
    with tqdm(total=len(parts) * len(hidden), desc="occlusion", unit="batch") as progress:
        for part in parts:
            batch, predicted = eeg[part].to(device), []
            for mask in hidden:
                predicted.append(model(torch.where(mask, fill, batch))[1].argmax(1).cpu())
                progress.update()
            classes.append(torch.stack(predicted))
    return torch.cat(classes, 1).numpy()
