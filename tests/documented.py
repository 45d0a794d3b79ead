"""The commands, options, links and files that the README and the pages of docs/ name, held against the real parsers.

A command of a page is parsed by the parser of its own script: the script's `main` runs up to its `parse_args`, which
parses and stops there.
"""

import argparse
import functools
import importlib
import re
import shlex
import subprocess
from pathlib import Path
from unittest import mock

from runtime.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
RUNNERS = ("python", "python3", ".venv/bin/python", "torchrun", "accelerate", "bash", "make", "pip")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"(?<![\w-])--[a-zA-Z][\w-]*")


class Refused(Exception):
    """A page names what is not there."""


class Parsed(BaseException):
    """Raised in place of a script's work: the parser, and what it made of the arguments."""

    def __init__(self, parser, arguments=None):
        super().__init__()
        self.parser, self.arguments = parser, arguments


def _run_to_parser(module, arguments, parse_args):
    try:
        script = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise Refused(f"{module}: {error}") from None
    with mock.patch.object(argparse.ArgumentParser, "parse_args", parse_args):
        try:
            script.main(list(arguments))
        except Parsed as parsed:
            return parsed
        except SystemExit as stop:
            if stop.code:
                raise Refused(f"{module}: its parser refuses {shlex.join(arguments)}") from None
            return None  # --help
    raise Refused(f"{module}: main() parses no arguments")


def parse(module, arguments):
    """The arguments as the script `module` parses them; Refused where its parser does not take them."""
    real = argparse.ArgumentParser.parse_args

    def parse_args(self, args=None, namespace=None):
        raise Parsed(self, real(self, args, namespace))

    parsed = _run_to_parser(module, arguments, parse_args)
    _check_required(module, arguments)
    return parsed and parsed.arguments


def _check_required(module, arguments):
    """Refuse what the script asks for only after parsing, such as the data set that `--plan` does without."""
    script = importlib.import_module(module)
    try:
        getattr(script, "parse", lambda argv: None)(list(arguments))
    except SystemExit as stop:
        if stop.code:
            raise Refused(f"{module}: it refuses {shlex.join(arguments)}") from None
    except InputError:  # about files that a page's example does not have
        return


@functools.cache
def options_of(module):
    """All options of a script, those of its subcommands included."""
    def parse_args(self, args=None, namespace=None):
        raise Parsed(self)

    parsers, options = [_run_to_parser(module, (), parse_args).parser], set()
    for parser in parsers:
        options |= set(parser._option_string_actions)
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
    return options


@functools.cache
def all_options():
    scripts = [path.stem for path in ROOT.glob("*.py") if "argparse" in (text := path.read_text(encoding="utf-8"))
               or "make_parser" in text]
    modules = ["metrics.wordnet", "metrics.sentences", "recipes.make_small_clip", "recipes.make_small_llm", "bench.speed",
               "bench.scale", "bench.data_format", "bench.null_studies", "bench.gpu_check", "bench.faults"]
    return set().union(*map(options_of, [*scripts, *modules]))


def check_command(command):
    """Raise Refused unless the command's own parser takes it."""
    words = shlex.split(command, comments=True)
    while words and re.match(r"\w+=", words[0]):
        words.pop(0)
    for word in words:
        if inner := re.fullmatch(r"\$\((.*)\)", word):
            check_command(inner[1])
    if not words or words[0] not in RUNNERS:
        raise Refused(f"{command}: not a command that can be checked ({', '.join(RUNNERS)})")
    checks = {"torchrun": _check_torchrun, "accelerate": _check_accelerate, "bash": _check_bash, "make": _check_make,
              "pip": _check_pip}
    checks.get(words[0], _check_python)(words[1:])


def _check_python(words):
    if words[:1] == ["-m"]:
        _check_module(words[1], words[2:])
    elif words and (ROOT / words[0]).is_file() and words[0].endswith(".py"):
        parse(words[0].removesuffix(".py").replace("/", "."), words[1:])
    else:
        raise Refused(f"python {shlex.join(words)}: no such script")


def _check_module(module, arguments):
    if module == "pytest":
        files = [word for before, word in zip(["", *arguments], arguments, strict=False)
                 if not {before, word} & {"-m", "-k"}]  # which tests of the files
        absent = [word for word in files if not (ROOT / word).exists()]
        if absent:
            raise Refused(f"pytest: no such file: {', '.join(absent)}")
    elif (ROOT / f"{module.replace('.', '/')}.py").is_file():
        parse(module, arguments)
    else:
        raise Refused(f"python -m {module}: not a module of this project")


def _launched(parser, words, launcher):
    """Check what a launcher starts; returns the launcher's own arguments."""
    try:
        arguments = parser.parse_args(words)
    except SystemExit:
        raise Refused(f"{launcher}: its parser refuses {shlex.join(words)}") from None
    _check_python([*(["-m"] if arguments.module else []), arguments.training_script, *arguments.training_script_args])
    return arguments


def _check_torchrun(words):
    from torch.distributed.run import get_args_parser

    _launched(get_args_parser(), words, "torchrun")


def _check_accelerate(words):
    from accelerate.commands.launch import launch_command_parser

    if words[:1] != ["launch"]:
        raise Refused(f"accelerate {shlex.join(words)}: expected accelerate launch")
    arguments = _launched(launch_command_parser(), words[1:], "accelerate launch")
    if arguments.config_file and not (ROOT / arguments.config_file).is_file():
        raise Refused(f"accelerate launch --config_file {arguments.config_file}: no such file")


def _check_bash(words):
    script = ROOT / words[0]
    if not script.is_file():
        raise Refused(f"bash {words[0]}: no such file")
    if subprocess.run(["bash", "-n", script], check=False).returncode:
        raise Refused(f"bash {words[0]}: its syntax is wrong")
    text = "\n".join(line for line in script.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    if passed_on := re.search(r'-m ([\w.]+) "\$\{arguments\[@\]\}"', text):
        arguments = words[1:]
        if "--wheels" in arguments and "--wheels" in text:  # the shell script's own
            place = arguments.index("--wheels")
            del arguments[place:place + 2]
        parse(passed_on[1], arguments)
        return
    positions = max((int(n) for n in re.findall(r"\$\{?(\d)", text) if n != "0"), default=0)
    if len(words) - 1 > positions:
        raise Refused(f"bash {shlex.join(words)}: {len(words) - 1} arguments, the script reads {positions}")


def _check_make(words):
    done = subprocess.run(["make", "--dry-run", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"make {shlex.join(words)}: {done.stderr.strip()}")


def _check_pip(words):
    from packaging.requirements import InvalidRequirement, Requirement

    if words[:1] != ["install"]:
        raise Refused(f"pip {shlex.join(words)}: expected pip install")
    words = iter(words[1:])
    for word in words:
        if word == "-r":
            file = next(words, "")
            if not (ROOT / file).is_file():
                raise Refused(f"pip install -r {file}: no such file")
        elif word != "--no-deps":
            try:
                Requirement(word)
            except InvalidRequirement:
                raise Refused(f"pip install {word}: not a requirement") from None


def blocks(text):
    """(language, content) of the fenced blocks of a page."""
    return [(match[1], match[2]) for match in FENCE.finditer(text)]


def spans(text):
    """What stands between backticks outside of the blocks."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", FENCE.sub("", text))]


def commands_of(text):
    """Every command of a page, in order: the lines of its bash blocks, then the commands within its sentences."""
    lines = "".join(content for language, content in blocks(text) if language in ("", "bash", "sh", "console"))
    lines = [line.strip() for line in lines.replace("\\\n", " ").splitlines()]
    return ([line for line in lines if line and not line.startswith("#")]
            + [span for span in spans(text) if span.split()[0] in RUNNERS and " " in span])


def problems(text):
    """What a page names that is not there: wrong commands and unknown options."""
    found = [f"```{language}: name the block's language, bash for commands" for language, _ in blocks(text)
             if language not in ("bash", "python", "text")]
    for command in commands_of(text):
        try:
            check_command(command)
        except Refused as error:
            found.append(str(error))
    for span in spans(text):
        script = span.split()[0].removesuffix(".py")
        known = options_of(script) if (ROOT / f"{script}.py").is_file() and " " in span else all_options()
        if span.split()[0] not in RUNNERS:
            found += [f"`{span}`: no such option as {option}" for option in OPTION.findall(span) if option not in known]
    prose = re.sub(r"`[^`]*`", "", FENCE.sub("", text))
    return found + [f"{option} stands outside of backticks" for option in OPTION.findall(prose)]


def headings(text):
    """The anchors that GitHub gives to the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(page):
    """Relative links of a page whose file or heading is not there."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        if re.match(r"\w+:", link):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in headings(target.read_text(encoding="utf-8"))):
            broken.append(link)
    return broken
