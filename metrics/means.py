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
    return mean_of_parts(*parts(scores, weights))


def parts(scores: ArrayLike, weights: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Scores times weights, and weights, both 0 where a row lacks the score: what resamples of a mean are made of."""
    missing = np.isnan(scores)
    return np.where(missing, 0.0, np.multiply(scores, weights)), np.where(missing, 0.0, weights)


def mean_of_parts(weighted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """weighted_mean of what `parts` returns, or of some of its rows."""
    total = weights.sum(axis=0)
    return np.divide(weighted.sum(axis=0), total, out=np.full(len(total), np.nan), where=total > 0)
