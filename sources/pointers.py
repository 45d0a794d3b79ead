"""Names of files inside files: a header that was copied or renamed may still name the files of another recording."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputError

from .tables import plain_text

if TYPE_CHECKING:
    import mne

POINTERS = re.compile(r"^(DataFile|MarkerFile)\s*=[^\S\n]*(.*?)\s*$", re.M | re.I)  # of BrainVision
KEYS = {key.lower(): key for key in ("DataFile", "MarkerFile")}
ABSOLUTE = re.compile(r"[A-Za-z]:[/\\]|[/\\]")
DATA_BY_NAME = (".set", ".fif", ".lay")  # formats whose data files MNE finds by a name inside the file
PART = re.compile(r"_split-\d+|(?<=_raw|_eeg|_meg)-\d+$")  # of a FIF recording in several files


def brainvision_files(path: Path, text: str, allow: bool, read: Callable[[Path], str]) -> dict[str, str]:
    """{"DataFile": name, "MarkerFile": name} of a BrainVision header with that text, as the files beside it are called.

    Raises InputError where the header, or the marker file that it names, names files of another recording, unless `allow`.
    read: gives a file's text.
    """
    files = {}
    for key, name in named_in(text):
        files[key] = name = name.replace("$b", path.stem)  # BrainVision's word for the header's own name
        own = _own(path, name)
        if own and _same(own, name) and not _leads_elsewhere(name, own):
            files[key] = own.name
            if own.name != name.removeprefix("./"):
                warnings.warn(f"{key}={name}: taken for {own.name} beside the header", RuntimeWarning, stacklevel=2)
        elif _is_other(path, name):
            if not allow:
                raise InputError(f"{path}: {key}={name}, but {_why(path, name)}; correct that line of the header, or give "
                                 f"--allow_other_files {_which(path, name)}")
            if own and not (path.parent / name).is_file():
                files[key] = own.name
        markers = path.parent / files[key]
        for key_there, data in named_in(read(markers)) if key == "MarkerFile" and not allow and markers.is_file() else ():
            if _other_header(path, data):
                raise InputError(f"{markers}: {key_there}={data}, so it belongs to {_other_header(path, data).name} and "
                                 f"not to {path.name}; get the right one, or give --allow_other_files")
    return files


def check_data_files(path: Path, raw: "mne.io.BaseRaw", allow: bool = False) -> None:
    """The same for the data files that MNE found by a name inside the file `path`."""
    if allow or not path.name.lower().removesuffix(".gz").endswith(DATA_BY_NAME):
        return
    for file in (Path(name) for name in raw.filenames if name is not None):
        if file.parent.resolve() != path.parent.resolve() or _is_other(path, file.name):
            raise InputError(f"{path}: names {file.name} as its data, but {_why(path, file.name)}; put the right name into "
                             "it, or give --allow_other_files if the recording belongs to it")


def named_in(text: str) -> list[tuple[str, str]]:
    """[("DataFile" or "MarkerFile", name)] of a BrainVision header's text."""
    return [(KEYS[key.lower()], name) for key, name in POINTERS.findall(text) if name]


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
    """The file of the recording's own base name, of any case, that lies in the place of `name`."""
    own = path.parent / f"{_base(path.name)}{Path(name).suffix}"
    found = [own] if own.is_file() else [each for each in path.parent.iterdir() if _same(each, own.name)]
    return found[0] if len(found) == 1 and found[0].is_file() and found[0] != path else None


def _same(file, name):
    """Whether a name, after any path, is that of a file but for case and the form of letters."""
    return plain_text(re.split(r"[/\\]", name)[-1]).casefold() == plain_text(file.name).casefold()


def _leads_elsewhere(name, own):
    """Whether a name is one in another folder; an absolute path may be one of the computer that recorded."""
    folder = re.split(r"[^/\\]*$", name)[0]
    if ABSOLUTE.match(name):
        return Path(name).is_file() and not Path(name).samefile(own)
    return folder not in ("", "./", ".\\")


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


def _which(path, name):
    """What --allow_other_files takes."""
    own = _own(path, name)
    return f"to take {own.name}" if own and not (path.parent / name).is_file() else "if the recording belongs to it"
