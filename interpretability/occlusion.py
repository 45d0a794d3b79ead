"""Occlusion: which classes an encoder still tells when a part of its input is hidden (Zeiler and Fergus, ECCV 2014).

A hidden value is replaced by the mean over the training trials at that channel and sample. It is the same for every trial
and so tells nothing, while the input stays like what the encoder was trained on. Zero would not do: the response that all
pictures share is not zero, so an encoder that merely expects it would fail, and the failure would read as use.
"""

from itertools import pairwise

import numpy as np
import torch
from tqdm import tqdm

from encoders.batches import row_batches


def training_mean(eeg, rows):
    """Mean over trials `rows` (LongTensor) of eeg [N, C, T]: [C, T] float32."""
    total = torch.zeros(tuple(eeg.shape[1:]), dtype=torch.float64)
    for part in row_batches(eeg, rows):
        total += eeg[part].sum(0, dtype=torch.float64)
    return (total / len(rows)).float()


def time_windows(n_times, sfreq, window_ms):
    """Windows (first sample, end) of equal length within a sample, about `window_ms` long, that cover `n_times` samples."""
    number = min(n_times, max(1, round(n_times / (sfreq * window_ms / 1000))))
    edges = np.round(np.linspace(0, n_times, number + 1)).astype(int).tolist()
    return list(pairwise(edges))


def window_masks(shape, windows):
    """bool [windows, C, T]: true within each window."""
    masks = torch.zeros(len(windows), *shape, dtype=torch.bool)
    for mask, (low, high) in zip(masks, windows, strict=True):
        mask[:, low:high] = True
    return masks


def channel_masks(shape, groups):
    """bool [groups, C, T]: true at each group's channels, lists of channel numbers."""
    masks = torch.zeros(len(groups), *shape, dtype=torch.bool)
    for mask, channels in zip(masks, groups, strict=True):
        mask[channels] = True
    return masks


@torch.no_grad()
def occluded_classes(model, eeg, fill, hidden, rows=None, batch_size=256, device="cpu"):
    """Predicted class of each trial under each mask: int array [M, n]; evaluation mode, nothing in the model changes.

    eeg [N, C, T]; fill [C, T], which stands where a mask of hidden [M, C, T] (bool) is true; rows: positions [n] of the
    trials, None: all. Shows a progress bar.
    """
    model, fill, hidden = model.eval().to(device), fill.to(device), hidden.to(device)
    found, parts = [], row_batches(eeg, rows, batch_size)
    with tqdm(total=len(parts) * len(hidden), desc="occlusion", unit="batch") as progress:
        for part in parts:
            batch, predicted = eeg[part].to(device), []
            for mask in hidden:
                predicted.append(model(torch.where(mask, fill, batch))[1].argmax(1).cpu())
                progress.update()
            found.append(torch.stack(predicted))
    return torch.cat(found, 1).numpy()
