"""Load an LLM's tokenizer, and see that it keeps text."""

import re
from pathlib import Path

from runtime import pretrained
from runtime.errors import InputError

import transformers
from transformers import AutoTokenizer, PreTrainedTokenizerBase

SENTENCES = ("A red cat in the snow.", "Two people, one of them with an umbrella, cross a street at 7 o'clock; it rains.",
             'The photo shows a "well-known" tower (seen from below) in black and white!')


def load_tokenizer(name: str | Path) -> PreTrainedTokenizerBase:
    """A causal LLM's tokenizer, of a folder or the Hub; InputError where there is none, or it has no end token or loses
    text."""
    try:
        tokenizer = pretrained.load(AutoTokenizer, name)
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: no usable tokenizer ({str(error).splitlines()[0][:200]}); expected the tokenizer files "
                         "of a Hugging Face causal LM") from None
    if tokenizer.eos_token_id is None:
        raise InputError(f"{name}: the tokenizer has no end token, so captions could not end; choose another LLM")
    for sentence in SENTENCES:
        for text in (sentence, f" {sentence}"):
            back = tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids, skip_special_tokens=True)
            if _words(back) != _words(text):
                raise InputError(
                    f"{name}: the tokenizer loses text: {sentence!r} comes back as {back.strip()[:100]!r} with "
                    f"transformers {transformers.__version__}; install another version (5.22 or later keeps the spaces of "
                    "DeepSeek's tokenizer), or choose another LLM")
    return tokenizer


def _words(text):
    """Words and signs; capital letters and the spaces around signs do not count, as some LLMs do not tell them apart."""
    return re.findall(r"\w+|[^\w\s]", text.casefold())
