"""CLIP-S and RefCLIP-S of captions (Hessel et al. 2021, arXiv 2104.08718): how well a caption fits the picture itself.

CLIP-S is 2.5 times the cosine of the CLIP embeddings of picture and "A photo depicts" + caption, 0 where it is negative.
RefCLIP-S is the harmonic mean of CLIP-S and the largest cosine to a true caption. Numbers of different CLIP models cannot
be compared; those of the paper are of ViT-B/32. A CLIP that the EEG encoder was trained towards favours its captions.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

PROMPT = "A photo depicts "
WEIGHT = 2.5


def clip_scores(predictions: list[str], references: list[list[str]], pictures: Sequence[Path],
                embed_pictures: Callable, embed_texts: Callable) -> dict[str, np.ndarray]:
    """{"CLIP-S": [n], "RefCLIP-S": [n]} of n captions, their true captions and their picture files.

    embed_pictures, embed_texts: functions from files and from texts to embeddings [m, E] of one CLIP (encoders/clip.py). An
    empty caption scores 0.
    """
    files = list(dict.fromkeys(pictures))
    texts = list(dict.fromkeys([*predictions, *(text for own in references for text in own)]))
    image = dict(zip(files, _unit(embed_pictures(files)), strict=True))
    text = dict(zip(texts, _unit(embed_texts([PROMPT + one for one in texts])), strict=True))
    empty = np.array([not one.strip() for one in predictions])
    fit = np.array([text[one] @ image[file] for one, file in zip(predictions, pictures, strict=True)])
    near = np.array([max(text[one] @ text[other] for other in own)
                     for one, own in zip(predictions, references, strict=True)])
    score, near = (np.where(empty, 0., np.maximum(values, 0)) for values in (WEIGHT * fit, near))
    total = score + near
    return {"CLIP-S": score, "RefCLIP-S": np.divide(2 * score * near, total, out=np.zeros_like(total), where=total > 0)}


def _unit(rows):
    rows = np.asarray(rows, dtype=float)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
