"""Recordings whose damage would crash their reader and so Python, or hold it for ever: found before it may read them."""

import gzip
import os
import re
import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from runtime.errors import InputError

from .hdf5 import check_own

SECONDS = 60  # of a reader in another process
DAMAGED = "the file is damaged, cut short, or not of the type that its name says; copy it again or leave it out"
GDF_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 8, 8: 8, 16: 4, 17: 8}  # of a value by the number of its type
MAT = """
import sys
from scipy.io import loadmat
try:
    loadmat(sys.argv[1], squeeze_me=True)
except Exception:
    {reads}
"""

READS_SET = """import mne
    from mne.io.eeglab import eeglab
    eeglab._check_latencies = lambda latencies: None  # readers.py does so, too, and says what epochs are
    try:
        mne.io.read_raw_eeglab(sys.argv[1], preload=False, verbose='error')
    except (TypeError, ValueError) as error:
        if 'number of trials' not in str(error):
            raise
"""


def try_first(path: Path, code: str, whose: str) -> None:
    """Let another process read a file by a library in C first. code: what `python -c` does with it; whose: for messages.

    What it cannot read is not read again: whether damage raises an error or crashes Python may be chance.
    """
    ended, reason = _tried([sys.executable, "-c", code, str(path)])
    if ended == 1 and reason.startswith("MemoryError"):
        raise MemoryError(reason)
    if ended == 1:
        raise InputError(f"{path}: not readable ({reason[:200] or f'{whose} reader fails'}); {DAMAGED}")
    if ended != 0:
        how = "finds no end" if ended is None else "crashes"
        raise InputError(f"{path}: {whose} reader {how}, so the file is damaged; copy it again or leave it out")


def _tried(command):
    """Exit code and last line of the errors of a command; None in place of the code where it takes too long. New memory is
    filled: no pointer is right by chance."""
    try:
        run = subprocess.run(command, check=False, capture_output=True, timeout=SECONDS,
                             env=os.environ | {"MALLOC_PERTURB_": "165"})
    except subprocess.TimeoutExpired:
        return None, ""
    lines = run.stderr.decode(errors="replace").strip().splitlines()
    return run.returncode, lines[-1] if lines else ""


def check_set(path: Path) -> None:
    """Raise InputError for an EEGLAB file that crashes the reader of MATLAB's files, an error for one that it cannot read.

    MNE decides on what scipy refuses: it leaves out variables that are not EEGLAB's, and other packages read MATLAB 7.3.
    """
    if find_spec("h5py"):  # without it nothing reads MATLAB 7.3
        check_own(path)
    try_first(path, MAT.format(reads=READS_SET), "MATLAB's")


def check_mat(path: Path) -> None:
    """The same for a file of MATLAB's."""
    try_first(path, MAT.format(reads="raise"), "MATLAB's")


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


def check_gdf(path: Path) -> None:
    """Raise InputError where a GDF file counts more events than it has room for: MNE takes memory for all of them first.

    Behind the data stands a byte for the kind of table, then in GDF 1 three bytes and a count of four, in GDF 2 a count of
    three and four bytes; each event has 6 or 12 bytes. Whatever else is wrong MNE says.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(256)
        if len(head) < 256 or not re.fullmatch(rb"GDF [12]\.\d\d", head[:8]):
            return
        first = float(head[4:8]) < 1.9  # drafts of GDF 2 have 1.9 and above
        start = struct.unpack_from("<q", head, 184)[0] if first else 256 * struct.unpack_from("<H", head, 184)[0]
        records, = struct.unpack_from("<q", head, 236)
        channels, = struct.unpack_from("<I" if first else "<H", head, 252)
        if not 0 < 256 * (channels + 1) <= size or records < 0:
            return
        file.seek(256 + 216 * channels)
        counts, kinds = (struct.unpack(f"<{channels}I", file.read(4 * channels)) for _ in range(2))
        at = start + records * sum(count * GDF_BYTES.get(kind, 0) for count, kind in zip(counts, kinds, strict=True))
        if not 0 < at <= size - 8:
            return
        file.seek(at)
        table = file.read(8)
    events = int.from_bytes(table[4:8] if first else table[1:4], "little")
    if table[0] in (1, 3) and at + 8 + events * (6 if table[0] == 1 else 12) > size:
        raise InputError(f"{path}: its table of events counts {events:,}, more than the file has room for; {DAMAGED}")
