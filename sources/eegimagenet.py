"""EEG-ImageNet (also CrossPT-EEG): 16 people, photographs of 80 ImageNet classes, 62 channels at 1 kHz (Zhu et al. 2024).

    python prepare_data.py eegimagenet --files EEG-ImageNet_1.pth EEG-ImageNet_2.pth --images imageNet_images \\
        --output data/eegimagenet

A file is a dict of `dataset`, records of `eeg_data` [62 channels, about 500 samples], `granularity` (coarse or fine),
`subject`, `label` (a synset) and `image` (a file name), `labels` and `images`. Samples 40 to 440 of a trial are kept, as
its authors do. Records stay in the order of the file.

Each class was shown in one block of 50 pictures, after its name. The published split, the first 30 of a block for training
and the last 20 for testing, lies inside the blocks, so slow changes of the recording and the announced name can give the
class away. The audit measures it.
"""

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from runtime.errors import InputError

import numpy as np

from eegdata.pth_file import names_of
from eegdata.records import Block, DataSet, Picture, Recording

from .seed62 import CHANNELS

SFREQ, LOW, HIGH = 1000., 40, 440  # Hz, samples
TRAINED, SHOWN = 30, 50  # pictures of a block in the published training part, and in all
KEYS = ("eeg_data", "granularity", "subject", "label", "image")
GRANULARITIES = ("coarse", "fine")
BLOCK = 1000  # trials at a time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--files", nargs="+", required=True, metavar="PTH", help="EEG-ImageNet_1.pth, EEG-ImageNet_2.pth")
    parser.add_argument("--images", metavar="FOLDER", help="folder of <synset>/<file> (unset: classes only)")
    parser.add_argument("--granularity", choices=("all", *GRANULARITIES), default="all",
                        help="coarse: 40 classes that differ; fine: 8 groups of 5 classes that are alike")


def find(args: argparse.Namespace) -> DataSet:
    """The DataSet: a recording a person, in the order of the files."""
    from runtime.pickles import load_hashed

    records, read_already = [], {}
    for path in args.files:
        content, digest = load_hashed(path, "--files")
        if digest in read_already:
            raise InputError(f"--files {path}: holds the same as {read_already[digest]}, so that each trial would be there "
                             "twice; give each file once")
        read_already[digest] = path
        entries = content.get("dataset") if isinstance(content, dict) else None
        if not isinstance(entries, list) or not entries:
            raise InputError(f"--files {path}: has no list 'dataset'; expected EEG-ImageNet's .pth file")
        for number, entry in enumerate(entries):
            _check(f"--files {path}: record {number}", entry)
            if args.granularity in ("all", entry["granularity"]):
                records.append((digest, number, entry))
    if not records:
        raise InputError(f"--granularity {args.granularity}: no record of the files is of it")
    classes = sorted({entry["label"] for *_, entry in records})
    people = sorted({int(entry["subject"]) for *_, entry in records})
    recordings = []
    for person in people:
        own = [one for one in records if int(one[2]["subject"]) == person]
        key = [[digest, number] for digest, number, _ in own]
        recordings.append(Recording(f"subject {person}", person + 1, -1, key, partial(
            read, [entry for *_, entry in own], {label: number for number, label in enumerate(classes)})))
    return DataSet(
        recordings, SFREQ, list(CHANNELS), HIGH - LOW, LOW / SFREQ, "standardised", classes, synset_names(classes),
        {name: Picture(_picture(args.images, entry)) for name, entry in
         {_name(entry): entry for *_, entry in records}.items()} if args.images else {},
        "yes" if args.images else "no", split_by="given",
        about={"steps": ["cut by the publishers", f"samples {LOW} to {HIGH} of each trial kept"],
               "presentation": "blocks: 50 pictures of a class in a row, after the name of the class; the published split "
                               "is inside the blocks",
               "order": "that of the files, in which a person's blocks follow each other",
               "subjects": "numbered from 1; the files count from 0",
               "published": "Zhu et al. 2024 (arXiv 2406.07151)", "licence": "by the publishers' agreement"})


def _check(place, entry):
    from runtime.pickles import brief

    import torch

    missing = [key for key in KEYS if not isinstance(entry, dict) or key not in entry]
    if missing:
        raise InputError(f"{place} lacks {missing[0]}; expected {', '.join(KEYS)}")
    eeg = entry["eeg_data"]
    if not isinstance(eeg, torch.Tensor) or eeg.ndim != 2 or len(eeg) != len(CHANNELS) or eeg.shape[1] < HIGH:
        found = f"of shape {tuple(eeg.shape)}" if isinstance(eeg, torch.Tensor) else brief(eeg)
        raise InputError(f"{place} has EEG {found}; expected {len(CHANNELS)} channels and {HIGH} samples or more")
    try:
        person = float(entry["subject"])
    except (TypeError, ValueError, RuntimeError):
        person = -1.
    if person < 0 or not person.is_integer():
        raise InputError(f"{place} has subject {brief(entry['subject'])}; expected its number, 0 or more")
    if entry["granularity"] not in GRANULARITIES:
        raise InputError(f"{place} has granularity {brief(entry['granularity'])}; expected {' or '.join(GRANULARITIES)}")
    for key in ("label", "image"):
        if not isinstance(entry[key], str) or not entry[key] or "/" in entry[key] or "_" in entry["label"]:
            raise InputError(f"{place} has {key} {brief(entry[key])}; expected a synset, a file name")


def _name(entry):
    """<synset>_<number> of a picture."""
    return f"{entry['label']}_{Path(entry['image']).stem.removeprefix(entry['label'] + '_')}"


def _picture(folder, entry):
    path = Path(folder) / entry["image"].split("_")[0] / entry["image"]
    path = path if path.is_file() else Path(folder) / entry["label"] / entry["image"]
    if not path.is_file():
        raise InputError(f"--images {folder}: {entry['label']}/{entry['image']} is not there; give the folder of the "
                         "publishers' pictures, or leave --images out")
    return path


def synset_names(synsets: list[str]) -> list[str]:
    """Readable names of synsets: WordNet's first word where it is installed, different for each."""
    from metrics.wordnet import is_available

    names = names_of(synsets)
    if is_available():
        from nltk.corpus import wordnet

        for place, synset in enumerate(synsets):
            if names[place] == synset and synset[:1] == "n" and synset[1:].isdecimal():
                names[place] = _word(wordnet, synset)
    return [name if names.count(name) == 1 else f"{name} ({synset})" for name, synset in zip(names, synsets, strict=True)]


def _word(wordnet, synset):
    from nltk.corpus.reader.wordnet import WordNetError

    try:
        return wordnet.synset_from_pos_and_offset("n", int(synset[1:])).lemma_names()[0].replace("_", " ")
    except (WordNetError, ValueError, OSError):
        return synset


def read(entries: list[dict], number: dict[str, int]) -> Iterator[Block]:
    """One person's trials, in the order of the files."""
    shown, parts = {}, []
    for entry in entries:
        kind = (entry["granularity"], entry["label"])
        parts.append("train" if shown.get(kind, 0) % SHOWN < TRAINED else "test")
        shown[kind] = shown.get(kind, 0) + 1
    for start in range(0, len(entries), BLOCK):
        rows = slice(start, start + BLOCK)
        eeg = np.stack([entry["eeg_data"][:, LOW:HIGH].float().numpy() for entry in entries[rows]])
        yield Block(eeg, np.array([number[entry["label"]] for entry in entries[rows]]),
                    [_name(entry) for entry in entries[rows]], np.full(len(eeg), np.nan), parts[rows])
