"""Attribution: which input values influence an encoder's decision, by gradient x input.

The gradient of the logit of the predicted class (Simonyan, Vedaldi and Zisserman 2014) is multiplied by the input
(Shrikumar, Greenside, Shcherbina and Kundaje 2016). Here the input is the difference from the training mean, so that what
all trials share contributes nothing. For a linear encoder the product is the exact contribution of each value to the logit.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from encoders.batches import row_batches

MAX_BATCH_SIZE = 32  # as gradients take several times the memory of a forward pass
N_RANDOMISATIONS = 3  # encoders with shuffled weights, whose correlations are averaged
LEARNED = ("weight", "bias", "prototypes")  # how the names of buffers end that a linear branch learned in closed form


def gradient_x_input(model: nn.Module, eeg: torch.Tensor, fill: torch.Tensor, rows: Sequence[int] | None = None,
                     batch_size: int = 256, device: str = "cpu", description: str = "attribution") -> np.ndarray:
    """Mean over trials of |gradient x (eeg - fill)|, where the gradient is that of the predicted class's logit.

    eeg [N, C, T], fill [C, T]; rows: positions [n] of the trials (None: all). Returns [C, T] float64. Shows a progress bar
    called `description`. The model is put in evaluation mode and does not change.
    """
    model, fill = model.eval().to(device), fill.to(device)
    total, parts = torch.zeros(fill.shape, dtype=torch.float64), row_batches(eeg, rows, min(batch_size, MAX_BATCH_SIZE))
    for part in tqdm(parts, desc=description, unit="batch"):
        batch = eeg[part].to(device).requires_grad_()
        logits = model(batch)[1].max(1).values.sum()  # in evaluation mode trials are independent
        (gradient,) = torch.autograd.grad(logits, batch)
        total += (gradient * (batch.detach() - fill)).abs().sum(0).double().cpu()
    return (total / sum(map(len, parts))).numpy()


def shares(values: np.ndarray) -> np.ndarray | None:
    """A map divided by its sum; None if it is zero everywhere, as for a model that ignores its input, or not finite."""
    total = values.sum()
    return values / total if np.isfinite(total) and total > 0 else None


def shuffled_weights(model: nn.Module, seed: int) -> nn.Module:
    """A copy of the model with the values of each weight tensor shuffled, so that nothing learned is left in them.

    The linear branches of the default encoder keep their weights in buffers. Those are shuffled too, while statistics of
    the data in buffers (whitening, batch norm) stay.
    """
    generator, copied = torch.Generator().manual_seed(seed), copy.deepcopy(model).cpu()
    learned = [*copied.parameters(), *(buffer for name, buffer in copied.named_buffers() if name.endswith(LEARNED))]
    with torch.no_grad():
        for weight in learned:
            order = torch.randperm(weight.numel(), generator=generator)
            weight.copy_(weight.flatten()[order].view_as(weight))
    return copied


def sanity_check(attribution: np.ndarray, model: nn.Module, eeg: torch.Tensor, fill: torch.Tensor,
                 rows: Sequence[int] | None = None, batch_size: int = 256, device: str = "cpu",
                 seed: int = 0) -> float | None:
    """Rank correlation of an attribution [C, T] with that of the encoder with shuffled weights, mean of N_RANDOMISATIONS.

    This is the model parameter randomisation test (Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018). Near 1
    the map shows the input and the architecture rather than what was learned. None if the correlation is not defined.
    """
    from scipy.stats import spearmanr

    correlations = []
    for number in range(N_RANDOMISATIONS):
        randomised = gradient_x_input(shuffled_weights(model, seed + number), eeg, fill, rows, batch_size, device,
                                      f"attribution, shuffled weights {number + 1}/{N_RANDOMISATIONS}")
        if np.ptp(randomised) > 0 and np.ptp(attribution) > 0:
            correlations.append(spearmanr(attribution.ravel(), randomised.ravel()).statistic)
    return float(np.mean(correlations)) if correlations else None
