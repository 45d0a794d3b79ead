"""The ledger of a data set: how often its test part was scored.

Each further scoring of test trials is another chance of a lucky result, also with another split, subject or run folder.
`test_ledger.jsonl` beside the data has a line for each scoring: date, script, family (the data and the part), split,
subject, model, what was scored. Where the data cannot be written to, it is in the run folder (demo/simulated for
demo/simulated/captioner).
"""

import errno
import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from runtime.errors import InputError
from runtime.runs import LEDGER, content_key
from runtime.text_files import parse_json
from runtime.wording import counted, joined

AGAIN = "Each further scoring makes a lucky result more likely"
KEYS = ("script", "family", "model", "scored")
READ_ONLY_ERRORS = (errno.EACCES, errno.EPERM, errno.EROFS)


def run_folder(model_path: str | Path) -> Path | None:
    """The folder that holds the checkpoint `model_path`, absolute; None for a Hub id, which is no local folder.

    For an encoder within a captioner it is the folder that holds the captioner.
    """
    if not Path(model_path).is_dir():
        return None
    folder = Path(model_path).resolve().parent
    return folder.parent if (folder / "config.json").is_file() else folder  # a captioner's files make its key


def ledger_folders(data_path: str | Path | None, run: Path | None) -> list[Path]:
    """Where a scoring is noted: the folder of the data, and the run folder where that is gone or cannot be written to."""
    place = Path(data_path).resolve() if data_path else None
    data = [] if place is None or not place.exists() else [place if place.is_dir() else place.parent]
    return data + ([] if run is None else [Path(run)])


def family(data: str, split: str) -> str:
    """The key that all scorings of one part of a data set share. data: its fingerprint; split: test, val or train."""
    return content_key([str(data), str(split)])


def note_scoring(folders: Iterable[Path], family: str, *, script: str, model: str, scored: str, split: str = "",
                 subject: int = 0) -> bool:
    """Write into a ledger that `script` scored a `model` (key of its files) on `family`: into that of the first of
    `folders` that can be written to.

    scored: hash of what was scored, such as captions or logits; scoring the same again adds no line. split: the file of
    splits and its number; subject: 0 for all. A Hub checkpoint without data has no folder. Where none can be written to, a
    note is printed and the scoring goes on: the result is valid and only the count suffers. Returns whether it is noted.
    """
    entry = {"script": str(script), "family": str(family), "model": str(model), "scored": str(scored)}
    refused = None
    for folder in folders:
        try:
            _append(folder / LEDGER, entry, {"split": str(split), "subject": str(subject)})
            return True
        except OSError as error:
            if error.errno not in READ_ONLY_ERRORS:
                raise
            refused = error
    if refused:
        print(f"note: this scoring is not counted: {LEDGER} can be written neither beside the data nor in the folder of "
              f"the checkpoint ({refused.strerror}); copy one of them to your own folder to have scorings counted")
    return False


def _append(file, entry, more):
    if file.is_dir():
        raise InputError(f"{file}: is a folder, expected the ledger of scorings (a file); move the folder")
    if entry in [{key: one[key] for key in KEYS} for one in _read(file)[0]]:
        return
    line = json.dumps({"date": datetime.now(UTC).isoformat(timespec="seconds"), **entry, **more}) + "\n"
    if file.is_file() and file.read_bytes()[-1:] not in (b"", b"\n"):
        line = "\n" + line  # the last line was cut short, and this one must not become part of it
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(handle, line.encode())  # one write at the end of the file, so that processes do not mix their lines
    finally:
        os.close(handle)


def count_scorings(folders: Iterable[str | Path | None], family: str) -> dict | None:
    """How often `family` was scored according to the ledgers of `folders`, and of the run folders around the last of them:
    those beside it, one level deeper, and runs/exp*/seed0 for runs/exp1/seed0.

    Returns {"scored", "models", "splits", "subjects": numbers of each, "text": a sentence}, or None where no folder is
    known.
    """
    folders = [Path(folder) for folder in folders if folder is not None]
    if not folders:
        return None
    scorings, splits, subjects, found, damaged = set(), set(), set(), set(), 0
    for file in sorted({*(folder / LEDGER for folder in folders), *_around(folders[-1])}):
        entries, lost = _read(file)
        damaged += lost
        for entry in entries:
            if entry["family"] == family:
                scorings.add(tuple(entry[key] for key in KEYS))
                splits.add(entry["split"])
                subjects.add(entry["subject"])
                found.add(file)
    models = {scoring[KEYS.index("model")] for scoring in scorings}
    return {"scored": len(scorings), "models": len(models), "splits": len(splits), "subjects": len(subjects),
            "text": _sentence(scorings, len(splits), len(found), damaged)}


def is_repeated(counts: dict | None) -> bool:
    """Whether some script scored the data more than once, by what count_scorings returned. An honest run has the encoder's
    classes scored once and the captions once."""
    return counts is not None and AGAIN in counts["text"]


def _around(run):
    """Ledgers in the run folders around a run folder: beside it, one level deeper, and those of its name in the folders
    beside its own."""
    yield from (*run.parent.glob(f"*/{LEDGER}"), *run.parent.glob(f"*/*/{LEDGER}"))
    yield from run.parent.parent.glob(f"*/{run.name}/{LEDGER}")


def _sentence(scorings, splits, folders, damaged):
    """Counts by script, and what it means where one has scored more than once."""
    counts, repeated = [], False
    for script in sorted({scoring[KEYS.index("script")] for scoring in scorings}):
        models = [scoring[KEYS.index("model")] for scoring in scorings if scoring[KEYS.index("script")] == script]
        times = "once" if len(models) == 1 else f"{len(models)} times"
        counts.append(f"{times} by {script} ({counted(len(set(models)), 'model')})")
        repeated |= len(models) > 1
    if not counts:
        text = "No scoring of these test data is in the ledger."
    else:
        more = f", with {counted(splits, 'split')}" if splits > 1 else ""
        text = (f"According to the ledgers found, these test data were scored {joined(counts)}{more}, in "
                f"{counted(folders, 'folder')}{f'. {AGAIN}' * repeated}.")
    if damaged:
        text += f" {counted(damaged, 'line')} of the ledgers cannot be read and may hold further scorings."
    return text


def _read(file):
    """The entries of a ledger without their dates, and how many lines are damaged, such as one cut short by a full disk.

    split and subject are "" in lines of an earlier version.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except FileNotFoundError:
        return [], 0
    except (PermissionError, IsADirectoryError):  # another user's, or no ledger at all
        return [], 1
    entries, damaged = [], 0
    for line in filter(str.strip, lines):
        try:
            entry = parse_json(line)
            entries.append({key: str(entry[key]) for key in KEYS}
                           | {key: str(entry.get(key, "")) for key in ("split", "subject")})
        except (ValueError, TypeError, KeyError):
            damaged += 1
    return entries, damaged
