"""Options of a source that have no effect on some of its layouts: given all the same, they are refused."""

from collections.abc import Iterable

from runtime.errors import InputError
from runtime.options import Options


def refuse(args: Options, names: Iterable[str], why: str) -> None:
    """Raise InputError for an option of `names` that is not at its default. why: a clause."""
    given = args.given()
    for name in names:
        if name in given:
            raise InputError(f"--{name}: {why}; leave it out")
