"""THINGS-EEG2: 16,740 pictures of 1,854 object concepts in rapid succession, 10 people (Gifford et al. 2022).

    python prepare_data.py things --folder things_eeg2 --output data/things

`--folder` holds the preprocessed files `sub-01/preprocessed_eeg_training.npy`, `sub-01/preprocessed_eeg_test.npy` and so
on. It also holds the pictures, unless --images names another folder: `training_images/00001_aardvark/aardvark_01b.jpg` and
`test_images/00001_aircraft_carrier/aircraft_carrier_06s.jpg`. If `image_metadata.npy` lies beside them, the pictures are
checked against it. Row i of a file is picture i of the sorted folders. Files of NICE-EEG's scripts (250 Hz, 63 channels)
are read too. Nothing in the files is executed, and large ones stay on disk.

Two other layouts are recognised: the whitened `sub-01/train.pt` and `test.pt` of UBP and later code, which name picture and
session of each trial, and the raw `sub-01/ses-01/raw_eeg_training.npy`, from which trials are cut in the order of
presentation.

Training trials are single repetitions (4 for each picture), test trials the average of all 80, as in the published
protocol; --average_train and --average_test change that. Of raw files nothing is averaged. The test is zero-shot: none of
its 200 concepts is in a training picture. For validation, --val_fraction of the training concepts are held out, evenly
spaced in their sorted list, at least one. THINGS has no captions: `prepare_data.py caption` has a model write them.
"""

import argparse
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from runtime.errors import InputError
from runtime.runs import content_key, file_hash

import numpy as np

from eegdata.records import Block, DataSet, Picture, Recording

from . import epochs
from .safe_npy import read_object_npy
from .things_shared import (
    ConceptPicture,
    averaged,
    check_average,
    check_metadata,
    choose_validation,
    class_facts,
    find_concept_pictures,
    names_and_times,
)
from .unused import refuse

FILES = {"training": "preprocessed_eeg_training.npy", "test": "preprocessed_eeg_test.npy"}
EEG_KEYS = ("preprocessed_eeg_data", "ch_names", "times")
POSTERIOR17 = ("P7", "P5", "P3", "P1", "Pz", "P2", "P4", "P6", "P8", "PO7", "PO3", "POz", "PO4", "PO8", "O1", "Oz", "O2")
CUTTING = ("l_freq", "h_freq", "resample", "tmin", "tmax", "baseline")  # options of raw files
CUT_ALREADY = "the trials of these files are cut and filtered already; it is for raw files"
BLOCK_REPETITIONS = 2000  # repetitions read at a time
MAX_VALUE = 1e6  # in whatever unit, EEG is below; a damaged exponent is mostly not
STEPS = ["epoched, baseline-corrected and resampled by the publishers' script",
         "multivariate noise normalisation of each session by the publishers' script, in the published files with "
         "covariances of training and test trials together"]


def repetitions(text: str) -> str | int:
    """An argparse type: "all", "none" or how many repetitions to average."""
    if text not in ("all", "none") and not (text.isdecimal() and int(text) > 0):
        raise ValueError(text)
    return text if text in ("all", "none") else int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", required=True, help="folder of the preprocessed EEG, with sub-01, sub-02 and so on")
    parser.add_argument("--images", help="folder with training_images and test_images (unset: --folder)")
    parser.add_argument("--subjects", nargs="+", type=int, metavar="N", help="numbers of the subjects to use (unset: all)")
    parser.add_argument("--average_train", type=repetitions, default="none", metavar="all|none|N",
                        help="repetitions of a training picture to average into one trial")
    parser.add_argument("--average_test", type=repetitions, default="all", metavar="all|none|N",
                        help="repetitions of a test picture to average into one trial")
    parser.add_argument("--channels", nargs="+", metavar="NAME", help="channels to keep, or posterior17 for the "
                        f"{len(POSTERIOR17)} that the field often takes: {', '.join(POSTERIOR17)} (unset: all)")
    group = parser.add_argument_group("raw files: how trials are cut")
    epochs.filter_options(group, .5, 40.)
    epochs.window_options(group, -.2, .8, "from --tmin to 0", "250 Hz")


def find(args: argparse.Namespace) -> DataSet:
    """The DataSet: a recording a subject; of whitened and raw files one a subject and session."""
    images = Path(args.images or args.folder)
    pictures = {part: find_concept_pictures(images / f"{part}_images") for part in FILES}
    check_metadata(images / "image_metadata.npy", pictures)
    subjects = find_subjects(args.folder, args.subjects)
    first = next(iter(subjects.values()))
    if (first / "train.pt").is_file():
        from .things_whitened import find_whitened

        refuse(args, CUTTING, CUT_ALREADY)
        data = find_whitened(args, subjects, pictures)
    elif any(first.glob("ses-*/raw_eeg_*.npy")):
        from .things_raw import find_raw

        refuse(args, ("average_train", "average_test"), "of raw files nothing is averaged")
        data = find_raw(args, subjects, pictures)
    else:
        refuse(args, CUTTING, CUT_ALREADY)
        data = find_preprocessed(args, subjects, pictures)
    data = with_channels(data, args.channels)
    return replace(data, about={**data.about, "published": "OSF 3jk45 (Gifford et al., NeuroImage 264, 2022)",
                                "licence": "CC BY 4.0; the pictures are THINGS', for research only"})


def with_channels(data: DataSet, wanted: list[str] | None) -> DataSet:
    """The data set with these channels only; None: all."""
    if not wanted:
        return data
    wanted = list(POSTERIOR17) if wanted == ["posterior17"] else wanted
    place = {name.lower(): number for number, name in enumerate(data.ch_names)}
    missing = [name for name in wanted if name.lower() not in place]
    if missing or len(set(map(str.lower, wanted))) < len(wanted):
        raise InputError(f"--channels {(missing or wanted)[0]}: " + (
            f"not among the channels {', '.join(data.ch_names)[:300]}" if missing else "a channel is named twice"))
    rows = [place[name.lower()] for name in wanted]

    def read(recording):
        for block in recording.read():
            yield replace(block, eeg=block.eeg[:, rows])

    kept = data.preprocessing and {**data.preprocessing, "ch_names": [data.ch_names[row] for row in rows]}
    return replace(data, ch_names=[data.ch_names[row] for row in rows], preprocessing=kept, recordings=[
        replace(recording, key=[recording.key, rows], read=partial(read, recording)) for recording in data.recordings])


def find_preprocessed(args: argparse.Namespace, subjects: dict[int, Path],
                      pictures: dict[str, list[ConceptPicture]]) -> DataSet:
    """The DataSet of the publishers' preprocessed files."""
    from tqdm import tqdm

    classes, class_names = class_facts(pictures)
    validation = choose_validation(list(dict.fromkeys(p.class_id for p in pictures["training"])), args.val_fraction)
    options = [args.average_train, args.average_test, sorted(validation),
               content_key([[p.name for p in pictures[part]] for part in FILES])]
    recordings, first, known = [], None, None
    for subject, folder in tqdm(subjects.items(), desc="check", unit="subject"):
        for part, average in (("training", args.average_train), ("test", args.average_test)):
            path = folder / FILES[part]
            eeg, *facts = open_eeg(path)
            check_eeg(path, eeg, pictures[part], part, average)
            if first and facts != known:
                raise InputError(f"{path}: {_facts(facts)}, but {first}: {_facts(known)}; expected files of one "
                                 "preprocessing")
            first, known = first or path, facts
        key = [[file_hash(folder / name) for name in FILES.values()], options]
        recordings.append(Recording(f"sub-{subject:02d}", subject, -1, key, partial(
            read, folder, pictures, {c: i for i, c in enumerate(classes)}, validation,
            {"training": args.average_train, "test": args.average_test})))
    ch_names, times = known
    return DataSet(
        recordings, sfreq=round((len(times) - 1) / (times[-1] - times[0]), 3), ch_names=ch_names, n_times=len(times),
        tmin=times[0], units="standardised", class_ids=classes, class_names=class_names,
        pictures={p.name: Picture(p.path) for part in FILES for p in pictures[part]}, split_by="given",
        about={"steps": [*STEPS, *(f"{part} trials: {_average_text(average)}" for part, average in (
                   ("training", args.average_train), ("test", args.average_test)))],
               "presentation": "random: pictures in random order, 5 a second (Gifford et al. 2022)",
               "order": "the preprocessed files hold neither the order of presentation nor the sessions",
               "validation": f"{len(validation)} of the training part's concepts, evenly spaced in their sorted list"})


def find_subjects(folder: Path | str, wanted: list[int] | None) -> dict[int, Path]:
    """{number: folder} of the people, in order."""
    found = {int(match[1]): path for path in Path(folder).glob("sub-*") if (match := re.fullmatch(r"sub-(\d+)", path.name))}
    if not found:
        raise InputError(f"--folder {folder}: holds no sub-01, sub-02 and so on; expected the folder of the preprocessed "
                         "EEG of THINGS-EEG2")
    missing = sorted(set(wanted or ()) - set(found))
    if missing:
        raise InputError(f"--subjects {missing[0]}: {folder} holds {', '.join(found[s].name for s in sorted(found))}")
    return {subject: found[subject] for subject in sorted(set(wanted or found))}


def open_eeg(path: Path | str) -> tuple[np.ndarray, list[str], list[float]]:
    """EEG [pictures, repetitions, channels, samples], on disk where it is large; channel names; times of samples in s."""
    content = read_object_npy(path)
    missing = [key for key in EEG_KEYS if key not in content]
    if missing:
        raise InputError(f"{path}: key '{missing[0]}' is missing (found {sorted(map(str, content))}); expected "
                         f"{list(EEG_KEYS)}")
    eeg, names, times = (content[key] for key in EEG_KEYS)
    if not isinstance(eeg, np.ndarray) or eeg.ndim != 4 or eeg.dtype.kind != "f" or not eeg.size:
        found = f"of shape {eeg.shape} and {eeg.dtype}" if isinstance(eeg, np.ndarray) else f"a {type(eeg).__name__}"
        raise InputError(f"{path}: 'preprocessed_eeg_data' is {found}, expected floats of four axes (pictures, "
                         "repetitions, channels, samples)")
    return eeg, *names_and_times(path, names, times, eeg.shape[2:])


def check_eeg(path: Path | str, eeg: np.ndarray, pictures: list[ConceptPicture], part: str, average: str | int) -> None:
    if len(eeg) != len(pictures):
        raise InputError(f"{path}: EEG of {len(eeg)} pictures, but {part}_images holds {len(pictures)}; expected a row a "
                         "picture: unpack the pictures again, or copy the file again")
    check_average(path, eeg.shape[1], part, average)


def read(folder: Path, pictures: dict[str, list[ConceptPicture]], number: dict[str, int], validation: set[str],
         average: dict[str, str | int]) -> Iterator[Block]:
    """One subject's trials: the training file's, then the test file's, in the order of pictures and repetitions."""
    for part, name in FILES.items():
        eeg = open_eeg(folder / name)[0]
        step = max(1, BLOCK_REPETITIONS // eeg.shape[1])
        for start in range(0, len(eeg), step):
            picked = pictures[part][start:start + step]
            trials, left_over = averaged(eeg[start:start + step], average[part])
            if max(trials.max(), -trials.min()) > MAX_VALUE and np.isfinite(trials).all():  # NaN is for the writer to tell
                raise InputError(f"{folder / name}: holds values above {MAX_VALUE:g} among those of pictures {start} to "
                                 f"{start + len(picked) - 1}; that is no EEG, the file is damaged: copy it again")
            each = trials.shape[1]
            parts = ["test" if part == "test" else "val" if p.class_id in validation else "train" for p in picked]
            dropped = {f"{part} repetitions left over by averaging {average[part]}": left_over * len(picked)}
            yield Block(trials.reshape(-1, *trials.shape[2:]), np.repeat([number[p.class_id] for p in picked], each),
                        [p.name for p in picked for _ in range(each)], np.full(len(picked) * each, np.nan),
                        [each_part for each_part in parts for _ in range(each)], dropped if left_over else {})


def _average_text(average):
    return "single repetitions" if average in ("none", 1) else f"average of {average} repetitions"


def _facts(facts):
    names, times = facts
    return (f"{len(names)} channels from {names[0]} to {names[-1]}, {len(times)} samples from {times[0]:g} to "
            f"{times[-1]:g} s")
