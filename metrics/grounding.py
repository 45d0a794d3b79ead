"""Grounding: how much better captions fit their own pictures than captions of other trials do.

Exchanging captions among trials of the same predicted class keeps all information of the class name. What is lost is what
the EEG adds to it. The mean is over all such exchanges, not one drawn at random, so it does not depend on a seed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .overlap import rouge1_matrix
from .statistics import Clusters, bootstrap_interval, codes_of, permutation_within, rows_of

METRIC = "ROUGE-1"  # fixed here, so that it cannot be chosen to suit a result


@dataclass
class Grounding:
    """Mean of METRIC against the own true caption minus that of the captions of other trials.

    exchanged: the mean of those. low, high: 95% interval. p: the largest of the permutation tests that were possible, which
    `tests` names; NaN where none was. rows [n]: difference of each trial, NaN where there is no other to exchange with.
    """

    mean: float
    exchanged: float
    low: float
    high: float
    p: float
    n: int
    pictures: int
    tests: dict
    rows: np.ndarray


@dataclass
class Fit:
    """METRIC of each of n generated captions against the true captions of P pictures, and their groups.

    scores [n, P]; picture [n]: column of the own picture; predicted [n] classes; true [P] classes; factors: what intervals
    resample, as Captions.factors.
    """

    scores: np.ndarray
    picture: np.ndarray
    predicted: np.ndarray
    true: np.ndarray
    factors: object

    @property
    def own(self) -> np.ndarray:
        """Score of each caption against its own picture: [n]."""
        return self.scores[np.arange(len(self.picture)), self.picture]


def fit_of(generated: list[str], true_captions: list[str], pictures: ArrayLike, predicted: ArrayLike,
           true_classes: ArrayLike, factors: Clusters) -> Fit:
    """Fit from n rows of generated and true captions, picture names and predicted and true class names."""
    _, first, picture = np.unique(pictures, return_index=True, return_inverse=True)
    scores = rouge1_matrix(generated, [true_captions[row] for row in first])
    return Fit(scores, picture.reshape(-1), np.asarray(predicted), np.asarray(true_classes)[first], factors)


def exchanged_scores(fit: Fit, groups: ArrayLike) -> np.ndarray:
    """Mean METRIC of the captions of other trials against each trial's own true caption: [n].

    groups [n]: only trials of the same group and of other pictures count. NaN where there are none.
    """
    group = codes_of(groups)
    cell = codes_of(group * len(fit.true) + fit.picture)

    def sums(codes):
        total = np.zeros((codes.max() + 1, fit.scores.shape[1]))
        np.add.at(total, codes, fit.scores)
        return total[codes, fit.picture], np.bincount(codes)[codes]

    (all_scores, all_trials), (own_scores, own_trials) = sums(group), sums(cell)
    others = all_trials - own_trials
    return np.divide(all_scores - own_scores, others, out=np.full(len(group), np.nan), where=others > 0)


def grounding(fit: Fit, groups: ArrayLike | None = None, n_boot: int = 2000, n_perm: int = 10000,
              seed: int = 0) -> Grounding | None:
    """Grounding of captions. groups None: any information about the picture; [n] predicted classes: beyond the class name.

    Beyond the class there are two permutation tests, and the larger p counts: captions are exchanged among trials of the
    same predicted class, and pictures, with all captions written for them, within the true class. The first alone would
    count as "beyond the class" what the encoder knows of the true class when the predicted name is wrong, and would treat
    the captions of one picture as independent. The second alone needs several pictures in each class. Without groups
    pictures are exchanged among all. Returns None where no trial has another to exchange with.
    """
    exchanged = exchanged_scores(fit, np.zeros(len(fit.picture), dtype=int) if groups is None else groups)
    rows = fit.own - exchanged
    known = ~np.isnan(rows)
    if not known.any():
        return None
    by_picture = np.zeros((len(fit.true), len(fit.true)))
    np.add.at(by_picture, fit.picture, fit.scores)
    tests = {}
    if groups is None:
        tests["pictures exchanged"] = permutation_within(by_picture, np.zeros(len(fit.true)), n_perm, seed)
    else:
        tests["captions exchanged within the predicted class"] = permutation_within(
            fit.scores, groups, n_perm, seed, fit.picture)
        if len(np.unique(fit.true)) < len(fit.true):
            tests["pictures exchanged within the true class"] = permutation_within(by_picture, fit.true, n_perm, seed)
    low, high = bootstrap_interval(np.mean, rows[known], clusters=rows_of(fit.factors, known), n_boot=n_boot, seed=seed)
    testable = groups is None or len(tests) == 2
    return Grounding(float(rows[known].mean()), float(exchanged[known].mean()), float(low), float(high),
                     max(tests.values()) if testable else float("nan"), int(known.sum()),
                     len(np.unique(fit.picture[known])), tests, rows)
