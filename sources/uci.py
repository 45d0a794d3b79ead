"""EEG of people who see two pictures one after the other (UCI EEG Database, Begleiter), as one NumPy file.

    python prepare_data.py uci --file uci_picture_evoked.npz --output runs/uci/data

`--file`: an .npz with `X` [trials, 64 rows, samples] in microvolts, 256 Hz, from the picture's onset; `subject` and `cond`
[trials]; `ch` [64] names. The condition of a trial is `S1 obj` (a first picture), `S2 match` (the same picture again) or
`S2 nomatch` (another picture). The rows `X` and `Y` (eye movements) and `nd` (no electrode) are left out. The pictures are
unknown and not included: only the class can be learned. The trials of a subject keep their order; their times are unknown.
"""

import argparse
import zipfile
import zlib
from functools import partial
from pathlib import Path

from runtime.errors import InputError
from runtime.runs import file_hash

import numpy as np

from eegdata.records import Block, DataSet, Recording

SFREQ = 256.0
CONDITIONS = {"S1 obj": ("first", "first picture"), "S2 match": ("match", "same picture again"),
              "S2 nomatch": ("nomatch", "another picture")}  # as in `cond`: class id, class name
NO_ELECTRODES = ("X", "Y", "nd")
ARRAYS = {"X": ("f", 3), "subject": ("U", 1), "cond": ("U", 1), "ch": ("U", 1)}  # kind of dtype and dimensions
MAX_RATIO, MIN_SIZE = 100, 1 << 20  # bytes that a packed byte may unpack to, and bytes below which it may be more
MAX_MICROVOLTS = 1e5  # microvolts; anything above is a damaged number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--file", required=True, help=".npz file with the arrays named above")


def find(args: argparse.Namespace) -> DataSet:
    """The DataSet: a recording a subject."""
    content = read_npz(args.file)
    names = [scalp_name(name) for name in content["ch"]]
    rows = [row for row, name in enumerate(content["ch"]) if name not in NO_ELECTRODES]
    conditions = list(CONDITIONS)
    label = np.array([conditions.index(condition) for condition in content["cond"]])
    subjects = sorted(set(content["subject"].tolist()))
    key = file_hash(args.file)
    recordings = []
    for number, subject in enumerate(subjects, 1):
        own = np.flatnonzero(content["subject"] == subject)
        recordings.append(Recording(subject, number, 1, [key, subject], partial(_read, content["X"], rows, own, label)))
    return DataSet(
        recordings, sfreq=SFREQ, ch_names=[names[row] for row in rows], n_times=content["X"].shape[2], tmin=0.0, units="uV",
        class_ids=[class_id for class_id, _ in CONDITIONS.values()], class_names=[name for _, name in CONDITIONS.values()],
        pictures={}, pictures_known="no", split_by="subject",
        about={"experiment": "UCI EEG Database (Begleiter): two pictures in turn, the second the same as the first or not",
               "steps": ["the EEG as the file holds it, from the picture's onset",
                         f"rows {', '.join(NO_ELECTRODES)} left out, no scalp electrodes"]})


def _read(eeg, rows, own, label):
    picture = [f"{list(CONDITIONS.values())[kind][0]}_unknown" for kind in label[own]]
    yield Block(eeg[own][:, rows], label[own], picture, np.full(len(own), np.nan))


def scalp_name(name: str) -> str:
    """A channel's name as the 10-10 system writes it: the file's FP1, CPZ are Fp1, CPz."""
    return name.replace("FP", "Fp").replace("Z", "z")


def read_npz(path: Path | str) -> dict[str, np.ndarray]:
    """The file's arrays by name, checked; nothing in it is executed."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.file_size > MAX_RATIO * max(member.compress_size, MIN_SIZE):
                    raise ValueError(f"{member.filename} is said to unpack to {member.file_size} bytes from "
                                     f"{member.compress_size}, as no EEG does")
            damaged = archive.testzip()
        if damaged:
            raise ValueError(f"checksum of {damaged} is wrong")
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in ARRAYS if name not in file.files]
            if missing:
                raise InputError(f"--file {path}: array {', '.join(missing)} is missing (found {', '.join(file.files)}); "
                                 "expected uci_picture_evoked.npz")
            content = {name: file[name] for name in ARRAYS}
    except FileNotFoundError:
        raise InputError(f"--file {path}: no such file; expected uci_picture_evoked.npz") from None
    except IsADirectoryError:
        raise InputError(f"--file {path}: is a folder, expected the .npz file") from None
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, RuntimeError, MemoryError) as error:
        raise InputError(f"--file {path}: not a readable .npz file, damaged or cut short ({str(error)[:200]}); copy it "
                         "again") from None
    _check(content, path)
    return content


def _check(content, path):
    for name, (kind, dimensions) in ARRAYS.items():
        array = content[name]
        if array.dtype.kind != kind or array.ndim != dimensions or not array.size:
            raise InputError(f"--file {path}: `{name}` is {array.dtype} of shape {array.shape}, expected "
                             f"{'floating-point numbers' if kind == 'f' else 'text'} of {dimensions} dimensions")
    n, n_rows = content["X"].shape[:2]
    for name, expected in (("subject", n), ("cond", n), ("ch", n_rows)):
        if len(content[name]) != expected:
            raise InputError(f"--file {path}: `{name}` has {len(content[name])} entries, expected {expected}, as `X` is "
                             f"{content['X'].shape}")
    unknown = sorted(set(content["cond"].tolist()) - set(CONDITIONS))
    if unknown:
        raise InputError(f"--file {path}: condition {unknown[0]!r} in `cond`, expected {', '.join(CONDITIONS)}")
    names = [scalp_name(name) for name in content["ch"].tolist()]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not set(names) - set(NO_ELECTRODES):
        raise InputError(f"--file {path}: `ch` names {', '.join(twice) or 'no scalp electrode'}"
                         f"{' twice' if twice else ''}, expected a name of its own for each scalp electrode")
    bad = np.argwhere(~(np.abs(content["X"]) <= MAX_MICROVOLTS).all(2))  # NaN as well
    if len(bad):
        raise InputError(f"--file {path}: trial {bad[0][0]}, channel {content['ch'][bad[0][1]]} holds numbers that are not "
                         f"finite or above {MAX_MICROVOLTS:g} uV; copy the file again")
