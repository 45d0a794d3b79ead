"""Retrieval of the seen picture by the embedding decoded from EEG."""

import numpy as np
from numpy.typing import ArrayLike

from .statistics import bootstrap_interval


def retrieval_ranks(embeddings: ArrayLike, gallery: ArrayLike, target: ArrayLike) -> np.ndarray:
    """Rank (0 is best) of each trial's picture among the gallery by cosine; a tie counts against the picture.

    embeddings [N, E], gallery [M, E], target [N] into the gallery.
    """
    embeddings, gallery = np.asarray(embeddings, dtype=float), np.asarray(gallery, dtype=float)
    cosines = _unit(embeddings) @ _unit(gallery).T
    true = cosines[np.arange(len(cosines)), np.asarray(target)]
    return (cosines >= true[:, None]).sum(1) - 1


def retrieval_scores(embeddings: ArrayLike, gallery: ArrayLike, target: ArrayLike) -> dict:
    """top1, top5, their 95% bootstrap intervals by picture and chance levels, and n, the size of the gallery."""
    ranks = retrieval_ranks(embeddings, gallery, target)
    scores = {"n": len(gallery)}
    for k in (1, 5):
        hits = ranks < k
        scores[f"top{k}"] = float(hits.mean())
        scores[f"top{k}_95"] = [float(end) for end in bootstrap_interval(np.mean, hits, clusters=target)]
        scores[f"top{k}_chance"] = min(k / len(gallery), 1.0)
    return scores


def _unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
