"""Whether the rows of two tables belong together, or might as well be paired at random."""

import numpy as np
from numpy.typing import ArrayLike


def pairing_z(one: ArrayLike, other: ArrayLike) -> float:
    """How far the sum of the products of paired rows is from its mean under random pairing, in standard deviations.

    one, other [N, D]. Mean and variance are those over all N! pairings, as in a permutation test. 0 where a table's rows do
    not vary. For one-hot rows of labels and predictions this tests the number of hits.
    """
    one, other = (np.asarray(table, dtype=np.float64) for table in (one, other))
    one, other = one - one.mean(0), other - other.mean(0)
    variance = np.sum((one.T @ one) * (other.T @ other)) / (len(one) - 1) if len(one) > 1 else 0.
    return float(np.sum(one * other) / np.sqrt(variance)) if variance > 0 else 0.
