"""Arrays of real numbers in .npy files, mapped rather than read, and without executing anything that they hold."""

import tokenize
from pathlib import Path

from runtime.errors import InputError

import numpy as np


def map_npy(path: Path | str, place: str) -> np.ndarray:
    """The array of a .npy file, which stays on disk until it is indexed; place: names the file in messages.

    Raises InputError for a file that is not there, is damaged or of another kind, or holds no real numbers. `np.load` would
    also open a zip archive or a pickle under that name.
    """
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise InputError(f"{place}: no such file") from None
    except (ValueError, OSError, OverflowError, SyntaxError, tokenize.TokenError) as error:
        raise InputError(f"{place}: not readable as .npy ({str(error)[:100]}); it is damaged or of another kind: copy it "
                         "again, or write it by numpy.save") from None
    if array.dtype.kind not in "fiu":
        raise InputError(f"{place}: an array of {array.dtype}, expected real numbers")
    return array
