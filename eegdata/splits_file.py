"""Splits files: what they hold, and which records of a data set their indices name."""

from collections.abc import Sequence
from pathlib import Path

from runtime.errors import InputError
from runtime.pickles import brief, is_series, is_whole, load_pickle
from runtime.places import check_splits
from runtime.wording import counted

from eegdata.parts import PARTS


def read_splits_file(path: Path | str) -> tuple[list[dict], dict]:
    """The splits of a file, a list of {"train": indices, "val": indices, "test": indices}, and what they were made from
    ({} where it does not say)."""
    check_splits(path)
    content = load_pickle(path, "--splits_path")
    splits = content.get("splits") if isinstance(content, dict) else None
    if not isinstance(splits, list) or not all(isinstance(split, dict) and set(PARTS) <= set(split) for split in splits):
        raise InputError(f"--splits_path {path}: expected {{'splits': [{{'train': .., 'val': .., 'test': ..}}, ..]}}")
    for number, split in enumerate(splits):
        for part in PARTS:
            if not is_series(split[part]) or not all(is_whole(i) for i in split[part]):
                raise InputError(f"--splits_path {path}: split {number}, part '{part}' is {brief(split[part])}, expected "
                                 "a list of record numbers")
    made_from = content.get("made_from")
    return splits, made_from if isinstance(made_from, dict) else {}


def split_records(path: Path | str, data: Path | str, images: Sequence, subjects: Sequence[int], fingerprint: str,
                  chosen: int = 0, split_num: int = 0, index: str = "auto") -> dict[str, list[int]]:
    """One split of a file as {"train" | "val" | "test": record numbers}, checked against the data set that it is for.

    data: the data set's path, for messages; images, subjects: of every record; fingerprint: the data set's. Indices count
    all records, or with one subject `chosen` (0: all) possibly that subject's records only (EEGCVPR40's
    `..._single.pth`); `index` "all" or "subject" says which, "auto" finds out.
    """
    splits, made_from = read_splits_file(path)
    if "data" in made_from:
        if not isinstance(made_from["data"], str) or made_from["data"] != fingerprint:
            raise InputError(f"--splits_path {path}: made from another data set (fingerprint "
                             f"{str(made_from['data'])[:16]}) than {data} ({fingerprint[:16]}); give the splits file of "
                             "this one, or make it with prepare_data.py split")
        if index == "subject":
            raise InputError(f"--splits_index subject: {path} counts all records; leave the option out")
        index = "all"
    if split_num >= len(splits):
        raise InputError(f"--split_num {split_num}: {path} holds {counted(len(splits), 'split')}, numbered from 0")
    parts = {name: [int(i) for i in splits[split_num][name]] for name in PARTS}
    parts = _as_records(parts, path, data, images, subjects, chosen, index)
    seen = {}
    for name, numbers in parts.items():
        if len(set(numbers)) < len(numbers):
            raise InputError(f"--splits_path {path}: part '{name}' names a record twice; each trial counts once")
        for number in numbers:
            if seen.setdefault(number, name) != name:
                raise InputError(f"--splits_path {path}: record {number} is in '{seen[number]}' and in '{name}'; "
                                 "a trial belongs to one part")
    return parts


def _as_records(parts, path, data, images, subjects, chosen, index):
    """Indices of a splits file as record numbers of the data set."""
    total = len(images)
    highest = max((i for numbers in parts.values() for i in numbers), default=-1)
    lowest = min((i for numbers in parts.values() for i in numbers), default=0)
    if lowest < 0 or highest >= total:
        raise InputError(f"--splits_path {path}: index {highest if lowest >= 0 else lowest} is out of range, "
                         f"{data} has {total} records; it belongs to another data set")
    records_of = {s: [i for i, other in enumerate(subjects) if other == s] for s in sorted(set(subjects))}
    own = records_of.get(chosen, [])
    if index == "subject" and highest >= len(own):
        raise InputError(f"--splits_index subject: index {highest} does not fit, --subject {chosen} has {len(own)} "
                         "records")
    if index == "auto":
        # A split by picture shows which reading is right: under the wrong one pictures fall into several parts.
        whole = not _picture_overlap(parts, images, range(total))
        if chosen == 0:
            count = sum(map(len, parts.values()))
            if not whole and any(highest < len(r) < min(total, 2 * count + 1) and not _picture_overlap(parts, images, r)
                                 for r in records_of.values()):
                raise InputError(f"--splits_path {path}: looks made for the records of one subject; give --subject, or "
                                 "--splits_index all to use it as it is")
            index = "all"
        elif highest >= len(own):
            index = "all"
        else:
            single = not _picture_overlap(parts, images, own)
            if whole == single:
                raise InputError(f"--splits_path {path}: its indices fit all {total} records and the subject's "
                                 f"{len(own)} alike; give --splits_index all or --splits_index subject")
            index = "all" if whole else "subject"
    return {name: [own[i] for i in numbers] if index == "subject" else numbers for name, numbers in parts.items()}


def _picture_overlap(parts, images, records):
    """Whether a picture falls into several parts when indices count `records`."""
    pictures = [{images[records[i]] for i in numbers} for numbers in parts.values()]
    return len(set.union(*pictures)) < sum(map(len, pictures))
