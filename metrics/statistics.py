"""Intervals and paired tests that respect clusters, such as the people who saw the same picture."""

import numpy as np


def _codes(clusters, n):
    """Cluster number 0..k-1 of each of n rows; without clusters each row is its own."""
    if clusters is None:
        return np.arange(n)
    clusters = np.asarray(clusters)
    if len(clusters) != n:
        raise ValueError(f"{len(clusters)} cluster names for {n} rows")
    return np.unique(clusters, return_inverse=True)[1].reshape(-1)


def bootstrap_interval(statistic, *arrays, clusters=None, n_boot=2000, level=0.95, seed=0):
    """Percentile bootstrap interval of `statistic(*arrays)`; whole clusters are drawn with replacement.

    arrays: each [n, ...], resampled together along the first axis. clusters: [n] names; None: every row for itself.
    The statistic returns a number or an array of numbers. Returns (low, high), each of the statistic's shape;
    NaN where there are fewer than two clusters, which say nothing about the spread. Raises ValueError where the
    arrays are empty or differ in length. Efron and Tibshirani, An Introduction to the Bootstrap (1993), ch. 13;
    drawing whole clusters: Field and Welsh, JRSS B 69 (2007).
    """
    arrays = [np.asarray(array) for array in arrays]
    n = len(arrays[0])
    if not n or any(len(array) != n for array in arrays):
        raise ValueError(f"arrays of lengths {[len(array) for array in arrays]}; expected equal and not empty")
    codes = _codes(clusters, n)
    sizes = np.bincount(codes)
    if len(sizes) < 2:
        unknown = np.full(np.shape(statistic(*arrays)), np.nan)[()]
        return unknown, unknown
    rows = np.argsort(codes, kind="stable")  # the rows of cluster c are rows[starts[c]:starts[c] + sizes[c]]
    starts = np.cumsum(sizes) - sizes
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(n_boot):
        drawn = rng.integers(len(sizes), size=len(sizes))
        length = sizes[drawn]
        within = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        chosen = rows[np.repeat(starts[drawn], length) + within]
        values.append(statistic(*(array[chosen] for array in arrays)))
    low, high = np.quantile(np.asarray(values, dtype=float), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def paired_permutation(a, b, clusters=None, n_perm=10000, seed=0):
    """Two-sided p of the mean of a - b under random exchange of a and b, whole clusters at a time.

    a, b: [n] or [n, m] paired scores; returns p, a number or [m]. clusters: [n] names; None: every row for itself.
    All 2^k exchanges of k clusters are counted where these are no more than n_perm; otherwise n_perm random ones,
    the observed one counted among them so that p is never 0 (Phipson and Smyth 2010, Stat. Appl. Genet. Mol. Biol.
    9:39). Raises ValueError where a and b are empty or differ in shape.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.shape != b.shape or not len(a):
        raise ValueError(f"scores of shapes {a.shape} and {b.shape}; expected equal and not empty")
    codes = _codes(clusters, len(a))
    sums = np.zeros((codes.max() + 1, *a.shape[1:]))
    np.add.at(sums, codes, a - b)
    # Sums of the same numbers in another order differ by rounding: those still count as equal to the observed.
    observed = np.abs(sums.sum(axis=0)) - 1e-10 * np.abs(sums).sum(axis=0)
    k = len(sums)
    if k < 63 and 2**k <= n_perm:
        signs = 1.0 - 2.0 * (np.arange(2**k)[:, None] >> np.arange(k) & 1)
        return np.mean(np.abs(signs @ sums) >= observed, axis=0)
    rng = np.random.default_rng(seed)
    count = np.ones(a.shape[1:])
    for start in range(0, n_perm, 500):  # in parts: n_perm x k signs at once would fill the memory
        signs = rng.integers(0, 2, size=(min(500, n_perm - start), k), dtype=np.int8) * 2.0 - 1.0
        count += np.sum(np.abs(signs @ sums) >= observed, axis=0)
    return (count / (n_perm + 1))[()]


def permutation_within(scores, groups, n_perm=10000, seed=0):
    """Two-sided p of the mean of scores[i, i] when rows are dealt out anew within their groups.

    scores [n, n]: of caption i against reference j, read only within a group; groups [n]. Under the null hypothesis a
    caption fits its own trial no better than another of the group. Rows count as independent: where captions of the same
    picture resemble each other p is too small, so judge by the larger of this and `paired_permutation` by picture.
    """
    scores, groups = np.asarray(scores, dtype=float), np.asarray(groups)
    rng, columns = np.random.default_rng(seed), np.arange(len(groups))
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    means = np.empty(n_perm)
    for number in range(n_perm):
        rows = columns.copy()
        for group in members:
            rows[group] = rng.permutation(group)
        means[number] = scores[rows, columns].mean()
    observed = abs(scores[columns, columns].mean() - means.mean())
    return float((1 + (abs(means - means.mean()) >= observed - 1e-12).sum()) / (n_perm + 1))
