"""Files of raw recordings: found in folders, opened by MNE, told apart by subject and session.

Whatever MNE's readers raise becomes one InputError that names the file; what they warn of becomes notes.
"""

import contextlib
import re
import struct
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputError
from runtime.runs import file_hash

from .clock import mark_gaps
from .edf_records import edf_gaps
from .persyst_times import persyst_gaps
from .pointers import check_brainvision_pointers, check_data_files
from .tables import plain_text, read_table

if TYPE_CHECKING:
    import mne

# What a folder is searched for; a format of several files counts once. A file that is named itself may be of any kind
# that mne.io.read_raw takes.
SUFFIXES = (".edf", ".bdf", ".gdf", ".vhdr", ".ahdr", ".set", ".fif", ".fif.gz", ".cnt", ".mff", ".raw", ".nxe", ".data",
            ".cdt", ".lay", ".mefd", ".xdf", ".xdfz")
HEADER_SUFFIX = {".eeg": ".vhdr", ".vmrk": ".vhdr", ".fdt": ".set", ".evt": ".cnt", ".dat": ".vhdr",
                 ".head": ".data"}  # of the file to give
NO_RECORDING = re.compile(r"-(epo|ave|cov|trans|src|fwd|inv|eve|ica|proj)\.fif(\.gz)?$|"
                          r"(-\d+|_split-0*([2-9]|\d\d+)_\w+)\.fif(\.gz)?$")  # FIF of another kind, or a later part
ENTITY_LABEL = {name: re.compile(rf"(?:^|[/_]){short}-([0-9A-Za-z]+)(?=[/_.]|$)") for name, short in
          (("subject", "sub"), ("session", "ses"))}
SAMPLE_BYTES = {"INT_16": 2, "INT_32": 4, "IEEE_FLOAT_32": 4}  # of a sample in BrainVision files
MAX_CHANNELS = 4096  # of a table of channels
ANT_SECONDS = 60  # a header takes a fraction of one
OMITTED = re.compile(r"Omitted (\d+) annotation")  # MNE's word on marks outside of the data
CUT_SHORT = "the file is cut short; get it again, or give --cut_short to take what is there"


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


@contextlib.contextmanager
def mne_reads(path: Path | str) -> Iterator[list[str]]:
    """Collect what MNE warns of in the list that it yields; anything that MNE raises becomes an InputError."""
    notes = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield notes
        except InputError:
            raise
        except FileNotFoundError as error:
            raise InputError(f"{path}: a file that belongs to it is missing ({_brief(error)}); keep all files of a "
                             "recording together, under their original names") from None
        except ImportError as error:
            raise InputError(f"{path}: reading this format needs a package that is not installed ({_brief(error)}); pip "
                             "install it") from None
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: a text that belongs to it is not UTF-8 (byte 0x{error.object[error.start]:02x} at "
                             f"{error.start}); save its header and marker file as UTF-8 in an editor") from None
        except MemoryError as error:
            raise InputError(f"{path}: does not fit into memory ({_brief(error)}); lower --resample, or cut the recording "
                             "into shorter ones") from None
        except Exception as error:  # a damaged file makes the readers fail in any way
            if "Unsupported file type" in str(error):
                raise InputError(f"{path}: unsupported file type, expected a recording ({' '.join(SUFFIXES)}); tables go "
                                 "to --events, --picture_map or --picture_list, pictures to --pictures") from None
            raise InputError(f"{path}: not readable ({_brief(error)}); " + (
                "install that package" if "could not be imported" in str(error) else
                "the file is damaged, cut short, or not of the type that its name says; copy it again or leave it out")
            ) from None
        finally:
            texts = [str(w.message).strip() for w in caught if issubclass(w.category, RuntimeWarning)]
            notes += dict.fromkeys(text.replace(f"{Path(path).parent}/", "") for text in texts)  # no machine's folders


def _brief(error):
    lines = [line for line in str(error).splitlines() if line.strip()] or [""]
    text = lines[-1 if any('File "' in line for line in lines) else 0]  # some readers put a traceback into their message
    text = "".join(c if c.isprintable() else "?" for c in text.split(", please report")[0].strip()[:200])
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def find_files(given: Sequence[str], stream: str | None = None, cut_short: bool = False,
               other_files: bool = False) -> list[RecordingFile]:
    """The recordings among files and folders, as Files in order; a folder is searched with all that it holds."""
    found = {}
    for start in map(Path, given):
        if not start.exists():
            raise InputError(f"--recordings {start}: no such file or folder")
        single = start.is_file() or start.name.lower().endswith(SUFFIXES)  # some recordings are folders
        for path in [start] if single else _search(start):
            text = path.as_posix() if single else path.relative_to(start.absolute().parent).as_posix()
            found.setdefault(path.absolute(), (path, text))
    paths = [path for path, _ in found.values()]
    return [RecordingFile(path, name, lambda path=path: open_raw(path, stream, cut_short, other_files),
                          _label("subject", text), _label("session", text), events_beside(path))
            for (path, text), name in zip(found.values(), _short_names(paths), strict=True)]


def _search(folder):
    folder = folder.absolute()

    def seen(path):
        inner = path.relative_to(folder).parts
        return not any(part.startswith(".") for part in inner) and not any(
            part.lower().endswith((".mff", ".mefd")) for part in inner[:-1])

    found = sorted(path for path in folder.rglob("*") if path.name.lower().endswith(SUFFIXES) and seen(path)
                   and not NO_RECORDING.search(path.name.lower()))
    if not found:
        raise InputError(f"--recordings {folder}: contains no recordings; expected files that end in {' '.join(SUFFIXES)}")
    return found


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


def open_raw(path: Path | str, stream: str | None = None, cut_short: bool = False,
             other_files: bool = False) -> tuple["mne.io.BaseRaw", list[str]]:
    """Open a recording without reading its EEG; returns mne Raw and notes.

    stream: name of the stream of an XDF file; cut_short: take a file that ends before its header says so; other_files: and
    one that names another recording's files.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if path.is_file() and not path.stat().st_size:
        raise InputError(f"{path}: is empty; get it again or leave it out")
    if suffix in HEADER_SUFFIX and path.with_suffix(HEADER_SUFFIX[suffix]).is_file():
        raise InputError(f"{path}: is only one file of a recording; give {path.with_suffix(HEADER_SUFFIX[suffix]).name} "
                         "instead")
    check_brainvision_pointers(path, other_files)
    with mne_reads(path) as notes:
        raw = _reader(path, stream, cut_short)(path)
    check_data_files(path, raw, other_files)
    return raw, check_whole(path, raw, notes, cut_short)


def check_whole(path: Path, raw: "mne.io.BaseRaw", notes: list[str], cut_short: bool) -> list[str]:
    """Raise InputError for a recording that holds nothing or, unless `cut_short`, less than its header says.

    Gaps that only the file itself tells of are marked. Returns the notes that hold then.
    """
    suffix = path.suffix.lower()
    for note in notes:
        truncated = suffix in (".edf", ".bdf") and "does not match the file size" in note and not _unfinished(path)
        truncated = truncated or "Invalid tag with only" in note  # FIF
        missing = suffix in (".vhdr", ".ahdr") and note.startswith("Omitted") and "outside data range" in note
        if (truncated or missing) and not cut_short:
            what = ("its header tells of more or fewer data than it holds" if truncated else
                    f"{re.sub('[^0-9]', '', note)} of its markers lie after the end of its data file")
            raise InputError(f"{path}: {what}; {CUT_SHORT}")
    if suffix in (".vhdr", ".ahdr") and not cut_short:
        _check_brainvision(path, raw)
    if not raw.ch_names:
        raise InputError(f"{path}: holds no signals, only {len(raw.annotations)} annotations; give the recording that they "
                         "belong to, and these as a table with --events")
    if not raw.n_times:
        raise InputError(f"{path}: holds no samples; get it again or leave it out")
    if suffix in (".edf", ".bdf", ".lay"):
        with mne_reads(path) as more:
            clock, marks = (edf_gaps(path, raw) if suffix != ".lay" else
                            persyst_gaps(path, raw.info["sfreq"], raw.n_times))
            if clock:
                mark_gaps(raw, clock, marks)
        if clock:
            return [*(note for note in notes if not OMITTED.match(note)), *more]  # they were counted anew
    return notes


def _reader(path, stream, cut_short):
    import mne

    name = path.name.lower()
    if name.endswith((".xdf", ".xdfz")):
        from .xdf import read_raw_xdf

        return lambda path: read_raw_xdf(path, stream, cut_short)
    if name.endswith(".set"):
        return _read_set
    reader = mne.io.read_raw
    if name.endswith(".raw"):
        reader = mne.io.read_raw_egi
    elif name.endswith(".data"):  # Nicolet, whose header names no types of channels
        return lambda path: mne.io.read_raw_nicolet(path, ch_type="eeg", preload=False, verbose="warning")
    elif name.endswith(".cnt"):  # two amplifiers' formats; mne.io.read_raw tries both and says nothing of why neither fits
        with open(path, "rb") as file:
            ant = file.read(4) in (b"RIFF", b"RF64")
        reader = mne.io.read_raw_ant if ant else mne.io.read_raw_cnt
        if ant:
            _check_ant(path)
    return lambda path: reader(path, preload=False, verbose="warning")


def _check_ant(path):
    """A damaged file can crash ANT's C library, and Python with it, or hold it for ever: another process tries first."""
    code = ("import sys, antio.parser as p; from antio import read_cnt; c = read_cnt(sys.argv[1]); "
            "[f(c) for f in (p.read_info, p.read_meas_date, p.read_device_info, p.read_subject_info, p.read_triggers)]")
    if not find_spec("antio"):
        raise InputError(f"{path}: ANT recordings need the package antio; pip install antio")
    order = _ant_order(path)
    if sorted(order) != list(range(len(order))):
        raise InputError(f"{path}: its table of channels, which numbers them from 0 to {len(order) - 1}, is damaged; get "
                         "it again or leave it out")
    try:
        done = subprocess.run([sys.executable, "-c", code, str(path)], check=False, capture_output=True,
                              timeout=ANT_SECONDS)
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode not in (0, 1):
        raise InputError(f"{path}: ANT's reader {'crashes' if done else 'finds no end'}, so the file is damaged; get it "
                         "again or leave it out")


def _ant_order(path):
    """The order in which an ANT file holds its channels, () where it names none.

    ANT's library writes a channel to where its number says, be it outside of its memory, and crashes Python later. The file
    is RIFF, or RF64 with sizes of 8 bytes: CNT ( ..., LIST raw3 ( chan, ... ), ... ).
    """
    with open(path, "rb") as file:
        size = struct.Struct("<I" if file.read(4) == b"RIFF" else "<Q")
        at, end = 4 + size.size + 4, path.stat().st_size
        while at + 4 + size.size <= end:
            file.seek(at)
            name, length = file.read(4), size.unpack(file.read(size.size))[0]
            if name == b"LIST" and file.read(4) == b"raw3":
                at += 4 + size.size + 4
            elif name == b"chan":
                content = file.read(min(length, MAX_CHANNELS * 2))
                return struct.unpack(f"<{len(content) // 2}H", content[:len(content) // 2 * 2])
            else:
                at += 4 + size.size + length + length % 2
    return ()


def _read_set(path):
    import mne

    try:
        return mne.io.read_raw_eeglab(path, preload=False, verbose="warning")
    except TypeError as error:
        if "number of trials" not in str(error):
            raise
        raise InputError(f"{path}: contains epochs, expected a continuous recording; export it before epochs "
                         "are extracted") from None


def _unfinished(path):
    """Whether an EDF or BDF header says that the number of records is not known (-1), as while recording."""
    with open(path, "rb") as file:
        return file.read(244)[236:].strip() == b"-1"


def _check_brainvision(path, raw):
    """The header holds no number of samples, or one that MNE does not look at."""
    text = path.read_text(encoding="latin-1")
    form = re.search(r"^BinaryFormat=(\w+)", text, re.M | re.I)
    points = re.search(r"^DataPoints=(\d+)", text, re.M | re.I)
    size = sum(Path(name).stat().st_size for name in raw.filenames)
    count = re.search(r"^NumberOfChannels=(\d+)", text, re.M | re.I)
    row = int(count[1]) * SAMPLE_BYTES.get(form[1].upper(), 1) if count and form else 1
    if size % row:
        raise InputError(f"{path}: its data file has {size} bytes, not a whole number of samples of {row} bytes; "
                         f"{CUT_SHORT}")
    if points and int(points[1]) != raw.n_times:
        raise InputError(f"{path}: its header counts {points[1]} samples, its data file holds {raw.n_times}; {CUT_SHORT}")


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
    else each file is a subject of its own, and it says so. Whole numbers from 1 on are kept, other labels are numbered in
    sorted order.
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
        kinds = sorted(set(labels), key=lambda label: (len(label), label) if label.isdigit() else (0, label))
        as_they_are = all(label.isdecimal() and int(label) for label in kinds) and len(set(map(int, kinds))) == len(kinds)
        number = {label: int(label) if as_they_are else i for i, label in enumerate(kinds, 1)}
        for file, label in zip(files, labels, strict=True):
            setattr(file, entity, number[label])
        names[f"{entity}s"] = {number[label]: label for label in kinds}
    return names


def _read_participants(files, path):
    _, rows = read_table(path, "--participants", needed=("file", "subject"))
    people = {}
    for line, row in rows:
        place = f"--participants {path}, line {line}"
        if not row["subject"] or not row["file"]:
            raise InputError(f"{place}: expected a file and a subject")
        file = named(files, row["file"], place)
        if file and people.setdefault(file.name, line) != line:
            raise InputError(f"{place}: {file.name} already has a row, line {people[file.name]}; expected one row")
        if file:
            file.subject, file.session = row["subject"], row.get("session") or None
    for file in files:
        if file.name not in people:
            raise InputError(f"--participants {path}: no row for {file.name}; add one, column file names the recording")
