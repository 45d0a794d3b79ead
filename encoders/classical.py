"""Classifiers to compare the encoder's own with.

The classical baseline needs no encoder: xDAWN covariances, tangent space, logistic regression (Barachant 2014; pyriemann).
The embedding baselines are fitted on the encoder's embeddings, as baseline_with_encoder.py of DL_Proj_EEG-to-Text does.
"""

import warnings
from collections.abc import Sequence

from runtime.errors import InputError
from runtime.wording import counted

import numpy as np
import torch

from eegdata.trials import Trials
from metrics.classification import classification_scores

from .batches import row_batches

BASELINE_NAME = "xDAWN covariances + tangent space + logistic regression"
MAX_SAMPLES = 128  # longer trials are averaged down to at most this number
COVARIANCE_SIZE = 40  # rows of a covariance matrix, approximately, for any number of classes
MLP_LAYERS, MLP_EPOCHS = (256, 128), 50
FOLDS = 3  # of the cross-validation that chooses a regularisation


def baseline_scores(trials: Trials, train: torch.Tensor, scored: torch.Tensor, clusters: np.ndarray | None = None,
                    seed: int = 0) -> dict:
    """classification_scores of the baseline on the trials `scored` (positions [m]), fitted on `train` (positions [n])."""
    labels = trials.label.numpy()
    probabilities, classes = classical_baseline(trials.eeg, labels, train, scored, seed)
    return {"name": BASELINE_NAME, **_scores(labels[scored], probabilities, classes, trials, clusters)}


def embedding_scores(trials: Trials, train: torch.Tensor, scored: torch.Tensor, train_embeddings: np.ndarray,
                     embeddings: np.ndarray, clusters: np.ndarray | None = None, seed: int = 0) -> dict[str, dict]:
    """{"logistic_regression", "mlp": classification_scores} of classifiers of embeddings: fitted on train_embeddings
    [n, E] of the trials `train` (positions [n]), applied to embeddings [m, E] of the trials `scored` (positions [m])."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels, found = trials.label.numpy(), {}
    _check(labels[train])
    mlp = make_pipeline(StandardScaler(), MLPClassifier(MLP_LAYERS, max_iter=MLP_EPOCHS, random_state=seed))
    for name, model in (("logistic_regression", _regression(seed)), ("mlp", mlp)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is chosen, not found
            model.fit(train_embeddings, labels[train])
        found[name] = _scores(labels[scored], model.predict_proba(embeddings), model.classes_, trials, clusters)
    return found


def _scores(labels, probabilities, classes, trials, clusters):
    """classification_scores of probabilities [m, K] of the classes [K] that a classifier knows."""
    scores = np.zeros((len(probabilities), max(trials.class_names) + 1))
    scores[:, classes] = probabilities
    return classification_scores(labels, scores, clusters)


def _check(labels):
    counts = np.unique(labels, return_counts=True)[1]
    if len(counts) < 2 or counts.max() < FOLDS:
        raise InputError(f"--classical_baseline, --embedding_baseline: the training part has {len(labels)} trials of "
                         f"{counted(len(counts), 'class')}; expected at least 2 classes and {FOLDS} trials of one, so "
                         "leave the option out")


def _regression(seed):
    """A logistic regression whose regularisation is chosen by cross-validation within the training part."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=seed))
    strengths = {"logisticregression__C": [0.001, 0.01, 0.1, 1.0]}
    return GridSearchCV(regression, strengths, scoring="balanced_accuracy", cv=FOLDS)


def classical_baseline(eeg: torch.Tensor, labels: np.ndarray, train: Sequence[int], test: Sequence[int],
                       seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Fit on the trials `train` (positions [n]) of eeg [N, C, T] with labels [N]; returns class probabilities [m, K] of the
    trials `test` (positions [m]) and the classes [K] in their order.
    """
    from pyriemann.estimation import XdawnCovariances
    from pyriemann.tangentspace import TangentSpace
    from sklearn.pipeline import make_pipeline

    train_labels = np.asarray(labels)[train]
    _check(train_labels)
    filters = int(np.clip(COVARIANCE_SIZE // (2 * len(np.unique(train_labels))), 1, min(4, eeg.shape[1])))
    model = make_pipeline(XdawnCovariances(filters, estimator="lwf", xdawn_estimator="lwf"), TangentSpace("riemann"),
                          _regression(seed))
    model.fit(_shorten(eeg, train), train_labels)
    return model.predict_proba(_shorten(eeg, test)), model.classes_


def _shorten(eeg, rows):
    """Trials with neighbouring samples averaged so that at most MAX_SAMPLES remain: [n, C, T] float64."""
    factor = -(-eeg.shape[2] // MAX_SAMPLES)
    kept = eeg.shape[2] // factor * factor
    parts = (np.asarray(eeg[part][:, :, :kept], dtype=float) for part in row_batches(eeg, rows))
    return np.concatenate([part.reshape(*part.shape[:2], -1, factor).mean(3) for part in parts])
