"""Splits of a data set into train, val and test: read, checked against the trials, written."""

import torch

from errors import InputError
from pickles import brief, is_whole, load_pickle, save_torch


def read_splits(path):
    """Read a splits file; returns its list of {"train": indices, "val": indices, "test": indices}."""
    content = load_pickle(path, "--splits_path")
    splits = content.get("splits") if isinstance(content, dict) else None
    if not isinstance(splits, list) or not all(isinstance(s, dict) and {"train", "val", "test"} <= set(s)
                                               for s in splits):
        raise InputError(f"--splits_path {path}: expected {{'splits': [{{'train': .., 'val': .., 'test': ..}}, ..]}}")
    for number, split in enumerate(splits):
        for part in ("train", "val", "test"):
            if not hasattr(split[part], "__len__") or not all(is_whole(i) for i in split[part]):
                raise InputError(f"--splits_path {path}: split {number}, part '{part}' is {brief(split[part])}, expected "
                                 "a list of record numbers")
    return splits


def write_splits(path, parts):
    """Write one split: {"train": indices, "val": indices, "test": indices} into the records of a data set file."""
    save_torch(path, {"splits": [{name: [int(i) for i in indices] for name, indices in parts.items()}]})


def load_split(path, trials, split_num=0, index="auto", needed=("train", "val", "test")):
    """Read a splits file and check it against the trials.

    Returns {"train"|"val"|"test": LongTensor of positions in `trials`}. Indices count all records of the file, or with
    one subject chosen possibly that subject's records only (EEGCVPR40's `..._single.pth`); `index` "auto" finds out.
    """
    splits = read_splits(path)
    if split_num >= len(splits):
        raise InputError(f"--split_num {split_num}: {path} holds {len(splits)} splits, numbered from 0")
    parts = {name: [int(i) for i in splits[split_num][name]] for name in ("train", "val", "test")}
    parts = _as_records(parts, trials, path, index)
    position = {record: row for row, record in enumerate(trials.trial.tolist())}
    seen = {}
    for name, numbers in parts.items():
        if len(set(numbers)) < len(numbers):
            raise InputError(f"--splits_path {path}: part '{name}' names a record twice; each trial counts once")
        for number in numbers:
            if seen.setdefault(number, name) != name:
                raise InputError(f"--splits_path {path}: record {number} is in '{seen[number]}' and in '{name}'; "
                                 "a trial belongs to one part")
    result = {}
    for name, numbers in parts.items():
        rows = [position[number] for number in numbers if number in position]
        if not rows and name in needed:
            raise InputError(f"--splits_path {path}: part '{name}' is empty for these trials ({len(numbers)} indices in "
                             "the file, none of them among the trials kept); check --subject and the window")
        result[name] = torch.tensor(rows, dtype=torch.long)
    shared = set(trials.image[result["train"]].tolist()) & set(trials.image[result["test"]].tolist())
    if shared:
        print(f"note: {len(shared)} pictures of the test part are in the training part too; scores are then for known "
              "pictures")
    return result


def _as_records(parts, trials, path, index):
    """Indices of a splits file as record numbers of the data set file."""
    total = len(trials.record_images)
    highest = max((i for numbers in parts.values() for i in numbers), default=-1)
    lowest = min((i for numbers in parts.values() for i in numbers), default=0)
    if lowest < 0 or highest >= total:
        raise InputError(f"--splits_path {path}: index {highest if lowest >= 0 else lowest} is out of range, "
                         f"{trials.path} has {total} records; it belongs to another data set")
    subject = trials.chosen_subject
    records_of = {s: [i for i, other in enumerate(trials.record_subjects) if other == s]
                  for s in sorted(set(trials.record_subjects))}
    own = records_of.get(subject, [])
    if index == "subject" and highest >= len(own):
        raise InputError(f"--splits_index subject: index {highest} does not fit, --subject {subject} has {len(own)} "
                         "records")
    if index == "auto":
        # A split by picture shows which reading is right: under the wrong one pictures fall into several parts.
        whole = not _picture_overlap(parts, trials, range(total))
        if subject == 0:
            count = sum(map(len, parts.values()))
            if not whole and any(highest < len(r) < min(total, 2 * count + 1) and not _picture_overlap(parts, trials, r)
                                 for r in records_of.values()):
                raise InputError(f"--splits_path {path}: looks made for the records of one subject; give --subject, or "
                                 "--splits_index all to use it as it is")
            index = "all"
        elif highest >= len(own):
            index = "all"
        else:
            single = not _picture_overlap(parts, trials, own)
            if whole == single:
                raise InputError(f"--splits_path {path}: its indices fit all {total} records and the subject's "
                                 f"{len(own)} alike; give --splits_index all or --splits_index subject")
            index = "all" if whole else "subject"
    return {name: [own[i] for i in numbers] if index == "subject" else numbers for name, numbers in parts.items()}


def _picture_overlap(parts, trials, records):
    """Whether a picture falls into several parts when indices count `records`."""
    pictures = [{trials.record_images[records[i]] for i in numbers} for numbers in parts.values()]
    return len(set.union(*pictures)) < sum(map(len, pictures))
