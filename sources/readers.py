"""A raw recording opened by the reader of its format, and checked for being whole.

Whatever MNE's readers raise becomes one InputError that names the file; what they warn of becomes notes.
"""

import contextlib
import math
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from runtime.errors import InputError

from .ant import check_ant
from .brainvision import HEADERS, markers_behind, read_brainvision
from .clock import mark_gaps
from .curry_events import own_remarks
from .damage import DAMAGED, check_fif, check_gdf, check_set
from .edf_records import edf_gaps
from .persyst_times import persyst_gaps
from .pointers import check_data_files
from .unread_headers import check_nicolet, check_persyst, persyst_channels

if TYPE_CHECKING:
    import mne

# What a folder is searched for; a format of several files counts once. A file that is named itself may be of any kind
# that mne.io.read_raw takes.
SUFFIXES = (".edf", ".bdf", ".gdf", ".vhdr", ".ahdr", ".set", ".fif", ".fif.gz", ".cnt", ".mff", ".raw", ".nxe", ".data",
            ".cdt", ".lay", ".xdf", ".xdfz")
HEADER_SUFFIX = {".eeg": (".vhdr",), ".vmrk": (".vhdr",), ".fdt": (".set",), ".evt": (".cnt",), ".dat": (".vhdr", ".lay"),
                 ".head": (".data",), **dict.fromkeys((".dpa", ".dpo", ".cef", ".ceo"), ("", ".dat")),
                 **dict.fromkeys((".dap", ".rs3"), (".dat",))}  # of the file to give; one.cdt.dpa is of one.cdt
WHOLE = re.compile(r"-?\d+\.0")
PAUSES = {".set": ("-99",), ".gdf": ("32766",)}  # of formats whose types of events are numbers
EDF_TRIGGERS = [each(name) for name in ("status", "trigger") for each in (str.lower, str.title, str.upper)]
EDF_OPTIONS = {"stim_channel": None, "misc": EDF_TRIGGERS}  # MNE cuts the decimals of a stim channel: 1.99 is 1
SAMPLE_BYTES = {"INT_16": 2, "INT_32": 4, "IEEE_FLOAT_32": 4}  # of a sample in BrainVision files
NO_SECONDS = "incorrect for record length"  # EDF, BDF and GDF, where MNE takes 1 s
OMITTED = re.compile(r"Omitted (\d+) annotation")  # MNE's word on marks outside of the data
SMALL_ENDINGS = ("MNE reads EEGLAB files whose names end in .set and .fdt, in small letters; rename them, and save the "
                 "recording in EEGLAB again where it names its data")
CUT_SHORT = "the file is cut short; get it again, or give --cut_short to take what is there"


@contextlib.contextmanager
def mne_reads(path: Path | str, advice: str = DAMAGED) -> Iterator[list[str]]:
    """Collect what MNE warns of in the list that it yields; anything that MNE raises becomes an InputError.

    advice: the end of its message where no cause is known.
    """
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
            if "No raw data in" in str(error):  # FIF
                raise InputError(f"{path}: holds no continuous recording, but epochs, an average or the like; give the "
                                 "recording that they were made of") from None
            raise InputError(f"{path}: not readable ({_brief(error)}); " + (
                "install that package" if "could not be imported" in str(error) else advice)) from None
        finally:
            texts = [str(w.message).strip() for w in caught if issubclass(w.category, RuntimeWarning)]
            notes += dict.fromkeys(_without_folders(text, Path(path)) for text in texts)


def _without_folders(text, path):
    """A text without the folders of this machine that a file lies in: data sets keep notes, and are shared."""
    for folder in (path.parent, *path.absolute().parents[:-1]):
        text = text.replace(f"{folder}/", "")
    return text


def _brief(error):
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("WARNING")] or [""]
    text = lines[-1 if any('File "' in line for line in lines) else 0]  # some readers put a traceback into their message
    text = "".join(c if c.isprintable() else "?" for c in text.split(", please report")[0].strip()[:200])
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


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
    for header in map(path.with_suffix, HEADER_SUFFIX.get(suffix, ())):
        if header.is_file():
            raise InputError(f"{path}: is only one file of a recording; give {header.name} instead")
    with mne_reads(path) as notes:
        raw = _reader(path, stream, cut_short, other_files)(path)
    check_data_files(path, raw, other_files)
    names = {name: name for name in map(str, raw.annotations.description)}
    if suffix == ".set":  # MATLAB 7.3 has numbers as 1.0 that are 1 in older files
        names = {name: name[:-2] if WHOLE.fullmatch(name) else name for name in names}
    pauses = PAUSES.get(suffix, ())
    raw.annotations.rename({name: "boundary" if whole in pauses else whole for name, whole in names.items()})
    return raw, check_whole(path, raw, notes, cut_short)


def check_whole(path: Path, raw: "mne.io.BaseRaw", notes: list[str], cut_short: bool) -> list[str]:
    """Raise InputError for a recording that holds nothing or, unless `cut_short`, less than its header says.

    Gaps that only the file itself tells of are marked. Returns the notes that hold then.
    """
    suffix = path.suffix.lower()
    for note in notes:
        truncated = suffix in (".edf", ".bdf") and "does not match the file size" in note and not _unfinished(path)
        truncated = truncated or "Invalid tag with only" in note  # FIF
        missing = markers_behind(path, raw) if suffix in HEADERS and OMITTED.match(note) and not cut_short else 0
        if (truncated or missing) and not cut_short:
            what = ("its header tells of more or fewer data than it holds" if truncated else
                    f"{missing} of its markers lie after the end of its data file")
            raise InputError(f"{path}: {what}; {CUT_SHORT}")
    if suffix in HEADERS and not cut_short:
        _check_brainvision(path, raw)
    data = Path(raw.filenames[0] or path)
    if suffix == ".set" and data.suffix == ".fdt" and data.stat().st_size != 4 * len(raw.ch_names) * raw.n_times:
        raise InputError(f"{path}: tells of {raw.n_times} samples of {len(raw.ch_names)} channels, which are not the "
                         f"{data.stat().st_size} bytes of its data file {data.name}; it may be that of another version of "
                         "the recording: get both again")
    if not raw.ch_names:
        raise InputError(f"{path}: holds no signals, only {len(raw.annotations)} annotations; give the recording that they "
                         "belong to, and these as a table with --events")
    if any(NO_SECONDS in note for note in notes):
        raise InputError(f"{path}: its header gives its records no length in seconds, so its sampling rate is not known; "
                         "export the recording again")
    if not 0 < raw.info["sfreq"] < math.inf:
        raise InputError(f"{path}: its sampling rate is {raw.info['sfreq']:g} Hz; {DAMAGED}")
    with mne_reads(path):
        raw.get_channel_types()  # a damaged file may name kinds of channels that there are not
    if raw.n_times < 1:  # GDF counts -1 records while it is being written
        raise InputError(f"{path}: holds no samples{f' (its header counts {raw.n_times})' if raw.n_times else ''}; get it "
                         "again or leave it out")
    if suffix in (".edf", ".bdf", ".lay"):
        with mne_reads(path) as more:
            clock, marks = (edf_gaps(path, raw) if suffix != ".lay" else
                            persyst_gaps(path, raw.info["sfreq"], raw.n_times))
            if clock:
                mark_gaps(raw, clock, marks)
        if clock:
            return [*(note for note in notes if not OMITTED.match(note)), *more]  # they were counted anew
    return notes


def _reader(path, stream, cut_short, other_files):
    import mne

    name = path.name.lower()
    if name.endswith((".xdf", ".xdfz")):
        from .xdf import read_raw_xdf

        return lambda path: read_raw_xdf(path, stream, cut_short)
    if name.endswith(".csv"):
        from .muse import read_raw_muse

        return read_raw_muse
    if name.endswith(".set"):
        check_set(path)
    elif name.endswith((".fif", ".fif.gz")):
        check_fif(path)
    elif name.endswith(".gdf"):
        check_gdf(path)
    if name.endswith((".set", ".edf", ".bdf")):
        return _read_set if name.endswith(".set") else _read_edf if name.endswith(".edf") else _read_bdf
    if name.endswith(HEADERS):
        return lambda path: read_brainvision(path, other_files)
    if name.endswith(".cdt") or (name.endswith(".dat") and path.with_suffix(".dap").is_file()):
        return lambda path: own_remarks(path, mne.io.read_raw_curry(path, preload=False, verbose="warning"))
    reader = mne.io.read_raw
    if name.endswith(".raw"):
        reader = mne.io.read_raw_egi
    elif name.endswith(".lay"):
        check_persyst(path)
        return lambda path: persyst_channels(path, mne.io.read_raw_persyst(path, preload=False, verbose="warning"))
    elif name.endswith(".data"):  # Nicolet, whose header names no types of channels
        check_nicolet(path)
        return lambda path: mne.io.read_raw_nicolet(path, ch_type="eeg", preload=False, verbose="warning")
    elif name.endswith(".cnt"):  # two amplifiers' formats; mne.io.read_raw tries both and says nothing of why neither fits
        with open(path, "rb") as file:
            ant = file.read(4) in (b"RIFF", b"RF64")
        reader = mne.io.read_raw_ant if ant else mne.io.read_raw_cnt
        if ant:
            check_ant(path)
    return lambda path: reader(path, preload=False, verbose="warning")


def _read_edf(path):
    import mne

    return mark_triggers(in_its_letters(path, lambda **more: mne.io.read_raw_edf(path, **more, verbose="warning"),
                                        EDF_OPTIONS))


def _read_bdf(path):
    import mne

    return in_its_letters(path, lambda **more: mne.io.read_raw_bdf(path, **more, verbose="warning"))


def in_its_letters(path: Path, read: Callable[..., "mne.io.BaseRaw"], options: dict | None = None) -> "mne.io.BaseRaw":
    """What `read` gives of an EDF or BDF file with `options`. Annotations are UTF-8 by the specification, but some programs
    write Latin-1."""
    try:
        return read(**(options or {}))
    except Exception as error:  # MNE's own is of no other class
        if "invalid byte in at least one annotations channel" not in str(error):
            raise
    warnings.warn(f"{path.name}: its annotations are not in UTF-8: read as Latin-1", RuntimeWarning, stacklevel=2)
    return read(**(options or {}), encoding="latin1")


def mark_triggers(raw: "mne.io.BaseRaw") -> "mne.io.BaseRaw":
    """The same EDF recording, read with EDF_OPTIONS, with its trigger channels of type stim."""
    found = [name for name in raw.ch_names if name in EDF_TRIGGERS]
    return raw.set_channel_types(dict.fromkeys(found, "stim"), on_unit_change="ignore", verbose="error") if found else raw


@contextlib.contextmanager
def early_events_allowed() -> Iterator[None]:
    """MNE refuses EEGLAB's events before the start, which it has left out and told of by then."""
    from mne.io.eeglab import eeglab

    with patch.object(eeglab, "_check_latencies", lambda latencies: None, create=True):
        yield


def _read_set(path):
    import mne

    if path.suffix != ".set":
        raise InputError(f"{path}: {SMALL_ENDINGS}")
    try:
        with early_events_allowed():
            return mne.io.read_raw_eeglab(path, preload=False, verbose="warning")
    except (TypeError, ValueError) as error:
        if "EEGLAB file extension" in str(error):
            raise InputError(f"{path}: {SMALL_ENDINGS}") from None
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
    form, points, count, kind = (re.search(rf"^{key}[^\S\n]*=[^\S\n]*(\w+)", text, re.M | re.I) for key in
                                 ("BinaryFormat", "DataPoints", "NumberOfChannels", "DataType"))
    if kind and kind[1].upper() != "TIMEDOMAIN":
        raise InputError(f"{path}: DataType={kind[1]}, expected TIMEDOMAIN; export the recording itself")
    size = sum(Path(name).stat().st_size for name in raw.filenames)
    row = int(count[1]) * SAMPLE_BYTES.get(form[1].upper(), 1) if count and form else 1
    if size % row:
        raise InputError(f"{path}: its data file has {size} bytes, not a whole number of samples of {row} bytes; "
                         f"{CUT_SHORT}")
    if points and points[1].isdecimal() and int(points[1]) != raw.n_times:
        raise InputError(f"{path}: its header counts {points[1]} samples, its data file holds {raw.n_times}; {CUT_SHORT}")
