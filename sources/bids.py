"""BIDS data sets: recordings found and opened with mne-bids."""

from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputError

from . import readers
from .brainvision import HEADERS, decoded
from .events import is_mark
from .pointers import brainvision_files, check_data_files, named_in
from .raw_files import RecordingFile
from .readers import EDF_OPTIONS, check_whole, in_its_letters, mark_triggers, mne_reads
from .spelling import natural

if TYPE_CHECKING:
    import mne
    import mne_bids

OVERRIDES = {"DataFile": "data_fname", "MarkerFile": "marker_fname"}  # MNE's words for what a header names
OF_TABLES = ("the recording itself can be read, but not with what BIDS has beside it (channels.tsv, events.tsv, eeg.json, "
             "participants.tsv, scans.tsv and others): correct that file")
SUFFIXES = (".edf", ".bdf", ".vhdr", ".set", ".fif", ".cnt")


def find_files(root: Path | str, task: str | None = None, cut_short: bool = False,
               other_files: bool = False) -> list[RecordingFile]:
    """The EEG recordings below a BIDS root as Files, with their events tables."""
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"--bids {root}: no such folder")
    try:
        import mne_bids
    except ImportError:
        raise InputError("--bids needs the package mne-bids; pip install mne-bids") from None
    with mne_reads(root):
        tasks = mne_bids.get_entity_vals(root, "task", ignore_datatypes=("anat", "func", "dwi", "fmap", "perf"))
        if task is not None and task not in tasks:
            raise InputError(f"--task {task}: not in --bids {root} (tasks {', '.join(tasks) or 'none'})")
        found = mne_bids.find_matching_paths(root, tasks=task, datatypes="eeg", suffixes="eeg", extensions=list(SUFFIXES),
                                             ignore_nosub=True)
    _check_endings(root)
    if not found:
        raise InputError(f"--bids {root}: holds no EEG recording (sub-<label>/[ses-<label>/]eeg/*_eeg with the ending "
                         f"{' '.join(SUFFIXES)})")
    files = []
    for path in sorted(found, key=lambda each: natural(each.fpath)):
        files.append(RecordingFile(path.fpath, path.fpath.relative_to(root).as_posix(),
                                   lambda path=path: open_raw(path, cut_short, other_files), path.subject, path.session,
                                   _events_of(path, root)))
    return files


def _check_endings(root):
    """Raise InputError for a recording whose ending is in capitals: mne-bids does not find it."""
    for path in sorted(root.glob("sub-*/**/eeg/*_eeg.*")):
        if path.suffix not in SUFFIXES and path.suffix.lower() in SUFFIXES:
            raise InputError(f"--bids {root}: {path.relative_to(root)} ends in capitals, which BIDS does not know; rename "
                             f"it to {path.stem}{path.suffix.lower()}")


def _events_of(path, root):
    """The events table of a BIDSPath: of those that lie nearest the one with most entities in its name, all of which the
    recording has. mne-bids also takes the table of run 2 for a recording without a run."""
    own = path.entities
    for folder in path.fpath.parents:
        named = {table: _entities(table) for table in sorted(folder.glob("*_events.tsv"))}
        fits = [table for table, its in named.items() if all(own.get(entity) == value for entity, value in its.items())]
        if fits or folder == root:
            return max(fits, key=lambda table: len(named[table]), default=None)
    return None


def tasks_of(files: list[RecordingFile]) -> list[str]:
    """The tasks of recordings, by their names."""
    return list(dict.fromkeys(filter(None, (_entities(file.path).get("task") for file in files))))


def _entities(file):
    import mne_bids

    return {name: value for name, value in mne_bids.get_entities_from_fname(file, on_error="ignore").items() if value}


def open_raw(path: "mne_bids.BIDSPath", cut_short: bool = False,
             other_files: bool = False) -> tuple["mne.io.BaseRaw", list[str]]:
    """Open a BIDSPath with its sidecars: channel types, bad channels and electrode places; returns mne Raw and notes."""
    import mne_bids

    own, _ = readers.open_raw(path.fpath, None, cut_short, other_files)
    _check_channels(path, own.ch_names)
    suffix, more = path.fpath.suffix.lower(), None
    with mne_reads(path.fpath, OF_TABLES) as notes:
        if suffix in HEADERS:
            text = decoded(path.fpath)[0]
            names = brainvision_files(path.fpath, text, other_files, lambda file: decoded(file)[0])
            if names != dict(named_in(text)):  # needs MNE 1.13
                more = {"overrides": {OVERRIDES[key]: name for key, name in names.items()}}
        elif suffix == ".edf":
            more = EDF_OPTIONS
        with readers.early_events_allowed():
            raw = in_its_letters(path.fpath, lambda **more: mne_bids.read_raw_bids(
                path, more or None, on_ch_mismatch="reorder", verbose="warning"), more)
        raw = mark_triggers(raw) if suffix == ".edf" else raw
        _add_pauses(raw, own)
    check_data_files(path.fpath, raw, other_files)
    return raw, check_whole(path.fpath, raw, notes, cut_short)


def _check_channels(path, ch_names):
    """Raise InputError where the table that mne-bids takes is of another run, or names as many channels as the recording
    has, but others. Their order is free."""
    table = path.find_matching_sidecar(suffix="channels", extension=".tsv", on_error="ignore")
    if table and not _entities(table).items() <= path.entities.items():
        raise InputError(f"{path.fpath}: has no channels.tsv of its own, and mne-bids takes {Path(table).name} for it, "
                         f"which is of another recording; write {path.fpath.stem.removesuffix('_eeg')}_channels.tsv, "
                         "by copying that table if the channels are the same")
    text = decoded(Path(table))[0].lstrip("\ufeff") if table else ""
    head, *rows = [line.split("\t") for line in text.splitlines()] or [[]]
    named = [row[head.index("name")].strip() for row in rows if len(row) == len(head)] if "name" in head else []
    other = next((name for name in named if name not in ch_names), None)
    if other is not None and len(named) == len(ch_names):
        raise InputError(f"{table}: names the channel {other}, which {path.fpath.name} does not have (channels "
                         f"{', '.join(ch_names)[:300]}); write the names as the recording has them")


def _add_pauses(raw, own):
    """Add the marks of pauses and bad stretches that the recording itself has: mne-bids puts the events table in their
    place, which need not name them."""
    marks = [mark for mark in own.annotations if is_mark(mark["description"])]
    known = {(round(mark["onset"] - raw.first_time, 3), mark["description"]) for mark in raw.annotations}
    for mark in marks:
        onset = mark["onset"] - own.first_time
        if (round(onset, 3), mark["description"]) not in known:
            raw.annotations.append(onset + raw.first_time, mark["duration"], mark["description"])
