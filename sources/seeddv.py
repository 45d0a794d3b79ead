"""SEED-DV: 20 people who watch 1,400 video clips of 40 concepts, 62 channels at 200 Hz (EEG2Video, Liu et al. 2024).

    python prepare_data.py seeddv --folder SEED-DV --frames frames --output data/seeddv

`--folder` holds `EEG/sub1.npy` and so on, [7 blocks, 62 channels, 104,000 samples], `meta-info/All_video_label.npy` [7,
40], the number of the concept, and `Video/BLIP-caption/1st_10min.txt` and so on, 200 lines each. A block shows 40 concepts.
Each is announced by its name for 3 s, then come five clips of 2 s. Blocks 1 to 6 are the training part and block 7 is the
test.

The name of the concept precedes its clips, so EEG that tells the concept may tell the name that was read, and the audit
sees five clips of a concept in a row. The captions are by a model (BLIP), not by people. `--frames` is a folder of a
picture a clip, `1st_10min/000.jpg` to `199.jpg`, which you take from the videos, for example with `ffmpeg -ss`.
"""

import argparse
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from runtime.errors import InputError
from runtime.npy import map_npy
from runtime.runs import file_hash
from runtime.text_files import read_lines

import numpy as np

from eegdata.pictures import caption_of, picture_files
from eegdata.records import Block, DataSet, Picture, Recording

from .seed62 import CHANNELS

SFREQ, HINT, CLIP, CLIPS, CONCEPTS = 200, 3, 2, 5, 40  # Hz, s, s, clips of a concept, concepts of a block
PERIOD = HINT + CLIP * CLIPS  # s from concept to concept
SAMPLES = SFREQ * PERIOD * CONCEPTS
BLOCKS = ("1st", "2nd", "3rd", "4th", "5th", "6th", "7th")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", required=True, help="folder with EEG, Video and meta-info")
    parser.add_argument("--frames", metavar="FOLDER", help="a picture of each clip, <block>_10min/000.jpg to 199.jpg "
                                                           "(unset: concepts only)")


def find(args: argparse.Namespace) -> DataSet:
    """The DataSet: a recording a person and block, in the order of presentation."""
    folder = Path(args.folder)
    files = sorted((int(found[1]), path) for path in (folder / "EEG").glob("sub*.npy")
                   if (found := re.fullmatch(r"sub0*(\d+)", path.stem)))
    if not files:
        raise InputError(f"--folder {folder}: holds no EEG/sub1.npy and so on; expected the folder of SEED-DV")
    labels = _array(folder / "meta-info" / "All_video_label.npy", (len(BLOCKS), CONCEPTS)).astype(int)
    concepts = sorted(set(labels.ravel().tolist()))
    ids = [f"concept{number}" for number in concepts]
    names = [[f"concept{labels[block, clip // CLIPS]}_{block + 1}{clip:03d}" for clip in range(CONCEPTS * CLIPS)]
             for block in range(len(BLOCKS))]
    pictures = _pictures(Path(args.frames), folder, names) if args.frames else {}
    number = {label: place for place, label in enumerate(concepts)}
    recordings = []
    for subject, path in files:
        _array(path, (len(BLOCKS), len(CHANNELS), SAMPLES))
        digest = file_hash(path)
        for block in range(len(BLOCKS)):
            label = np.repeat([number[one] for one in labels[block].tolist()], CLIPS)
            key = [digest, block, label.tolist()]
            recordings.append(Recording(f"sub{subject}, block {block + 1}", subject, block + 1, key,
                                        partial(read, path, block, label, names[block])))
    return DataSet(
        recordings, float(SFREQ), list(CHANNELS), SFREQ * CLIP, 0., "standardised", ids,
        [f"concept {number}" for number in concepts], pictures, "yes" if args.frames else "no", split_by="given",
        captions_by="BLIP",
        about={"steps": [f"clips of {CLIP} s cut at their times in the publishers' blocks"],
               "presentation": "blocks: five clips of a concept in a row, after its name was shown for 3 s: the concept is "
                               "announced first",
               "sessions": "the blocks of the experiment",
               "captions": "by a model (BLIP), from the publishers' Video/BLIP-caption",
               "published": "Liu et al., NeurIPS 2024 (EEG2Video); SJTU's SEED-DV",
               "licence": "by the agreement with SJTU's BCMI laboratory"})


def _array(path, shape):
    array = map_npy(path, str(path))
    if array.shape != shape:
        raise InputError(f"{path}: an array of shape {array.shape}, expected {shape}, as in the folder of SEED-DV")
    return array


def _pictures(frames, folder, names):
    """{name: Picture} of all clips, with BLIP's caption."""
    found = {}
    for block, ordinal in enumerate(BLOCKS):
        files = _in_order(frames / f"{ordinal}_10min")
        path = folder / "Video" / "BLIP-caption" / f"{ordinal}_10min.txt"
        try:
            texts = [caption_of(line) for line in read_lines(path)]
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; expected the publishers' captions of block {block + 1}") from None
        texts = texts[:-1] if texts and not texts[-1] else texts
        for what, count in ((frames / f"{ordinal}_10min", len(files)), (path, len(texts))):
            if count != len(names[block]):
                raise InputError(f"{what}: {count} clips, expected {len(names[block])}, one for each clip of the block")
        found |= {name: Picture(file, (text,) if text else ())
                  for name, file, text in zip(names[block], files, texts, strict=True)}
    return found


def _in_order(folder):
    """The pictures of a block in the order of the numbers in their names, which may lack zeros: 2.jpg before 10.jpg."""
    numbers = {file: int(found[0]) if (found := re.search(r"\d+$", file.stem)) else -1 for file in picture_files(folder)}
    files = sorted(numbers, key=lambda file: (numbers[file], file.name))
    for place, file in enumerate(files):
        if numbers[file] != place + (numbers[files[0]] == 1):  # ffmpeg counts from 1
            raise InputError(f"--frames {file}: comes as picture {place + 1} of {len(files)}, but its name has another "
                             "number or none; expected 000.jpg to 199.jpg, one for each clip; rename it, or add the one "
                             "before it")
    return files


def read(path: Path, block: int, label: np.ndarray, names: list[str]) -> Iterator[Block]:
    """The clips of one block, cut at their times."""
    start = np.array([concept * PERIOD + HINT + clip * CLIP for concept in range(CONCEPTS) for clip in range(CLIPS)])
    data = map_npy(path, str(path))[block]
    eeg = np.stack([data[:, at * SFREQ:(at + CLIP) * SFREQ] for at in start])
    part = "test" if block == len(BLOCKS) - 1 else "train"
    yield Block(eeg.astype(np.float32), label, names, start.astype(float), [part] * len(names))
