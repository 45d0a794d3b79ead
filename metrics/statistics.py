"""Intervals and paired tests that respect clusters, such as the people who saw the same picture."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

Clusters = ArrayLike | tuple[ArrayLike, ...] | None  # names [n] of each row's cluster; several for crossed factors

def codes_of(names: ArrayLike) -> np.ndarray:
    """Number 0..k-1 of each of n names: [n]."""
    return np.unique(np.asarray(names), return_inverse=True)[1].reshape(-1)


def rows_of(clusters: Clusters, rows: ArrayLike) -> Clusters:
    """Those rows of the clusters of `bootstrap_interval`: of [n] names, or of each of a tuple of such."""
    return tuple(names[rows] for names in clusters) if isinstance(clusters, tuple) else clusters[rows]


def known_or_none(number: float | None) -> float | None:
    """A finite number for JSON, None for NaN."""
    return None if number is None or not np.isfinite(number) else float(number)


def known_ends(interval: tuple) -> list[float | None]:
    """The two ends of an interval for JSON, None for the NaN of fewer than two clusters."""
    return [known_or_none(end) for end in interval]


def _codes(clusters, n):
    """Cluster number 0..k-1 of each of n rows; without clusters each row is one of its own."""
    if clusters is None:
        return np.arange(n)
    if len(clusters) != n:
        raise ValueError(f"{len(clusters)} cluster names for {n} rows")
    return codes_of(clusters)


def bootstrap_interval(statistic: Callable, *arrays: ArrayLike, clusters: Clusters = None, n_boot: int = 2000,
                       level: float = 0.95, seed: int = 0) -> tuple:
    """Percentile bootstrap interval of `statistic(*arrays)`; whole clusters are drawn with replacement.

    arrays: each [n, ...], resampled together along the first axis. clusters: [n] names; None: each row is its own; a tuple:
    crossed factors, such as pictures and the people who all saw them, which are drawn independently. The statistic returns
    a number or an array of numbers. Returns (low, high), each of the statistic's shape. They are NaN with fewer than two
    clusters, as these do not show the spread; a crossed factor of one level is left out. Raises ValueError where the arrays
    are empty or differ in length. Efron and Tibshirani, An Introduction to the Bootstrap (1993), ch. 13; whole clusters:
    Field and Welsh, JRSS B 69 (2007); crossed factors: Owen, Ann. Appl. Stat. 1 (2007), whose pigeonhole bootstrap is
    conservative.
    """
    arrays = [np.asarray(array) for array in arrays]
    n = len(arrays[0])
    if not n or any(len(array) != n for array in arrays):
        raise ValueError(f"arrays of lengths {[len(array) for array in arrays]}; expected equal and not empty")
    factors = [_codes(factor, n) for factor in (clusters if isinstance(clusters, tuple) else (clusters,))]
    factors = [codes for codes in factors if codes.max() > 0]
    if not factors:
        unknown = np.full(np.shape(statistic(*arrays)), np.nan)[()]
        return unknown, unknown
    rng = np.random.default_rng(seed)
    draw = _one_factor(factors[0], rng) if len(factors) == 1 else _crossed(factors, rng)
    values = [statistic(*(array[chosen] for array in arrays)) for chosen in (next(draw) for _ in range(n_boot))]
    low, high = np.quantile(np.asarray(values, dtype=float), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def _one_factor(codes, rng):
    """Row numbers of one resample after another, whole clusters drawn with replacement."""
    sizes = np.bincount(codes)
    rows = np.argsort(codes, kind="stable")  # the rows of cluster c are rows[starts[c]:starts[c] + sizes[c]]
    starts = np.cumsum(sizes) - sizes
    while True:
        drawn = rng.integers(len(sizes), size=len(sizes))
        length = sizes[drawn]
        within = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        yield rows[np.repeat(starts[drawn], length) + within]


def _crossed(factors, rng):
    """The same for crossed factors: a row appears as often as the product of its levels' draws."""
    sizes = [codes.max() + 1 for codes in factors]
    while True:
        times = np.ones(len(factors[0]), dtype=np.int64)
        for codes, size in zip(factors, sizes, strict=True):
            times *= np.bincount(rng.integers(size, size=size), minlength=size)[codes]
        if times.any():  # with few filled cells a draw may be empty
            yield np.repeat(np.arange(len(times)), times)


def standard_error(values: ArrayLike, clusters: ArrayLike | None = None) -> float:
    """Standard error of the mean of values [n], whose whole clusters [n] (None: each value) were drawn; NaN for one alone.

    With clusters of one size it is the standard deviation of their means over the root of their number; else the linearised
    one of a ratio (Cochran, Sampling Techniques, 3rd ed. 1977, 6.3).
    """
    values, codes = np.asarray(values, dtype=float), _codes(clusters, len(values))
    count = codes.max() + 1
    if count < 2:
        return float("nan")
    sums = np.bincount(codes, values - values.mean(), count)
    return float(np.sqrt(count / (count - 1) * (sums ** 2).sum()) / len(values))


def paired_permutation(a: ArrayLike, b: ArrayLike, clusters: ArrayLike | None = None, n_perm: int = 10000,
                       seed: int = 0) -> float | np.ndarray:
    """Two-sided p of the mean of a - b under random exchange of a and b, whole clusters at a time.

    a, b: [n] or [n, m] paired scores; returns p, a number or [m]. clusters: [n] names; None: each row is its own. All 2^k
    exchanges of k clusters are used if they are at most n_perm. Otherwise n_perm random ones are drawn, and the observed
    one counts among them, so p is never 0 (Phipson and Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9:39). Raises ValueError
    where a and b are empty or differ in shape.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.shape != b.shape or not len(a):
        raise ValueError(f"scores of shapes {a.shape} and {b.shape}; expected equal and not empty")
    codes = _codes(clusters, len(a))
    sums = np.zeros((codes.max() + 1, *a.shape[1:]))
    np.add.at(sums, codes, a - b)
    # Sums of the same numbers in another order differ by rounding and must still count as equal to the observed one.
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


def permutation_within(scores: ArrayLike, groups: ArrayLike, n_perm: int = 10000, seed: int = 0,
                       column: ArrayLike | None = None, observed: float | None = None) -> float:
    """Two-sided p of the mean of scores[i, column[i]] when rows are permuted within their groups.

    scores [n, m]: of the caption (or captions) of unit i against reference j; column [n]: each unit's own reference, None:
    the i-th; groups [n]. n_perm random orders are drawn, and the observed one counts among them (Phipson and Smyth 2010).
    observed: the sum that is tested, as its distance from the mean of all orders; None: that of the scores as they are.
    Under the null hypothesis a unit's caption fits it no better than another unit of its group. The test is valid where the
    units are exchangeable: trials whose captions are independent, or pictures with all their trials.
    """
    scores, groups = np.asarray(scores, dtype=float), codes_of(groups)
    rng, n = np.random.default_rng(seed), len(groups)
    column = np.arange(n) if column is None else np.asarray(column)
    places = column[np.argsort(groups, kind="stable")]
    means = np.empty(n_perm)
    for number in range(n_perm):
        dealt = np.argsort(groups + rng.random(n))  # sorted by group, in random order within it
        means[number] = scores[dealt, places].mean()
    sums = np.zeros((groups.max() + 1, scores.shape[1]))
    np.add.at(sums, groups, scores)
    centre = (sums[groups, column] / np.bincount(groups)[groups]).mean()  # of all orders, not of those drawn
    observed = abs(scores[np.arange(n), column].mean() - centre if observed is None else observed / n)
    return float((1 + (abs(means - centre) >= observed - 1e-12).sum()) / (n_perm + 1))


def t_interval(means: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Student's t interval of the mean of k independent numbers, such as one mean per person; NaN for fewer than two."""
    from scipy import stats

    means = np.asarray(means, dtype=float)
    if len(means) < 2:
        return float("nan"), float("nan")
    half = stats.t.ppf((1 + level) / 2, len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means))
    return float(means.mean() - half), float(means.mean() + half)


def holm(p: ArrayLike) -> np.ndarray:
    """p-values [n] corrected for their number by Holm's step-down method (Scand. J. Stat. 6, 1979); NaN stays NaN."""
    p = np.asarray(p, dtype=float)
    corrected, known = np.full(p.shape, np.nan), np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1) if len(order) else steps
    return corrected


def power_of(effect: float, spread: float, n: int, alpha: float = 0.05) -> float:
    """Power of a two-sided one-sample t test of n units' mean: effect and spread (standard deviation) in the same unit."""
    from scipy import stats

    if n < 2:
        return 0.0
    shift, critical = abs(effect) / spread * np.sqrt(n), stats.t.ppf(1 - alpha / 2, n - 1)
    if n > 1000 or shift > 30:  # scipy's noncentral t gives NaN far out; the normal is within 1e-3 here
        return float(stats.norm.sf(critical - shift) + stats.norm.cdf(-critical - shift))
    other_tail = stats.nct.cdf(-critical, n - 1, shift) if shift < 5 else 0.0  # NaN far out, too
    return float(stats.nct.sf(critical, n - 1, shift) + other_tail)


def units_needed(effect: float, spread: float, alpha: float = 0.05, power: float = 0.8, most: int = 10**7) -> int | None:
    """Smallest number of units (pictures) with which a t test detects a mean difference of `effect` with this power.

    spread: standard deviation over units. None where more than `most` would be needed. Cohen, Statistical Power Analysis
    (1988), ch. 2.
    """
    if not spread or power_of(effect, spread, most, alpha) < power:
        return None
    low, high = 1, 2
    while power_of(effect, spread, high, alpha) < power:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(effect, spread, middle, alpha) >= power else (middle, high)
    return high


def detectable(spread: float, n: int, alpha: float = 0.05, power: float = 0.8) -> float | None:
    """Smallest effect that a t test of n units detects with this power; None with fewer than three units."""
    from scipy.optimize import brentq

    if n < 3 or not spread:
        return None
    return float(brentq(lambda effect: power_of(effect, spread, n, alpha) - power, 1e-9 * spread, 25 * spread / np.sqrt(n)))
