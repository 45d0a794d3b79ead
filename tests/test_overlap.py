"""The ROUGE-1 matrix against rouge-score, pair by pair."""

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer

from metrics.overlap import rouge1_matrix


def random_captions(n, seed):
    rng = np.random.default_rng(seed)
    words = ["a", "a", "the", "red", "Dog", "dogs", "on", "grass,", "two", "house.", "it's", "x-ray", "--", "42"]
    return [" ".join(rng.choice(words, size=rng.integers(0, 14))) for _ in range(n)]


def test_every_pair_equals_rouge_score():
    predictions, references = random_captions(40, 1), random_captions(25, 2)
    matrix = rouge1_matrix(predictions, references)
    scorer = RougeScorer(["rouge1"])
    theirs = [[scorer.score(reference, prediction)["rouge1"].fmeasure for reference in references]
              for prediction in predictions]
    assert matrix.shape == (40, 25) and matrix == pytest.approx(np.array(theirs), abs=1e-12)
    assert len(np.unique(matrix)) > 50 and "" in predictions


def test_by_hand():
    # "a a a b" and "a a c": a counts twice, 2 * 2 / (4 + 3)
    assert rouge1_matrix(["a a a b", "A."], ["a a c", "b"]) == pytest.approx(np.array([[4 / 7, 2 / 5], [2 / 4, 0]]))


def test_equal_ratios_are_exactly_equal():
    """Retrieval shares ties, so 1 of 2 and 1 words must be as near as 3 of 6 and 3."""
    matrix = rouge1_matrix(["a", "a b c"], ["a d", "a b c d e f"])
    assert matrix[0, 0] == matrix[1, 1]


@pytest.mark.parametrize("predictions, references", [([""], ["..."]), (["", "a"], [""]), ([], ["a"]), (["a"], [])])
def test_texts_without_words_score_zero(predictions, references):
    assert np.array_equal(rouge1_matrix(predictions, references), np.zeros((len(predictions), len(references))))
