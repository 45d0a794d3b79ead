"""The ledger of a run folder: how often a test split was scored by a family of runs.

Each look at a test split is a chance to pick the lucky one. `test_ledger.jsonl` in the run folder (runs/demo for
runs/demo/captioner) has one line a scoring: date, script, family, model, and what was scored.
"""

import errno
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from runtime.errors import InputError
from runtime.runs import content_key

LEDGER = "test_ledger.jsonl"
KEYS = ("script", "family", "model", "scored")
READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


def run_folder(model_path):
    """The folder that holds the checkpoint `model_path` (the one above, for an encoder within a captioner), absolute; None
    for a Hub id, which is no local folder."""
    if not Path(model_path).is_dir():
        return None
    folder = Path(model_path).resolve().parent
    return folder.parent if (folder / "config.json").is_file() else folder  # a captioner's files make its key


def family(data, splits, split_num, split, subject):
    """The key of what all scorings of one test split share.

    data: the data set's fingerprint; splits: file_hash of the splits file; split: test, val or train; subject: 0 for all.
    """
    return content_key([str(data), str(splits), int(split_num), str(split), int(subject)])


def note_scoring(folder, family, *, script, model, scored):
    """Write into the ledger of `folder` that `script` scored a `model` (key of its files) on `family`.

    scored: hash of what was scored, as captions or logits; the same again is no new look and adds no line. folder None (a
    Hub checkpoint) has no ledger. Where the folder cannot be written to, as a shared checkpoint's, the result is as good
    as any other and only the count suffers: so that is said in a line, and the scoring goes on. Returns whether the
    ledger has the scoring.
    """
    if folder is None:
        return False
    entry = {"script": str(script), "family": str(family), "model": str(model), "scored": str(scored)}
    file = Path(folder) / LEDGER
    if file.is_dir():
        raise InputError(f"{file}: is a folder, expected the ledger of scorings; move it")
    entries, _ = _read(file)
    if entry in entries:
        return True
    line = json.dumps({"date": datetime.now(UTC).isoformat(timespec="seconds"), **entry}) + "\n"
    try:
        if file.is_file() and file.read_bytes()[-1:] not in (b"", b"\n"):
            line = "\n" + line  # the last line was cut short: it must not swallow this one (a blank line hurts nobody)
        handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(handle, line.encode())  # one write at the end of the file: two processes do not mix
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
        print(f"note: this scoring is not counted: {LEDGER} in the folder of the checkpoint cannot be written "
              f"({error.strerror}); copy the checkpoint to a folder of your own to have its scorings counted")
        return False
    return True


def count_scorings(folder, family):
    """How often `family` was scored, by the ledgers of `folder` and of the folders beside it, where other runs lie.

    Returns {"scored": scorings, "models": models, "text": a sentence}, or None for folder None.
    """
    if folder is None:
        return None
    looks, folders, damaged = set(), set(), 0
    for file in sorted({Path(folder) / LEDGER, *Path(folder).parent.glob(f"*/{LEDGER}")}):
        entries, lost = _read(file)
        damaged += lost
        for entry in entries:
            if entry["family"] == family:
                looks.add(tuple(entry[key] for key in KEYS))
                folders.add(file)
    models = {look[KEYS.index("model")] for look in looks}
    return {"scored": len(looks), "models": len(models), "text": _sentence(looks, len(folders), damaged)}


def _sentence(looks, folders, damaged):
    """Script by script: one look at the encoder's classes and one at the captions are what an honest run takes."""
    counts = []
    for script in sorted({look[0] for look in looks}):
        models = [look[KEYS.index("model")] for look in looks if look[0] == script]
        times, number = "once" if len(models) == 1 else f"{len(models)} times", len(set(models))
        counts.append((len(models), f"{times} by {script} ({number} model{'s' * (number > 1)})"))
    if not counts:
        text = "No scoring of this test split is in the ledger."
    else:
        text = (f"By the ledgers that are there, this test split was scored {' and '.join(said for _, said in counts)}, in "
                f"{folders} run folder{'s' * (folders > 1)}"
                f"{'; each further look makes a lucky result likelier' * any(count > 1 for count, _ in counts)}.")
    if damaged:
        text += f" {damaged} line{'s' * (damaged > 1)} of the ledgers cannot be read and may stand for more."
    return text


def _read(file):
    """The entries of a ledger without their dates, and how many lines are damaged, as one cut short by a full disk."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return [], 0
    except (PermissionError, IsADirectoryError):  # of another user or use, beside ours
        return [], 1
    entries, damaged = [], 0
    for line in filter(str.strip, lines):
        try:
            entry = json.loads(line)
            entries.append({key: str(entry[key]) for key in KEYS})
        except (ValueError, TypeError, KeyError):
            damaged += 1
    return entries, damaged
