"""The text that a chat template makes of messages. Templates come with models: they may be damaged, or hostile."""

import contextlib
import ctypes
import threading
from collections.abc import Sequence

from runtime.errors import InputError

from transformers import PreTrainedTokenizerBase, ProcessorMixin

SECONDS = 20  # for one text; a template takes a millisecond


class _Stopped(BaseException):
    """Ends the thread of a template that does not end."""


def chat_text(tokenizer: PreTrainedTokenizerBase | ProcessorMixin, messages: Sequence[dict], reply: bool = True,
              once: str = "", what: str | None = None, advice: str = "give --prompt_template plain, or another LLM",
              **options: object) -> str:
    """The messages as the chat template of a tokenizer or processor writes them.

    reply: with the beginning of the assistant's turn; once: a part of the messages that must be there once; options: for
    the template. InputError for a template that fails, does not end, or leaves out what the user says; what and advice: how
    it calls the model, and what to do.
    """
    result = []

    def write():
        with contextlib.suppress(_Stopped):
            try:
                result.append(tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=reply,
                                                            **options))
            except Exception as error:  # whatever the template of a stranger makes Python raise
                result.append(error)

    worker = threading.Thread(target=write, daemon=True)
    worker.start()
    worker.join(SECONDS)
    if worker.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(worker.ident), ctypes.py_object(_Stopped))
    found = result[0] if result else f"it does not end within {SECONDS} s"
    said = [text.strip() for message in messages if message["role"] == "user" for text in _texts(message["content"])]
    if result and isinstance(found, str) and all(text in found for text in said) and (not once or found.count(once) == 1):
        return found
    if isinstance(found, Exception):
        found = f"{type(found).__name__}: {' '.join(str(found).split())[:200]}"
    elif result:
        found = "it leaves the user's message out, or writes it several times"
    raise InputError(f"{what or f'LLM {tokenizer.name_or_path}'}: its chat template cannot be used ({found}); {advice}")


def _texts(content):
    """The texts of a message, whose content may be a list of texts and pictures."""
    return [content] if isinstance(content, str) else [part["text"] for part in content if part["type"] == "text"]
