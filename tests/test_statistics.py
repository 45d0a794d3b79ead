"""Intervals and paired tests against scipy, and what clustering must change."""

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from metrics.statistics import (
    bootstrap_interval,
    detectable,
    holm,
    paired_permutation,
    permutation_within,
    power_of,
    units_needed,
)


def test_interval_equals_scipys_percentile_interval():
    x = np.random.default_rng(1).gamma(2.0, size=150)
    ours = bootstrap_interval(np.mean, x, n_boot=8000)
    theirs = scipy.stats.bootstrap((x,), np.mean, n_resamples=8000, method="percentile", rng=2).confidence_interval
    assert ours == pytest.approx(tuple(theirs), abs=0.03 * x.std() / np.sqrt(150) * 4)


def test_interval_of_a_statistic_of_two_arrays():
    rng = np.random.default_rng(1)
    x = rng.normal(size=100)
    y = x + rng.normal(size=100)
    correlation = lambda a, b: np.corrcoef(a, b)[0, 1]  # noqa: E731
    theirs = scipy.stats.bootstrap((x, y), correlation, paired=True, vectorized=False, n_resamples=4000,
                                   method="percentile", rng=2).confidence_interval
    assert bootstrap_interval(correlation, x, y, n_boot=4000) == pytest.approx(tuple(theirs), abs=0.015)


def test_repeating_rows_within_clusters_adds_no_information():
    x = np.random.default_rng(1).normal(size=60)
    repeated, clusters = np.repeat(x, 10), np.repeat([f"picture {i}" for i in range(60)], 10)
    once = bootstrap_interval(np.mean, x)
    low, high = bootstrap_interval(np.mean, repeated, clusters=clusters)
    naive_low, naive_high = bootstrap_interval(np.mean, repeated)
    assert (high - low) == pytest.approx(once[1] - once[0], rel=0.1)
    assert (naive_high - naive_low) < 0.45 * (high - low)


def test_clusters_of_unequal_size_stay_whole():
    clusters = np.array(["a", "b", "a", "c", "b", "a"])
    seen = []
    bootstrap_interval(lambda names: seen.append(sorted(names)) or 0.0, clusters, clusters=clusters, n_boot=50)
    for names in seen:
        assert names.count("a") % 3 == 0 and names.count("b") % 2 == 0
    assert len({len(names) for names in seen}) > 1


def test_interval_of_many_columns_equals_each_alone():
    x = np.random.default_rng(3).normal(size=(80, 3))
    low, high = bootstrap_interval(lambda rows: rows.mean(axis=0), x, n_boot=500)
    for column in range(3):
        assert (low[column], high[column]) == pytest.approx(bootstrap_interval(np.mean, x[:, column], n_boot=500))


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(200):
        effects = np.repeat(rng.normal(size=40), 6)  # 40 pictures, 6 people each
        low, high = bootstrap_interval(np.mean, effects + rng.normal(size=240), n_boot=300,
                                       clusters=np.repeat(np.arange(40), 6))
        hits += low <= 0 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_level_and_seed():
    x = np.random.default_rng(1).normal(size=100)
    assert bootstrap_interval(np.mean, x, seed=5) == bootstrap_interval(np.mean, x, seed=5)
    assert bootstrap_interval(np.mean, x, seed=5) != bootstrap_interval(np.mean, x, seed=6)
    assert bootstrap_interval(np.mean, x, level=0.5)[0] > bootstrap_interval(np.mean, x, level=0.95)[0]


def test_one_cluster_gives_no_interval_and_bad_shapes_are_refused():
    assert np.isnan(bootstrap_interval(np.mean, np.arange(5.0), clusters=["a"] * 5)).all()
    with pytest.raises(ValueError, match="not empty"):
        bootstrap_interval(np.mean, [])
    with pytest.raises(ValueError, match="lengths"):
        bootstrap_interval(np.mean, [1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="cluster names"):
        bootstrap_interval(np.mean, [1.0, 2.0], clusters=["a"])
    with pytest.raises(ValueError, match="shapes"):
        paired_permutation([1.0, 2.0], [1.0])


def scipys_p(a, b, n_resamples):
    return scipy.stats.permutation_test((a, b), lambda a, b: np.mean(a - b), permutation_type="samples",
                                        vectorized=False, n_resamples=n_resamples, rng=1).pvalue


def test_exact_p_equals_scipys():
    rng = np.random.default_rng(7)
    for shift in (0.0, 0.5, 1.0):
        a = rng.normal(size=10) + shift
        b = rng.normal(size=10)
        assert paired_permutation(a, b) == pytest.approx(scipys_p(a, b, np.inf))


def test_exact_p_with_ties_equals_scipys():
    a, b = np.array([1, 0, 1, 1, 0, 1, 1, 0.0]), np.array([0, 0, 1, 0, 1, 0, 0, 0.0])
    assert paired_permutation(a, b) == pytest.approx(scipys_p(a, b, np.inf))
    assert paired_permutation(a, a) == 1.0


def test_random_p_equals_scipys():
    rng = np.random.default_rng(8)
    a, b = rng.normal(size=(2, 50))
    a += 0.25
    assert paired_permutation(a, b) == pytest.approx(scipys_p(a, b, 5000), abs=0.02)


def test_p_is_never_zero_and_clusters_are_exchanged_whole():
    a = np.random.default_rng(9).normal(size=(20, 1)) + np.ones((1, 50)) * 3
    assert paired_permutation(a.ravel(), np.zeros(1000)) == pytest.approx(1 / 10001)
    clusters = np.repeat(np.arange(3), 4)
    assert paired_permutation(np.ones(12), np.zeros(12), clusters=clusters) == pytest.approx(2 / 8)


def test_columns_share_the_exchanges():
    a, b = np.random.default_rng(10).normal(size=(2, 40, 3))
    p = paired_permutation(a, b)
    assert p.shape == (3,)
    assert p[1] == paired_permutation(a[:, 1], b[:, 1])


def test_p_is_uniform_where_nothing_differs():
    rng = np.random.default_rng(11)
    p = [paired_permutation(*rng.normal(size=(2, 30)), n_perm=300, seed=i) for i in range(300)]
    assert 0.02 <= np.mean(np.array(p) <= 0.05) <= 0.09


def test_permutation_within_groups_equals_scipy():
    from scipy.stats import permutation_test

    rng = np.random.default_rng(0)
    scores, groups = rng.random((8, 8)), np.zeros(8, int)
    expected = permutation_test((np.arange(8),), lambda rows: scores[rows, np.arange(8)].mean(), n_resamples=np.inf,
                                permutation_type="pairings", alternative="two-sided")
    null = expected.null_distribution
    exact = (abs(null - null.mean()) >= abs(expected.statistic - null.mean()) - 1e-12).mean()
    assert permutation_within(scores, groups, n_perm=20000) == pytest.approx(exact, abs=0.015)
    strong = scores + 5 * np.eye(8)
    assert permutation_within(strong, groups) < 0.01
    assert permutation_within(strong, np.arange(8)) == 1.0  # nothing to exchange within groups of one


def test_permutation_of_captions_that_share_references():
    """Columns of shared references give the numbers that writing each reference out once a row gives."""
    rng = np.random.default_rng(3)
    scores, column, groups = rng.random((30, 6)), np.arange(30) % 6, np.arange(30) // 10
    scores[np.arange(30), column] += 0.08
    short = permutation_within(scores, groups, n_perm=499, column=column)
    assert short == permutation_within(scores[:, column], groups, n_perm=499) and 0.002 < short < 0.5


def test_crossed_factors_cover_new_pictures_and_new_people():
    """Pictures and people both vary: an interval for the mean over both must hold it; one by picture alone does not."""
    rng = np.random.default_rng(8)
    pictures, people = (grid.ravel() for grid in np.meshgrid(np.arange(20), np.arange(10)))
    hits, too_narrow = 0, 0
    for study in range(150):
        values = rng.normal(size=20)[pictures] + rng.normal(size=10)[people] + rng.normal(size=200)
        low, high = bootstrap_interval(np.mean, values, clusters=(pictures, people), n_boot=200, seed=study)
        hits += low <= 0 <= high
        low, high = bootstrap_interval(np.mean, values, clusters=pictures, n_boot=200, seed=study)
        too_narrow += not low <= 0 <= high
    assert 0.88 <= hits / 150 <= 0.99
    assert too_narrow / 150 > 0.15


def test_crossed_draws_are_products_of_whole_levels():
    """Against Owen's formula by hand: a row stands there as often as its picture was drawn times its person."""
    pictures, people = np.repeat(np.arange(3), 2), np.tile(np.arange(2), 3)
    seen = []
    bootstrap_interval(lambda rows: seen.append(rows.copy()) or 0.0, np.arange(6), clusters=(pictures, people), n_boot=40)
    for rows in seen:
        table = np.bincount(rows, minlength=6).reshape(3, 2)
        assert np.linalg.matrix_rank(table) == 1 and table.sum() == 6
    one = bootstrap_interval(np.mean, np.arange(6.0), clusters=(pictures, np.zeros(6)), n_boot=100)
    assert one == pytest.approx(bootstrap_interval(np.mean, np.arange(6.0), clusters=pictures, n_boot=100))


def test_holm_equals_statsmodels():
    p = np.random.default_rng(4).uniform(size=30) ** 3
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    with_gap = holm(np.insert(p, 5, np.nan))
    assert np.isnan(with_gap[5]) and np.delete(with_gap, 5) == pytest.approx(holm(p))
    assert not len(holm([]))


@pytest.mark.parametrize("n", [3, 5, 12, 48, 333, 2000])
def test_power_equals_statsmodels(n):
    theirs = TTestPower()
    for effect in (0.001, 0.05, 0.3, 2.0):
        expected = theirs.power(effect / 0.7, n, 0.05)  # NaN far out
        assert power_of(effect, 0.7, n) == pytest.approx(1.0 if np.isnan(expected) else expected, abs=2e-3)
    assert detectable(0.7, n) == pytest.approx(0.7 * theirs.solve_power(nobs=n, alpha=0.05, power=0.8), rel=1e-3)


def test_units_needed_equals_statsmodels():
    for effect in (0.002, 0.02, 0.1, 0.5):
        theirs = TTestPower().solve_power(effect_size=effect / 0.2, alpha=0.05, power=0.8)
        assert units_needed(effect, 0.2) == pytest.approx(np.ceil(theirs), abs=1 + 1e-4 * theirs)
    assert units_needed(1e-9, 0.2) is None and units_needed(0.1, 0.0) is None
    assert detectable(0.2, 2) is None
