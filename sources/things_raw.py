"""THINGS-EEG2's raw files, `sub-01/ses-01/raw_eeg_training.npy`: trials in the order of presentation, with their session.

A file is a dict of `raw_eeg_data` [channels, samples] in V, `ch_names`, `ch_types` and `sfreq`. The channel of type stim
holds the number of the picture at its onset, counted from 1, in the sorted list of the part's pictures; 99999 is the
target, which people counted. Single presentations are kept: nothing is averaged.
"""

import argparse
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from runtime.errors import InputError
from runtime.runs import file_hash

import numpy as np

from eegdata.records import Block, DataSet, Picture, Recording

from . import epochs, preprocessing
from .safe_npy import read_object_npy
from .things_shared import PARTS, ConceptPicture, choose_validation, class_facts

TARGET = 99999
RATE = 250.  # Hz, of the trials unless --resample says
KEYS = ("raw_eeg_data", "ch_names", "ch_types", "sfreq")


def find_raw(args: argparse.Namespace, subjects: dict[int, Path], pictures: dict[str, list[ConceptPicture]]) -> DataSet:
    """The DataSet: a recording a file."""
    classes, class_names = class_facts(pictures)
    validation = choose_validation(list(dict.fromkeys(picked.class_id for picked in pictures["training"])),
                                   args.val_fraction)
    recordings, known = [], {}
    cutting = argparse.Namespace(**{**vars(args), "resample": RATE if args.resample is None else args.resample})
    for subject, folder in subjects.items():
        for path in sorted(folder.glob("ses-*/raw_eeg_*.npy")):
            part = path.stem.removeprefix("raw_eeg_")
            session = re.fullmatch(r"ses-0*(\d+)", path.parent.name)
            if part not in PARTS or not session:
                raise InputError(f"{path}: expected ses-<number>/raw_eeg_training.npy or raw_eeg_test.npy")
            _, names, sfreq = open_raw(path)
            known[path] = (tuple(names), sfreq)
            settings = epochs.settle(cutting, sfreq)
            number = {class_id: i for i, class_id in enumerate(classes)}
            recordings.append(Recording(f"sub-{subject:02d}, session {session[1]}, {part}", subject, int(session[1]),
                                        [file_hash(path), settings.key(), sorted(validation)],
                                        partial(read, path, settings, pictures[part], part, number, validation)))
    if len(set(known.values())) > 1:
        paths = list({facts: path for path, facts in known.items()}.values())
        raise InputError(f"{paths[0]} and {paths[1]} differ in channels or rate; expected files of one experiment")
    (names, sfreq), = set(known.values())
    epochs.check_band(args, sfreq)
    return DataSet(
        recordings, settings.sfreq, list(names), settings.n_times, settings.tmin, "uV", classes, class_names,
        {p.name: Picture(p.path) for part in PARTS for p in pictures[part]}, split_by="given",
        preprocessing=preprocessing.kept(settings, list(names)),
        about={"steps": epochs.steps(settings, [sfreq]),
               "presentation": "random: pictures in random order, 5 a second (Gifford et al. 2022)",
               "validation": f"{len(validation)} of the training part's concepts, evenly spaced in their sorted list"})


def open_raw(path: Path) -> tuple[np.ndarray, list[str], float]:
    """The recording [channels, samples], the stim channel last; names of the EEG channels; sampling rate in Hz."""
    content = read_object_npy(path)
    missing = [key for key in KEYS if key not in content]
    if missing:
        raise InputError(f"{path}: '{missing[0]}' is missing; expected a dict of {', '.join(KEYS)}")
    data, names, kinds = content["raw_eeg_data"], list(map(str, content["ch_names"])), list(map(str, content["ch_types"]))
    if not isinstance(data, np.ndarray) or data.ndim != 2 or not len(data) == len(names) == len(kinds):
        raise InputError(f"{path}: 'raw_eeg_data' does not have a row for each of its {len(names)} 'ch_names' and "
                         f"{len(kinds)} 'ch_types'")
    if kinds[-1] != "stim" or kinds.count("stim") != 1:
        raise InputError(f"{path}: expected one channel of type stim, the last one, in 'ch_types'")
    other = next((kind for kind in kinds[:-1] if kind != "eeg"), None)
    if other:
        raise InputError(f"{path}: channel {names[kinds.index(other)]} is of type {other} by 'ch_types', expected eeg in "
                         "all but the last one, as in the publishers' files; copy it again")
    return data, names[:-1], float(content["sfreq"])


def read(path: Path, settings: epochs.Epoching, pictures: list[ConceptPicture], part: str, number: dict[str, int],
         validation: set[str]) -> Iterator[Block]:
    """The trials of a file."""
    data, names, sfreq = open_raw(path)
    codes = np.asarray(data[-1], float)
    if not np.isfinite(codes).all() or not codes.any():
        what = "no picture" if np.isfinite(codes).all() else "NaN or infinity"
        raise InputError(f"{path}: its stim channel holds {what}, expected the number of each picture at its onset and 0 "
                         "elsewhere; copy it again, or take it out")
    codes = codes.astype(int)
    samples = np.flatnonzero((codes != 0) & (codes != np.concatenate([[0], codes[:-1]])))
    shown = codes[samples]
    kept = shown != TARGET
    wrong = shown[kept & ((shown < 1) | (shown > len(pictures)))]
    if len(wrong):
        raise InputError(f"{path}: picture {wrong[0]} is shown, but {part}_images holds {len(pictures)}; unpack the "
                         "pictures again")
    eeg, rows, dropped = epochs.cut_array(np.asarray(data[:-1], float) * 1e6, sfreq, names, samples[kept] / sfreq, settings)
    picked = [pictures[code - 1] for code in shown[kept][rows].tolist()]
    parts = ["test" if part == "test" else "val" if one.class_id in validation else "train" for one in picked]
    if (~kept).any():
        dropped = {**dropped, "targets, which show no picture of the list": int((~kept).sum())}
    yield Block(eeg, np.array([number[one.class_id] for one in picked], int), [one.name for one in picked],
                samples[kept][rows] / sfreq, parts, dropped)
