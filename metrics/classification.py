"""Scores of class decoding from labels [N], or [N, K] where pictures have several classes, and logits [N, K]."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from .statistics import Clusters, bootstrap_interval, known_ends

if TYPE_CHECKING:
    from pandas import DataFrame


OBJECT_RESAMPLES = 200  # each ranks all trials for every class


def top_k_hits(labels: ArrayLike, logits: ArrayLike, k: int) -> np.ndarray:
    """Whether the true class is among the k highest logits: [N] bool; a tie counts against the true class."""
    labels, logits = np.asarray(labels), np.asarray(logits, dtype=float)
    true = logits[np.arange(len(labels)), labels]
    return (logits >= true[:, None]).sum(1) <= k


def balanced_accuracy(labels: ArrayLike, predicted: ArrayLike) -> float | np.ndarray:
    """Mean recall over the classes present, as scikit-learn's balanced_accuracy_score.

    labels [N] are numbers from 0; predicted [N] gives a number, [N, M] the accuracy of each column, [M].
    """
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    counts = np.bincount(labels)
    present = counts > 0
    if predicted.ndim == 1:
        return float((np.bincount(labels, labels == predicted)[present] / counts[present]).mean())
    columns = predicted.shape[1]
    cells = (labels[:, None] * columns + np.arange(columns)).ravel()  # of each class and column
    hits = np.bincount(cells, (predicted == labels[:, None]).ravel(), len(counts) * columns).reshape(-1, columns)
    return (hits[present] / counts[present, None]).mean(0)


def average_precision(labels: ArrayLike, logits: ArrayLike) -> float:
    """Mean over the classes present of the average precision of ranking trials by the class's logit (scikit-learn's).

    labels [N, K] 0 or 1. By chance it is about the share of trials that have the class. NaN where none is present.
    """
    from sklearn.metrics import average_precision_score

    labels, logits = np.asarray(labels), np.asarray(logits, dtype=float)
    present = labels.any(0)
    return float(average_precision_score(labels[:, present], logits[:, present])) if present.any() else float("nan")


def several_classes_scores(labels: ArrayLike, logits: ArrayLike, clusters: Clusters = None) -> dict:
    """n, n_classes (present) and average_precision with its 95% bootstrap interval, and chance, that of random logits.

    labels [N, K] 0 or 1; clusters: as for classification_scores.
    """
    labels, logits = np.asarray(labels), np.asarray(logits)
    present = labels.any(0)
    scores = {"n": len(labels), "n_classes": int(present.sum()), "chance": float(labels[:, present].mean(0).mean())
              if present.any() else None}
    if present.any():
        scores["average_precision"] = average_precision(labels, logits)
        scores["average_precision_95"] = known_ends(bootstrap_interval(
            average_precision, labels, logits, clusters=clusters, n_boot=OBJECT_RESAMPLES))
    return scores


def classification_scores(labels: ArrayLike, logits: ArrayLike, clusters: Clusters = None) -> dict:
    """n, n_classes (present), top1, top5, balanced_accuracy, each with its 95% bootstrap interval, and chance.

    clusters: [N] ids, such as the picture seen, which are resampled as wholes. Chance is that of balanced accuracy.
    """
    labels, predicted = np.asarray(labels), np.asarray(logits).argmax(1)
    classes = len(np.unique(labels))
    scores = {"n": len(labels), "n_classes": classes, "chance": 1 / classes}
    for name, statistic, arrays in (
            ("top1", np.mean, (top_k_hits(labels, logits, 1),)), ("top5", np.mean, (top_k_hits(labels, logits, 5),)),
            ("balanced_accuracy", balanced_accuracy, (labels, predicted))):
        scores[name] = float(statistic(*arrays))
        scores[f"{name}_95"] = known_ends(bootstrap_interval(statistic, *arrays, clusters=clusters))
    return scores


def per_class_table(labels: ArrayLike, logits: ArrayLike, class_names: dict[int, str]) -> list[dict]:
    """Rows of class, n, precision, recall, f1, top5 for every class of class_names {label: name} with trials."""
    from sklearn.metrics import precision_recall_fscore_support

    labels, predicted = np.asarray(labels), np.asarray(logits).argmax(1)
    present = np.unique(labels)
    precision, recall, f1, support = precision_recall_fscore_support(labels, predicted, labels=present, zero_division=0)
    hits = top_k_hits(labels, logits, 5)
    return [{"class": class_names[int(label)], "n": int(support[i]), "precision": precision[i], "recall": recall[i],
             "f1": f1[i], "top5": hits[labels == label].mean()} for i, label in enumerate(present)]


def per_group_table(name: str, groups: ArrayLike, labels: ArrayLike, logits: ArrayLike) -> list[dict]:
    """Rows of <name>, n, top1, top5, balanced_accuracy for each value of groups [N], such as the subject."""
    groups, labels, logits = np.asarray(groups), np.asarray(labels), np.asarray(logits)
    rows = []
    for group in np.unique(groups):
        chosen = groups == group
        rows.append({name: group.item(), "n": int(chosen.sum()),
                     "top1": top_k_hits(labels[chosen], logits[chosen], 1).mean(),
                     "top5": top_k_hits(labels[chosen], logits[chosen], 5).mean(),
                     "balanced_accuracy": balanced_accuracy(labels[chosen], logits[chosen].argmax(1))})
    return rows


def confusion_table(labels: ArrayLike, predicted: ArrayLike, class_names: dict[int, str]) -> "DataFrame":
    """Confusion matrix of counts: a row for each true class, a column for each predicted one."""
    import pandas
    from sklearn.metrics import confusion_matrix

    order = sorted(class_names)
    names = [class_names[label] for label in order]
    return pandas.DataFrame(confusion_matrix(labels, predicted, labels=order), pandas.Index(names, name="true"), names)


def draw_confusion(table: "DataFrame", path: str | Path) -> None:
    """Draw a confusion table to a PNG file, as shares of each true class."""
    import matplotlib
    from matplotlib.figure import Figure
    from sklearn.metrics import ConfusionMatrixDisplay

    size = min(4 + 0.25 * len(table), 16)
    figure = Figure(figsize=(size, size), layout="constrained")
    shares = table.to_numpy() / np.maximum(table.to_numpy().sum(1, keepdims=True), 1)
    display = ConfusionMatrixDisplay(shares, display_labels=list(table.columns))
    with matplotlib.rc_context({"text.parse_math": False}):  # a class name may hold dollar signs
        display.plot(ax=figure.add_subplot(), include_values=len(table) <= 12, values_format=".2f", cmap="Blues",
                     xticks_rotation="vertical", im_kw={"vmin": 0, "vmax": 1}, colorbar=len(table) > 12)
        figure.savefig(path, dpi=120, format="png")
