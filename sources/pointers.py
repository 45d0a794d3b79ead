"""Names of files inside files: a header that was copied or renamed may still name the files of another recording."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputError

from .tables import plain_text

if TYPE_CHECKING:
    import mne

POINTERS = re.compile(r"^(DataFile|MarkerFile)\s*=\s*(.*?)\s*$", re.M | re.I)  # of BrainVision
HEADERS = (".vhdr", ".ahdr")
DATA_BY_NAME = (".set", ".fif", ".lay")  # formats whose data files MNE finds by a name inside the file
PART = re.compile(r"_split-\d+|(?<=_raw|_eeg|_meg)-\d+$")  # of a FIF recording in several files


def check_brainvision_pointers(path: Path, allow: bool = False) -> None:
    """Raise InputError where a BrainVision header, or the marker file that it names, names files of another recording.

    allow: take the files as the header names them.
    """
    if allow or path.suffix.lower() not in HEADERS:
        return
    for key, name in _named_in(path):
        if _is_other(path, name):
            raise InputError(f"{path}: {key}={name}, but {_why(path, name)}; correct that line of the header, or give "
                             "--allow_other_files if the recording belongs to it")
        markers = path.parent / name
        for key_there, data in _named_in(markers) if key.lower() == "markerfile" and markers.is_file() else ():
            if _other_header(path, data):
                raise InputError(f"{markers}: {key_there}={data}, so it belongs to {_other_header(path, data).name} and "
                                 f"not to {path.name}; get the right one, or give --allow_other_files")


def check_data_files(path: Path, raw: "mne.io.BaseRaw", allow: bool = False) -> None:
    """The same for the data files that MNE found by a name inside the file `path`."""
    if allow or not path.name.lower().removesuffix(".gz").endswith(DATA_BY_NAME):
        return
    for file in (Path(name) for name in raw.filenames if name is not None):
        if file.parent.resolve() != path.parent.resolve() or _is_other(path, file.name):
            raise InputError(f"{path}: names {file.name} as its data, but {_why(path, file.name)}; put the right name into "
                             "it, or give --allow_other_files if the recording belongs to it")


def _named_in(path):
    """[(key, name)] of a header."""
    text = path.read_bytes().decode("latin-1")
    coded = re.search(r"^Codepage\s*=\s*UTF-8", text, re.M | re.I)
    if coded:
        text = text.encode("latin-1").decode("utf-8", "replace")
    return POINTERS.findall(text)


def _base(name):
    return PART.sub("", plain_text(Path(name).name.removesuffix(".gz").rsplit(".", 1)[0]))


def _is_other(path, name):
    """Whether `name` is not of the recording `path` while its own file lies there, or is another recording's."""
    if "/" in name or "\\" in name:
        return True
    own, there = _base(path.name), _base(name)
    part = ".fif" in path.suffixes and re.fullmatch(rf"{re.escape(own)}-\d+", there)
    return own != there and not part and bool(_own(path, name) or _other_header(path, name))


def _own(path, name):
    """The file of the recording's own base name that lies in the place of `name`."""
    own = path.parent / f"{_base(path.name)}{Path(name).suffix}"
    return own if own.is_file() and own != path else None


def _other_header(path, name):
    """The header of another recording that the file `name` belongs to."""
    other = path.with_name(_base(name) + path.suffix)
    return other if _base(name) != _base(path.name) and other.is_file() else None


def _why(path, name):
    if "/" in name or "\\" in name:
        return "that is a path, expected the plain name of a file beside it"
    own, other = _own(path, name), _other_header(path, name)
    missing = "" if (path.parent / name).is_file() else f"{name} is not there and "
    return missing + (f"{own.name} lies beside it" if own else f"that file belongs to {other.name}")
