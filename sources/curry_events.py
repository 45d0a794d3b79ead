"""Events of Curry recordings: MNE calls all events of a code by the remark of the first one, which mixes pictures up."""

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from .brainvision import WINDOWS

if TYPE_CHECKING:
    import mne

BESIDE = {".cdt": (".cdt.cef", ".cdt.ceo"), ".dat": (".cef", ".ceo")}  # files of events
LIST = r"^{} START_LIST[^\n]*\n(.*?)^{} END_LIST"


def own_remarks(path: Path, raw: "mne.io.BaseRaw") -> "mne.io.BaseRaw":
    """The same recording, with each event called by its own remark, else by its code."""
    import mne

    found = (path.with_suffix(ending) for ending in BESIDE.get(path.suffix.lower(), ()))
    file = next((each for each in found if each.is_file()), None)
    if file is None:
        return raw
    text = _decoded(file)
    numbers, remarks = (_list(text, name) for name in ("NUMBER_LIST", "REMARK_LIST"))
    rows = [row.split() for row in numbers]  # sample, ..., code, ...; as many as remarks, or MNE had not read them
    onsets = [int(row[0]) / raw.info["sfreq"] for row in rows]
    texts = [remark.strip() or row[2] for row, remark in zip(rows, remarks, strict=True)]
    return raw.set_annotations(mne.Annotations(onsets, 0., texts))


def _decoded(file):
    """The text of a file of events, which names no code page."""
    content = file.read_bytes().replace(b"\r\n", b"\n")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        warnings.warn(f"{file.name}: is not UTF-8: read as {WINDOWS}", RuntimeWarning, stacklevel=2)
        return content.decode(WINDOWS, errors="replace")


def _list(text, name):
    found = re.search(LIST.format(name, name), text, re.M | re.S)
    return found[1].splitlines() if found else []
