"""Attribution: which input values move an encoder's decision, by gradient x input.

The gradient of the predicted class's logit (Simonyan, Vedaldi and Zisserman 2014) times the input (Shrikumar, Greenside,
Shcherbina and Kundaje 2016), here the input's distance from the training mean, so that what all trials share counts for
nothing. For a linear encoder it is each value's exact part in the logit.
"""

import copy

import numpy as np
import torch
from tqdm import tqdm

from encoders.batches import row_batches

BATCH = 32  # trials at most, as gradients take several times the memory of a forward pass
RANDOMISED = 3  # encoders with shuffled weights, whose correlations are averaged


def gradient_x_input(model, eeg, fill, rows=None, batch_size=256, device="cpu", description="attribution"):
    """Mean over trials of |gradient x (eeg - fill)| of the logit of the class predicted: [C, T] float64.

    eeg [N, C, T], fill [C, T]; rows: positions [n] of the trials, None: all; evaluation mode, nothing in the model changes.
    Shows a progress bar.
    """
    model, fill = model.eval().to(device), fill.to(device)
    total, parts = torch.zeros(fill.shape, dtype=torch.float64), row_batches(eeg, rows, min(batch_size, BATCH))
    for part in tqdm(parts, desc=description, unit="batch"):
        batch = eeg[part].to(device).requires_grad_()
        logits = model(batch)[1].max(1).values.sum()  # trials do not meet in evaluation mode: one sum for all gradients
        (gradient,) = torch.autograd.grad(logits, batch)
        total += (gradient * (batch.detach() - fill)).abs().sum(0).double().cpu()
    return (total / sum(map(len, parts))).numpy()


def shares(values):
    """A map as shares of its sum; None where it is zero everywhere or not finite, as of a model that ignores its input."""
    total = values.sum()
    return values / total if np.isfinite(total) and total > 0 else None


def shuffled_weights(model, seed):
    """A copy of the model with the entries of each weight shuffled: as large as before, nothing learnt left in them.

    Statistics of the data that a model keeps in buffers (whitening, batch norm) stay.
    """
    generator, copied = torch.Generator().manual_seed(seed), copy.deepcopy(model).cpu()
    with torch.no_grad():
        for weight in copied.parameters():
            order = torch.randperm(weight.numel(), generator=generator)
            weight.copy_(weight.flatten()[order].view_as(weight))
    return copied


def sanity_check(found, model, eeg, fill, rows=None, batch_size=256, device="cpu", seed=0):
    """Rank correlation of a map [C, T] with that of the same encoder with shuffled weights, mean of RANDOMISED shuffles.

    Near 1 the map shows the input and the architecture rather than what was learnt (Adebayo et al., Sanity Checks for
    Saliency Maps, NeurIPS 2018: the model parameter randomisation test). None where it is not defined.
    """
    from scipy.stats import spearmanr

    r = []
    for number in range(RANDOMISED):
        other = gradient_x_input(shuffled_weights(model, seed + number), eeg, fill, rows, batch_size, device,
                                 f"attribution, shuffled weights {number + 1}/{RANDOMISED}")
        if np.ptp(other) > 0 and np.ptp(found) > 0:
            r.append(spearmanr(found.ravel(), other.ravel()).statistic)
    return float(np.mean(r)) if r else None
