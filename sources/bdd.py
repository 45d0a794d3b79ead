"""BDD (LKbrilliant, Brain-Download-Datasets): one man's EEG from an Emotiv Insight while a screen shows pictures.

    python prepare_data.py bdd --folder bdd --paradigm Image-Blank --output runs/bdd/data

`--folder` holds a folder for each paradigm, with one CSV for each recording. Header and rows are separated by comma and
blank, as in `COUNTER, AF3, T7, Pz, T8, AF4, MARKERS['Blank','Image'], TICK, ContactQuality`. The name of the markers'
column has commas, so a plain CSV reader shifts the columns after it. COUNTER counts the samples modulo 128. The marker is
an index into the names in its column's name: the class of the picture on the screen. It stays on, while TICK flips between
0 and 1 with each new picture, even if the class stays the same. So a trial begins where TICK flips (and at the first row).
Its class is the marker in the middle of the picture's time, because the marker follows TICK by up to about 10 samples.

A new picture comes every 2 s. The paradigms are Image-Blank (a picture or a blank screen), Left-Right_Arrows (an arrow at
the left or right edge, or a mark in the centre) and Visual_Q&A (the answer, yes or no, to a question about a picture). In
Baseline nothing was shown. The markers do not name single pictures, and there are no pictures: only the class can be
learned. With fewer than three recordings split by time: `--split_by time --split_gap 0`.
"""

import argparse
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from runtime.errors import InputError
from runtime.runs import file_hash
from runtime.text_files import read_lines

import numpy as np
from tqdm import tqdm

from eegdata.records import Block, DataSet, Recording

from . import epochs, preprocessing
from .copies import without_copies
from .emotiv_insight import CHANNELS, SFREQ, SKIPPED, Windows, check_microvolts, join_channels
from .search import all_below

PARADIGMS = ("Baseline", "Image-Blank", "VisualQA", "Visual_Q&A", "Left-Right_Arrows")
PARADIGM_FOLDERS = {"Image-Blank": ("Image-Blank",), "Left-Right_Arrows": ("Left-Right_Arrows",),
           "Visual_Q&A": ("Visual_Q&A", "VisualQA"), "Baseline": ("Baseline",)}
CLASS_NAMES = {"blank": "blank screen", "image": "picture", "center": "mark in the centre", "left": "left arrow",
            "right": "right arrow"}
COUNTER_PERIOD = 128
MAX_JUMPS = 0.1  # of a file's rows; where COUNTER jumps more often, the rows are not in their order
DAY_AND_TIME = re.compile(r"(\d{6})-\d{6}")  # day and time of a recording, in its file's name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", required=True, help="folder that holds the paradigms' folders, directly or in BDD/")
    parser.add_argument("--paradigm", choices=PARADIGM_FOLDERS, default="Image-Blank",
                        help="experiment; each has its own classes")
    group = parser.add_argument_group("processing, in this order")
    epochs.filter_options(group, 1., 30.)
    epochs.window_options(group, -.2, 1., "none, as the previous picture is on the screen until the onset")
    epochs.rejection_options(group, 500., 0., "Most trials hold blinks of about 350 at AF3 and AF4, so that 100 would "
                                              "leave nothing")
    group.add_argument("--min_contact", type=float, default=100.0, help="leave out trials during which the headset's "
                        "contact quality in percent is below this, as the publishers do; 0 keeps all")


def find(args: argparse.Namespace) -> DataSet:
    """The DataSet of one paradigm: a recording a CSV."""
    settings = epochs.settle(args, SFREQ, unset=epochs.no_baseline)
    if not 0 <= args.min_contact <= 100:
        raise InputError(f"--min_contact {args.min_contact}: expected percent, 0 to 100")
    if args.paradigm == "Baseline":
        raise InputError("--paradigm Baseline: recorded with nothing to be seen, its markers name no pictures; choose "
                         "another paradigm (pretrain_data_processor.py uses Baseline, too)")
    found = find_recordings(args.folder, PARADIGM_FOLDERS[args.paradigm])
    if not found:
        raise InputError(f"--folder {args.folder}: no CSV of the paradigm {args.paradigm}; expected {args.paradigm}/*.csv "
                         f"or BDD/{args.paradigm}/*.csv in it")
    found = sorted(found.items(), key=lambda each: (_time(each[1]), each[0]))
    classes = marker_names(read_header(found[0][1]), found[0][1])
    for _, path in found:
        names = marker_names(read_header(path), path)
        if set(names) != set(classes):
            raise InputError(f"{path}: the markers are {', '.join(names)}, those of {found[0][1].name} "
                             f"{', '.join(classes)}; expected the same in all recordings of a paradigm")
    days = sorted({_time(path)[:6] for _, path in found} - {""})
    sessions = {path: days.index(_time(path)[:6]) + 1 if _time(path) else len(days) + number
                for number, (_, path) in enumerate(found, 1)}
    options = {name: getattr(args, name) for name in (*epochs.OPTIONS, "min_contact")}
    steps = [f"samples counted at {SFREQ:g} Hz, the headset's nominal rate (by the screen's clock it was about 127)",
             "each channel's mean over the recording subtracted (the headset's zero is about 4200 uV)",
             *epochs.steps(settings, [SFREQ])]
    if args.min_contact:
        steps.append(f"trials with a contact quality below {args.min_contact:g}% left out")
    return DataSet(
        [Recording(name.removeprefix("BDD/"), 1, sessions[path], [file_hash(path), options, classes],
                   partial(_read, path, classes, args, settings)) for name, path in found],
        sfreq=settings.sfreq, ch_names=list(CHANNELS), n_times=settings.n_times, tmin=settings.tmin, units="uV",
        class_ids=[class_id(name) for name in classes],
        class_names=[CLASS_NAMES.get(name.lower(), name.lower()) for name in classes], pictures={}, pictures_known="no",
        split_by="recording", preprocessing=preprocessing.kept(settings, CHANNELS),
        about={"experiment": f"BDD (LKbrilliant, Brain-Download-Datasets): {args.paradigm}",
               "subjects": "one man, 25 years old", **options, "steps": steps})


def _time(path):
    match = DAY_AND_TIME.search(path.name)
    return match[0] if match else ""


def class_id(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower())


def _read(path, classes, args, settings):
    """The trials of one CSV."""
    columns = read_columns(path)
    markers = marker_names(columns, path)
    column = next(name for name in columns if name.startswith("MARKERS"))
    for name, highest in ((column, len(markers) - 1), ("TICK", 1), ("COUNTER", COUNTER_PERIOD - 1)):
        if name not in columns:
            raise InputError(f"{path}: column {name} is missing (found {', '.join(columns)})")
        wrong = np.flatnonzero(~np.isin(columns[name], np.arange(highest + 1)))
        if len(wrong):
            raise InputError(f"{path}, line {wrong[0] + 2}: {name} is {columns[name][wrong[0]]:g}, expected a whole number "
                             f"from 0 to {highest}; the file is damaged")
    signal = stack_channels(columns, path)
    epochs.check_filters(settings, path, SFREQ, signal.shape[1] / SFREQ)
    jumps = find_jumps(columns, path)
    onsets = np.concatenate([[0], np.flatnonzero(np.diff(columns["TICK"])) + 1])
    middle = (onsets + np.append(onsets[1:], signal.shape[1])) // 2
    label = np.array([classes.index(markers[number]) for number in columns[column][middle].astype(int)])
    good = good_contact(columns, onsets, args, path)
    eeg, kept, dropped = epochs.cut_array(signal - signal.mean(1, keepdims=True), SFREQ, CHANNELS,
                                          onsets[good] / SFREQ, settings, jumps - 1)
    if not good.all():
        dropped[f"contact quality below {args.min_contact:g}%"] = int((~good).sum())
    label, onsets = label[good][kept], onsets[good][kept]
    seconds = np.concatenate([[0], np.cumsum(np.diff(columns["COUNTER"]) % COUNTER_PERIOD)]) / SFREQ
    notes = [f"{len(jumps)} gaps of lost samples"] if len(jumps) else []
    yield Block(eeg, label, [f"{class_id(classes[number])}_unknown" for number in label], seconds[onsets], None, dropped,
                notes)


def good_contact(columns: dict[str, np.ndarray], onsets: np.ndarray, args: argparse.Namespace,
                 path: Path | str) -> np.ndarray:
    """Whether the contact quality stays at --min_contact or above from each trial's start to its end: [events] bool."""
    if not args.min_contact:
        return np.ones(len(onsets), bool)
    if "ContactQuality" not in columns:
        raise InputError(f"{path}: column ContactQuality is missing; --min_contact 0 does without it")
    bad = np.concatenate([[0], np.cumsum(~(columns["ContactQuality"] >= args.min_contact))])
    first, last = (np.clip(onsets + edge, 0, len(bad) - 1) for edge in epochs.window_samples(args, SFREQ))
    return bad[last] == bad[first]


def marker_names(names: Iterable[str], path: Path | str) -> list[str]:
    """What the numbers in the markers' column stand for, from its name: `MARKERS['Blank','Image']` -> [Blank, Image]."""
    column = next((name for name in names if name.startswith("MARKERS")), "")
    markers = re.findall(r"'([^']+)'", column)
    if len(markers) < 2 or len({class_id(name) for name in markers}) < len(markers):
        raise InputError(f"{path}: the column {column or 'MARKERS'} names no classes; expected a header with "
                         "MARKERS['Blank','Image'] or the like")
    return markers


def find_recordings(folder: Path | str, paradigms: tuple[str, ...] = PARADIGMS) -> dict[str, Path]:
    """{recording id: CSV} of the paradigms in `folder`/BDD, or directly in `folder`; empty where there are none."""
    folder = Path(folder)
    root = folder / "BDD" if (folder / "BDD").is_dir() else folder
    paths = [path for name in paradigms if (root / name).is_dir() for path in all_below(root / name)
             if path.is_file() and path.suffix == ".csv"]
    unlike = without_copies(paths, lambda path: path, "BDD").values()
    return {f"BDD/{path.relative_to(root).as_posix()}": path for path in unlike}


def split_header(line: str) -> list[str]:
    """Column names of a header line; commas inside square brackets belong to a name."""
    return [name.strip() for name in re.split(r",(?![^\[]*\])", line.strip())]


def read_header(path: Path | str) -> list[str]:
    """Column names of a CSV."""
    names = split_header(read_lines(path)[0])
    missing = [name for name in CHANNELS if name not in names]
    if missing:
        found = ", ".join(names)[:200] or "nothing"
        raise InputError(f"{path}: column {', '.join(missing)} is missing (found {found})")
    return names


def read_columns(path: Path) -> dict[str, np.ndarray]:
    """One CSV as {column name: float64 [samples]}.

    Raises InputError for a file that is cut, holds cells that are no numbers, NaN or Inf, or lacks a channel.
    """
    names = read_header(path)
    lines = read_lines(path)[1:]
    if not lines:
        raise InputError(f"{path}: the header is not followed by any sample")
    try:
        table = np.loadtxt(lines, delimiter=",", comments=None, ndmin=2)
    except ValueError as error:
        reason = str(error).split(";")[0]
        raise InputError(f"{path}: damaged or cut short after the header line: {reason}") from None
    if table.shape[1] != len(names):
        raise InputError(f"{path}: {len(names)} columns in the header, but {table.shape[1]} in the rows")
    columns = dict(zip(names, table.T, strict=True))
    for name in CHANNELS:
        check_microvolts(columns[name], f"{path}, column {name}")
    return columns


def stack_channels(columns: dict[str, np.ndarray], path: Path | str) -> np.ndarray:
    return join_channels({name: columns[name] for name in CHANNELS}, path)


def find_jumps(columns: dict[str, np.ndarray], path: Path | str) -> np.ndarray:
    """Positions of the first samples after lost radio packets, where COUNTER jumps."""
    steps = np.diff(columns["COUNTER"]) % COUNTER_PERIOD
    jumps = np.flatnonzero(~(steps <= 1)) + 1  # NaN as well
    if len(jumps) > MAX_JUMPS * len(columns["COUNTER"]):
        raise InputError(f"{path}: COUNTER jumps {len(jumps)} times in {len(columns['COUNTER'])} rows; expected the rows "
                         "of one recording in their order")
    return jumps


def read_recording(path: Path) -> list[np.ndarray]:
    """Read one CSV as a list of uninterrupted stretches [5, samples] (microvolts, channels as in `CHANNELS`).

    A jump of COUNTER (lost radio packets) ends a stretch. The first `SKIPPED` samples are left out. Raises InputError
    as `read_columns` does.
    """
    columns = read_columns(path)
    signal = stack_channels(columns, path)[:, SKIPPED:]
    jumps = find_jumps(columns, path) if "COUNTER" in columns else []
    return np.split(signal, [jump - SKIPPED for jump in jumps if jump > SKIPPED], axis=1)


def read_windows(folder: Path | str, min_samples: int, skip_damaged: bool = False) -> Windows:
    """All windows of BDD under `folder`; a recording is a file."""
    windows = Windows(min_samples, skip_damaged)
    for recording, path in tqdm(find_recordings(folder).items(), desc="BDD", unit="file"):
        try:
            windows.add(recording, read_recording(path))
        except InputError as error:
            windows.report_damage(error)
    return windows
