"""Recordings of people who look at photographs of faces and houses (N170 experiment of NeuroTechX EEG-ExPy).

    python prepare_data.py n170 --recordings n170/muse2016 --stimuli n170/stimuli --output demo/n170/data

`--recordings`: a folder with one Muse CSV for each recording, at any depth. Each path holds `subject<n>`, `session<n>` and
the time `YYYY-MM-DD-HH.MM.SS`. The columns are `timestamps` (s), `TP9 AF7 AF8 TP10` (microvolts, 256 Hz) and, last, the
marker: 0 none, 1 house, 2 face. `--stimuli`: the photographs, in the folders `houses` and `faces`.

A marker names the class but not the photograph, so the picture within the class is NOT known. Each trial gets a photograph
of its class in a fixed rotation, and only the class in pictures and captions can be decoded from the EEG. Each part (train,
val, test) has photographs of its own, so no picture is in two parts.

Unless --split_by says otherwise, recordings are split within each subject, in order of time. Of the recordings that hold
both classes, the last ones are the test and those before them validation. Of two, the later one is the test. A single one
is for training, and so are recordings with one class only.
"""

import argparse
import re
import zlib
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from runtime.errors import InputError
from runtime.runs import file_hash

import numpy as np

from eegdata.parts import PARTS, check_fractions, parts_in_order
from eegdata.pictures import picture_files
from eegdata.records import Block, DataSet, Picture, Recording

from . import epochs, preprocessing
from .copies import without_copies
from .muse import CHANNELS, MAX_JITTER, SFREQ, check_clock, read_csv
from .search import all_below

CLASSES = ("house", "face")  # by label; the marker is label + 1
CLASS_FOLDERS = {"house": "houses", "face": "faces"}
WORDINGS = {
    "house": ("A photograph of a house.", "A black and white photograph of a house.",
              "A picture of a house on a grey background.", "The outside of a single house."),
    "face": ("A photograph of a face.", "A black and white photograph of a face.",
             "A picture of a face on a grey background.", "The face of a single person."),
}
FILE_NAME = re.compile(r"subject(\d+)[/_]session(\d+)[/_].*?(\d{4}-\d\d-\d\d-\d\d\.\d\d\.\d\d)")


@dataclass
class MuseRecording:
    """The trials of a CSV: eeg [kept, 4, samples] microvolts, label [kept], onset [kept] in s from its first sample."""

    path: Path
    name: str
    subject: int
    session: int
    eeg: object
    label: object
    onset: object
    dropped: dict
    notes: list
    part: str = "train"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recordings", required=True, help="folder of the Muse CSVs, for example n170/muse2016")
    parser.add_argument("--stimuli", required=True, help="folder with the photographs' folders `houses` and `faces`")
    group = parser.add_argument_group("processing, in this order")
    epochs.filter_options(group, 1., 30.)
    epochs.window_options(group, -.1, .8, "none, as in EEG-ExPy's own analysis of this experiment")
    epochs.rejection_options(group, 100., 0.)


def find(args: argparse.Namespace) -> DataSet:
    """The DataSet, with a recording for each CSV. All are read now: parts and pictures depend on the trials of all."""
    from tqdm import tqdm

    settings = epochs.settle(args, SFREQ, unset=epochs.no_baseline)
    check_fractions(args.val_fraction, args.test_fraction)
    found, pictures = find_recordings(args.recordings), find_photographs(args.stimuli)
    recordings = [read_recording(*each, settings) for each in tqdm(found, desc="read", unit="file")]
    split_recordings(recordings, args.val_fraction, args.test_fraction)
    if args.split_by in (None, "given"):
        check_parts(recordings)
    assigned = rotate(recordings, share_out(pictures, args.val_fraction, args.test_fraction))
    options = {name: getattr(args, name) for name in epochs.OPTIONS}
    return DataSet(
        [Recording(one.name, one.subject, one.session, [file_hash(one.path), options, one.part, names],
                   partial(_read, one, names)) for one, names in zip(recordings, assigned, strict=True)],
        sfreq=settings.sfreq, ch_names=list(CHANNELS), n_times=settings.n_times, tmin=settings.tmin, units="uV",
        class_ids=list(CLASSES), class_names=list(CLASSES),
        pictures={name: Picture(path, (caption(class_id, name),))
                  for class_id, by_name in pictures.items() for name, path in by_name.items()},
        pictures_known="class", split_by="given", preprocessing=preprocessing.kept(settings, CHANNELS),
        about={"experiment": "N170 (NeuroTechX EEG-ExPy): photographs of faces and houses",
               "pictures": "the markers name the class only; the picture within class is NOT known: each trial has one of "
                           "its class in a fixed rotation, from photographs that belong to its part",
               **options, "steps": epochs.steps(settings, [SFREQ])})


def _read(recording, pictures):
    yield Block(recording.eeg, recording.label, pictures, recording.onset, [recording.part] * len(pictures),
                recording.dropped, recording.notes)


def find_recordings(folder: Path | str) -> list[tuple[Path, str, int, int]]:
    """[(path, name, subject, session)] in order of subject and time."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"--recordings {folder}: no such folder; expected Muse recordings of the N170 experiment of "
                         "NeuroTechX EEG-ExPy, which are not part of this project; give their folder (make n170 "
                         "FOLDER=...)")
    found = []
    for path in all_below(folder):
        if not path.is_file() or path.suffix != ".csv":
            continue
        name = path.relative_to(folder).as_posix()
        match = FILE_NAME.search(name)
        if match is None:
            raise InputError(f"--recordings {path}: subject, session and time cannot be read from the name; expected "
                             "subject<n>_session<n>_..._YYYY-MM-DD-HH.MM.SS.csv")
        found.append((path, name, int(match[1]), int(match[2]), match[3]))
    found.sort(key=lambda each: (each[1].count("/"), each[1]))
    found = without_copies(found, lambda each: each[0], f"--recordings {folder}").values()
    if not found:
        raise InputError(f"--recordings {folder}: holds no .csv; expected Muse recordings as in n170/muse2016")
    return [each[:4] for each in sorted(found, key=lambda each: (each[2], each[4], each[1]))]


def read_recording(path: Path, name: str, subject: int, session: int, settings: epochs.Epoching) -> MuseRecording:
    times, signal, marker, column = read_csv(path)
    _check_markers(marker, column, path)
    epochs.check_filters(settings, path, SFREQ, len(times) / SFREQ)
    gaps, backward = check_clock(times, path)
    onsets = np.flatnonzero(marker)
    eeg, kept, dropped = epochs.cut_array(signal, SFREQ, CHANNELS, onsets / SFREQ, settings, gaps)
    notes = [f"{len(gaps)} gaps of lost samples"] * bool(len(gaps)) + [
        f"{backward} timestamps stand before an earlier one, by {MAX_JITTER:g} s at most"] * bool(backward)
    return MuseRecording(path, name, subject, session, eeg, label=marker[onsets][kept].astype(int) - 1,
                         onset=(times[onsets] - times[0])[kept], dropped=dropped, notes=notes)


def _check_markers(marker, column, path):
    if column is None:
        raise InputError(f"{path}: no column of markers behind the signals, expected one (0 none, 1 house, 2 face)")
    unknown = sorted(set(marker) - {0, 1, 2})
    if unknown:
        raise InputError(f"{path}: marker {unknown[0]:g} in column {column}, expected 0 none, 1 house, 2 face")
    if not marker.any():
        raise InputError(f"{path}: no markers in column {column}, so it holds no trial; take the file out")


def split_recordings(recordings: list[MuseRecording], val_fraction: float, test_fraction: float) -> None:
    """Set each recording's `part` by the rule of the module's docstring; `recordings` are in order of time."""
    for subject in {recording.subject for recording in recordings}:
        whole = [one for one in recordings if one.subject == subject and len(set(one.label)) == len(CLASSES)]
        for recording, part in zip(whole, parts_in_order(len(whole), val_fraction, test_fraction).tolist(), strict=True):
            recording.part = part


def check_parts(recordings: list[MuseRecording]) -> None:
    for part in PARTS:
        labels = {int(label) for recording in recordings if recording.part == part for label in recording.label}
        missing = [name for label, name in enumerate(CLASSES) if label not in labels]
        if missing:
            raise InputError(f"the part {part} has no trial of {' and '.join(missing)}: at least one subject needs "
                             "three recordings with trials of both classes; give more recordings, a higher --reject or "
                             "another --split_by")


def find_photographs(folder: Path | str) -> dict[str, dict[str, Path]]:
    """{class: {picture name: path}} of the photographs, sorted."""
    pictures = {}
    for class_id, subfolder in CLASS_FOLDERS.items():
        paths = picture_files(Path(folder) / subfolder)
        if len(paths) < len(PARTS):
            raise InputError(f"--stimuli {Path(folder) / subfolder}: {len(paths)} photographs (.jpg, .png), expected "
                             f"at least {len(PARTS)}")
        pictures[class_id] = {f"{class_id}_{path.stem.replace('.', '-')}": path for path in paths}
    return pictures


def share_out(pictures: dict, val_fraction: float, test_fraction: float) -> dict[str, dict[str, list[str]]]:
    """{class: {part: picture names}} in sorted order, so that views of one face or house mostly stay together."""
    shares = {}
    for class_id, by_name in pictures.items():
        parts = parts_in_order(len(by_name), val_fraction, test_fraction)
        shares[class_id] = {part: [name for name, its in zip(by_name, parts, strict=True) if its == part] for part in PARTS}
    return shares


def rotate(recordings: list[MuseRecording], shares: dict) -> list[list[str]]:
    """The picture names of each recording's trials: the photographs of the trial's class and part, in turn."""
    turns, assigned = Counter(), []
    for recording in recordings:
        assigned.append([])
        for label in recording.label.tolist():
            names = shares[CLASSES[label]][recording.part]
            assigned[-1].append(names[turns[label, recording.part] % len(names)])
            turns[label, recording.part] += 1
    return assigned


def caption(class_id: str, name: str) -> str:
    """One of the class's wordings, chosen by a checksum of the picture's name."""
    wordings = WORDINGS[class_id]
    return wordings[zlib.crc32(name.encode()) % len(wordings)]
