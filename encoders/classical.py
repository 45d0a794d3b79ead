"""The classical baseline: xDAWN covariances, tangent space, logistic regression (Barachant 2014; pyriemann)."""

from collections.abc import Sequence

import numpy as np
import torch

from eegdata.trials import Trials
from metrics.classification import classification_scores

from .batches import row_batches

BASELINE_NAME = "xDAWN covariances + tangent space + logistic regression"
MAX_SAMPLES = 128  # longer trials are averaged down to at most this number
COVARIANCE_SIZE = 40  # rows of a covariance matrix, approximately, for any number of classes


def baseline_scores(trials: Trials, train: torch.Tensor, scored: torch.Tensor, clusters: np.ndarray | None = None,
                    seed: int = 0) -> dict:
    """classification_scores of the baseline on the trials `scored` (positions [m]), fitted on `train` (positions [n])."""
    labels = trials.label.numpy()
    probabilities, classes = classical_baseline(trials.eeg, labels, train, scored, seed)
    scores = np.zeros((len(probabilities), max(trials.class_names) + 1))
    scores[:, classes] = probabilities
    return {"name": BASELINE_NAME, **classification_scores(labels[scored], scores, clusters)}


def classical_baseline(eeg: torch.Tensor, labels: np.ndarray, train: Sequence[int], test: Sequence[int],
                       seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Fit on the trials `train` (positions [n]) of eeg [N, C, T] with labels [N]; returns class probabilities [m, K] of the
    trials `test` (positions [m]) and the classes [K] in their order.

    The strength of the regularisation is chosen by cross-validation within the training part.
    """
    from pyriemann.estimation import XdawnCovariances
    from pyriemann.tangentspace import TangentSpace
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train_labels = np.asarray(labels)[train]
    filters = int(np.clip(COVARIANCE_SIZE // (2 * len(np.unique(train_labels))), 1, min(4, eeg.shape[1])))
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=seed))
    strengths = {"logisticregression__C": [0.001, 0.01, 0.1, 1.0]}
    model = make_pipeline(XdawnCovariances(filters, estimator="lwf", xdawn_estimator="lwf"), TangentSpace("riemann"),
                          GridSearchCV(regression, strengths, scoring="balanced_accuracy", cv=3))
    model.fit(_shorten(eeg, train), train_labels)
    return model.predict_proba(_shorten(eeg, test)), model.classes_


def _shorten(eeg, rows):
    """Trials with neighbouring samples averaged so that at most MAX_SAMPLES remain: [n, C, T] float64."""
    factor = -(-eeg.shape[2] // MAX_SAMPLES)
    kept = eeg.shape[2] // factor * factor
    parts = (np.asarray(eeg[part][:, :, :kept], dtype=float) for part in row_batches(eeg, rows))
    return np.concatenate([part.reshape(*part.shape[:2], -1, factor).mean(3) for part in parts])
