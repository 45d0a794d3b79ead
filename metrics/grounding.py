"""Grounding: how much better captions fit their own pictures than they fit other pictures of the same kind.

The scores of n captions against the true captions of P pictures are taken as a sum,

    score[i, q] = gain * (q is the picture of trial i) + a[predicted class of i, q] + b[true class of i, q]
                  + c[sitting of i, q] + d[i] + noise,

and the gain is what is claimed. a, b and c say that captions of a class, or of a sitting (person, session, recording), may
fit some pictures better than others; they are removed by least squares. d, a caption that fits all pictures well, drops out
in the exchange. Where the pictures of a class were not shown in all sittings alike, a and b are of class and sitting
together: a captioner with a habit for each class of each person or session would else seem to know the pictures that were
shown there more often. Then the pictures, each with all its trials, are exchanged within the true class, and only among
those that were shown in the same sittings. A sum over many trials spreads more than one over few, so a picture takes
another's place with the other's spread: captions that repeat what was shown most often would else seem to know it. The p
value, the sign and the size of the gain all come from this one statistic. It is the test of a matrix against residuals of
Freedman and Lane (J. Bus. Econ. Stat. 1, 1983), as in network analysis (Dekker et al., Psychometrika 72, 2007).
bench/claim_size.py measures how often it is wrong.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .overlap import rouge1_matrix
from .statistics import Clusters, bootstrap_interval, codes_of, permutation_within, rows_of

METRIC = "ROUGE-1"  # fixed here, so that it cannot be chosen to suit a result


@dataclass
class Grounding:
    """The gain in METRIC of captions over exchanged ones.

    low, high: 95% bootstrap interval. p: two-sided. n, pictures: trials and pictures that could be exchanged. rows [n of
    Fit]: what each trial adds, with mean `mean`; NaN where its picture has no other to be exchanged with.
    """

    mean: float
    low: float
    high: float
    p: float
    n: int
    pictures: int
    rows: np.ndarray


@dataclass
class Fit:
    """METRIC of each of n generated captions against the true captions of P pictures, and what the trials are of.

    scores [n, P]; picture [n]: column of the own picture; predicted [n] classes, "" where unknown; true [P] classes;
    sittings [n]: names of person, session and recording together; factors: what intervals resample, as Captions.factors.
    several: the classes of a picture are names with ", " between them, "" for none; pictures with the same are alike.
    """

    scores: np.ndarray
    picture: np.ndarray
    predicted: np.ndarray
    true: np.ndarray
    sittings: np.ndarray
    factors: Clusters
    several: bool = False

    @property
    def own(self) -> np.ndarray:
        """Score of each caption against its own picture: [n]."""
        return self.scores[np.arange(len(self.picture)), self.picture]

    @property
    def shown_together(self) -> np.ndarray:
        """[P] codes: pictures of sittings that have pictures in common, directly or through other sittings."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        sitting, pictures = codes_of(self.sittings), len(self.true)
        size = pictures + sitting.max() + 1
        shown = coo_array((np.ones(len(sitting)), (self.picture, pictures + sitting)), shape=(size, size))
        return connected_components(shown, directed=False)[1][:pictures]


def fit_of(generated: list[str], true_captions: list[str] | list[list[str]], pictures: ArrayLike, predicted: ArrayLike,
           true_classes: ArrayLike, sittings: ArrayLike, factors: Clusters, several: bool = False) -> Fit:
    """Fit from n rows of generated captions, true captions (of several the best counts), picture names, predicted and true
    class names, and sittings."""
    _, first, picture = np.unique(pictures, return_index=True, return_inverse=True)
    scores = rouge1_matrix(generated, [true_captions[row] for row in first])
    return Fit(scores, picture.reshape(-1), np.asarray(predicted), np.asarray(true_classes)[first], np.asarray(sittings),
               factors, several)


def of_anything(fit: Fit, **options) -> Grounding | None:
    """Gain of captions over those of any other pictures. options: n_boot, n_perm, seed."""
    return exchange_pictures(fit, fit.scores, fit.shown_together, [], **options)


def of_the_class(fit: Fit, **options) -> Grounding | None:
    """Gain in accuracy of the predicted class, in place of METRIC, over that of any other pictures.

    Of several classes a picture, the accuracy is what the predicted ones have in common with the true ones: the number of
    both over that of either (Jaccard).
    """
    if fit.several:
        right = np.array([[_jaccard(one, other) for other in fit.true] for one in fit.predicted])
    else:
        right = (fit.predicted[:, None] == fit.true[None]).astype(float)
    return exchange_pictures(fit, right, fit.shown_together, [], **options)


def beyond_the_class(fit: Fit, **options) -> Grounding | None:
    """Gain of captions over those of other pictures of the same true class, without what the predicted class explains."""
    strata = look_alikes(fit)
    nuisances = [codes_of(fit.predicted), strata[fit.picture]]
    if not shown_alike(fit, strata):
        nuisances = [codes_of(codes * len(fit.picture) + codes_of(fit.sittings)) for codes in nuisances]
    return exchange_pictures(fit, fit.scores, strata, nuisances, **options)


def shown_alike(fit: Fit, strata: np.ndarray) -> bool:
    """Whether all pictures of a stratum [P] have the same share of their trials in each sitting."""
    sitting = codes_of(fit.sittings)
    times = np.zeros((len(strata), sitting.max() + 1))
    np.add.at(times, (fit.picture, sitting), 1)
    shares = times / times.sum(axis=1, keepdims=True)
    first = np.unique(strata, return_index=True)[1]  # a picture of each stratum
    return np.allclose(shares, shares[first][codes_of(strata)])


def look_alikes(fit: Fit) -> np.ndarray:
    """[P] codes: pictures of one true class that were shown together."""
    return codes_of(codes_of(fit.true) * len(fit.true) + fit.shown_together)


def _jaccard(one, other):
    one, other = (set(filter(None, names.split(", "))) for names in (one, other))
    return len(one & other) / len(one | other) if one | other else 0.


def exchange_pictures(fit: Fit, scores: np.ndarray, strata: np.ndarray, nuisances: list[np.ndarray], n_boot: int = 2000,
                      n_perm: int = 10000, seed: int = 0) -> Grounding | None:
    """The gain of `scores` [n, P] where pictures are exchanged within `strata` [P], after removing `nuisances` ([n] codes)
    and the sitting.

    None where no picture can be exchanged or nothing is left beside the nuisances.
    """
    trials, same = np.arange(len(fit.picture)), strata[:, None] == strata[None]
    common = (same / same.sum(axis=1, keepdims=True))[fit.picture]  # a trial's mean over the pictures of its stratum

    def centred(values):  # what each trial has of a picture of its stratum more than of all of them: d drops out
        return np.where(common > 0, values - (values * common).sum(axis=1, keepdims=True), 0)

    basis = basis_of([*nuisances, codes_of(fit.sittings)])
    residual = centred(without(scores, basis))
    is_own = np.zeros_like(residual)
    is_own[trials, fit.picture] = 1
    known = (same.sum(axis=1) > 1)[fit.picture]
    # What the residuals keep of a gain of 1 (Frisch and Waugh, Econometrica 1, 1933).
    share = centred(without(is_own, basis))[trials, fit.picture][known].mean() if known.any() else 0
    if share < 1e-9:
        return None
    rows = np.where(known, residual[trials, fit.picture] / share, np.nan)
    by_picture = np.zeros((len(strata), len(strata)))
    np.add.at(by_picture, fit.picture, residual)
    by_picture[np.abs(by_picture) < 1e-9] = 0  # rounding must not make a difference between equal captions
    spread = spread_of_sums(fit.picture, residual, by_picture)
    p = permutation_within(by_picture * spread / spread[:, None], strata, n_perm, seed, observed=np.trace(by_picture))
    low, high = bootstrap_interval(np.mean, rows[known], clusters=rows_of(fit.factors, known), n_boot=n_boot, seed=seed)
    return Grounding(float(rows[known].mean()), float(low), float(high), p, int(known.sum()),
                     len(np.unique(fit.picture[known])), rows)


def spread_of_sums(picture: np.ndarray, residual: np.ndarray, by_picture: np.ndarray) -> np.ndarray:
    """[P]: how far the sum of the residuals of each picture's trials spreads, up to a common factor.

    picture [n] of each of the residuals [n, P]; by_picture [P, P]: their sums. The variance of a sum of m trials grows with
    m (1 + (m - 1) r), where r is the intraclass correlation (Kish, Survey Sampling, 1965, 5.4): 0 if each trial is read
    anew, 1 if all trials of a picture are misread in the same way.
    """
    trials, squares = np.bincount(picture), (residual ** 2).sum()
    pairs = squares / len(picture) * (trials * (trials - 1)).sum()
    common = np.clip(((by_picture ** 2).sum() - squares) / pairs, 0, 1) if pairs > 0 else 0.
    return np.sqrt(trials * (1 + (trials - 1) * common))


def basis_of(nuisances: list[np.ndarray]) -> np.ndarray:
    """Orthonormal basis [n, k] of the constant and the indicators of each nuisance's codes [n]."""
    levels = [np.zeros_like(nuisances[0]), *nuisances]
    design = np.concatenate([code[:, None] == np.arange(code.max() + 1) for code in levels], axis=1).astype(float)
    basis, sizes, _ = np.linalg.svd(design, full_matrices=False)
    return basis[:, sizes > 1e-9 * sizes.max()]


def without(values: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Residuals of `values` [n, P], column by column, after a least-squares fit of an orthonormal `basis` [n, k]."""
    return values - basis @ (basis.T @ values)
