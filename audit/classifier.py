"""A linear classifier with fast permutation tests: ridge regression on the classes, in closed form.

Each subject with training trials has a classifier of its own, since slow changes differ between people. The others share a
pooled one.
"""

from dataclasses import dataclass

import numpy as np

from metrics.classification import balanced_accuracy

RIDGE = 1.  # times the mean eigenvalue of the features' Gram matrix
MIN_ARRANGEMENTS = 1000  # of labels among pictures; with fewer, only labels of trials are permuted


@dataclass
class Model:
    """Maps class indicators of training trials to scores of test trials: scores = matrix @ indicators[train].

    train, test: row numbers in the training and the test trials.
    """

    train: np.ndarray
    test: np.ndarray
    matrix: np.ndarray


def fit(train: list[np.ndarray], test: list[np.ndarray], train_subject: np.ndarray, test_subject: np.ndarray,
        train_label: np.ndarray) -> list[Model]:
    """Models for blocks of features train [n, F] and test [m, F]; each test trial belongs to exactly one.

    Features are standardised within each subject, and blocks have equal weight. A subject has a model of its own if it has
    training trials of two classes or more; the other subjects share a pooled one.
    """
    models, others = [], []
    for subject in np.unique(test_subject):
        rows, targets = np.flatnonzero(train_subject == subject), np.flatnonzero(test_subject == subject)
        if len(np.unique(train_label[rows])) > 1:
            pairs = [_standardised(a[rows], b[targets]) for a, b in zip(train, test, strict=True)]
            models.append(Model(rows, targets, _ridge(*map(np.hstack, zip(*pairs, strict=True)))))
        else:
            others.append(targets)
    if others:
        targets = np.sort(np.concatenate(others))
        pooled = np.hstack([_by_subject(block, train_subject) for block in train])
        own = np.hstack([_by_subject(block[targets], test_subject[targets]) for block in test])
        models.append(Model(np.arange(len(train_label)), targets, _ridge(pooled, own)))
    return models


def _by_subject(block, subject):
    result = np.empty(block.shape, dtype=np.float32)
    for each in np.unique(subject):
        result[subject == each] = _standardised(block[subject == each], block[:0])[0]
    return result


def _standardised(train, test):
    """Standardise both by train, so that a trial's sum of squares is 1 on average; constant features become 0."""
    scale = train.std(0)
    scale = np.where(scale > 1e-6 * np.median(scale), scale, np.inf) * np.sqrt(train.shape[1])
    centre = train.mean(0)
    return ((train - centre) / scale).astype(np.float32), ((test - centre) / scale).astype(np.float32)


def _ridge(train, test):
    train = train - train.mean(0)
    gram = train @ train.T
    gram[np.diag_indices(len(gram))] += RIDGE * np.trace(gram) / len(gram) + 1e-6
    return np.linalg.solve(gram, train @ test.T).T


def predict(models: list[Model], label: np.ndarray, classes: np.ndarray, n_test: int) -> np.ndarray:
    """Predicted classes [n_test] after training on label [n_train]; rare classes weigh more."""
    predicted = np.empty(n_test, dtype=np.int64)
    for model in models:
        own = label[model.train]
        share = np.array([(own == c).mean() for c in classes])
        scores = model.matrix @ (own[:, None] == classes).astype(np.float32)
        # One column of indicators varies by its share (1 - share): without the division the common classes would win.
        scores = np.where(share > 0, scores / np.sqrt(np.maximum(share * (1 - share), 1e-9)), -np.inf)
        predicted[model.test] = classes[scores.argmax(1)]
    return predicted


def p_of_fixed(label: np.ndarray, predicted: np.ndarray, subject: np.ndarray, picture: np.ndarray | None,
               permutations: int, rng: np.random.Generator) -> tuple[float, float, str]:
    """One-sided permutation p of the balanced accuracy of predictions that were not fitted to `label`, and its chance mean.

    Labels are permuted among the trials of each subject. Where pictures repeat (None: unknown) and there are enough of
    them, labels are also permuted among whole pictures, since the trials of one picture may look alike; the larger p
    counts. Returns (p, mean, what was permuted).
    """
    observed = balanced_accuracy(label, predicted) - 1e-12
    members = [np.flatnonzero(subject == s) for s in np.unique(subject)]
    dealt = np.empty(permutations)
    for number in range(permutations):
        shuffled = label.copy()
        for rows in members:
            shuffled[rows] = rng.permutation(label[rows])
        dealt[number] = balanced_accuracy(shuffled, predicted)
    p, mean = (1 + (dealt >= observed).sum()) / (1 + permutations), float(dealt.mean())
    units = None if picture is None else np.unique(picture, return_inverse=True)[1]
    if units is None or units.max() + 1 == len(label):
        return float(p), mean, "trials"
    first = np.unique(units, return_index=True)[1]
    of_unit = label[first]
    if _log_arrangements(of_unit) < np.log(MIN_ARRANGEMENTS):
        return float(p), mean, "trials"
    for number in range(permutations):
        dealt[number] = balanced_accuracy(rng.permutation(of_unit)[units], predicted)
    return float(max(p, (1 + (dealt >= observed).sum()) / (1 + permutations))), mean, "trials and pictures"


def can_be_divided(label: np.ndarray) -> bool:
    """Whether there are MIN_ARRANGEMENTS of the labels [n], where it does not count which class has which name."""
    from scipy.special import gammaln

    alike = np.unique(np.unique(label, return_counts=True)[1], return_counts=True)[1]  # classes of one size
    return bool(_log_arrangements(label) - gammaln(alike + 1).sum() >= np.log(MIN_ARRANGEMENTS))


def _log_arrangements(label):
    from scipy.special import gammaln

    counts = np.unique(label, return_counts=True)[1]
    return gammaln(len(label) + 1) - gammaln(counts + 1).sum()
