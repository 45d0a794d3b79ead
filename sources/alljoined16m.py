"""Alljoined-1.6M: 20 people, an Emotiv Flex 2 with 32 channels, THINGS-EEG2's 16,740 pictures (Xu et al. 2025).

    python prepare_data.py alljoined16m --recordings raw_eeg --pictures stimuli/images --output data/aj16m
    python prepare_data.py alljoined16m --preprocessed preprocessed_eeg --pictures stimuli/images --output data/aj16m

`--recordings` reads the raw EDF files `sub-01/session_01/block_05/Subject 1, Session 1, Block 5*.edf`, whose annotations
`stim_train,37,-1,12` name picture 00037.jpg. `--preprocessed` reads `sub-01/preprocessed_eeg_training_flat.npy` and
`preprocessed_eeg_test_flat.npy`; their rows are those of `experiment_metadata.parquet` beside them that were not dropped.

Pictures 16540 to 16739 are the test part. With --concepts, THINGS-EEG2's `image_metadata.npy`, each picture has its concept
as its class, else it has none. Of markers at one time, none is used; the count is among what was dropped.
"""

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from runtime.errors import InputError
from runtime.runs import file_hash

import numpy as np

from eegdata.records import Block, DataSet, Picture, Recording

from . import raw
from .safe_npy import read_object_npy
from .stimuli import NamePattern, find_stimuli
from .things_shared import array_of, names_and_times
from .unused import refuse

EVENT, NAME = r"stim_(?:train|test),(\d+),-1,\d+", "{1:5}"
FIRST_TEST, PICTURES = 16540, 16740
FILES = {"train": "preprocessed_eeg_training_flat.npy", "test": "preprocessed_eeg_test_flat.npy"}
COLUMNS = ("session", "partition", "image_path", "dropped")
ROWS = 2000  # read at a time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Alljoined-1.6M")
    group.add_argument("--preprocessed", metavar="FOLDER", help="the publishers' preprocessed files, in place of "
                                                                "--recordings")
    group.add_argument("--concepts", metavar="NPY", help="THINGS-EEG2's image_metadata.npy, which names each picture's "
                                                         "concept (unset: pictures have no class)")
    raw.add_arguments(parser)
    parser.set_defaults(tmax=1., skip_ambiguous=True, no_classes=True)


@dataclass
class Shown:
    """A picture by its number: its name, class id ("" without) and readable class name."""

    name: str
    class_id: str
    class_name: str


def find(args: argparse.Namespace) -> DataSet:
    """The DataSet: a recording a block, or of preprocessed files a session and part."""
    if sum(map(bool, (args.recordings, args.preprocessed))) != 1 or args.bids:
        raise InputError("--recordings, --preprocessed: give one of them; the BIDS copy nm000134 lacks the training "
                         "markers of a run, so take the raw files")
    if not args.pictures:
        raise InputError("--pictures: missing; give the folder of 00000.jpg to 16739.jpg")
    refuse(args, ("events", "picture_map", "picture_list", "picture_column", "event_picture",
                                 "caption_columns"), "the names of the markers say what was shown")
    concepts = _concepts(args.concepts) if args.concepts else None
    if args.preprocessed:
        refuse(args, raw.OF_RECORDINGS, "the trials of --preprocessed are cut and filtered already")
        data = _find_preprocessed(args)
    else:
        stimuli = find_stimuli(args.pictures, without_classes=True)
        stimuli.pattern = NamePattern(EVENT, NAME)
        data = raw.find(args, stimuli, lambda file: (file.subject, _session(file)))
    return _published(data, concepts)


def _session(file):
    found = re.search(r"[Ss]ession[ _]0*(\d+)", file.name)
    if not found:
        raise InputError(f"{file.name}: does not name its session; expected the publishers' names, such as Subject 1, "
                         "Session 1, Block 5")
    return found[1]


def _concepts(path):
    """Concept of each picture by its number."""
    content = read_object_npy(path)
    names = [str(one) for key in ("train_img_concepts", "test_img_concepts") for one in content.get(key, ())]
    if len(names) != PICTURES:
        raise InputError(f"--concepts {path}: names {len(names)} concepts of pictures, expected {PICTURES} in "
                         "train_img_concepts and test_img_concepts")
    return [re.sub(r"^\d+_", "", name) for name in names]


def _published(data, concepts):
    """The data set with classes, parts and the publishers' facts."""
    number = {name: int(re.search(r"(\d+)$", name)[1]) for name in data.pictures}
    shown = {name: _shown(number[name], concepts) for name in data.pictures}
    names = {one.class_id: one.class_name for one in shown.values() if one.class_id}
    place = {class_id: label for label, class_id in enumerate(sorted(names))}

    def read(recording):
        for block in recording.read():
            own = [shown[name] for name in block.picture]
            yield replace(block, picture=[one.name for one in own],
                          label=np.array([place.get(one.class_id, -1) for one in own], int),
                          part=["test" if number[name] >= FIRST_TEST else "train" for name in block.picture])

    return replace(
        data, recordings=[replace(one, key=[one.key, sorted(place)], read=partial(read, one)) for one in data.recordings],
        pictures={shown[name].name: picture for name, picture in data.pictures.items()}, class_ids=sorted(names),
        class_names=[names[class_id] for class_id in sorted(names)], split_by="given",
        about={**data.about, "published": "Xu et al. 2025 (arXiv 2508.18571), Hub Alljoined/Alljoined-1.6M",
               "licence": "CC BY-NC-ND; the pictures are THINGS', for research only",
               "presentation": "random: pictures in random order, 5 a second; blocks 1 to 4 of a session are the test's",
               "traps": "the files of sub-08 are called Subject 19; in sub-06 the publishers' script swaps two triggers"})


def _shown(number, concepts):
    concept = concepts[number] if concepts else ""
    class_id = re.sub(r"[_\s]+", "-", concept)
    return Shown(f"{class_id or 'things'}_{number:05d}", class_id, concept.replace("_", " "))


def _find_preprocessed(args):
    import pyarrow.parquet

    folders = sorted((int(found[1]), path) for path in Path(args.preprocessed).glob("sub-*")
                     if (found := re.fullmatch(r"sub-0*(\d+)", path.name)))
    if not folders:
        raise InputError(f"--preprocessed {args.preprocessed}: holds no sub-01 and so on")
    recordings, facts, pictures = [], {}, {}
    for subject, folder in folders:
        path = folder / "experiment_metadata.parquet"
        try:
            table = pyarrow.parquet.read_table(path, columns=list(COLUMNS)).to_pydict()
        except (pyarrow.ArrowException, OSError, KeyError) as error:
            raise InputError(f"{path}: not readable as a table of {', '.join(COLUMNS)} "
                             f"({str(error).splitlines()[0][:150]}); copy it again") from None
        for part, name in FILES.items():
            eeg, names, times = _open(folder / name)
            facts[folder / name] = (tuple(names), tuple(times))
            rows = [row for row, dropped in enumerate(table["dropped"])
                    if not dropped and table["partition"][row] == f"stim_{part}"]
            if len(rows) != len(eeg):
                raise InputError(f"{folder / name}: EEG of {len(eeg)} trials, {path.name} names {len(rows)} of {part} that "
                                 "were not dropped; copy both again")
            shown = [f"picture_{Path(table['image_path'][row].replace(chr(92), '/')).stem}" for row in rows]
            session = np.array([int(table["session"][row]) for row in rows])
            pictures |= dict.fromkeys(shown)
            for each in sorted(set(session.tolist())):
                own = np.flatnonzero(session == each)
                recordings.append(Recording(
                    f"sub-{subject:02d}, session {each}, {part}", subject, each, [file_hash(folder / name), file_hash(path),
                                                                                each],
                    partial(_read, folder / name, own, [shown[row] for row in own])))
    if len(set(facts.values())) > 1:
        paths = list({fact: path for path, fact in facts.items()}.values())
        raise InputError(f"{paths[0]} and {paths[1]} differ in channels or times; give files of one preprocessing")
    (names, times), = set(facts.values())
    return DataSet(recordings, round((len(times) - 1) / (times[-1] - times[0]), 3), list(names), len(times), times[0],
                   "standardised", [], [], {name: Picture(_file(args.pictures, name)) for name in sorted(pictures)},
                   about={"steps": ["cut, filtered and whitened by the publishers' script, with covariances of the "
                                    "training trials of a session"],
                          "order": "rows follow the order of presentation within a session, without times"})


def _file(folder, name):
    number = name.removeprefix("picture_")
    if not number.isdecimal() or int(number) >= PICTURES:
        raise InputError(f"experiment_metadata.parquet: names picture {number[:40]}, expected a number below "
                         f"{PICTURES}")
    path = Path(folder) / f"{int(number):05d}.jpg"
    if not path.is_file():
        raise InputError(f"--pictures {folder}: {path.name} is not there; give the folder of 00000.jpg to 16739.jpg")
    return path


def _open(path):
    content = read_object_npy(path)
    missing = [key for key in ("preprocessed_eeg_data", "ch_names", "times") if key not in content]
    if missing:
        raise InputError(f"{path}: '{missing[0]}' is missing; expected preprocessed_eeg_data, ch_names and times")
    eeg = array_of(path, "preprocessed_eeg_data", content["preprocessed_eeg_data"])
    if eeg.ndim != 3 or eeg.dtype.kind != "f":
        raise InputError(f"{path}: 'preprocessed_eeg_data' is of shape {eeg.shape} and {eeg.dtype}, expected floats of "
                         "three axes (trials, channels, samples)")
    return eeg, *names_and_times(path, content["ch_names"], content["times"], eeg.shape[1:])


def _read(path: Path, rows: np.ndarray, names: list[str]) -> Iterator[Block]:
    eeg = _open(path)[0]
    for start in range(0, len(rows), ROWS):
        own = rows[start:start + ROWS]
        yield Block(np.asarray(eeg[own], np.float32), np.full(len(own), -1), names[start:start + ROWS],
                    np.full(len(own), np.nan))
