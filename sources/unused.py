"""Options of a source that have no effect on some of its layouts: given all the same, they are refused."""

import argparse
from collections.abc import Callable, Iterable

from runtime.errors import InputError


def refuse(args: argparse.Namespace, add_arguments: Callable[[argparse.ArgumentParser], None], names: Iterable[str],
           why: str) -> None:
    """Raise InputError for an option of `names` that is not at its default. add_arguments: the source's; why: a clause."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    defaults = {action.dest: action.default for action in parser._actions if action.default is not argparse.SUPPRESS}
    given = next((name for name in names if getattr(args, name) != defaults[name]), None)
    if given:
        raise InputError(f"--{given}: {why}; leave it out")
