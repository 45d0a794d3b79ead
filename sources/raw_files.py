"""Files of raw recordings: found in folders, told apart by subject and session."""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputError
from runtime.runs import file_hash
from runtime.wording import listed

from eegdata.records import MAX_NUMBER

from .readers import SUFFIXES, open_raw
from .search import all_below
from .spelling import natural
from .tables import plain_text, read_table

if TYPE_CHECKING:
    import mne

NO_RECORDING = re.compile(r"([-_](epo|ave|cov|trans|src|fwd|inv|eve|ica|proj)|((?<=_raw)|(?<=_eeg)|(?<=_meg))-\d+|"
                          r"_split-0*([2-9]|[1-9]\d+)_\w+)\.fif(\.gz)?$")  # FIF of another kind, or a later part
NUMBERED = re.compile(r"-\d+(\.fif(\.gz)?)$", re.I)  # a later part, too, where the first one lies there; sub-01.fif is none
OF_ONE_PERSON = re.compile(r"(ses|session|run|block)[-_ ]?\w+|eeg", re.I)  # what folders below a subject's are called
MAX_LISTED = 12  # labels in a sentence
ENTITY_LABEL = {name: re.compile(rf"(?:^|[/_]){short}-([0-9A-Za-z]+)(?=[/_.]|$)") for name, short in
          (("subject", "sub"), ("session", "ses"))}


@dataclass
class RecordingFile:
    """A recording's file. name: unique, without the folder that the user gave; subject, session: labels or None; hashes
    of all its data files; open(): -> (mne Raw, notes); events: the events TSV that belongs to it, or None."""

    path: Path
    name: str
    open: object
    subject: str | None = None
    session: str | None = None
    events: Path | None = None
    hashes: list = field(default_factory=list)


def find_files(given: Sequence[str], stream: str | None = None, cut_short: bool = False,
               other_files: bool = False) -> list[RecordingFile]:
    """The recordings among files and folders, as Files in order; a folder is searched with all that it holds."""
    found = {}
    for start in map(Path, given):
        if not start.exists():
            raise InputError(f"--recordings {start}: no such file or folder")
        single = start.is_file() or start.name.lower().endswith(SUFFIXES)  # some recordings are folders
        for path in [start] if single else _search(start):
            text = path.as_posix() if single else path.relative_to(_outermost(start).parent).as_posix()
            found.setdefault(path.absolute(), (path, text))
    paths = [path for path, _ in found.values()]
    return [RecordingFile(path, name, lambda path=path: open_raw(path, stream, cut_short, other_files),
                          _label("subject", text), _label("session", text), events_beside(path))
            for (path, text), name in zip(found.values(), _short_names(paths), strict=True)]


def _outermost(folder):
    """The folder itself, or, of a session's, the subject's folder that it lies in."""
    folder = folder.absolute()
    while OF_ONE_PERSON.fullmatch(folder.name) and folder.parent.name:
        folder = folder.parent
    return folder


def _search(folder):
    folder = folder.absolute()

    def seen(path):
        return not any(part.lower().endswith(".mff") for part in path.relative_to(folder).parts[:-1])

    found = sorted((path for path in all_below(folder) if path.name.lower().endswith(SUFFIXES) and seen(path)
                    and not is_no_recording(path.name, lambda name, path=path: path.with_name(name).is_file())),
                   key=natural)
    if not found:
        other = next((path.name for path in all_below(folder) if ".fif" in path.name and seen(path)), None)
        raise InputError(f"--recordings {folder}: contains no recordings; expected files that end in {' '.join(SUFFIXES)}"
                         + f"; {other} is, by its name, one of epochs or of another kind, or a later part" * bool(other))
    return found


def is_no_recording(name: str, is_there: Callable[[str], bool]) -> bool:
    """Whether a file by its name is a FIF file of another kind, as of epochs, or a later part of one; is_there: whether a
    file of a name lies beside it."""
    first = NUMBERED.sub(r"\1", name, count=1)
    return bool(NO_RECORDING.search(name.lower())) or (first != name and is_there(first))


def _short_names(paths):
    """The shortest end of each path that no other has."""
    ends = [[path.as_posix().split("/")[-length:] for length in range(1, len(path.parts) + 1)] for path in paths]
    counts = Counter(tuple(end) for each in ends for end in each)
    return ["/".join(next((end for end in each if counts[tuple(end)] == 1), each[-1])) for each in ends]


def _label(entity, text):
    """The label after `sub-` or `ses-` in a path."""
    labels = ENTITY_LABEL[entity].findall(text)
    return labels[-1] if labels else None


def named(files: list[RecordingFile], text: str, place: str) -> RecordingFile | None:
    """The RecordingFile that a table's cell names by the end of its path or by its stem; None where there is none."""
    fits = [file for file in files if plain_text(f"/{file.path.as_posix()}").endswith(f"/{text}") or text in
            (plain_text(file.name), plain_text(recording_stem(file.path)))]
    if len(fits) > 1:
        raise InputError(f"{place}: file '{text}' matches {len(fits)} recordings, such as {fits[0].name} and "
                         f"{fits[1].name}; give more of the path")
    return fits[0] if fits else None


def recording_stem(path: Path) -> str:
    """The name without its kind: `sub-01_task-x_eeg.vhdr` and `sub-01_task-x.edf` both give `sub-01_task-x`."""
    suffix = next((s for s in sorted(SUFFIXES, key=len, reverse=True) if path.name.lower().endswith(s)), path.suffix)
    return path.name[:len(path.name) - len(suffix)].removesuffix("_eeg")


def events_beside(path: Path) -> Path | None:
    events = path.with_name(f"{recording_stem(path)}_events.tsv")
    return events if events.is_file() else None


def hash_files(file: RecordingFile, raw: "mne.io.BaseRaw") -> list[str]:
    """SHA-256 of the recording's file and of its data files; a folder counts as a file."""
    paths = [file.path, *(Path(name) for name in raw.filenames if name is not None)]
    inside = file.path.is_dir()
    return [file_hash(path) for path in dict.fromkeys(path.resolve() for path in (paths[:1] if inside else paths))]


def drop_copies(files: list[RecordingFile]) -> list[RecordingFile]:
    """Leave out recordings whose data files are equal byte for byte: a copy could be in two parts of a split.

    Of equal ones, that stays whose path says most of subject and session, else the first.
    """
    best = {}
    for file in sorted(files, key=lambda file: (file.subject is None) + (file.session is None)):
        other = best.setdefault(tuple(file.hashes[1:] or file.hashes), file)
        if other is not file:
            print(f"{file.name}: left out, because it holds the same data as {other.name}")
    return [file for file in files if any(file is other for other in best.values())]


def set_people(files: list[RecordingFile], participants: str | None = None) -> dict:
    """Give each RecordingFile `subject` and `session` as numbers; returns {"subjects": {number: label}, "sessions": ...}.

    The labels come from `participants` (a TSV: file, subject, perhaps session), else from `sub-` and `ses-` in the paths,
    as do sessions that the table has no column for; else each file is a subject of its own, and it says so. Whole numbers
    from 1 to MAX_NUMBER are kept, other labels get the numbers that are free in sorted order, and it says which.
    """
    if participants:
        _read_participants(files, participants)
    without = [file.name for file in files if file.subject is None]
    if without and len(without) < len(files):
        raise InputError(f"--recordings: the path of {without[0]} has no subject (sub-<label>), but others do; "
                         "give --participants with the columns file and subject")
    if without:
        order = ", ".join(f"{number} {file.name}" for number, file in enumerate(files[:12], 1))
        print("the paths name no subjects (sub-<label>), so each recording counts as a subject: "
              f"{order}{', ...' * (len(files) > 12)}; --participants changes this")
        for number, file in enumerate(files, 1):
            file.subject = str(number)
    names = {}
    for entity in ENTITY_LABEL:
        labels = [getattr(file, entity) or "1" for file in files]
        number = _numbers(sorted(set(labels), key=lambda label: (len(label), label) if label.isdigit() else (0, label)))
        others = [f"{label} is {count}" for label, count in number.items() if not label.isdecimal() or int(label) != count]
        if others:
            print(f"{entity}s whose labels are no numbers of their own are numbered: {listed(others, MAX_LISTED)}")
        for file, label in zip(files, labels, strict=True):
            setattr(file, entity, number[label])
        names[f"{entity}s"] = {count: label for label, count in sorted(number.items(), key=lambda each: each[1])}
    return names


def _numbers(labels):
    """{label: its number}: a whole number that only one label means is kept, so that a pilot moves no other subject."""
    whole = {label: int(label) for label in labels if label.isdecimal() and 0 < int(label) <= MAX_NUMBER}
    means = Counter(whole.values())
    kept = {label: count for label, count in whole.items() if means[count] == 1}
    taken = set(kept.values())
    free = (count for count in itertools.count(1) if count not in taken)
    return {label: kept[label] if label in kept else next(free) for label in labels}


def _read_participants(files, path):
    columns, rows = read_table(path, "--participants", needed=("file", "subject"))
    people = {}
    for line, row in rows:
        place = f"--participants {path}, line {line}"
        if not row["subject"] or not row["file"]:
            raise InputError(f"{place}: expected a file and a subject")
        file = named(files, row["file"], place)
        if file and people.setdefault(file.name, line) != line:
            raise InputError(f"{place}: {file.name} already has a row, line {people[file.name]}; expected one row")
        if file:
            file.subject = row["subject"]
            file.session = row["session"] or None if "session" in columns else file.session
    for file in files:
        if file.name not in people:
            raise InputError(f"--participants {path}: no row for {file.name}; add one, column file names the recording")
