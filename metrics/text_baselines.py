"""Baseline captions without an LLM, fitted on the training captions only: a model must beat them to be worth its effort.

Each training picture counts once, with the first of its captions. The best caption is found by ROUGE-1 F (metrics.overlap),
the metric by which results are compared.
"""

import math
import re
from collections.abc import Iterable

from runtime.wording import counted, listed

import numpy as np
from numpy.typing import ArrayLike

from metrics.caption_files import class_key
from metrics.overlap import rouge1_matrix

SLOT = "{}"  # of a template, for the class name
DEFAULT_TEMPLATE = "A picture of a {}."
BLOCK_SIZE = 1000  # texts that are compared with all captions at once
MAX_TEMPLATES = 2000  # of more candidates every second, third, ... is tried: each is filled with every class name


def baseline_captions(kind: str, train_captions: list[str], train_classes: list[str],
                      predicted_classes: list[str]) -> list[str]:
    """The baseline's caption for each trial: a list of texts as long as predicted_classes.

    train_captions, train_classes: one caption and one class name for each training picture; predicted_classes: the class
    name that the encoder predicts for each trial. kind:

    - constant: the training caption that is most similar to all others;
    - template: the training caption with a slot for the class name that, filled with each class name, is most similar to
      the captions of that class, or "A picture of a ...";
    - class_medoid: the training caption of the predicted class that is most similar to the others of that class. A
      predicted class without training captions gets the constant caption, with a printed note.
    """
    spelled = {class_key(name): name for name in train_classes}
    predicted_classes = [spelled.get(class_key(name), name) for name in predicted_classes]
    captions = [caption.strip() for caption in train_captions]
    members = {}
    for caption, name in zip(captions, train_classes, strict=True):
        members.setdefault(name, []).append(caption)
    if kind == "constant":
        return [_medoid(captions)] * len(predicted_classes)
    if kind == "template":
        spoken = {name: spoken_name(name, members.get(name, ())) for name in {*members, *predicted_classes}}
        template = _best_template(members, spoken)
        return [_fill(template, spoken[name]) for name in predicted_classes]
    medoids = {name: _medoid(members[name]) for name in set(predicted_classes) & set(members)}
    without_captions = [name for name in predicted_classes if name not in members]
    if without_captions:
        constant = _medoid(captions)
        medoids |= dict.fromkeys(without_captions, constant)
        print(f"note: class_medoid: {counted(len(without_captions), 'trial')} get the constant caption, as there are no "
              f"training captions of their predicted classes ({listed(sorted(set(without_captions)))})")
    return [medoids[name] for name in predicted_classes]


def nearest_pictures(embeddings: ArrayLike, pictures: ArrayLike, count: int = 1,
                     own: ArrayLike | None = None) -> np.ndarray:
    """For each EEG embedding [N, E] the `count` training pictures [M, E] nearest to it, the nearest first: [N, count] int,
    by cosine.

    The pictures' mean is subtracted from both first. Embeddings of pictures have a large part in common, and embeddings
    predicted from EEG shrink towards it, so that plain cosine hardly separates pictures. own [N] int: the picture that was
    seen, which does not count, or -1 where it is no training picture.
    """
    mean = pictures.mean(0)
    rows, columns = (_unit(np.asarray(x, np.float64) - mean) for x in (embeddings, pictures))
    likeness = rows @ columns.T
    if own is not None:
        known = np.flatnonzero(np.asarray(own) >= 0)
        likeness[known, np.asarray(own)[known]] = -np.inf
    return (-likeness).argsort(1, kind="stable")[:, :count]


def _unit(rows):
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)


def _likeness(texts, captions):
    """The sum of ROUGE-1 F of each of n texts against all captions: [n]. In blocks: THINGS has 16,540 captions."""
    blocks = [texts[start:start + BLOCK_SIZE] for start in range(0, len(texts), BLOCK_SIZE)]
    likeness = np.concatenate([rouge1_matrix(block, captions).sum(1) for block in blocks])
    return likeness.round(9)  # so that the order of summation does not decide ties


def _medoid(captions):
    """The caption that is most similar to the others, the first of equals.

    Each is compared with itself, too, which does not change the order.
    """
    return captions[int(_likeness(captions, captions).argmax())]


def spoken_name(name: str, captions: Iterable[str]) -> str:
    """The usual name of a class: of a name such as `panda or pandas` the alternative that most captions contain.

    The names of several classes, `dog, person`, become `dog and person`; where there is none, it is a `scene`.
    """
    name = name.replace(", ", " and ").replace("_", " ").strip() or "scene"
    parts = [part for part in re.split(r"\s+or\s+", name) if part]
    return max(parts, key=lambda part: sum(bool(_whole(part).search(caption)) for caption in captions))


def _whole(words):
    """A pattern that finds `words` in upper or lower case, but not as parts of longer words."""
    pattern = r"\s+".join(map(re.escape, words.split()))
    return re.compile(rf"(?<!\w){pattern}(?!\w)", re.IGNORECASE)


def _fill(template, name):
    """The template with a class name in its slots, the right article before it, and a capital letter at the start."""
    article = "an" if name[:1].lower() in set("aeiou") else "a"
    fitted = re.sub(r"\b([Aa])n?(?=\s+\{\})", lambda found: found[1] + article[1:], template)
    text = fitted.replace(SLOT, name)
    return text[:1].upper() + text[1:] if template.startswith(SLOT) else text


def _best_template(members, spoken):
    """The template whose fillings have the highest mean ROUGE-1 against the training captions of their classes."""
    found = {DEFAULT_TEMPLATE: None}  # a dict keeps the order and drops duplicates
    for name, captions in members.items():
        pattern = _whole(spoken[name])
        found |= dict.fromkeys(pattern.sub(SLOT, caption) for caption in captions
                               if SLOT not in caption and pattern.search(caption))
    templates = list(found)[::math.ceil(len(found) / MAX_TEMPLATES)]
    total = sum(_likeness([_fill(template, spoken[name]) for template in templates], captions)
                for name, captions in members.items())
    return templates[int(total.round(9).argmax())]
