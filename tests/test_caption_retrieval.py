"""n-way retrieval against brute force over all draws and against simulation."""

import itertools
import math

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer

from metrics.caption_retrieval import n_way, retrieval_columns, retrieval_units
from metrics.means import shares, weighted_mean
from metrics.text import DESCRIPTIONS


def by_brute_force(similarity, target, n, allowed):
    """Mean over all sets of n - 1 others of: 0 where one is nearer, else 1 / (1 + how many are as near)."""
    found = []
    for row, own in enumerate(target):
        others = [m for m in range(similarity.shape[1]) if m != own and allowed[row, m]]
        shares = []
        for drawn in itertools.combinations(others, n - 1):
            best = max(similarity[row, list(drawn)])
            nearer = best > similarity[row, own]
            shares.append(0 if nearer else 1 / (1 + sum(similarity[row, m] == similarity[row, own] for m in drawn)))
        found.append(np.mean(shares) if shares else math.nan)
    return found


@pytest.mark.parametrize("n", [2, 3, 5, 8])
@pytest.mark.parametrize("restricted", [False, True])
def test_equals_all_draws(n, restricted):
    rng = np.random.default_rng(n)
    similarity = rng.integers(0, 4, (30, 8)).astype(float)  # many ties
    target = rng.integers(0, 8, 30)
    allowed = rng.random((30, 8)) < 0.6 if restricted else np.ones((30, 8), bool)
    before = allowed.copy()
    found = n_way(similarity, target, n, allowed if restricted else None)
    assert found == pytest.approx(by_brute_force(similarity, target, n, allowed), nan_ok=True)
    assert np.array_equal(allowed, before)
    if restricted and n == 5:
        assert 0 < np.isnan(found).sum() < 30


def test_equals_simulation_at_the_size_of_a_test_set():
    rng = np.random.default_rng(0)
    similarity = rng.integers(0, 300, (3, 2000)).astype(float)
    similarity[:, 0] = [299, 298, 280]
    exact = n_way(similarity, np.zeros(3, int), 50)
    for row in range(3):
        wins = 0.0
        for _ in range(4000):
            drawn = similarity[row, rng.choice(np.arange(1, 2000), 49, replace=False)]
            wins += 0 if (drawn > similarity[row, 0]).any() else 1 / (1 + (drawn == similarity[row, 0]).sum())
        assert exact[row] == pytest.approx(wins / 4000, abs=4 * 0.5 / math.sqrt(4000))
    assert 0.95 > exact[0] > exact[1] > exact[2] > 0.01


def test_against_the_hypergeometric_distribution_without_ties():
    from scipy.stats import hypergeom

    similarity = np.arange(2000, dtype=float)[None]
    for own, n in ((1999, 200), (1990, 200), (1500, 50), (0, 2)):
        # No one of the nearer ones among the n - 1 drawn.
        expected = hypergeom(1999, 1999 - own, n - 1).pmf(0)
        assert n_way(similarity, [own], n)[0] == pytest.approx(expected, rel=1e-9)


def test_chance_and_certainty():
    same = np.ones((2, 500))
    for n in (2, 50, 200, 500):
        assert n_way(same, [0, 499], n) == pytest.approx([1 / n] * 2, rel=1e-12)
    assert n_way(np.eye(300), range(300), 200) == pytest.approx(np.ones(300))
    assert np.array_equal(n_way(-np.eye(300), range(300), 200), np.zeros(300))
    every = [n_way(np.random.default_rng(1).random((1, 40)), [m], 7)[0] for m in range(40)]
    assert np.mean(every) == pytest.approx(1 / 7)  # someone is the nearest of each seven
    assert np.isnan(n_way(same, [0, 1], 501)).all()


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="n >= 2"):
        n_way(np.ones((2, 3)), [0, 1], 1)
    with pytest.raises(ValueError, match="with 1 NaN"):
        n_way(np.array([[1.0, np.nan]]), [0], 2)
    for similarity, target, allowed in ((np.ones(3), [0], None), (np.ones((2, 3)), [0], None),
                                        (np.ones((2, 3)), [0, 1], np.ones((3, 2), bool))):
        with pytest.raises(ValueError, match=r"expected \[rows, M\]"):
            n_way(similarity, target, 2, allowed)


REFERENCES = ["A red dog.", "a red  Dog. ", "A blue dog.", "A red car.", "A blue car.", "One tree."]
OBJECTS = ["dog", "dog", "dog", "car", "car", "tree"]
PREDICTIONS = ["a red dog", "a blue dog", "", "a red car", "a red car", "a tree"]


def test_columns_equal_brute_force_with_equal_texts_once():
    candidates = ["A red dog.", "A blue dog.", "A red car.", "A blue car.", "One tree."]
    target, classes = [0, 0, 1, 2, 3, 4], np.array(["dog", "dog", "car", "car", "tree"])
    scorer = RougeScorer(["rouge1"])
    similarity = np.array([[scorer.score(one, text)["rouge1"].fmeasure for one in candidates] for text in PREDICTIONS])
    columns = retrieval_columns(PREDICTIONS, REFERENCES, OBJECTS, ways=(2, 3, 5, 6))
    assert list(columns) == ["2-way (text)", "3-way (text)", "5-way (text)", "2-way in class (text)"]  # 6 > 5 candidates
    everyone = np.ones((6, 5), bool)
    for n in (2, 3, 5):
        assert columns[f"{n}-way (text)"] == pytest.approx(by_brute_force(similarity, target, n, everyone))
    same = classes[None] == np.array(OBJECTS)[:, None]
    in_class = columns["2-way in class (text)"]
    assert in_class == pytest.approx(by_brute_force(similarity, target, 2, same), nan_ok=True)
    assert in_class == pytest.approx([1, 0, 0.5, 1, 0, np.nan], nan_ok=True)  # by hand
    assert columns["2-way (text)"][2] == 0.5  # an empty caption is at chance


def test_columns_by_embedding():
    rng = np.random.default_rng(3)
    predicted, true = rng.normal(size=(6, 4)), rng.normal(size=(6, 4))
    true[1] = true[0]
    columns = retrieval_columns(PREDICTIONS, REFERENCES, OBJECTS, (predicted, true), ways=(2,))
    assert list(columns) == ["2-way (text)", "2-way in class (text)", "2-way (embedding)", "2-way in class (embedding)"]
    similarity = predicted @ true[[0, 2, 3, 4, 5]].T
    assert columns["2-way (embedding)"] == pytest.approx(
        by_brute_force(similarity, [0, 0, 1, 2, 3, 4], 2, np.ones((6, 5), bool)))


def test_a_text_of_two_classes_is_a_candidate_of_both_and_no_name_is_no_class():
    objects = ["one", "one", "two", ""]
    columns = retrieval_columns(["x a", "x b", "x b", "x"], ["x a", "x b", "x a", "x"], objects, ways=(2,))
    assert columns["2-way in class (text)"] == pytest.approx([1, 1, np.nan, np.nan], nan_ok=True)
    for objects in (None, ["one", "two", "three", ""]):
        assert list(retrieval_columns(["x a"] * 4, ["x a", "x b", "y", "z"], objects, ways=(2,))) == ["2-way (text)"]


def test_captions_that_carry_the_class_only_are_at_chance_within_it():
    """The template "a <class>" finds its caption among those of other classes, and is at chance within its own."""
    looks = ("red", "blue", "old", "tiny")
    references = [f"a {look} {kind} there" for kind in ("dog", "car", "tree") for look in looks]
    objects = [reference.split()[2] for reference in references]
    columns = retrieval_columns([f"a {kind}" for kind in objects], references, objects)
    assert columns["2-way in class (text)"] == pytest.approx(np.full(12, 0.5))
    # 8 of the 11 others are of other classes and lose, 3 tie
    assert columns["2-way (text)"] == pytest.approx(np.full(12, (8 + 3 / 2) / 11))


def means_of(predictions, references, objects, ways=(2,)):
    columns = retrieval_columns(predictions, references, objects, ways=ways)
    units = retrieval_units(columns, references, objects)
    return {name: weighted_mean(values[:, None], shares(units[name])[:, None])[0] for name, values in columns.items()}


@pytest.mark.parametrize("sentence", ["a red dog there", "an old tiny car", ""])
def test_one_sentence_for_all_is_at_chance_however_often_each_caption_occurs(sentence):
    """Pictures with different numbers of trials, and pictures that share a caption, within a class and across classes."""
    references = [f"a {look} {kind} there" for kind in ("dog", "car") for look in ("red", "blue", "old", "tiny")]
    references += ["one tree", "A red  dog there", "a red car there"]  # the last two are of class `thing`
    objects = ["dog"] * 4 + ["car"] * 4 + ["tree"] + ["thing"] * 2
    times = [20, 1, 1, 3, 2, 1, 9, 1, 5, 2, 7]
    references, objects = (np.repeat(items, times).tolist() for items in (references, objects))
    found = means_of([sentence] * len(references), references, objects, ways=(2, 5, 9))
    chance = {"2-way (text)": 1 / 2, "5-way (text)": 1 / 5, "9-way (text)": 1 / 9, "2-way in class (text)": 1 / 2}
    assert found == pytest.approx(chance, rel=1e-12)
    by_row = retrieval_columns([sentence] * len(references), references, objects)["2-way (text)"].mean()
    assert (by_row > 0.65) == (sentence == "a red dog there")  # what a mean over rows would make of it


def test_one_sentence_for_each_class_is_at_chance_within_the_classes_only():
    references = np.repeat(["a red dog", "a blue dog", "a red car", "a blue car", "an old car"], [9, 1, 4, 2, 1]).tolist()
    objects = [reference.split()[2] for reference in references]
    found = means_of(["a red dog" if name == "dog" else "a blue car" for name in objects], references, objects)
    assert found["2-way in class (text)"] == pytest.approx(1 / 2, rel=1e-12) and found["2-way (text)"] > 0.6


def test_a_weighted_mean_is_over_the_rows_that_have_the_score():
    scores = np.array([[1, np.nan], [2, np.nan], [np.nan, np.nan], [6, np.nan]])
    weights = np.stack([shares(["a", "a", "b", "b"]), np.ones(4)], axis=1)
    assert weighted_mean(scores, weights) == pytest.approx([(1 + 2 + 6) / 3, np.nan], nan_ok=True)
    assert weighted_mean(scores[:, :1], [[1], [1], [1], [2]]) == pytest.approx([15 / 4])


def test_every_column_is_described():
    references = [f"caption number {i}" for i in range(201)]
    vectors = np.eye(201)
    columns = retrieval_columns(references, references, ["one"] * 201, (vectors, vectors))
    assert len(columns) == 8 and set(columns) <= set(DESCRIPTIONS)
    assert all(values == pytest.approx(np.ones(201)) for values in columns.values())
