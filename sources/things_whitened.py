"""THINGS-EEG2 as `sub-01/train.pt` and `test.pt`: trials whitened by session, as UBP's and later code share them.

Each file holds `eeg` [pictures, repetitions, channels, samples] float16, and of each trial `img`, the picture's path,
`text` and `session`, besides `ch_names` and `times`. The covariances are those of the training trials of a session.
"""

import argparse
import functools
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from runtime.errors import InputError

import numpy as np

from eegdata.records import Block, DataSet, Picture, Recording

from .things_shared import (
    ConceptPicture,
    array_of,
    averaged,
    check_average,
    choose_validation,
    class_facts,
    names_and_times,
)

FILES = {"training": "train.pt", "test": "test.pt"}
KEYS = ("eeg", "img", "session", "ch_names", "times")
BLOCK = 2000  # trials at a time


def find_whitened(args: argparse.Namespace, subjects: dict[int, Path],
                  pictures: dict[str, list[ConceptPicture]]) -> DataSet:
    """The DataSet: a recording a subject and session; averages over sessions have a recording of their own."""
    average = {"training": args.average_train, "test": args.average_test}
    by_path = {"/".join(picked.path.parts[-3:]): (part, picked) for part in FILES for picked in pictures[part]}
    classes, class_names = class_facts(pictures)
    validation = choose_validation(list(dict.fromkeys(picked.class_id for picked in pictures["training"])),
                                   args.val_fraction)
    recordings, known = [], {}
    for subject, folder in subjects.items():
        found = {}
        for part, name in FILES.items():
            content, digest = open_file(folder / name)
            known[folder / name] = (tuple(content["ch_names"]), tuple(content["times"]))
            check_pictures(folder / name, content["img"], part, by_path)
            check_average(folder / name, content["eeg"].shape[1], part, average[part])
            for session in sessions_of(content["session"], average[part]):
                found.setdefault(session, []).append((part, folder / name, digest))
        for session, files in sorted(found.items()):
            name = f"sub-{subject:02d}, " + ("averages" if session < 0 else f"session {session}")
            key = [[digest for *_, digest in files], session, average, sorted(validation)]
            recordings.append(Recording(name, subject, session, key, partial(
                read, [(part, path) for part, path, _ in files], session, average, by_path,
                {class_id: number for number, class_id in enumerate(classes)}, validation)))
    if len(set(known.values())) > 1:
        paths = list({facts: path for path, facts in known.items()}.values())
        raise InputError(f"{paths[0]} and {paths[1]} differ in channels or times; expected files of one preprocessing")
    ch_names, times = next(iter(known.values()))
    return DataSet(
        recordings, round((len(times) - 1) / (times[-1] - times[0]), 3), list(ch_names), len(times), times[0],
        "standardised", classes, class_names, {p.name: Picture(p.path) for part in FILES for p in pictures[part]},
        split_by="given", about={
            "steps": ["cut, resampled and whitened by session with the training trials' covariance, by those who share the "
                      "files", *(f"{part} trials: repetitions averaged: {average[part]}" for part in FILES)],
            "presentation": "random: pictures in random order, 5 a second (Gifford et al. 2022)",
            "order": "the files tell the session of a trial and not its place in it",
            "validation": f"{len(validation)} of the training part's concepts, evenly spaced in their sorted list"})


@functools.lru_cache(maxsize=2)
def open_file(path: Path) -> tuple[dict, str]:
    """The checked content of a file and its SHA-256."""
    from runtime.pickles import load_hashed

    content, digest = load_hashed(path, "--folder")
    missing = [key for key in KEYS if not isinstance(content, dict) or key not in content]
    if missing:
        raise InputError(f"{path}: '{missing[0]}' is missing; expected a dict of {', '.join(KEYS)}")
    eeg, img, session = (array_of(path, key, content[key]) for key in ("eeg", "img", "session"))
    if eeg.ndim != 4 or eeg.dtype.kind != "f":
        raise InputError(f"{path}: 'eeg' is of shape {eeg.shape} and {eeg.dtype}, expected floats of four axes (pictures, "
                         "repetitions, channels, samples)")
    for key, value in (("img", img), ("session", session)):
        if value.shape != eeg.shape[:2]:
            raise InputError(f"{path}: '{key}' has shape {value.shape}, expected {eeg.shape[:2]}, a value a trial")
    if session.dtype.kind not in "iuf" or not ((session >= 0) & (session == np.round(session))).all():
        raise InputError(f"{path}: 'session' holds {session.ravel()[0]!s} and others of type {session.dtype}, expected "
                         "whole numbers, 0 or more")
    names, times = names_and_times(path, content["ch_names"], content["times"], eeg.shape[2:])
    content = {**content, "eeg": eeg, "img": img, "session": session, "ch_names": names, "times": times}
    return content, digest


def path_of(text: str) -> str:
    """The last three parts of a picture's path: `training_images/00001_aardvark/aardvark_01b.jpg`."""
    return "/".join(PurePosixPath(str(text).replace("\\", "/")).parts[-3:])


def check_pictures(path: Path, img: np.ndarray, part: str, by_path: dict) -> None:
    """Raise InputError where a row shows several pictures, or one that is not in the part's folder."""
    for row in np.flatnonzero((img != img[:, :1]).any(1))[:1]:
        raise InputError(f"{path}: the repetitions of row {row} are of several pictures, {img[row, 0]} and others; copy it "
                         "again")
    for text in img[:, 0].tolist():
        if by_path.get(path_of(text), ("",))[0] != part:
            raise InputError(f"{path}: shows {text}, which is not among the pictures of {part}_images; give the pictures "
                             "of THINGS-EEG2 as --images")


def sessions_of(session: np.ndarray, average: str | int) -> list[int]:
    """The sessions whose trials make a recording; -1 for averages."""
    return sorted(set(session.astype(int).ravel().tolist())) if average in ("none", 1) else [-1]


def read(files: list[tuple[str, Path]], session: int, average: dict, by_path: dict, number: dict[str, int],
         validation: set[str]) -> Iterator[Block]:
    """The trials of a session, or the averages (-1), in the order of the files."""
    for part, path in files:
        content, _ = open_file(path)
        shown = [by_path[path_of(text)][1] for text in content["img"][:, 0].tolist()]
        for start in range(0, len(shown), max(1, BLOCK // content["eeg"].shape[1])):
            rows = slice(start, start + max(1, BLOCK // content["eeg"].shape[1]))
            eeg, left = averaged(content["eeg"][rows], average[part])
            own = np.ones(eeg.shape[:2], bool) if session < 0 else content["session"][rows].astype(int) == session
            picked = [one for one, count in zip(shown[rows], own.sum(1), strict=True) for _ in range(count)]
            parts = ["test" if part == "test" else "val" if one.class_id in validation else "train" for one in picked]
            yield Block(eeg[own], np.array([number[one.class_id] for one in picked], int), [one.name for one in picked],
                        np.full(len(picked), np.nan), parts,
                        {f"{part} repetitions left over by averaging {average[part]}": left * len(eeg)} if left else {})
