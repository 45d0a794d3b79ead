"""Retrieval of the seen picture by the embedding decoded from EEG."""

import numpy as np
from numpy.typing import ArrayLike

from .statistics import bootstrap_interval, known_ends

NEIGHBOURS = 10  # of CSLS, as in Conneau et al. 2018


def cosine(embeddings: ArrayLike, gallery: ArrayLike) -> np.ndarray:
    """Cosines [N, M] of embeddings [N, E] and gallery [M, E]."""
    return _unit(np.asarray(embeddings, dtype=float)) @ _unit(np.asarray(gallery, dtype=float)).T


def whitened(embeddings: ArrayLike, gallery: ArrayLike) -> np.ndarray:
    """Cosines [N, M] after both are centred and whitened by mean and covariance of the candidate pictures.

    The pictures are known before any EEG is, so nothing is taken from the other trials. The covariance is shrunk as by
    Ledoit and Wolf (2004), as there are often fewer pictures than dimensions.
    """
    from sklearn.covariance import ledoit_wolf

    gallery = np.asarray(gallery, dtype=float)
    if len(gallery) < 2:  # one picture has no covariance, and scikit-learn would advise to reshape it
        return np.zeros((len(embeddings), len(gallery)))
    mean = gallery.mean(0)
    values, vectors = np.linalg.eigh(ledoit_wolf(gallery - mean, assume_centered=True)[0])
    keep = values > 1e-12 * max(values[-1], 1e-300)
    whitening = vectors[:, keep] * values[keep] ** -0.5
    return cosine((np.asarray(embeddings, dtype=float) - mean) @ whitening, (gallery - mean) @ whitening)


def csls(embeddings: ArrayLike, gallery: ArrayLike, neighbours: int = NEIGHBOURS) -> np.ndarray:
    """Cross-domain similarity local scaling [N, M] (Conneau et al. 2018, arXiv 1710.04087).

    It lowers pictures that are near to many trials. Each trial's result depends on all the others: it is transductive, and
    not what one gets for a new trial.
    """
    cosines = cosine(embeddings, gallery)
    of_embedding, of_picture = (np.sort(each, axis=1)[:, -neighbours:].mean(1) for each in (cosines, cosines.T))
    return 2 * cosines - of_embedding[:, None] - of_picture


SIMILARITIES = {"cosine": cosine, "whitened": whitened, "csls": csls}
TRANSDUCTIVE = ("csls",)


def ranks_of(similarities: np.ndarray, target: ArrayLike) -> np.ndarray:
    """Rank (0 is best) of each row's picture `target` [N] in similarities [N, M]; a tie counts against the picture."""
    true = similarities[np.arange(len(similarities)), np.asarray(target)]
    return (similarities >= true[:, None]).sum(1) - 1


def retrieval_ranks(embeddings: ArrayLike, gallery: ArrayLike, target: ArrayLike) -> np.ndarray:
    """Rank (0 is best) of each trial's picture among the gallery by cosine; a tie counts against the picture.

    embeddings [N, E], gallery [M, E], target [N] into the gallery.
    """
    return ranks_of(cosine(embeddings, gallery), target)


def retrieval_scores(embeddings: ArrayLike, gallery: ArrayLike, target: ArrayLike) -> dict:
    """top1, top5, their 95% bootstrap intervals by picture and chance levels, and n, the size of the gallery."""
    ranks = retrieval_ranks(embeddings, gallery, target)
    scores = {"n": len(gallery)}
    for k in (1, 5):
        hits = ranks < k
        scores[f"top{k}"] = float(hits.mean())
        scores[f"top{k}_95"] = known_ends(bootstrap_interval(np.mean, hits, clusters=target))
        scores[f"top{k}_chance"] = min(k / len(gallery), 1.0)
    return scores


def _unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
