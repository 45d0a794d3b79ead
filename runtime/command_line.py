"""A script's command line: a parser whose help keeps the docstring, `--config`, "did you mean", and Options.

This file imports nothing heavy, so that `--help` and a wrong option answer at once.
"""

import argparse
import numbers
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence

from runtime import trust
from runtime.config_file import with_config
from runtime.errors import InputError
from runtime.given_options import Former, check_filled, check_text, did_you_mean, former_of, options_of
from runtime.secrets import without_secrets

EVERYTHING = "everything"


class Options(argparse.Namespace):
    """A command's options as they were given. They cannot be changed: what a program derives from them stands in an object
    of its own."""

    __slots__ = ("_checks", "_command_line", "_defaults", "_neutral", "_words")

    def __setattr__(self, name: str, value: object) -> None:
        if hasattr(self, "_neutral"):
            raise AttributeError(f"--{name}: options stay as they were given; derive an object of its own")
        super().__setattr__(name, value)

    def __setstate__(self, state: tuple[dict | None, ...]) -> None:
        for part in filter(None, state):  # of a pickle; the order of the slots must not matter
            for name, value in part.items():
                object.__setattr__(self, name, value)

    def asked(self, part: str = EVERYTHING) -> dict[str, object]:
        """The options that the result of `part` depends on, by name: all but those declared `neutral`."""
        return {name: value for name, value in vars(self).items()
                if self._neutral.get(name) not in (EVERYTHING, part)}

    def given(self) -> dict[str, object]:
        """The options that are not at their defaults, by name."""
        return {name: value for name, value in vars(self).items() if value != self._defaults.get(name)}

    def command_words(self, *without: str) -> list[str]:
        """The words of the command line, --config written out, without some options and their values."""
        kept, left_out = [], False
        for word in self._words:
            if word.startswith("-"):  # or the short form of another option, such as -sub
                left_out = word.removeprefix("--").split("=")[0] in without
            if not left_out:
                kept.append(word)
        return kept

    @property
    def command_line(self) -> str:
        """The command as a shell takes it, without keys in URLs."""
        return self._command_line


def neutral(action: argparse.Action, part: str = EVERYTHING) -> argparse.Action:
    """Declare that an option has no effect on the result, or on that of one `part` of the program.

    Such an option is left out of the keys by which checkpoints, caches and interrupted captions are recognised.
    """
    action.neutral = part
    return action


def checked(action: argparse.Action, check: Callable[[str, str], None]) -> argparse.Action:
    """Declare what `check_places` does with an option's value: check(value, flag) raises InputError."""
    action.check = check
    return action


class Parser(argparse.ArgumentParser):
    """argparse's parser with `--config`. An error is one line, and a name that is misspelt is answered with the nearest."""

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)
        neutral(self.add_argument("--config", metavar="FILE.yaml", default=argparse.SUPPRESS,
                                  help="read options from this file, a line `name: value` for each; those on the command "
                                       "line win"))
        self._given = []

    @property
    def call(self) -> str:
        """How the script is called: python SCRIPT."""
        return self.prog if self.prog.startswith("python") else f"python {self.prog}"

    def parse_known_args(self, args: Sequence[str] | None = None,
                         namespace: argparse.Namespace | None = None) -> tuple[argparse.Namespace, list[str]]:
        self._given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> None:
        known = options_of(self, hidden=True)
        strange = [name for word in self._given if word.startswith("--") and (name := word.split("=")[0]) not in known]
        if strange and strange != ["--"]:
            shown = options_of(self)
            message = "; ".join(f"{name}: there is no such option{did_you_mean(name, shown)}" for name in strange)
        message = message.rstrip(".")
        message = without_secrets(f"error: {message}{'' if message.endswith('?') else '.'}")
        self.exit(2, f"{message} All options: {self.call} --help\n")


def make_parser(description: str) -> Parser:
    """A parser whose help keeps the script's docstring as it is and names the default of each option."""

    class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
        def _get_help_string(self, action):  # for None, "" and a flag that is not given, the text says what they mean
            if action.default is None or action.default is False or action.default == "":
                return action.help
            if isinstance(action.default, list | tuple):
                return f"{action.help} (default: {' '.join(map(str, action.default))})"
            return super()._get_help_string(action)

    return Parser(description=description, formatter_class=Formatter, allow_abbrev=False)


def parse(parser: Parser, argv: list[str] | None) -> Options:
    """Parse a command line (None: the program's own) into Options."""
    for flag in former_of(parser):
        parser.add_argument(flag, action=Former, nargs="*", dest=argparse.SUPPRESS, help=argparse.SUPPRESS)
    hidden = [action.dest for action in parser._actions if hasattr(Options, action.dest)]
    if hidden:  # argparse would take the attribute for a value, and give no default
        raise ValueError(f"--{hidden[0]}: Options has an attribute of this name; rename one of the two")
    given = sys.argv[1:] if argv is None else _texts(argv)
    words = with_config(parser, given)
    args = parser.parse_args(words, Options())
    check_text(args)
    actions = _actions(parser, args)
    check_filled(args, actions)
    neutral_of = {action.dest: action.neutral for action in actions if hasattr(action, "neutral")}
    object.__setattr__(args, "_command_line", without_secrets(f"{parser.call} {shlex.join(given)}"))
    object.__setattr__(args, "_words", words)
    object.__setattr__(args, "_defaults", {action.dest: action.default for action in actions})
    object.__setattr__(args, "_checks", [(action.check, action.dest, action.option_strings[0]) for action in actions
                                         if hasattr(action, "check")])
    object.__setattr__(args, "_neutral", neutral_of)
    trust.trust_remote_code(getattr(args, "trust_remote_code", False))
    return args


def _texts(argv: Iterable[object]) -> list[str]:
    """The words of a command line that Python gives, as a notebook does, where paths and numbers may stand among them."""
    if isinstance(argv, str):
        raise InputError(f"the command line {argv!r}: is one text, expected a list of words; give shlex.split of it")
    words = list(argv)
    for word in words:
        if isinstance(word, bool) or not isinstance(word, str | os.PathLike | numbers.Real):
            raise InputError(f"the command line: {word!r} is no word of it, expected texts, paths and numbers; give a "
                             "switch by its name alone, and leave out an option without a value")
    return [str(word) for word in words]


def _actions(parser, args):
    """The options of a parser and of the command that was chosen."""
    found = list(parser._actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += _actions(action.choices[getattr(args, action.dest)], args)
    return found


def check_places(args: Options) -> None:
    """Raise InputError for a file or folder that is not there, by the options declared `checked`."""
    for check, name, flag in args._checks:
        if getattr(args, name) is not None:
            check(getattr(args, name), flag)


def require(parser: argparse.ArgumentParser, args: Options, *names: str) -> None:
    """End as argparse does where one of these options is not given."""
    missing = [f"--{name}" for name in names if getattr(args, name) is None]
    if missing:
        parser.error(f"the following arguments are required: {', '.join(missing)}")
