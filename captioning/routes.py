"""What the LLM is told of a trial beside the soft tokens: a class name, words or neither, and captions of similar pictures.

A route is made once for a captioner from its training pictures and kept in its folder, so it never holds a test picture.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import InputError

import numpy as np
import torch
from transformers import PretrainedConfig

from captioning.planning import longest_labels
from config import EEGModelForCausalLMConfig
from encoders.embedded_texts import EmbeddedTexts
from encoders.vocabulary import Vocabulary
from metrics.text_baselines import nearest_pictures

WORDS, WORDS_OF_PICTURES, EXEMPLARS = (f"{name}.safetensors" for name in (
    "vocabulary", "picture_vocabulary", "exemplars"))


@dataclass
class Route:
    """label: "class", "words" or "none"; vocabulary: for "words", calibrated on EEG; count: captions of similar pictures in
    a prompt; pictures: the captions of the training pictures with the pictures' embeddings, None without; of_pictures: the
    vocabulary calibrated on pictures, whose embeddings say more; None in an earlier version's captioner."""

    label: str = "class"
    vocabulary: Vocabulary | None = None
    count: int = 0
    pictures: EmbeddedTexts | None = None
    of_pictures: Vocabulary | None = None

    @classmethod
    def load(cls, folder: Path, config: EEGModelForCausalLMConfig, label: str | None = None) -> "Route":
        """A captioner's route. label: another than its own, None for its own."""
        label = label or config.label
        if label == "words" != config.label:
            raise InputError(f"--label words: the captioner {folder} was trained with --label {config.label}, so it has no "
                             "vocabulary; train one with --label words, or leave the option out")
        size, words = config.embedding_size, label == "words"
        of_pictures = words and (folder / WORDS_OF_PICTURES).is_file()
        return cls(label, Vocabulary.load(folder / WORDS, size) if words else None, config.exemplars,
                   EmbeddedTexts.load(folder / EXEMPLARS, size) if config.exemplars else None,
                   Vocabulary.load(folder / WORDS_OF_PICTURES, size) if of_pictures else None)

    def save(self, folder: Path) -> None:
        """Write what `load` reads, and remove what an earlier captioner in the folder had."""
        for file, content in ((WORDS, self.vocabulary), (WORDS_OF_PICTURES, self.of_pictures), (EXEMPLARS, self.pictures)):
            if content is None:
                (folder / file).unlink(missing_ok=True)
            else:
                content.save(folder / file)

    def labels(self, embeddings: torch.Tensor, predicted: Sequence[str], modality: str = "eeg") -> list[str | None]:
        """What stands for the class in the prompts of trials: embeddings [N, E] of EEG or, with the modality "image", of
        pictures; predicted [N] class names."""
        if self.label == "words":
            vocabulary = self.of_pictures if modality == "image" and self.of_pictures else self.vocabulary
            return vocabulary.words_of(vocabulary.probabilities(embeddings))
        return self.named(predicted)

    def named(self, names: Sequence[str]) -> list[str | None]:
        """Class names that are known as they stand in prompts: not at all with the label "none"."""
        return [None] * len(names) if self.label == "none" else list(names)

    def exemplars(self, embeddings: torch.Tensor, own: Sequence[int] | None = None) -> list[tuple[str, ...]]:
        """The captions of the training pictures nearest to embeddings [N, E], the nearest first. own [N]: the number of the
        picture that was seen, whose caption is left out, or -1 where it is none of them."""
        if not self.count:
            return [()] * len(embeddings)
        rows = nearest_pictures(embeddings.numpy(), self.pictures.embeddings.numpy(), self.count,
                                None if own is None else np.asarray(own))
        return [tuple(self.pictures.texts[i] for i in row) for row in rows.tolist()]

    def longest(self, config: PretrainedConfig, class_names: dict[int, str]) -> tuple[Iterable[str], tuple[str, ...]]:
        """Texts among which is the longest that stands for the class, and the longest exemplars together. config: of the
        encoder."""
        captions = self.pictures.texts if self.count else []
        return ({*longest_labels(config, class_names), *([self.vocabulary.longest()] if self.vocabulary else [])},
                tuple(sorted(captions, key=len)[-self.count:] if self.count else ()))
