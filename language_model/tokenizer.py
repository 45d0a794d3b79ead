"""Load an LLM's tokenizer, and see that it keeps text."""

import re
from collections.abc import Iterable
from pathlib import Path

from runtime import pretrained
from runtime.errors import InputError
from runtime.small_models import offline_advice

import transformers
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from config import INSTRUCTIONS

KEPT = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "chat_template*", "additional_chat_templates/*")
SENTENCES = ("A red cat in the snow.", INSTRUCTIONS["basic"])


def load_tokenizer(name: str | Path) -> PreTrainedTokenizerBase:
    """A causal LLM's tokenizer, of a folder or the Hub; InputError where there is none, or it has no end token or loses
    text."""
    try:
        tokenizer = pretrained.load(AutoTokenizer, name)
        with pretrained.panics_are_errors():
            returned = [_there_and_back(tokenizer, sentence) for sentence in SENTENCES]
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise InputError(f"{name}: no usable tokenizer ({reason}); expected the tokenizer files of a Hugging Face causal "
                         f"LM{offline_advice('llm', name)}") from None
    if tokenizer.eos_token_id is None:
        raise InputError(f"{name}: the tokenizer has no end token, so captions could not end; choose another LLM")
    for sentence, back in zip(SENTENCES, returned, strict=True):
        if _words(back) != _words(sentence):
            raise InputError(
                f"{name}: the tokenizer loses text: {sentence!r} comes back as {back[:100]!r} with transformers "
                f"{transformers.__version__}; install another version (5.22 or later keeps the spaces of DeepSeek's "
                "tokenizer), or choose another LLM")
    return tokenizer


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: str | Path) -> None:
    """Write a tokenizer, and remove what an earlier one in the folder had. transformers reads a chat template that lies
    there, also where the tokenizer beside it was saved without one."""
    for pattern in KEPT:
        for file in Path(folder).glob(pattern):
            if file.is_file():
                file.unlink()
    tokenizer.save_pretrained(folder)


def check_captions(tokenizer: PreTrainedTokenizerBase, captions: Iterable[str]) -> None:
    """Say how many of the captions to train on lose text in the tokenizer; InputError if most of them do."""
    captions = sorted(set(captions))
    lost = [text for text in captions if _words(_there_and_back(tokenizer, text)) != _words(text)]
    if not lost:
        return
    found = (f"{len(lost)} of {len(captions)} captions lose text in its tokenizer, as {lost[0][:100]!r}, which comes back "
             f"as {_there_and_back(tokenizer, lost[0])[:100]!r}")
    if 2 * len(lost) > len(captions):
        raise InputError(f"LLM {tokenizer.name_or_path}: {found}; choose an LLM that knows the language of your captions")
    print(f"note: LLM {tokenizer.name_or_path}: {found}")


def _there_and_back(tokenizer, text):
    """The text as it comes back from its token ids."""
    return tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids, skip_special_tokens=True).strip()


def _words(text):
    """Words and signs; capital letters and the spaces around signs do not count, as some LLMs do not tell them apart."""
    return re.findall(r"\w+|[^\w\s]", text.casefold())
