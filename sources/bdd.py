"""BDD (LKbrilliant, Brain-Download-Datasets): raw Emotiv Insight recordings, one CSV a recording.

A folder a paradigm. Header and rows are separated by comma and blank, as in
`COUNTER, AF3, T7, Pz, T8, AF4, MARKERS['Blank','Image'], TICK, ContactQuality`: the markers' column has commas in its
name, so a plain CSV reader shifts the columns after it. COUNTER counts the samples modulo 128.
"""

import re
from pathlib import Path

import numpy as np
from tqdm import tqdm

from errors import InputError
from runs import file_hash

from .insight import CHANNELS, SKIPPED, Windows, check_microvolts, join_channels

PARADIGMS = ("Baseline", "Image-Blank", "VisualQA", "Visual_Q&A", "Left-Right_Arrows")
COUNTER_PERIOD = 128


def find_recordings(folder):
    """{recording id: CSV} of the paradigms in `folder`/BDD, or directly in `folder`; empty where there are none."""
    folder = Path(folder)
    root = folder / "BDD" if (folder / "BDD").is_dir() else folder
    paths = [path for name in PARADIGMS for path in sorted((root / name).rglob("*.csv")) if not path.name.startswith(".")]
    unlike = {}
    for path in paths:
        unlike.setdefault(file_hash(path), path)
    if len(unlike) < len(paths):  # a copy could be in two parts of the split
        print(f"BDD: {len(paths) - len(unlike)} copies of other recordings left out")
    return {f"BDD/{path.relative_to(root).as_posix()}": path for path in unlike.values()}


def split_header(line):
    """Column names of a header line; commas inside square brackets belong to a name."""
    return [name.strip() for name in re.split(r",(?![^\[]*\])", line.strip())]


def read_recording(path):
    """Read one CSV as a list of uninterrupted stretches [5, samples] (microvolts, channels as in `CHANNELS`).

    A jump of COUNTER (lost radio packets) ends a stretch. The first `SKIPPED` samples are left out.
    Raises InputError for a file that is cut, holds cells that are no numbers, NaN or Inf, or lacks a channel.
    """
    try:
        header, *lines = path.read_text(encoding="utf-8").splitlines() or [""]
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is no text, so the file is damaged; expected a CSV") from None
    names = split_header(header)
    missing = [name for name in CHANNELS if name not in names]
    if missing:
        found = ", ".join(names)[:200] or "nothing"
        raise InputError(f"{path}: column {', '.join(missing)} is missing (found {found})")
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
    signal = join_channels({name: columns[name] for name in CHANNELS}, path)
    jumps = []
    if "COUNTER" in columns:
        jumps = np.flatnonzero(np.diff(columns["COUNTER"]) % COUNTER_PERIOD > 1) + 1
    return np.split(signal[:, SKIPPED:], [jump - SKIPPED for jump in jumps if jump > SKIPPED], axis=1)


def read_windows(folder, min_samples, skip_damaged=False):
    """All windows of BDD under `folder`; a recording is a file."""
    windows = Windows(min_samples, skip_damaged)
    for recording, path in tqdm(find_recordings(folder).items(), desc="BDD", unit="file"):
        try:
            windows.add(recording, read_recording(path))
        except InputError as error:
            windows.report_damage(error)
    return windows
