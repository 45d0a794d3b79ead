"""Classifiers to compare the encoder's own with.

The classical baselines need no encoder. They are those of EEG decoding with few trials: linear discriminant analysis and
logistic regression on the mean EEG of windows (Blankertz et al. 2011), and covariance matrices on the tangent space or by
their distance to the classes' means (Barachant et al. 2012, 2014; pyriemann). An encoder must beat the best of them.
The embedding baselines are fitted on the encoder's embeddings, as baseline_with_encoder.py of DL_Proj_EEG-to-Text does.
"""

import warnings
from collections.abc import Sequence

from runtime.errors import InputError
from runtime.wording import counted

import numpy as np
import torch

from eegdata.trials import Trials
from metrics.classification import balanced_accuracy, classification_scores
from metrics.statistics import bootstrap_interval, known_ends

from .batches import row_batches
from .linear_branch import all_window_means, window_samples

MAX_SAMPLES = 128  # longer trials are averaged down to at most this number
LDA_SECONDS, VECTOR_SECONDS = .04, .02  # windows of the classifiers of means
COVARIANCE_SIZE = 40  # rows of a covariance matrix, approximately, for any number of classes
COMPONENTS = 10  # of the channels, for ERP covariances
MLP_LAYERS, MLP_EPOCHS = (256, 128), 50
FOLDS = 3  # of the cross-validation that chooses a regularisation


def baseline_scores(trials: Trials, train: torch.Tensor, scored: torch.Tensor, predicted: np.ndarray,
                    clusters: np.ndarray | None = None, seed: int = 0) -> dict:
    """classification_scores of the best baseline on the trials `scored` (positions [m]), fitted on `train` (positions [n]).

    Also "name", the balanced accuracy of "all" baselines by name, and "ours_minus_best": by how much the balanced accuracy
    of the encoder's classes `predicted` [m] is above it, with a paired 95% interval "ours_minus_best_95". Which is best is
    seen on the scored trials, which favours the baselines.
    """
    labels, found = trials.label.numpy(), {}
    for name in BASELINES:
        probabilities, classes = classical_baseline(trials.eeg, labels, train, scored, name, trials.sfreq, seed)
        found[name] = classes[probabilities.argmax(1)], _scores(labels[scored], probabilities, classes, trials, clusters)
    best = max(found, key=lambda name: found[name][1]["balanced_accuracy"])

    def difference(true, ours, theirs):
        return balanced_accuracy(true, ours) - balanced_accuracy(true, theirs)

    arrays = labels[scored], predicted, found[best][0]
    ends = known_ends(bootstrap_interval(difference, *arrays, clusters=clusters))
    return {"name": best, **found[best][1],
            "all": {name: scores["balanced_accuracy"] for name, (_, scores) in found.items()},
            "ours_minus_best": difference(*arrays), "ours_minus_best_95": ends}


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


def _window_lda(size, classes, seed):
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    return [LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=np.full(classes, 1 / classes))]


def _window_regression(size, classes, seed):
    return [_regression(seed)]


def _xdawn(size, classes, seed):
    from pyriemann.estimation import XdawnCovariances
    from pyriemann.tangentspace import TangentSpace

    filters = int(np.clip(COVARIANCE_SIZE // (2 * classes), 1, min(4, size)))
    return [XdawnCovariances(filters, estimator="lwf", xdawn_estimator="lwf"), TangentSpace("riemann"), _regression(seed)]


def _erp_covariances(size, classes):
    from pyriemann.estimation import ERPCovariances

    return ERPCovariances(estimator="lwf", svd=int(np.clip(COVARIANCE_SIZE // (2 * classes), 1, min(4, size))))


def _erp_tangent(size, classes, seed):
    from pyriemann.tangentspace import TangentSpace

    return [_erp_covariances(size, classes), TangentSpace("riemann"), _regression(seed)]


def _erp_distance(size, classes, seed):
    from pyriemann.classification import MDM

    return [_erp_covariances(size, classes), MDM()]


BASELINES = {  # steps of (number of signals, number of classes, seed), and what they are given
    "LDA of window means": (_window_lda, LDA_SECONDS),
    "logistic regression of window means": (_window_regression, VECTOR_SECONDS),
    "xDAWN covariances + tangent space + logistic regression": (_xdawn, None),
    "ERP covariances + tangent space + logistic regression": (_erp_tangent, COMPONENTS),
    "ERP covariances + minimum distance to mean": (_erp_distance, COMPONENTS),
}


def classical_baseline(eeg: torch.Tensor, labels: np.ndarray, train: Sequence[int], test: Sequence[int], name: str,
                       sfreq: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Fit one of BASELINES on the trials `train` (positions [n]) of eeg [N, C, T] with labels [N]; returns class
    probabilities [m, K] of the trials `test` (positions [m]) and the classes [K] in their order.
    """
    from sklearn.pipeline import make_pipeline

    train_labels = np.asarray(labels)[train]
    _check(train_labels)
    steps, given = BASELINES[name]
    if isinstance(given, float):
        fitted, asked = (_means(eeg, rows, given, sfreq) for rows in (train, test))
    else:
        fitted, asked = _shorten(eeg, train), _shorten(eeg, test)
        if given:
            filters = np.linalg.eigh(np.einsum("nct,ndt->cd", fitted, fitted, optimize=True))[1][:, -given:].T
            fitted, asked = filters @ fitted, filters @ asked
    model = make_pipeline(*steps(fitted.shape[1], len(np.unique(train_labels)), seed))
    try:
        model.fit(fitted, train_labels)
    except (ValueError, np.linalg.LinAlgError) as error:  # of matrices without an inverse, as those of a single sample
        raise InputError(f"--classical_baseline: {name} cannot be fitted to trials of {eeg.shape[1]} channels x "
                         f"{eeg.shape[2]} samples ({str(error).splitlines()[0][:200]}); leave the option out") from None
    return model.predict_proba(asked), model.classes_


def _means(eeg, rows, seconds, sfreq):
    """The mean EEG of windows, as vectors [n, C * W] float64."""
    eeg = torch.as_tensor(eeg) if isinstance(eeg, np.ndarray) else eeg
    window = window_samples(sfreq, eeg.shape[2], seconds)
    return all_window_means(eeg, window, rows).flatten(1).double().numpy()


def _shorten(eeg, rows):
    """Trials with neighbouring samples averaged so that at most MAX_SAMPLES remain: [n, C, T] float64."""
    factor = -(-eeg.shape[2] // MAX_SAMPLES)
    kept = eeg.shape[2] // factor * factor
    parts = (np.asarray(eeg[part][:, :, :kept], dtype=float) for part in row_batches(eeg, rows))
    return np.concatenate([part.reshape(*part.shape[:2], -1, factor).mean(3) for part in parts])
