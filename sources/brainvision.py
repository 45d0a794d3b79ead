"""BrainVision recordings, whose header and markers may be in the letters of an old code page.

MNE takes the code page of the header only and reads markers without one as UTF-8. Files that are no UTF-8 are given to it
as copies that are.
"""

import codecs
import re
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputError

from .pointers import KEYS, POINTERS, brainvision_files, named_in

if TYPE_CHECKING:
    import mne

HEADERS = (".vhdr", ".ahdr")
CODE_PAGE = re.compile(r"^Codepage\s*=\s*(\S+).*$", re.M | re.I)
MARKER = re.compile(r"^Mk\d+\s*=[^,\n]*,[^,\n]*,\s*(\d+)", re.M | re.I)  # kind, name, position
SECTION = re.compile(r"^(\[Common Infos\])", re.M | re.I)
CHANNEL = re.compile(r"^Ch\d+\s*=[^\S\n]*([^,\n]+)", re.M | re.I)  # its name
CHANNELS = re.compile(r"^\[Channel Infos\](.*?)(?=^\[|\Z)", re.M | re.I | re.S)
GREEK_MU, MICRO = "\u03bc", "\u00b5"  # look alike; MNE takes only the second for microvolts
WINDOWS = "cp1252"  # Western Europe: what BrainVision's programs wrote before they named a code page


def read_brainvision(path: Path, other_files: bool = False) -> "mne.io.BaseRaw":
    """Open a recording by its header; other_files: take the files that it names, even those of another recording."""
    import mne

    text, page = decoded(path)
    _check_channels(path, text)
    names = brainvision_files(path, text, other_files, lambda file: decoded(file)[0])
    files = {key: (path.parent / name).absolute() for key, name in names.items()}
    pages = {path: page}
    if "MarkerFile" in files and files["MarkerFile"].is_file():
        pages[files["MarkerFile"]] = decoded(files["MarkerFile"])[1]
    capitals = any(file.suffix != file.suffix.lower() for file in pages)  # which MNE does not take for its own
    if not capitals and not any(pages.values()) and names == dict(named_in(text)) and GREEK_MU not in text:
        return mne.io.read_raw_brainvision(path, preload=False, verbose="warning")
    with tempfile.TemporaryDirectory() as folder:
        for file in reversed(pages):  # the header last, which names the copy of the markers
            copy = Path(folder) / f"copy{file.suffix.lower()}"
            content = _in_utf8(decoded(file)[0])
            if file == path:
                content = content.replace(GREEK_MU, MICRO)
                header, content = copy, POINTERS.sub(
                    lambda found: f"{found[1]}={files.get(KEYS[found[1].lower()], found[2])}", content)
            else:
                files["MarkerFile"] = copy
            copy.write_bytes(content.encode())
        raw = mne.io.read_raw_brainvision(header, preload=False, verbose="warning")
    assumed = {file.name: page for file, page in pages.items() if page and page.startswith("?")}
    if assumed:
        warnings.warn(f"{' and '.join(assumed)} not in UTF-8, and no other code page named: read as {WINDOWS}, as Windows "
                      "writes in Western Europe", RuntimeWarning, stacklevel=2)
    return raw


def _check_channels(path, text):
    """Raise InputError where two channels have one name: MNE fails without saying so."""
    names = [name.strip() for part in CHANNELS.findall(text) for name in CHANNEL.findall(part)]
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice:
        raise InputError(f"{path}: two channels are called {twice}, expected a name of its own for each; rename one in the "
                         "section [Channel Infos]")


def markers_behind(path: Path, raw: "mne.io.BaseRaw") -> int:
    """How many markers of a recording lie behind its last sample, as where its data file is cut short."""
    text, _ = decoded(path)
    with warnings.catch_warnings(action="ignore"):
        name = brainvision_files(path, text, True, lambda file: "").get("MarkerFile")
    markers = path.parent / name if name else None
    found = MARKER.findall(decoded(markers)[0]) if markers and markers.is_file() else []
    return sum(int(position) > raw.n_times for position in found)


def decoded(path: Path) -> tuple[str, str | None]:
    """The text of a header or marker file, and its code page: None for UTF-8, "?cp1252" where that is assumed."""
    content = path.read_bytes()
    stated = CODE_PAGE.search(content.decode("latin-1"))
    page = stated[1] if stated else ""
    try:
        known = codecs.lookup(WINDOWS if page.upper() == "ANSI" else page or "utf-8").name
    except LookupError:
        raise InputError(f"{path}: Codepage={page}, which is not known; expected UTF-8; save the file as UTF-8 in an "
                         "editor, with that line as Codepage=UTF-8") from None
    try:
        return content.decode(known), None if known == "utf-8" or content.isascii() else known
    except UnicodeDecodeError:
        return content.decode(WINDOWS, errors="replace"), f"?{WINDOWS}"


def _in_utf8(text):
    if CODE_PAGE.search(text):
        return CODE_PAGE.sub("Codepage=UTF-8", text)
    return SECTION.sub(r"\1\nCodepage=UTF-8", text, count=1)
