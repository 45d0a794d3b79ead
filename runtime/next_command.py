"""The last line of a stage: the whole command of the next one."""

import shlex
from pathlib import Path

from runtime.command_line import Options
from runtime.secrets import without_secrets

CARRIED = ("eeg_dataset", "splits_path", "image_dir", "split_num", "subject", "splits_index", "time_low", "time_high",
           "picture", "cache_dir", "device")


def say_next(script: str, args: Options, *words: str, carry: tuple[str, ...] = CARRIED,
             **options: object) -> None:
    """Print the command that runs `script` next. words: those that come first; carry: options of `args` that it takes over
    as they were given; options: its own, None: left out. Passwords and keys in URLs are left out: terminals are kept."""
    given = {name: value for name, value in args.given().items() if name in carry} | options
    texts = [part for name, value in given.items() if value is not None
             for part in ([f"--{name}"] if value is True else [f"--{name}", *map(str, _several(value))])]
    print(without_secrets(f"next: {' '.join(['python', script, *map(quoted, words), *map(quoted, texts)])}"))


def _several(value):
    return value if isinstance(value, list | tuple) else [value]


def quoted(text: str) -> str:
    """A word as a shell takes it; a pattern such as results/*.csv stays one."""
    head, star, tail = text.partition("*")
    return f"{shlex.quote(head)}*{shlex.quote(tail)}" if star else shlex.quote(text)


def report_folder(captions: Path) -> Path:
    """Where the report on a folder of caption files goes: to the folder above it, which is the run's, but not to the root
    or the current folder, which hold everything."""
    return captions.parent if captions.parent.name else captions


def beside(folder: str | Path, name: str) -> str:
    """The path of what is to be written beside a folder."""
    return str(Path(folder).parent / name)
