"""Words of an open vocabulary that an embedding speaks of, by the text side of CLIP, each with a calibrated probability.

A word's likeness to an embedding is the cosine of the two, each less a mean: pictures and texts lie apart in CLIP's space
(Liang et al., Mind the gap, NeurIPS 2022), and embeddings decoded from EEG have a mean of their own. Platt scaling (Platt
1999) turns likenesses into the probability that the word is in a caption of the picture. Both are of trials that the
encoder was not trained on. Where the embedding tells nothing, no word is likely, and none is named.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runtime.errors import InputError
from runtime.text_files import read_lines

import numpy as np
import torch
from torch.nn.functional import normalize

from .clip import embed_texts
from .embedded_texts import EmbeddedTexts
from .words import MOST_WORDS, likely

TEMPLATE = "a picture of a {}"
MOST_IN_VOCABULARY = 2000
LEAST_PICTURES = 2  # whose captions hold a word of the default vocabulary


def words_in(file: str | Path) -> list[str]:
    """The vocabulary of a file: one word or name a line, each once, in capital or small letters: captions are searched
    without regard to them."""
    lines = [line.strip() for line in read_lines(file, f"--vocabulary {file}") if line.strip()]
    first = {}
    for line in lines:
        first.setdefault(line.casefold(), line)
    words = list(first.values())
    if not words:
        raise InputError(f"--vocabulary {file}: holds no word; expected one a line")
    return words


def words_of_captions(captions: Sequence[str]) -> list[str]:
    """The vocabulary of training captions, a text for each picture: all words but function words and rare ones."""
    from sklearn.feature_extraction.text import CountVectorizer

    try:
        counted = CountVectorizer(stop_words="english", min_df=LEAST_PICTURES, max_features=MOST_IN_VOCABULARY)
        return counted.fit(captions).get_feature_names_out().tolist()
    except ValueError:
        raise InputError(f"--label words: no word is in the captions of {LEAST_PICTURES} training pictures; name a file of "
                         "words with --vocabulary, or give another --label") from None


def present(words: Sequence[str], captions: Sequence[str]) -> torch.Tensor:
    """Whether each word, as a whole, is in each text: [n, V] bool. Both are parted at whatever is no letter or digit, as
    `words_of_captions` parts captions: "a dog's black-and-white toy" holds dog and black."""
    from sklearn.feature_extraction.text import CountVectorizer

    parted = CountVectorizer(token_pattern=r"(?u)\b\w+\b")
    tokens = [parted.build_analyzer()(word) for word in words]
    column = {text: number for number, text in enumerate(dict.fromkeys(map(" ".join, tokens)))}
    parted.set_params(vocabulary=column, binary=True, ngram_range=(1, max(1, *map(len, tokens))))
    return torch.from_numpy(parted.transform(captions).toarray()[:, [column[" ".join(word)] for word in tokens]] > 0)


@dataclass(frozen=True)
class Vocabulary:
    """words [V]; directions [V, E] of length 1; centre [E], the mean of the embeddings that it was calibrated on, before
    that of the training pictures'; slope and offset of Platt scaling."""

    words: list[str]
    directions: torch.Tensor
    centre: torch.Tensor
    slope: float = 0.
    offset: float = -np.inf

    @classmethod
    def of(cls, words: Sequence[str], pictures: torch.Tensor, clip_model: str, device: str) -> "Vocabulary":
        """A vocabulary that is not calibrated; pictures [n, E]: embeddings of the training pictures."""
        texts = normalize(embed_texts([TEMPLATE.format(word) for word in words], clip_model, device))
        if texts.shape[1] != pictures.shape[1]:
            raise InputError(f"--clip_model {clip_model}: its texts have embeddings of size {texts.shape[1]}, its pictures "
                             f"of {pictures.shape[1]}; --label words needs a CLIP model")
        return cls(list(words), normalize(texts - texts.mean(0)), pictures.mean(0))

    def likeness(self, embeddings: torch.Tensor) -> torch.Tensor:
        """embeddings [n, E] -> [n, V], from -1 to 1."""
        return normalize(embeddings.float() - self.centre) @ self.directions.T

    def calibrated(self, embeddings: torch.Tensor, truth: torch.Tensor) -> "Vocabulary":
        """The same, centred by embeddings [n, E], with Platt scaling fitted to them and to whether each word is true of
        them, [n, V] bool."""
        from sklearn.linear_model import LogisticRegression

        centred = replace(self, centre=embeddings.float().mean(0))
        values, words = centred.likeness(embeddings).reshape(-1, 1).double().numpy(), truth.flatten().numpy()
        if words.all() or not words.any():
            raise InputError("--label words: of the validation captions all or none hold the words of the vocabulary, so "
                             "probabilities cannot be fitted; give another --vocabulary, or another --label")
        fitted = LogisticRegression(C=1e6).fit(values, words)
        slope = max(float(fitted.coef_[0, 0]), 0.)  # below 0 the encoder is worse than chance: nothing is likely
        offset = float(fitted.intercept_[0]) if slope else float(np.log(words.mean() / (1 - words.mean())))
        return replace(centred, slope=slope, offset=offset)

    def probabilities(self, embeddings: torch.Tensor) -> torch.Tensor:
        """embeddings [n, E] -> the probability [n, V] that each word is in a caption."""
        return (self.slope * self.likeness(embeddings).double() + self.offset).sigmoid()

    def words_of(self, probabilities: torch.Tensor) -> list[str]:
        """From probabilities [n, V] to n texts: up to MOST_WORDS words that are more likely than not, the likeliest first;
        "" where there is none."""
        chosen, count = likely(probabilities), min(MOST_WORDS, probabilities.shape[1])
        return [", ".join(self.words[number] for number in row if chosen[n, number])
                for n, row in enumerate(probabilities.topk(count).indices.tolist())]

    def longest(self) -> str:
        """A text as long as any of words_of."""
        return ", ".join(sorted(self.words, key=len)[-MOST_WORDS:])

    def save(self, file: str | Path) -> None:
        EmbeddedTexts(self.words, self.directions, {
            "centre": self.centre, "scaling": torch.tensor([self.slope, self.offset])}).save(file)

    @classmethod
    def load(cls, file: str | Path, embedding_size: int) -> "Vocabulary":
        kept = EmbeddedTexts.load(file, embedding_size)
        if {name: tuple(tensor.shape) for name, tensor in kept.numbers.items()} != {"centre": (embedding_size,),
                                                                                   "scaling": (2,)}:
            raise InputError(f"{file}: is no vocabulary of a captioner; copy it again or train again")
        return cls(kept.texts, kept.embeddings, kept.numbers["centre"], *kept.numbers["scaling"].tolist())
