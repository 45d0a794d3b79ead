"""The classical baseline: xDAWN covariances, tangent space, logistic regression (Barachant 2014; pyriemann)."""

import numpy as np

from .batches import row_batches

NAME = "xDAWN covariances + tangent space + logistic regression"
MOST_SAMPLES = 128  # a trial is averaged down to at most so many
ROWS = 40  # of the covariance matrices, aimed at whatever the number of classes


def classical_baseline(eeg, labels, train, test, seed=0):
    """Fit on the trials `train` (positions [n]) of eeg [N, C, T] with labels [N]; returns class probabilities [m, K] of the
    trials `test` (positions [m]) and the classes in order.

    The strength of regularisation is chosen by cross-validation within the training part.
    """
    from pyriemann.estimation import XdawnCovariances
    from pyriemann.tangentspace import TangentSpace
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known = np.asarray(labels)[train]
    filters = int(np.clip(ROWS // (2 * len(np.unique(known))), 1, min(4, eeg.shape[1])))
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=seed))
    strengths = {"logisticregression__C": [0.001, 0.01, 0.1, 1.0]}
    model = make_pipeline(XdawnCovariances(filters, estimator="lwf", xdawn_estimator="lwf"), TangentSpace("riemann"),
                          GridSearchCV(regression, strengths, scoring="balanced_accuracy", cv=3))
    model.fit(_shorten(eeg, train), known)
    return model.predict_proba(_shorten(eeg, test)), model.classes_


def _shorten(eeg, rows):
    """Trials with neighbouring samples averaged so that at most MOST_SAMPLES remain: [n, C, T] float64."""
    factor = -(-eeg.shape[2] // MOST_SAMPLES)
    kept = eeg.shape[2] // factor * factor
    parts = (np.asarray(eeg[part][:, :, :kept], dtype=float) for part in row_batches(eeg, rows))
    return np.concatenate([part.reshape(*part.shape[:2], -1, factor).mean(3) for part in parts])
