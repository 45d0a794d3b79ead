"""Run records: what was run, with which options and versions, on which data."""

import argparse
import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path
from typing import TypeVar

from runtime.atomic_files import atomic_path
from runtime.errors import InputError
from runtime.run_facts import run_facts
from runtime.secrets import without_secrets
from runtime.text_files import parse_json, read_text
from runtime.wording import listed

T = TypeVar("T")
CHECKSUM, MARK = "checksum", "sha256 of the rest: "  # key of a record, and the beginning of its value
LEDGER = "test_ledger.jsonl"  # counts the scorings of test data (evaluation/ledger.py), in data set and run folders
PACKAGES = (  # those that make or read the numbers
    "torch", "transformers", "peft", "accelerate", "bitsandbytes", "open_clip_torch", "numpy", "scipy", "pandas",
    "scikit-learn", "mne", "mne-bids", "datasets", "pillow", "pyriemann", "nltk", "rouge-score", "rouge", "sacrebleu",
    "pycocoevalcap", "bert-score", "sentence-transformers")


def write_json(path: str | Path, content: object) -> None:
    """Write JSON, atomically; what JSON does not know is written as its text."""
    text = json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n"
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode(errors="backslashreplace"))  # half a surrogate pair, as JSON escapes it


def write_record(path: str | Path, content: dict) -> None:
    """Write a JSON object with a checksum, by which read_json notices that a value was damaged."""
    write_json(path, {**content, CHECKSUM: _checksum(content)})


def _checksum(content):
    as_read = json.loads(json.dumps(content, default=str))  # numbers as keys, tuples and paths become what a reader gets
    return MARK + hashlib.sha256(json.dumps(as_read, sort_keys=True).encode()).hexdigest()


def _fits(content):
    """Whether an object is as write_record wrote it, or holds no checksum, under whatever name. Takes the checksum away."""
    if CHECKSUM in content:
        return content.pop(CHECKSUM) == _checksum(content)
    return not any(isinstance(value, str) and value.startswith(MARK) for value in content.values())


def read_json(path: str | Path, kind: type[T] = dict, advice: str = "write it again with the stage it belongs to") -> T:
    """The content of a JSON file that an earlier stage wrote. Any type but `kind` is an InputError, whose end is advice,
    and so is content that does not fit the checksum that a record holds."""
    try:
        content = parse_json(read_text(path, advice=advice))
    except FileNotFoundError:
        inner = sorted(file.parent.name for file in Path(path).parent.glob(f"*/{Path(path).name}"))
        below = f"; {Path(path).parent} holds {listed(inner, 3)} with such a file: give the one that is meant" * bool(inner)
        raise InputError(f"{path}: not found; expected a JSON file written by an earlier stage{below}") from None
    except (ValueError, IsADirectoryError) as error:
        raise InputError(f"{path}: not readable as JSON ({error}); {advice}") from None
    if not isinstance(content, kind):
        raise InputError(f"{path}: holds a {type(content).__name__}, expected a {kind.__name__}; {advice}")
    if isinstance(content, dict) and not _fits(content):
        raise InputError(f"{path}: damaged, or changed by hand (its checksum does not fit); copy it again, or remove its "
                         f"'{CHECKSUM}' if you changed it on purpose")
    return content


def file_hash(path: str | Path) -> str:
    """SHA-256 of the bytes of a file as hex digits; of a folder, over the names and bytes of its files."""
    path = Path(path)
    if path.is_dir():
        digest = hashlib.sha256()
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(f"{file.relative_to(path)}\0{file_hash(file)}\0".encode())
        return digest.hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_key(content: object) -> str:
    """A short key of JSON-like content. Equal content gives equal keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def versions() -> dict[str, str]:
    """The versions of Python and of the installed PACKAGES."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def save_run(folder: str | Path, args: argparse.Namespace, **facts: object) -> None:
    """Write `args.json`: the options as given, the library versions and `facts` such as data fingerprints.

    It comes last, as it says that the folder is whole: the fact `files` holds the hashes of the model's files
    (runtime.checkpoint_files). The fact `used` holds what the program derived from options that were not given, by the
    option's name.
    """
    made = run_facts(getattr(args, "command_line", None))
    write_record(Path(folder) / "args.json", {"options": without_secrets(vars(args)), "versions": versions(),
                                              "threads": threads(), "made": made, **facts})


def threads() -> int | None:
    """Number of threads of torch, on which the last digits of sums depend; None where torch is not in use."""
    torch = sys.modules.get("torch")
    return torch and torch.get_num_threads()


def read_run(folder: str | Path) -> tuple[dict, dict]:
    """The content of a folder's `args.json`, and the options by which it was made: those given, completed by what the
    program used. Both are empty where there is no such file, as in a predecessor's checkpoint."""
    from runtime.run_schema import RunRecord
    from runtime.schema import check

    file = Path(folder) / "args.json"
    content = read_json(file) if file.is_file() else {}
    check(RunRecord, content, file, "it is damaged or was changed by hand, so copy the folder again")
    return content, options_used(content)


def training_warnings(folder: str | Path) -> list[str]:
    """What a training said at its end, from the folder's `args.json`: sentences on what failed."""
    return read_run(folder)[0].get("warnings") or []


def options_used(content: dict) -> dict:
    """The options of an `args.json` or of a record of captions, completed by what the program used."""
    return {**(content.get("options") or {}), **(content.get("used") or {})}


def cache_dir(given: str | Path | None = None) -> Path:
    """The folder of results that can be computed again: --cache_dir, else $EEG_TO_TEXT_CACHE, else ~/.cache/eeg_to_text."""
    return Path(given or os.environ.get("EEG_TO_TEXT_CACHE") or Path.home() / ".cache" / "eeg_to_text")
