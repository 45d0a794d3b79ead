"""Captions without any LLM, fitted on the training captions only: what a model must beat to be better than nothing.

Each training picture counts once, with the first of its captions. What is best is measured by ROUGE-1 F
(metrics.overlap), the metric that results are compared by.
"""

import math
import re

import numpy as np

from metrics.overlap import rouge1_matrix

PLAIN = "A picture of a {}."
SLOT = "{}"
BLOCK = 1000
TEMPLATES = 2000  # of more candidates every second, third, ... is tried: each is filled with every class name


def baseline_captions(kind, train_captions, train_classes, predicted_classes):
    """The baseline's caption for each trial: a list of texts as long as predicted_classes.

    train_captions, train_classes: one caption and one class name for each training picture; predicted_classes: the class
    name that the encoder predicts for each trial. kind:

    - constant: the training caption that is most like all others;
    - template: the training caption that, with its class name replaced by the predicted one, is most like all others with
      theirs, or "A picture of a ...";
    - class_medoid: the training caption of the predicted class that is most like the others of that class; where the
      predicted class has no training caption, the constant caption, with a printed note.
    """
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
    strangers = [name for name in predicted_classes if name not in members]
    if strangers:
        constant = _medoid(captions)
        medoids |= dict.fromkeys(strangers, constant)
        print(f"note: class_medoid: {len(strangers)} trials get the constant caption, as the training captions lack their "
              f"predicted classes ({', '.join(sorted(set(strangers))[:5])})")
    return [medoids[name] for name in predicted_classes]


def nearest_pictures(embeddings, pictures):
    """For each EEG embedding [N, E] the training picture [M, E] nearest to it: [N] int, by cosine.

    The pictures' mean is taken from both first: embeddings of pictures share a large common part, and those that were
    regressed from EEG shrink towards it, so that plain cosine hardly tells pictures apart.
    """
    mean = pictures.mean(0)
    rows, columns = (_unit(np.asarray(x, np.float64) - mean) for x in (embeddings, pictures))
    return (rows @ columns.T).argmax(1)


def _unit(rows):
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)


def _likeness(texts, captions):
    """The sum of ROUGE-1 F of each of n texts against all captions: [n]. In blocks: THINGS has 16,540 captions."""
    blocks = [texts[start:start + BLOCK] for start in range(0, len(texts), BLOCK)]
    likeness = np.concatenate([rouge1_matrix(block, captions).sum(1) for block in blocks])
    return likeness.round(9)  # so that the order of summing decides no tie


def _medoid(captions):
    """The caption that is most like the others, the first of equals. That each is like itself, too, changes no order."""
    return captions[int(_likeness(captions, captions).argmax())]


def spoken_name(name, captions):
    """How a class is spoken of: of a name such as `panda or pandas` the alternative that most captions hold."""
    parts = [part for part in re.split(r"\s+or\s+", name.replace("_", " ").strip()) if part]
    return max(parts, key=lambda part: sum(bool(_whole(part).search(caption)) for caption in captions))


def _whole(words):
    """A pattern that finds `words` in any case, not as parts of longer words."""
    pattern = r"\s+".join(map(re.escape, words.split()))
    return re.compile(rf"(?<!\w){pattern}(?!\w)", re.IGNORECASE)


def _fill(template, name):
    """The template with a class name in its slots, the article before it fitted to the name, and a capital at its start."""
    article = "an" if name[:1].lower() in set("aeiou") else "a"
    fitted = re.sub(r"\b([Aa])n?(?=\s+\{\})", lambda found: found[1] + article[1:], template)
    text = fitted.replace(SLOT, name)
    return text[:1].upper() + text[1:] if template.startswith(SLOT) else text


def _best_template(members, spoken):
    """The template whose fillings have the highest mean ROUGE-1 against the training captions of their classes."""
    found = {PLAIN: None}  # a dict keeps the order and drops what is there twice
    for name, captions in members.items():
        pattern = _whole(spoken[name])
        found |= dict.fromkeys(pattern.sub(SLOT, caption) for caption in captions
                               if SLOT not in caption and pattern.search(caption))
    templates = list(found)[::math.ceil(len(found) / TEMPLATES)]
    total = sum(_likeness([_fill(template, spoken[name]) for template in templates], captions)
                for name, captions in members.items())
    return templates[int(total.round(9).argmax())]
