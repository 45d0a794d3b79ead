"""Means of scores in which what should count once does, however many rows it has."""

import numpy as np
from numpy.typing import ArrayLike


def shares(units: ArrayLike) -> np.ndarray:
    """Weight of each row: 1 / number of rows of its unit. units: n names or numbers. [n]"""
    _, codes, counts = np.unique(np.asarray(units), return_inverse=True, return_counts=True)
    return 1 / counts[codes.reshape(-1)]


def weighted_mean(scores: ArrayLike, weights: ArrayLike) -> np.ndarray:
    """Mean of each column over the rows that have the score: [m], NaN where none has. scores, weights: [n, m].

    A score may be missing (NaN): a trial may lack a distractor, or the judge's answer a rating.
    """
    scores = np.asarray(scores, dtype=float)
    weights = np.where(np.isnan(scores), 0.0, weights)
    total = weights.sum(axis=0)
    return np.divide(np.nansum(scores * weights, axis=0), total, out=np.full(len(total), np.nan), where=total > 0)
