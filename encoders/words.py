"""The words that an encoder reads from EEG, which stand for the class name in prompts and tables."""

import torch
from transformers import PretrainedConfig

from eegdata.trials import joined_names

MOST_WORDS = 8  # in a prompt
LIKELY = 0.5  # the probability from which on a class is named, where a picture may have several


def words_of(probabilities: torch.Tensor, config: PretrainedConfig,
             class_names: dict[int, str]) -> tuple[list[str], torch.Tensor]:
    """From class probabilities [N, K] (temperature.class_probabilities) to N texts and their probability [N].

    With one class a picture, the text is the name of the most probable class. With several it holds the names of up to
    MOST_WORDS classes that are more likely there than not, "" if there are none; the probability is that of the likeliest.
    Without classes it is "", with a probability of 1, as there is nothing to doubt.

    Probabilities are rounded to the 4 decimals that files show, so that a file tells which trials stayed unanswered below a
    threshold.
    """
    if not probabilities.shape[1]:
        return [""] * len(probabilities), torch.ones(len(probabilities), dtype=probabilities.dtype)
    best = probabilities.max(1)
    probability = best.values.round(decimals=4)
    if not config.several_classes:
        return [class_names[number] for number in best.indices.tolist()], probability
    return [joined_names(class_names, row) for row in likely(probabilities)], probability


def likely(probabilities: torch.Tensor) -> torch.Tensor:
    """Which of the things with probabilities [N, K] are named: up to MOST_WORDS that are more likely there than not."""
    top = probabilities.topk(min(MOST_WORDS, probabilities.shape[1])).indices
    return torch.zeros_like(probabilities, dtype=torch.bool).scatter_(1, top, True) & (probabilities >= LIKELY)


def longest_words(config: PretrainedConfig, class_names: dict[int, str]) -> str:
    """A text as long as any of words_of."""
    names = sorted(class_names.values(), key=len)
    return ", ".join(names[-(MOST_WORDS if config.several_classes else 1):])
