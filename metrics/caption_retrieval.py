"""Retrieval of a row's true caption by its generated one: is it more similar to its own than to those of other pictures?

This is the 2-way and 50-way identification of the decoding literature (as in Ozcelik and VanRullen 2023, arXiv 2303.05334).
No candidates are drawn: the scores are the exact expectation over all draws.

Chance is 1/n in a mean in which each candidate counts once: of one sentence given to all, one candidate in n is the most
similar. In a mean over rows a sentence near the caption that most rows have would be above chance without any knowledge.
"""

import functools
import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from metrics.overlap import rouge1_matrix

WAYS = (2, 50, 200)  # numbers of candidates


def n_way(similarity: ArrayLike, target: ArrayLike, n: int, allowed: ArrayLike | None = None) -> np.ndarray:
    """Probability that each row's own candidate is the most similar among n: [rows].

    Of one sentence its mean over all candidates, each as often the own one, is 1/n.

    similarity [rows, M]: of each generated caption to M candidates. target [rows]: which is its own. The n - 1 others are
    drawn at random, without replacement, from the other M - 1, or those of them that `allowed` (bool [rows, M]) names; with
    k others as similar as the own one the win is shared, 1 / (k + 1). Rows with fewer than n - 1 others give NaN.
    ValueError where shapes do not fit, n is below 2 or a similarity is NaN.
    """
    similarity, target = np.asarray(similarity, dtype=float), np.asarray(target)
    others = np.ones(similarity.shape, bool) if allowed is None else np.array(allowed, dtype=bool)
    if similarity.ndim != 2 or target.shape != similarity.shape[:1] or others.shape != similarity.shape:
        raise ValueError(f"similarity {similarity.shape}, target {target.shape}, allowed {others.shape}; expected "
                         "[rows, M], [rows], [rows, M]")
    if n < 2 or np.isnan(similarity).any():
        raise ValueError(f"{n}-way of similarities with {np.isnan(similarity).sum()} NaN; expected n >= 2 and none")
    rows = np.arange(len(target))
    own = similarity[rows, target][:, None]
    others[rows, target] = False
    counts = ((similarity < own) & others).sum(1), ((similarity == own) & others).sum(1), others.sum(1)
    return np.array([_first_of(n, *row) for row in zip(*(one.tolist() for one in counts), strict=True)], dtype=float)


@functools.lru_cache(maxsize=100_000)
def _first_of(n, lower, ties, others):
    """Probability to be first among n where `lower` of the others are less similar and `ties` as similar.

    The sum over k = 0.. of C(ties, k) C(lower, n-1-k) / (k+1), over C(others, n-1), in closed form, since
    C(ties, k) / (k+1) is C(ties+1, k+1) / (ties+1). Python's integers neither overflow nor lose digits.
    """
    if others < n - 1:
        return math.nan
    return (math.comb(lower + ties + 1, n) - math.comb(lower, n)) / ((ties + 1) * math.comb(others, n - 1))


def retrieval_columns(predictions: list[str], references: list[str] | list[list[str]], objects: list[str] | None = None,
                      embeddings: tuple[ArrayLike, ArrayLike] | None = None,
                      ways: Iterable[int] = WAYS) -> dict[str, np.ndarray]:
    """{"2-way (text)", "50-way (text)", ..., "2-way in class (text)"}: [rows] each.

    predictions, references: n generated (cleaned) and n true captions. The candidates are the different true captions: a
    text that several rows or pictures have, in any case and spacing, is one. All captions of a picture together are one
    candidate, of which the most similar counts. Similarity (text) is ROUGE-1 F. embeddings: of predictions [n, E], and of
    all references, row by row, [sum of their numbers, E] (metrics.sentences.embed); adds the same columns as (embedding),
    by their product. objects: n class names; adds 2-way against candidates of the row's own class, NaN in rows whose class
    has no other caption or no name. An n above the number of candidates is left out, and "in class" where every row is NaN.
    """
    target, first = _candidates(references)
    similarity = {"text": rouge1_matrix(predictions, list(map(list, first)))}
    if embeddings is not None:
        predicted, true = (np.asarray(one, dtype=float) for one in embeddings)
        starts = np.cumsum([0, *(1 if isinstance(own, str) else len(own) for own in references)])
        similarity["embedding"] = np.stack([(predicted @ true[starts[row]:starts[row + 1]].T).max(1)
                                            for row in first.values()], axis=1)
    columns = {}
    for kind, matrix in similarity.items():
        columns |= {f"{n}-way ({kind})": n_way(matrix, target, n) for n in ways if n <= len(first)}
        if objects is not None:
            in_class = n_way(matrix, target, 2, _same_class(objects, target, len(first)))
            columns |= {} if np.isnan(in_class).all() else {f"2-way in class ({kind})": in_class}
    return columns


def retrieval_units(columns: Iterable[str], references: list[str] | list[list[str]],
                    objects: list[str] | None = None) -> dict[str, np.ndarray]:
    """What counts once in the mean of each of retrieval_columns' columns: {name: [rows] numbers or names}.

    It is the row's candidate, and "in class" the candidate as one of its class. So the mean of one sentence for all rows is
    exactly 1/n, and "in class" that of one sentence for each class is 1/2. references, objects: as for retrieval_columns.
    """
    target, _ = _candidates(references)
    classes = [""] * len(target) if objects is None else [name.strip() for name in objects]
    within = np.array([f"{place} {name}" for place, name in zip(target, classes, strict=True)])
    return {name: within if "in class" in name else target for name in columns}


def _candidates(references):
    """Number of each row's candidate: [rows], and {candidate, a tuple of texts: the first row that has it}."""
    given = [[own] if isinstance(own, str) else own for own in references]
    texts = [tuple(" ".join(text.lower().split()) for text in own) for own in given]
    first = {}
    for row, text in enumerate(texts):
        first.setdefault(text, row)
    place = {text: i for i, text in enumerate(first)}
    return np.array([place[text] for text in texts]), first


def _same_class(objects, target, n_candidates):
    """Which candidates are a true caption of the row's class: bool [rows, M]; none in rows without a class name."""
    names = [name.strip() for name in objects]
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    label = np.array([number[name] for name in names])
    member = np.zeros((len(number), n_candidates), bool)
    member[label, target] = True
    member[[not name for name in number]] = False
    return member[label]
