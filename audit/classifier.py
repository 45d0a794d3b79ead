"""A fast linear classifier whose permutation tests cost little: ridge regression on the classes, in closed form.

One classifier a subject where training and test hold trials of that subject, since slow changes differ between people; a
pooled one for subjects that training lacks.
"""

from dataclasses import dataclass

import numpy as np

from metrics.classification import balanced_accuracy

RIDGE = 1.  # times the mean eigenvalue of the features' Gram matrix
MIN_ARRANGEMENTS = 1000  # fewer arrangements of the pictures than this: only single trials are dealt anew


@dataclass
class Model:
    """Maps class indicators of training trials to scores of test trials: scores = matrix @ indicators[train].

    train, test: row numbers in the training and the test trials.
    """

    train: np.ndarray
    test: np.ndarray
    matrix: np.ndarray


def fit(train, test, train_subject, test_subject, train_label):
    """Models for blocks of features train [n, F] and test [m, F], of each test trial exactly one.

    Features are standardised within each subject, and blocks weigh alike. A subject needs training trials of two classes or
    more to have a model of its own; the other subjects share a pooled one.
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
        known = np.hstack([_by_subject(block, train_subject) for block in train])
        unknown = np.hstack([_by_subject(block[targets], test_subject[targets]) for block in test])
        models.append(Model(np.arange(len(train_label)), targets, _ridge(known, unknown)))
    return models


def _by_subject(block, subject):
    result = np.empty(block.shape, dtype=np.float32)
    for each in np.unique(subject):
        result[subject == each] = _standardised(block[subject == each], block[:0])[0]
    return result


def _standardised(train, test):
    """Both by the mean and deviation of train, a trial's sum of squares being 1 on average; constant features become 0."""
    scale = train.std(0)
    scale = np.where(scale > 1e-6 * np.median(scale), scale, np.inf) * np.sqrt(train.shape[1])
    centre = train.mean(0)
    return ((train - centre) / scale).astype(np.float32), ((test - centre) / scale).astype(np.float32)


def _ridge(train, test):
    train = train - train.mean(0)
    gram = train @ train.T
    gram[np.diag_indices(len(gram))] += RIDGE * np.trace(gram) / len(gram) + 1e-6
    return np.linalg.solve(gram, train @ test.T).T


def predict(models, label, classes, n_test):
    """Predicted classes [n_test] after training on label [n_train]; each class is weighed by how rare it is."""
    predicted = np.empty(n_test, dtype=np.int64)
    for model in models:
        own = label[model.train]
        share = np.array([(own == c).mean() for c in classes])
        scores = model.matrix @ (own[:, None] == classes).astype(np.float32)
        # One column of indicators varies by its share (1 - share): without the division the common classes would win.
        scores = np.where(share > 0, scores / np.sqrt(np.maximum(share * (1 - share), 1e-9)), -np.inf)
        predicted[model.test] = classes[scores.argmax(1)]
    return predicted


def p_of_fixed(label, predicted, subject, picture, permutations, rng):
    """One-sided p of the balanced accuracy of predictions that are not fitted to `label`; also the mean by chance.

    Labels are dealt anew among the trials of each subject and, where pictures (None: unknown) repeat and enough of them are
    there, also among whole pictures, since the trials of one picture may look alike; the larger p counts. Returns
    (p, mean, what was dealt).
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


def _log_arrangements(label):
    from scipy.special import gammaln

    counts = np.unique(label, return_counts=True)[1]
    return gammaln(len(label) + 1) - gammaln(counts + 1).sum()
