"""The classical baseline: xDAWN covariances, tangent space, logistic regression (Barachant 2014; pyriemann)."""

import numpy as np

NAME = "xDAWN covariances + tangent space + logistic regression"
MOST_SAMPLES = 128  # a trial is averaged down to at most so many
ROWS = 40  # of the covariance matrices, aimed at whatever the number of classes


def classical_baseline(train, labels, test, seed=0):
    """Fit on train [N, C, T] with labels [N]; returns class probabilities of test [M, C, T] and the classes in order.

    The strength of regularisation is chosen by cross-validation within the training part.
    """
    from pyriemann.estimation import XdawnCovariances
    from pyriemann.tangentspace import TangentSpace
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classes = len(np.unique(labels))
    filters = int(np.clip(ROWS // (2 * classes), 1, min(4, train.shape[1])))
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=seed))
    strengths = {"logisticregression__C": [0.001, 0.01, 0.1, 1.0]}
    model = make_pipeline(XdawnCovariances(filters, estimator="lwf", xdawn_estimator="lwf"), TangentSpace("riemann"),
                          GridSearchCV(regression, strengths, scoring="balanced_accuracy", cv=3))
    model.fit(_shorten(train), np.asarray(labels))
    return model.predict_proba(_shorten(test)), model.classes_


def _shorten(eeg):
    """Average neighbouring samples so that at most MOST_SAMPLES remain: [N, C, T] float64."""
    eeg = np.asarray(eeg, dtype=float)
    factor = -(-eeg.shape[2] // MOST_SAMPLES)
    return eeg[:, :, :eeg.shape[2] // factor * factor].reshape(*eeg.shape[:2], -1, factor).mean(3)
