"""The files that our own code reads, for bench.faults: how damaged ones are made, and what is wrong with what was read.

A reader gets a folder of files. It refuses them with an InputError, or returns "" where what it read is sound, else what
is wrong with it.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from bench.mutations import edited, mutated
from eegdata import pictures
from eegdata.dataset_folder import read_record
from eegdata.picture_file import read_picture
from eegdata.splits_file import split_records
from eegdata.trials import Trials, load_trials
from encoders.pretraining import read_pretraining_data
from sources.things import open_eeg

STRANGE = (torch.arange(3), torch.tensor([1.5]), np.arange(3), torch.empty(0), torch.tensor([[1, 2]]), (0, 1), {0, 1},
           np.int64(3), torch.tensor(2), b"ab", torch.tensor([]), np.zeros((2, 2)), torch.full((2, 8), torch.nan),
           torch.zeros(2, 8, dtype=torch.complex64), torch.zeros(8, 2).T, torch.zeros(2, 1).expand(2, 8))
TRIALS, SUBJECTS = [f"a_{i // 2}" for i in range(12)], [1, 2] * 6


class Reader(NamedTuple):
    """make(draw) -> the damaged files by name; read(folder) -> what is wrong; folder: files that lie beside, to copy."""

    make: Callable[[random.Random], dict[str, bytes]]
    read: Callable[[Path], str | None]
    folder: Path | None = None


def of_json(name: str, content: object, read: Callable[[Path], str | None], folder: Path | None = None) -> Reader:
    """Reader of a JSON file, whose values or bytes are changed."""
    raw = json.dumps(content, ensure_ascii=False).encode()
    return Reader(lambda draw: {name: json.dumps(mutated(content, draw)).encode() if draw.random() < .8 else
                                edited(raw, draw)}, read, folder)


def of_bytes(name: str, seeds: Sequence[bytes], read: Callable[[Path], str | None], folder: Path | None = None) -> Reader:
    """Reader of a file whose bytes are changed, from one of several good ones."""
    return Reader(lambda draw: {name: edited(draw.choice(seeds), draw)}, read, folder)


def beside(reader: Reader, files: dict[str, bytes]) -> Reader:
    """The reader with further files, which stay whole."""
    return reader._replace(make=lambda draw: {**files, **reader.make(draw)})


def of_objects(name: str, content: object, write: Callable[[object], bytes], read: Callable[[Path], str | None],
               folder: Path | None = None) -> Reader:
    """Reader of pickled content, whose values or bytes are changed."""
    raw = write(content)

    def make(draw):
        if draw.random() < .4:
            return {name: edited(raw, draw)}
        changed = mutated(content, draw, STRANGE)
        if isinstance(changed, dict) and changed and draw.random() < .3:
            changed[draw.choice(list(changed))] = draw.choice(STRANGE)
        return {name: write(changed)}

    return Reader(make, read, folder)


def saved(content: object) -> bytes:
    """The bytes of torch.save."""
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def saved_npy(content: object) -> bytes:
    """The bytes of np.save."""
    file = io.BytesIO()
    np.save(file, content, allow_pickle=True)
    return file.getvalue()


def good_pth() -> dict:
    """Content of a .pth file of four trials."""
    return {"dataset": [{"eeg": torch.zeros(2, 8), "image": i, "label": i % 2, "subject": 1} for i in range(4)],
            "labels": ["a", "b"], "images": ["a_1", "b_1", "a_2", "b_2"], "sfreq": 100.0, "ch_names": ["Cz", "Pz"],
            "units": "uV", "about": {}}


def good_splits() -> dict:
    """Content of a splits file for TRIALS."""
    return {"splits": [{"train": list(range(8)), "val": [8, 9], "test": [10, 11]}], "made_from": {"data": "abc"}}


def good_npy() -> dict:
    """Content of a file of THINGS-EEG2."""
    rng = np.random.default_rng(0)
    return {"preprocessed_eeg_data": rng.standard_normal((2, 3, 4, 5)), "ch_names": ["a", "b", "c", "d"],
            "times": np.arange(5) / 100}


def unsound(trials: Trials) -> str:
    """What is wrong with trials that were loaded; "" where nothing is."""
    eeg = trials.eeg[torch.arange(len(trials))]
    names = list(trials.class_names.values())
    trials.names(slice(None))
    found = {"no trials": not len(trials), "EEG of another shape": eeg.ndim != 3 or len(eeg) != len(trials),
             "EEG that is not finite": not torch.isfinite(eeg).all(), "EEG that is not float32": eeg.dtype != torch.float32,
             "labels without a class": not 0 <= trials.label.min() <= trials.label.max() < len(names),
             "class names that are no text": not all(isinstance(name, str) for name in names),
             "a class name twice": len(set(names)) < len(names),
             "a sampling rate that is none": not (np.isfinite(trials.sfreq) and trials.sfreq > 0),
             "channels without names": bool(trials.ch_names) and (len(trials.ch_names) != eeg.shape[1] or not all(
                 isinstance(name, str) for name in trials.ch_names))}
    return ", ".join(problem for problem, is_so in found.items() if is_so)


def of_data(made: Path) -> dict[str, Reader]:
    """Readers of data sets, splits, pictures and their captions; made: see fault_stages.make."""
    folder = made / "data"
    shard = next((folder / "trials").glob("*.arrow"))
    name, whole = f"trials/{shard.name}", shard.read_bytes()

    def read_shard(folder):
        changed = (folder / name).read_bytes() != whole
        load_trials(folder, damaged=True)  # as the audit does
        load_trials(folder)
        return "changed, but read" * changed

    def read_picture_captions(folder):
        texts = pictures.read_captions(folder, "a_1")
        pictures.machine_made(folder)
        return "" if texts and all(isinstance(text, str) and text for text in texts) else f"captions {texts}"

    def read_marks(folder):
        marks = pictures.machine_made(folder)
        return "" if all(isinstance(model, str) for model in marks.values()) else f"marks {marks}"

    def read_split(folder):
        parts = split_records(folder / "splits.pth", "data", TRIALS, SUBJECTS, "abc")
        rows = [row for part in parts.values() for row in part]
        sound = len(rows) == len(set(rows)) and all(type(row) is int and 0 <= row < len(TRIALS) for row in rows)
        return "" if sound else f"split {parts}"

    def read_things(folder):
        eeg, names, times = open_eeg(folder / "eeg.npy")
        shape = (len(names), len(times))
        return "" if eeg.ndim == 4 and eeg.shape[2:] == shape else f"EEG of {eeg.shape}, channels and times {shape}"

    def read_image(folder):
        image = read_picture(folder / "picture")
        return "" if image.mode == "RGB" and min(image.size) else f"picture {image.mode} {image.size}"

    return {
        "dataset.json": of_json("dataset.json", read_record(folder), lambda at: unsound(load_trials(at)), folder),
        "shards of trials": of_bytes(name, [whole], read_shard, folder),
        ".pth data sets": of_objects("eeg.pth", good_pth(), saved, lambda at: unsound(load_trials(at / "eeg.pth"))),
        "splits": of_objects("splits.pth", good_splits(), saved, read_split),
        "THINGS-EEG2 .npy": of_objects("eeg.npy", good_npy(), saved_npy, read_things),
        "pretraining data": of_objects("train.pt", {"samples": torch.zeros(4, 5, 64)}, saved, lambda at: "" if len(
            read_pretraining_data(at).train) else "no trials", made / "pretraining"),
        "pictures": of_bytes("picture", picture_bytes(), read_image),
        "captions of pictures": of_bytes("a/a_1_caption.txt", [b"A cat.\n", "Eine Kätzin.\nA cat.\n".encode()],
                                         read_picture_captions),
        "marks of machine captions": beside(of_json(pictures.MARKS_FILE, {"a_1": {"model": "m", "sha256": hashlib.sha256(
            b"A cat.\n").hexdigest()}}, read_marks), {"a/a_1_caption.txt": b"A cat.\n"}),
    }


def picture_bytes() -> list[bytes]:
    """A small picture in each of six formats."""
    from PIL import Image

    image, found = Image.fromarray(np.arange(16 * 12 * 3, dtype=np.uint8).reshape(16, 12, 3)), []
    for kind in ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP"):
        file = io.BytesIO()
        image.save(file, kind)
        found.append(file.getvalue())
    return found


def copied(folder: Path | None, to: Path) -> Path:
    """A new folder `to` with the files that a reader's folder holds, without pictures."""
    shutil.rmtree(to, ignore_errors=True)
    if folder:
        return Path(shutil.copytree(folder, to, ignore=shutil.ignore_patterns("images", "*.html")))
    to.mkdir(parents=True)
    return to
