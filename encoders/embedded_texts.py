"""Texts with an embedding each, as a captioner keeps them: the words that it may name, the captions that it was taught."""

import json
from dataclasses import dataclass
from pathlib import Path

from runtime.atomic_files import atomic_path
from runtime.checkpoints import read_tensors
from runtime.errors import InputError
from runtime.text_files import parse_json

import torch
from safetensors import safe_open
from safetensors.torch import save_file


@dataclass(frozen=True)
class EmbeddedTexts:
    """texts [M]; embeddings [M, E]; numbers: what else belongs to them, {name: tensor}."""

    texts: list[str]
    embeddings: torch.Tensor
    numbers: dict[str, torch.Tensor]

    def save(self, file: str | Path) -> None:
        """Write a .safetensors file, with the texts as JSON in its header."""
        tensors = {"embeddings": self.embeddings, **self.numbers}
        with atomic_path(file) as temporary:
            save_file({name: tensor.float().contiguous() for name, tensor in tensors.items()}, temporary,
                      metadata={"texts": json.dumps(self.texts)})

    @classmethod
    def load(cls, file: str | Path, embedding_size: int) -> "EmbeddedTexts":
        """What `save` wrote. InputError for a damaged file, or embeddings of another size."""
        tensors = read_tensors(file)
        try:
            with safe_open(file, "pt") as content:
                texts = parse_json(content.metadata()["texts"])
            embeddings = tensors.pop("embeddings")
            fits = all(isinstance(text, str) for text in texts) and embeddings.shape == (len(texts), embedding_size)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{file}: damaged ({error}); copy it again or train again") from None
        if not fits or not all(bool(torch.isfinite(tensor).all()) for tensor in (embeddings, *tensors.values())):
            raise InputError(f"{file}: expected texts with finite embeddings of size {embedding_size}; copy it again or "
                             "train again")
        return cls(texts, embeddings, tensors)
