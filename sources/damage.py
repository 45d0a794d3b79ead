"""Recordings whose damage would crash their reader and so Python, or hold it for ever: found before it may read them."""

import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

from runtime.errors import InputError

SECONDS = 60  # of a reader in another process


def try_first(path: Path, code: str, whose: str) -> None:
    """Let another process read a file by a library in C first. code: what `python -c` does with it; whose: for messages."""
    code = _exit_code([sys.executable, "-c", code, str(path)])
    if code not in (0, 1):  # 1: an exception, which this process meets as well
        raise InputError(f"{path}: {whose} reader {'finds no end' if code is None else 'crashes'}, so the file is damaged; "
                         "get it again or leave it out")


def _exit_code(command):
    """That of a command; None where it takes too long. New memory is filled: no pointer is right by chance."""
    try:
        return subprocess.run(command, check=False, capture_output=True, timeout=SECONDS,
                              env=os.environ | {"MALLOC_PERTURB_": "165"}).returncode
    except subprocess.TimeoutExpired:
        return None


def check_set(path: Path) -> None:
    """Raise InputError for an EEGLAB file that crashes the reader of MATLAB's files."""
    try_first(path, "import sys; from scipy.io import loadmat; loadmat(sys.argv[1], squeeze_me=True)", "MATLAB's")


def check_fif(path: Path) -> None:
    """Raise InputError where the tags of a FIF file follow each other in a circle, which MNE would do for ever.

    A tag is kind, type, size and next, of 4 bytes each; next is 0 for the tag behind this one, -1 for none.
    """
    with (gzip.open if path.name.lower().endswith(".gz") else open)(path, "rb") as file:
        at, seen = 0, set()
        while len(head := file.read(16)) == 16 and at not in seen:
            seen.add(at)
            size, following = struct.unpack(">8x2i", head)
            if following == -1:
                return
            at = following or at + 16 + size
            file.seek(at)
        if at in seen:
            raise InputError(f"{path}: damaged (its tags lead back to the one at byte {at}); get it again or leave it out")
