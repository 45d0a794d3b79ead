"""The one place that loads models, tokenizers and processors of Hugging Face, so that no code of theirs runs unasked.

A model folder may bring Python code (`auto_map` in its config). Left to itself, transformers asks on the terminal whether
to run it. Here it is refused, unless --trust_remote_code was given.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from runtime.errors import InputError
from runtime.trust import is_trusted


def load(auto_class: type, name: str | Path, **options: object) -> object:
    """auto_class.from_pretrained(name, **options). InputError where that would need code of the model's own, and ValueError
    for whatever a damaged folder makes the library raise."""
    return _without_code(name, lambda: auto_class.from_pretrained(name, trust_remote_code=is_trusted(), **options))


def from_config(auto_class: type, config: object, **options: object) -> object:
    """auto_class.from_config(config, **options). InputError where that would need code of the model's own."""
    return _without_code(config.name_or_path,
                         lambda: auto_class.from_config(config, trust_remote_code=is_trusted(), **options))


def check_code(name: str | Path) -> None:
    """InputError for a model that cannot be loaded without code of its own, before a library loads it that would ask."""
    from transformers import AutoConfig

    load(AutoConfig, name)


@contextlib.contextmanager
def panics_are_errors() -> Iterator[None]:
    """A panic of a library in Rust (tokenizers), which is no Exception, becomes a ValueError."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError(f"{type(error).__name__}: {error}") from error


@contextlib.contextmanager
def no_code(flag: str, name: str | Path) -> Iterator[None]:
    """A context for a library that loads parts of a model by transformers, as open_clip loads its text tower: it would ask
    on the terminal whether to run code of theirs. InputError in place of the question; --trust_remote_code does not reach
    there. flag: the option that named the model."""
    from transformers import dynamic_module_utils

    seconds, dynamic_module_utils.TIME_OUT_REMOTE_CODE = dynamic_module_utils.TIME_OUT_REMOTE_CODE, 0
    try:
        yield
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        raise InputError(f"{flag} {name}: a part of it brings Python code of its own (auto_map in its config), which is "
                         "not run; choose another model") from None
    finally:
        dynamic_module_utils.TIME_OUT_REMOTE_CODE = seconds


def _without_code(name, call):
    try:
        with panics_are_errors():
            return call()
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        raise InputError(f"{name}: brings Python code of its own (auto_map in its config), which is not run; read that "
                         "code, and give --trust_remote_code if you trust it, or choose another model") from None
    except RecursionError as error:
        raise ValueError(f"lists or objects in its JSON files stand too deep in each other ({error})") from error
    except (OSError, ImportError, RuntimeError, MemoryError):  # no such model, a missing package, no memory
        raise
    except Exception as error:  # tokenizers raises plain ones, and a value of a wrong type makes anything happen
        raise ValueError(f"{type(error).__name__}: {error}") from error
