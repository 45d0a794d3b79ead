"""ANT recordings, whose library crashes on damaged files: looked at before it may read them."""

import struct
from importlib.util import find_spec
from pathlib import Path

from runtime.errors import InputError

from .damage import try_first

MAX_CHANNELS = 4096  # of a table of channels


def check_ant(path: Path) -> None:
    """A damaged file can crash ANT's C library, and Python with it, or hold it for ever: another process tries first."""
    code = ("import sys, antio.parser as p; from antio import read_cnt; c = read_cnt(sys.argv[1]); "
            "[f(c) for f in (p.read_info, p.read_meas_date, p.read_device_info, p.read_subject_info, p.read_triggers)]")
    if not find_spec("antio"):
        raise InputError(f"{path}: ANT recordings need the package antio; pip install antio")
    order = _ant_order(path)
    if sorted(order) != list(range(len(order))):
        raise InputError(f"{path}: its table of channels, which numbers them from 0 to {len(order) - 1}, is damaged; get "
                         "it again or leave it out")
    try_first(path, code, "ANT's")


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
