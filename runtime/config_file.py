"""Options from a YAML file, `python SCRIPT --config FILE.yaml`, as trl's scripts take them.

Each line `name: value` becomes what it would be on the command line, before the options there. So the parser checks it as
it checks everything, and the command line wins. (ConfigArgParse changes argparse for the whole program, and jsonargparse
and HfArgumentParser want the options declared in their own way.)
"""

import argparse
import os
from collections import Counter
from collections.abc import Sequence

from runtime.errors import InputError
from runtime.given_options import did_you_mean, options_of
from runtime.text_files import read_text

FLAG = "--config"
SWITCHES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
NOTHING = ("", "null", "~")  # an option that keeps its default


def with_config(parser: argparse.ArgumentParser, argv: Sequence[str]) -> list[str]:
    """The command line with the options of its --config file in place of that option, before the others.

    They come behind files that are named first, as an option with several values would take these for values of its own.
    """
    file = _file_of(argv)
    if file is None:
        return list(argv)
    argv = _without_file(argv)
    commands = next((action for action in parser._actions if isinstance(action, argparse._SubParsersAction)), None)
    start = 0
    if commands:
        start = next((place for place, word in enumerate(argv, 1) if word in commands.choices), 0)
        if not start:
            return list(argv)  # the parser says that the command is missing
        parser = commands.choices[argv[start - 1]]
    words = [word for name, value in _content(file).items() for word in _words(parser, argv, file, name, value)]
    start = next((place for place in range(start, len(argv)) if argv[place].startswith("-")), len(argv))
    return [*argv[:start], *words, *argv[start:]]


def _file_of(argv):
    files = []
    for place, word in enumerate(argv):
        if word == FLAG and place + 1 < len(argv):
            files.append(argv[place + 1])
        elif word.startswith(f"{FLAG}="):
            files.append(word.removeprefix(f"{FLAG}="))
    if len(files) > 1:
        raise InputError(f"{FLAG} {files[0]} and {FLAG} {files[1]}: only one file is read; put the options into one, or on "
                         "the command line")
    return files[0] if files else None


def _without_file(argv):
    kept = [word for word in argv if not word.startswith(f"{FLAG}=")]
    while FLAG in kept[:-1]:
        place = kept.index(FLAG)
        del kept[place:place + 2]
    return kept


def _content(file):
    """{name: text, or list of texts}. Values stay as they are written: 1e-4 is no text to YAML, and off no word."""
    import yaml

    advice = "expected lines such as `learning_rate: 0.0001`"
    try:
        loader = yaml.BaseLoader(read_text(file, advice=advice))
        node = loader.get_single_node()
        content = None if node is None else loader.construct_document(node)
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{FLAG} {file}: no such file; give the path of a YAML file of options") from None
    except (yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{FLAG} {file}: is no YAML ({reason}); {advice}") from None
    if content is None or content == "":
        return {}
    if not isinstance(content, dict):
        raise InputError(f"{FLAG} {file}: holds a {type(content).__name__}; {advice}")
    name, count = max(Counter(name.value for name, _ in node.value).items(), key=lambda item: item[1], default=("", 0))
    if count > 1:
        raise InputError(f"{FLAG} {file}: {name} stands there {count} times, expected once; remove one")
    return content


def _words(parser, argv, file, name, value):
    """The words of the command line that `name: value` stands for."""
    flag, where = f"--{name}", f"{FLAG} {file}: {name}"
    action = parser._option_string_actions.get(flag)
    if action is None or flag in (FLAG, "--help"):
        short = parser._option_string_actions.get(f"-{name}")
        near = did_you_mean(short.option_strings[-1] if short else flag, options_of(parser)).replace("--", "")
        raise InputError(f"{where}: there is no such option{near or '; expected the name of an option, without dashes'}")
    if value in NOTHING or _is_given_otherwise(parser, argv, action):
        return []
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise InputError(f"{where}: holds more than a value; expected `{name}: VALUE`, or a list of values")
    texts = [os.path.expanduser(text) if text.startswith("~/") else text for text in texts]  # as a shell would
    several = action.nargs in ("+", "*") or (isinstance(action.nargs, int) and action.nargs > 1)
    if len(texts) != 1 and not several:
        raise InputError(f"{where}: {len(texts)} values, expected one")
    if action.nargs != 0:
        return [flag, *texts] if several else [f"{flag}={texts[0]}"]
    if texts[0].lower() not in SWITCHES:
        raise InputError(f"{where}: {texts[0]}, expected true or false")
    if SWITCHES[texts[0].lower()]:
        return [flag]
    return [f"--no-{name}"] if f"--no-{name}" in action.option_strings else []


def _is_given_otherwise(parser, argv, action):
    """Whether the command line gives an option that excludes this one."""
    given = {word.split("=")[0] for word in argv}
    others = [other for group in parser._mutually_exclusive_groups if action in group._group_actions
              for other in group._group_actions if other is not action]
    return any(given & set(other.option_strings) for other in others)
