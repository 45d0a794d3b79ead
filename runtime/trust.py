"""Whether Python code that comes with a model may run: what --trust_remote_code said to the command that runs now."""

import contextlib
from collections.abc import Iterator

_trusted = False


def trust_remote_code(trusted: bool) -> None:
    """Set what --trust_remote_code says; runtime.options.parse does it for each command line."""
    global _trusted
    _trusted = trusted


def is_trusted() -> bool:
    """Whether code of a model's own may run now."""
    return _trusted


@contextlib.contextmanager
def for_one_command() -> Iterator[None]:
    """A context after which trust is what it was before: in a notebook the next model that is loaded in Python, or the next
    command, must not inherit what was said to this one."""
    before = _trusted
    try:
        yield
    finally:
        trust_remote_code(before)
