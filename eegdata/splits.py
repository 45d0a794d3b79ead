"""Splits into train, val and test: write, read, and check them against the trials (make_splits.py makes them)."""

from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputError
from runtime.pickles import save_torch
from runtime.wording import listed

import torch

from eegdata.parts import PARTS
from eegdata.splits_file import read_splits_file, split_records

from .make_splits import SHARING_PICTURES

if TYPE_CHECKING:
    from eegdata.trials import Trials


def read_splits(path: Path | str) -> list[dict]:
    """Read a splits file; returns its list of {"train": indices, "val": indices, "test": indices}, ours with a "name"."""
    return read_splits_file(path)[0]


def write_splits(path: Path | str, splits: list[dict] | dict, made_from: dict | None = None) -> None:
    """Write splits, a list of {"train", "val", "test": record numbers} (or one alone), and what they were made from.

    With `made_from` only a splits file that names its origin, too, is replaced: never a publisher's, nor the EEG itself.
    """
    if made_from and Path(path).exists() and not _replaceable(path):
        raise InputError(f"{path}: is there already and was not made by prepare_data.py split, so it stays as it is; give "
                         "another --splits_path, or move it away")
    splits = [splits] if isinstance(splits, dict) else splits
    content = {"splits": [{name: value if name == "name" else [int(i) for i in value] for name, value in split.items()}
                          for split in splits]}
    save_torch(path, content | ({"made_from": made_from} if made_from else {}))


def _replaceable(path):
    try:
        return bool(read_splits_file(path)[1])
    except InputError:
        return False


def load_split(path: Path | str, trials: "Trials", split_num: int = 0, index: str = "auto",
               needed: tuple[str, ...] = PARTS) -> dict[str, torch.Tensor]:
    """Read a splits file and check it against the trials.

    Returns {"train"|"val"|"test": LongTensor of positions in `trials`}. Indices count all records of the file, or with
    one subject chosen possibly that subject's records only (EEGCVPR40's `..._single.pth`); `index` "auto" finds out.
    """
    parts = split_records(path, trials.path, trials.record_images, trials.record_subjects, trials.fingerprint,
                          trials.chosen_subject, split_num, index)
    position = {record: row for row, record in enumerate(trials.trial.tolist())}
    result = {}
    for name, numbers in parts.items():
        rows = [position[number] for number in numbers if number in position]
        if not rows and name in needed:
            raise InputError(f"--splits_path {path}: part '{name}' is empty for these trials ({len(numbers)} indices in "
                             "the file, none of them among the trials kept); check --subject and the window")
        result[name] = torch.tensor(rows, dtype=torch.long)
    for sentence in _one_a_check(check_split(trials, result)).values():
        print(f"note: {sentence}")
    return result


def describe(trials: "Trials", splits: list[dict], by: str | None = None) -> str:
    """A table of the parts, with a line for each split, and notes on them; by: how they were made."""
    position = {record: row for row, record in enumerate(trials.trial.tolist())}
    table, notes = [("split", "trials", "in no part", "pictures", "classes", "subjects", "")], {}
    for number, split in enumerate(splits):
        rows = {part: torch.tensor([position[record] for record in split[part]], dtype=torch.long) for part in PARTS}
        counts = ["/".join(str(len(values[rows[part]].unique())) for part in PARTS)
                  for values in (trials.trial, trials.image, trials.groups, trials.subject)]
        if not (trials.has_pictures or trials.knows_pictures):
            counts[1] = "unknown"
        left = len(trials) - sum(map(len, rows.values()))
        table.append((str(number), counts[0], str(left), *counts[1:], split.get("name", "")))
        for check, sentence in _one_a_check(check_split(trials, rows)).items():
            notes.setdefault(check, []).append(sentence)
    width = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, width, strict=True)).rstrip() for row in table]
    for check, sentences in notes.items():
        of = f" ({len(sentences)} of {len(splits)} splits)" if len(splits) > 1 else ""
        avoidable = check == "pictures" and by in SHARING_PICTURES and trials.knows_pictures
        lines.append(f"note{of}: {sentences[0]}{'; --unseen_pictures leaves them out' if avoidable else ''}")
    return "\n".join(["trials, pictures, classes, subjects of train/val/test", *lines])


def check_split(trials: "Trials", split: dict[str, torch.Tensor]) -> list[dict]:
    """What limits the scores of a split, beyond what load_split refuses.

    split: part -> positions in `trials`. Returns findings {"check", "part", "names", "sentence"}, at most one for each
    check and part: "empty"; "pictures" that training shows too; "class" and "subject" that training lacks; "absent":
    classes of the training part that the part lacks. names: the pictures, classes or subjects.
    """
    train, findings = split["train"], []

    def found(check, part, names, sentence):
        if names:
            findings.append({"check": check, "part": part, "names": names, "sentence": sentence})

    for part in PARTS:
        if not len(split[part]):
            findings.append({"check": "empty", "part": part, "names": [], "sentence": f"the {part} part is empty"})
    for part in ("test", "val"):
        if not len(train) or not len(split[part]):
            continue
        own = {name: set(getattr(trials, name)[split[part]].tolist()) for name in ("image", "groups", "subject")}
        shown = {name: set(getattr(trials, name)[train].tolist()) for name in own}
        names = [trials.images[i] for i in sorted(own["image"] & shown["image"])]
        if trials.has_pictures or trials.knows_pictures:
            found("pictures", part, names, f"{len(names)} pictures of the {part} part are in the training part too; its "
                                           "scores are then scores on known pictures")
        names = [trials.group_names[c] for c in sorted(own["groups"] - shown["groups"])]
        found("class", part, names, f"the training part lacks {len(names)} of the {part} part's classes "
                                    f"({listed(names)}); a classifier cannot predict these classes")
        names = sorted(own["subject"] - shown["subject"])
        found("subject", part, names, f"the training part lacks {len(names)} of the {part} part's subjects "
                                      f"({listed(names)}); its scores are then scores on new people")
        names = [trials.group_names[c] for c in sorted(shown["groups"] - own["groups"])]
        found("absent", part, names, f"the {part} part lacks {len(names)} of the training part's classes "
                                     f"({listed(names)}); its scores say nothing about these")
    return findings


def _one_a_check(findings):
    """{check: sentence}, of the test part if it has such a finding, else of another part."""
    return {f["check"]: f["sentence"] for f in reversed(findings) if f["check"] != "empty"}
