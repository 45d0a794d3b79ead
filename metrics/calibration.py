"""Calibration of a classifier's probabilities, and what is gained by abstaining where they are low."""

import numpy as np
from numpy.typing import ArrayLike

from .statistics import Clusters, bootstrap_interval, known_or_none

MAX_CURVE_POINTS = 50  # of a risk-coverage curve that are kept for drawing


def _checked(confidence, correct):
    confidence, correct = np.asarray(confidence, dtype=float), np.asarray(correct, dtype=float)
    if confidence.ndim != 1 or confidence.shape != correct.shape or not len(confidence):
        raise ValueError(f"confidence of shape {confidence.shape}, correct of {correct.shape}; expected equal, [n], n > 0")
    if not ((confidence >= 0) & (confidence <= 1)).all() or not np.isin(correct, (0, 1)).all():
        raise ValueError("expected confidence within 0..1 and correct of 0 and 1")
    return confidence, correct


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> float:
    """Mean distance of confidence and accuracy over bins of equal width, weighted by their trials: a number in 0..1.

    confidence [n]: probability of the predicted class; correct [n]: whether it is the true one. Guo et al., On Calibration
    of Modern Neural Networks, ICML 2017: bin m holds confidences in ((m - 1) / bins, m / bins]. It is biased upwards in
    small samples, since distances are never negative: compare it with `ece_if_calibrated`.
    """
    confidence, correct = _checked(confidence, correct)
    return _ece(_bin(confidence, bins), confidence - correct, bins)


def _bin(confidence, bins):
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence)


def _ece(bin_of, gap, bins):
    return float(np.abs(np.bincount(bin_of, gap, bins)).sum() / len(gap))


def ece_if_calibrated(confidence: ArrayLike, bins: int = 15, n_sim: int = 500, seed: int = 0) -> float:
    """The ECE to be expected of a perfectly calibrated model with these confidences [n]: mean over n_sim simulations, in
    each of which a trial is right with its own confidence as the probability."""
    confidence, _ = _checked(confidence, np.zeros(np.shape(confidence)))
    bin_of, rng = _bin(confidence, bins), np.random.default_rng(seed)
    return float(np.mean([_ece(bin_of, confidence - (rng.random(len(confidence)) < confidence), bins)
                          for _ in range(n_sim)]))


def reliability(confidence: ArrayLike, correct: ArrayLike, bins: int = 10) -> list[dict]:
    """A reliability diagram over bins of about equal numbers of trials: [{"confidence", "accuracy", "n"}, ...] from low to
    high confidence, each the bin's means. Equal confidences share a bin, so there may be fewer."""
    confidence, correct = _checked(confidence, correct)
    bin_of = np.searchsorted(np.quantile(confidence, np.linspace(0, 1, bins + 1))[1:-1], confidence)
    rows = [bin_of == number for number in np.unique(bin_of)]
    return [{"confidence": float(confidence[chosen].mean()), "accuracy": float(correct[chosen].mean()),
             "n": int(chosen.sum())} for chosen in rows]


def risk_coverage(confidence: ArrayLike, correct: ArrayLike, score: ArrayLike | None = None) -> tuple[list[dict], float]:
    """Error rate among the answered trials when only trials of at least a threshold's confidence are answered.

    score [n]: a caption score of each trial, or None. Returns (points, aurc). points: [{"coverage": share answered, "risk":
    share of wrong classes among them, "score": their mean score or None, "threshold": lowest confidence answered}, ...]
    from low to full coverage, at most MAX_CURVE_POINTS. aurc: area under the curve over all thresholds; trials of equal
    confidence are answered together. Geifman and El-Yaniv, Selective Classification for Deep Neural Networks, NeurIPS 2017;
    without ties the area is theirs, the mean risk over the n coverages (Geifman et al., ICLR 2019).
    """
    confidence, correct = _checked(confidence, correct)
    order = np.argsort(-confidence, kind="stable")
    confidence, wrong = confidence[order], 1 - correct[order]
    last = np.flatnonzero(np.append(confidence[1:] != confidence[:-1], True))  # last trial of each confidence
    answered = last + 1
    risk = np.cumsum(wrong)[last] / answered
    mean_score = None
    if score is not None:
        score = np.asarray(score, dtype=float)
        if score.shape != confidence.shape:
            raise ValueError(f"score of shape {score.shape}; expected {confidence.shape}")
        mean_score = np.cumsum(score[order])[last] / answered
    n = len(confidence)
    aurc = float((risk * np.diff(answered, prepend=0)).sum() / n)
    wanted = np.searchsorted(answered, np.linspace(answered[0], n, MAX_CURVE_POINTS))  # spread over the coverage
    points = [{"coverage": float(answered[i] / n), "risk": float(risk[i]),
               "score": None if mean_score is None else float(mean_score[i]), "threshold": float(confidence[last[i]])}
              for i in np.unique(wanted)]
    return points, aurc


def calibration(confidence: ArrayLike, correct: ArrayLike, score: ArrayLike | None = None, clusters: Clusters = None,
                n_boot: int = 2000, seed: int = 0) -> dict:
    """Everything that a report says about the confidence [n] of predicted classes that are `correct` [n] or not.

    score [n]: caption score, or None; clusters, such as pictures and people, are resampled for the ECE's 95% interval as by
    bootstrap_interval. Returns ece, ece_low, ece_high, ece_if_calibrated, accuracy, confidence (mean), bins (reliability),
    risk_coverage and aurc. The ECE of each bootstrap sample is biased upwards once more, so the interval is rather high: an
    ECE near ece_if_calibrated gives no reason to doubt the probabilities, whatever the interval.
    """
    confidence, correct = _checked(confidence, correct)
    low, high = bootstrap_interval(expected_calibration_error, confidence, correct, clusters=clusters, n_boot=n_boot,
                                   seed=seed)
    points, aurc = risk_coverage(confidence, correct, score)
    return {"ece": expected_calibration_error(confidence, correct), "ece_low": known_or_none(low),
            "ece_high": known_or_none(high), "ece_if_calibrated": ece_if_calibrated(confidence, seed=seed),
            "accuracy": float(correct.mean()), "confidence": float(confidence.mean()),
            "bins": reliability(confidence, correct), "risk_coverage": points, "aurc": aurc}
