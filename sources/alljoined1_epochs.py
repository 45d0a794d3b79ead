"""Alljoined1's trials that were cut already: `_epo.fif` and `.h5` files of OSF, parquet files of the Hub's table.

The tables have a row a trial: subject_id, session, block, trial, 73k_id, coco_id, the EEG (`eeg`, or `EEG` on the Hub)
[64 channels, samples] from 0.05 s before the trigger on at 512 Hz, and curr_time, seconds into the recording. The picture
is found by its COCO number, and `73k_id` must fit it, counted from 0 or from 1 throughout.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputError
from runtime.runs import file_hash

import numpy as np

from eegdata.records import Block, DataSet, Picture, Recording

from .coco_pictures import Photograph
from .pandas_h5 import read_frame
from .readers import mne_reads
from .search import all_below

if TYPE_CHECKING:
    import mne

SFREQ, TMIN = 512., -.05  # of the tables
NUMBERS = ("subject_id", "session", "73k_id", "coco_id")
COLUMNS = (*NUMBERS, "curr_time")
SUFFIXES = ("_epo.fif", ".h5", ".parquet")
ROWS = 500  # read at a time
MAX_VOLT = 1e-2  # larger values are microvolts


def find_epochs(paths: list[str], shown: dict[int, Photograph], delay: float = 0.) -> DataSet:
    """The DataSet of files of epochs: a recording a session; pictures are called nsd_<number>, and have no file yet.

    shown: photograph by event; delay: seconds from a trigger to the picture on the screen, which shifts the trials' time.
    """
    found = [one for path in _files(paths) for one in _sessions(path, shown)]
    twice = [one.name for i, one in enumerate(found) if (one.subject, one.session) in
             {(other.subject, other.session) for other in found[:i]}]
    if twice:
        raise InputError(f"--epochs: {twice[0]} is a session that another file holds too; give each session once")
    shapes = {(tuple(one.ch_names), one.n_times, one.sfreq, one.tmin): one.name for one in found}
    if len(shapes) > 1:
        raise InputError(f"--epochs: {' and '.join(list(shapes.values())[:2])} differ in channels, samples, rate or "
                         "window; give files of one preprocessing")
    (ch_names, n_times, sfreq, tmin), = shapes
    return DataSet(
        [Recording(one.name, one.subject, one.session, one.key, one.read) for one in found], sfreq, list(ch_names), n_times,
        tmin - delay, "uV", [], [], {f"nsd_{nsd}": Picture(None) for one in found for nsd in one.shown},
        about={"steps": ["cut and filtered by the publishers", *([f"{delay:g} s added to the onset of each event"] if delay
                                                                 else [])],
               "files": [{"name": one.name, "sha256": one.key[0]} for one in found]})


def _files(given):
    """The files of epochs among files and folders, in order."""
    found = {}
    for start in map(Path, given):
        if not start.exists():
            raise InputError(f"--epochs {start}: no such file or folder")
        own = [start] if start.is_file() else [path for path in all_below(start) if path.name.endswith(SUFFIXES)]
        if not own or not own[0].name.endswith(SUFFIXES):
            raise InputError(f"--epochs {start}: expected files that end in {', '.join(SUFFIXES)}")
        found |= {path.resolve(): path for path in own}
    return list(found.values())


class _Session:
    """A session in a file: name, subject, session, key, ch_names, n_times, sfreq, tmin, the pictures shown, and read() ->
    Blocks."""

    def __init__(self, name, subject, session, key, ch_names, n_times, sfreq, tmin, shown, read):
        self.name, self.subject, self.session, self.key = name, int(subject), int(session), key
        self.shown = sorted(set(shown))
        self.ch_names, self.n_times, self.sfreq, self.tmin, self.read = ch_names, n_times, sfreq, tmin, read


def _sessions(path, shown):
    if path.name.endswith(".fif"):
        return [_fif_session(path, shown)]
    return _table_sessions(path, shown)


def _fif_session(path, shown):
    epochs = _open(path)
    names = {code: name for name, code in epochs.event_id.items()}
    events = [_event(names.get(code, ""), code) for code in epochs.events[:, 2].tolist()]
    unknown = [event for event in events if event not in shown]
    if unknown:
        raise InputError(f"{path}: event {unknown[0]} is no picture; expected numbers from 1 to {len(shown)}")
    pictures = [shown[event].nsd for event in events]
    return _Session(path.name, *who_of(path.name), [file_hash(path)], _eeg_names(epochs), len(epochs.times),
                    epochs.info["sfreq"], epochs.tmin, pictures, partial(_read_fif, path, pictures))


def who_of(name: str) -> tuple[int, int]:
    """(subject, session) by the name of a file."""
    found = re.search(r"subj?-?0*(\d+)_ses(?:sion|-)0*(\d+)", name)
    if not found:
        raise InputError(f"{name}: does not say whose session it is; expected a name such as subj01_session1_epo.fif")
    return int(found[1]), int(found[2])


def _event(name, code):
    found = re.fullmatch(r"(?:.*/)?(\d{1,4})", name)
    return int(found[1]) if found else code


def _open(path: Path) -> "mne.BaseEpochs":
    import mne

    with mne_reads(path):
        return mne.read_epochs(path, preload=False, verbose="error")


def _eeg_names(epochs):
    import mne

    return [epochs.ch_names[i] for i in mne.pick_types(epochs.info, eeg=True)]


def _read_fif(path: Path, pictures: list[str]) -> Iterator[Block]:
    epochs = _open(path)
    onset = epochs.events[:, 0] / epochs.info["sfreq"]
    for start in range(0, len(pictures), ROWS):
        rows = slice(start, start + ROWS)
        with mne_reads(path):
            eeg = epochs[rows].get_data(picks="eeg", verbose="error") * 1e6
        yield _block(eeg, pictures[rows], onset[rows])


def _block(eeg, pictures, onset):
    return Block(np.asarray(eeg, np.float32), np.full(len(pictures), -1), [f"nsd_{nsd}" for nsd in pictures],
                 np.asarray(onset, float))


def _table_sessions(path, shown):
    table, trials = _table(path)
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise InputError(f"{path}: column {missing[0]} is missing (found {', '.join(table)[:200]}); expected "
                         f"{', '.join(COLUMNS)} and the EEG")
    for name in COLUMNS:
        table[name] = [_number(path, row, name, value) for row, value in enumerate(table[name])]
    pictures = _pictures(path, table, shown)
    who = list(zip(table["subject_id"], table["session"], strict=True))
    shape, digest = trials(0).shape, file_hash(path)
    for row in range(1, len(who)):
        if trials(row).shape != shape:
            raise InputError(f"{path}: row {row} has EEG of shape {trials(row).shape}, row 0 {shape}; expected one shape")
    names = _channels(path, shape[0])
    found = []
    for subject, session in sorted(set(who)):
        rows = [row for row, each in enumerate(who) if each == (subject, session)]
        rows.sort(key=lambda row: table["curr_time"][row])
        found.append(_Session(f"{path.name}, subject {subject}, session {session}", subject, session, [digest], names,
                              shape[1], SFREQ, TMIN, [pictures[row] for row in rows],
                              partial(_read_table, path, rows, pictures, table["curr_time"])))
    return found


def _number(path, row, name, value):
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    whole = name in NUMBERS
    if not np.isfinite(number) or (whole and not number.is_integer()):
        raise InputError(f"{path}: row {row} has {name} {str(value)[:40]!r}, expected a {'whole ' * whole}number")
    return int(number) if whole else number


def _channels(path, count):
    """BioSemi's 64 channels in their order, which the tables do not name."""
    import mne

    names = mne.channels.make_standard_montage("biosemi64").ch_names
    if count != len(names):
        raise InputError(f"{path}: EEG of {count} channels, expected BioSemi's {len(names)}")
    return names


def _pictures(path, table, shown):
    """NSD number of each row's picture, by COCO's; what `73k_id` says must fit."""
    by_coco, counted = {picture.coco: picture.nsd for picture in shown.values()}, None
    found = []
    for row, (coco, listed) in enumerate(zip(table["coco_id"], table["73k_id"], strict=True)):
        nsd = by_coco.get(str(coco))
        shift = None if nsd is None else listed - int(nsd)
        if shift not in (0, 1) or shift != (counted if counted is not None else shift):
            raise InputError(f"{path}: row {row} has coco_id {coco} and 73k_id {listed}, which are not of one picture that "
                             f"was shown ({nsd} of NSD, counted from 0); expected the publishers' table and their --ids")
        counted = shift
        found.append(nsd)
    if counted:
        print(f"{path}: its 73k_id counts from 1; pictures are taken by coco_id")
    return found


def _table(path):
    """({column: values}, a function from a row to its EEG [channels, samples])."""
    if path.suffix == ".h5":
        columns = read_frame(path, "df")
    else:
        import pyarrow
        import pyarrow.parquet

        try:
            table = pyarrow.parquet.read_table(path)
        except (pyarrow.ArrowException, OSError) as error:
            raise InputError(f"{path}: not readable as parquet ({str(error).splitlines()[0][:200]}); copy it again"
                             ) from None
        columns = {name: table.column(name) if name in ("EEG", "eeg") else table.column(name).to_pylist()
                   for name in table.column_names}
    name = next((name for name in ("EEG", "eeg") if name in columns), None)
    if name is None or not len(columns[name]):
        raise InputError(f"{path}: has no rows of EEG (columns {', '.join(columns)[:200]}); expected a column EEG or "
                         "eeg")
    values = columns.pop(name)

    def trial(row):
        value = values[row]
        value = value.as_py() if hasattr(value, "as_py") else value
        try:
            eeg = np.asarray(value, dtype=float)
        except (ValueError, TypeError):
            eeg = np.empty(0)
        if eeg.ndim != 2:
            raise InputError(f"{path}: the EEG of row {row} is no table of numbers; expected [channels, samples]")
        return eeg

    return columns, trial


def _read_table(path: Path, rows: list[int], pictures: list[str], onset: list[float]) -> Iterator[Block]:
    trial = _table(path)[1]
    scale = 1e6 if np.abs(trial(rows[0])).max() < MAX_VOLT else 1.
    for start in range(0, len(rows), ROWS):
        own = rows[start:start + ROWS]
        yield _block(np.stack([trial(row) for row in own]) * scale, [pictures[row] for row in own],
                     [onset[row] for row in own])
