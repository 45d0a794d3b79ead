"""Weights of classifiers' logits by log-loss, in which each class counts alike."""

import numpy as np
import torch
from torch.nn import functional as F

SCALES = np.geomspace(.02, 10, 14).tolist()  # standard deviations of logits, from almost chance to almost certain
PRIOR_SD = 5.0  # of a weight of logits of unit standard deviation; keeps a few trials that are all correct from certainty


def log_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The log-loss of each trial [N], times a weight of mean 1 that lets all classes count alike."""
    counts = torch.bincount(labels, minlength=logits.shape[-1])
    weight = len(labels) / ((counts > 0).sum() * counts[labels])
    return F.cross_entropy(logits, labels, reduction="none") * weight


def spread(values: torch.Tensor) -> float:
    """The standard deviation of values; 0 of a single one, as the logit of one trial and one class, of which torch gives
    NaN."""
    return float(values.std()) if values.numel() > 1 else 0.


def fit_weights(logits: list[torch.Tensor], labels: torch.Tensor) -> np.ndarray:
    """Weights >= 0 [B] of the logits [N, K] of several classifiers, whose weighted sum has the lowest log-loss.

    The problem is convex. A classifier that does not help gets 0.
    """
    from scipy.optimize import minimize

    scales = np.array([spread(each) or 1. for each in logits])
    scaled = torch.stack([each.double() / scale for each, scale in zip(logits, scales, strict=True)])

    def loss(values):
        weights = torch.tensor(values, requires_grad=True)
        total = (log_losses(torch.tensordot(weights, scaled, 1), labels).sum()
                 + (weights / PRIOR_SD).square().sum() / 2) / len(labels)
        return total.item(), torch.autograd.grad(total, weights)[0].numpy()

    found = minimize(loss, np.full(len(logits), 1 / len(logits)), jac=True, bounds=[(0, None)] * len(logits),
                     method="L-BFGS-B")
    return found.x / scales


def best_log_loss(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The mean log-loss of logits [N, K] at the best of SCALES, to which they are brought."""
    logits = logits / (logits.std() + torch.finfo(logits.dtype).tiny)
    return min(log_losses(scale * logits, labels).mean().item() for scale in SCALES)


def gain_beyond_error(before: torch.Tensor, after: torch.Tensor, groups: np.ndarray) -> bool:
    """Whether the log-loss falls from `before` [N] to `after` by more than the standard error of the fall, over groups."""
    falls = np.bincount(np.unique(groups, return_inverse=True)[1], (before - after).numpy())
    return bool(falls.mean() > falls.std(ddof=1) / len(falls) ** .5) if len(falls) > 1 else False
