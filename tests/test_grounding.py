"""What captions carry, against brute force, on data made to carry nothing, the class, or more, and on published ones."""

import itertools

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer

from metrics.caption_files import read_captions
from metrics.grounding import exchanged_scores, fit_of, grounding
from metrics.text import clean_captions

COLOURS = ("red", "blue", "green", "white", "black", "grey")
THINGS = ("cat", "dog", "car", "boat")


def made(seed, class_known=True, colour_known=0.0, pictures=24, people=3):
    """Rows (generated, true, picture, predicted, true class, factors) of pictures whose colour is known in a share of the
    trials."""
    rng = np.random.default_rng(seed)
    rows = []
    for picture in range(pictures):
        thing, colour = THINGS[picture % 4], str(rng.choice(COLOURS))
        for person in range(people):
            said = thing if class_known else str(rng.choice(THINGS))
            shade = colour if rng.random() < colour_known else str(rng.choice(COLOURS))
            rows.append((f"A {shade} {said}.", f"There is a {colour} {thing}.", f"p{picture}", said, thing, str(person)))
    generated, true, names, predicted, classes, subjects = (np.array(column) for column in zip(*rows, strict=True))
    return generated, true, names, predicted, classes, (names, subjects)


def test_scores_are_those_of_rouge_score_and_partners_those_of_a_loop():
    generated, true, pictures, predicted, classes, factors = made(0, class_known=False)
    fit = fit_of(generated, true, pictures, predicted, classes, factors)
    scorer = RougeScorer(["rouge1"])
    own = [scorer.score(a, b)["rouge1"].fmeasure for a, b in zip(true, generated, strict=True)]
    assert fit.own == pytest.approx(own)
    for groups in (predicted, np.zeros(len(predicted))):
        expected = []
        for row in range(len(generated)):
            others = [scorer.score(true[row], generated[other])["rouge1"].fmeasure for other in range(len(generated))
                      if groups[other] == groups[row] and pictures[other] != pictures[row]]
            expected.append(np.mean(others))
        assert exchanged_scores(fit, groups) == pytest.approx(expected)


def test_a_trial_without_partner_is_left_out():
    generated, true, pictures, predicted, classes, factors = made(1)
    predicted = predicted.copy()
    predicted[0] = "whale"
    fit = fit_of(generated, true, pictures, predicted, classes, factors)
    assert np.isnan(exchanged_scores(fit, predicted)).nonzero()[0].tolist() == [0]
    assert grounding(fit, predicted, n_boot=50, n_perm=99).n == len(generated) - 1
    assert grounding(fit, np.arange(len(generated)), n_boot=50, n_perm=99) is None


def test_p_of_exchanged_pictures_equals_all_exchanges():
    generated, true, pictures, predicted, classes, factors = made(5, pictures=8, people=2, colour_known=0.5)
    fit = fit_of(generated, true, pictures, predicted, classes, factors)
    sums = np.zeros((8, 8))
    np.add.at(sums, fit.picture, fit.scores)
    members = [np.flatnonzero(fit.true == thing) for thing in THINGS]
    means = []
    for orders in itertools.product(*(itertools.permutations(group) for group in members)):
        means.append(sum(sums[p, q] for group, order in zip(members, orders, strict=True)
                         for p, q in zip(group, order, strict=True)))
    means = np.array(means)
    exact = np.mean(np.abs(means - means.mean()) >= abs(np.trace(sums) - means.mean()) - 1e-9)
    found = grounding(fit, predicted, n_boot=50, n_perm=20000)
    assert found.tests["pictures exchanged within the true class"] == pytest.approx(exact, abs=0.02)


def test_what_is_there_is_found():
    fit = fit_of(*made(2, colour_known=0.7))
    beyond = grounding(fit, fit.predicted, n_perm=2000)
    assert beyond.p < 0.001 and beyond.low > 0
    assert fit.own.mean() - beyond.exchanged == pytest.approx(beyond.mean)


@pytest.mark.parametrize("class_known", [False, True])
def test_what_is_not_there_is_found_in_one_of_twenty(class_known):
    """p is uniform where captions carry nothing, or the class and no more: beyond it nothing may be found."""
    whole, beyond = [], []
    for seed in range(150):
        fit = fit_of(*made(100 + seed, class_known=class_known))
        beyond.append(grounding(fit, fit.predicted, n_boot=2, n_perm=199, seed=seed).p)
        whole.append(grounding(fit, None, n_boot=2, n_perm=199, seed=seed).p)
    assert np.mean(np.array(beyond) < 0.05) <= 0.10
    if class_known:
        assert np.mean(np.array(whole) < 0.05) > 0.95
    else:
        assert 0.005 <= np.mean(np.array(whole) < 0.05) <= 0.11


def test_the_true_class_in_the_caption_is_not_beyond_the_class():
    """Captions name the true class where the predicted one is wrong: more than the label, but no more than the class."""
    generated, true, pictures, _, classes, factors = made(3, pictures=40)
    predicted = np.random.default_rng(0).choice(THINGS, size=len(classes))
    found = grounding(fit_of(generated, true, pictures, predicted, classes, factors), predicted, n_perm=2000)
    assert found.tests["captions exchanged within the predicted class"] < 0.01
    assert found.p == found.tests["pictures exchanged within the true class"] > 0.05


def test_one_picture_a_class_allows_no_claim_beyond_it():
    generated, true, pictures, predicted, _, factors = made(4, class_known=False)
    found = grounding(fit_of(generated, true, pictures, predicted, pictures, factors), predicted, n_boot=50, n_perm=99)
    assert np.isnan(found.p) and len(found.tests) == 1


def test_published_captions_carry_the_class_and_no_more(shared):
    file = read_captions(shared / "captions" / "vtccc_deepseek_eeg_model_7B_base_results.csv")
    generated = clean_captions(file.texts("Generated Caption"), "deepseek")
    predicted, true = (file.table[column].str.strip() for column in ("Predicted object", "Expected object"))
    fit = fit_of(generated, file.texts("Expected Caption"), file.clusters, predicted, true, file.factors)
    beyond = grounding(fit, fit.predicted, n_perm=500)
    # An independent way: the mean over shuffles drawn by hand, scored by rouge-score's own tokens in caption_scores.
    assert fit.own.mean() == pytest.approx(0.2784, abs=5e-5)
    assert beyond.exchanged == pytest.approx(0.2775, abs=5e-5)
    assert beyond.p > 0.05
    assert grounding(fit, None, n_perm=500).p < 0.01
