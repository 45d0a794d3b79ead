"""`.pth` files: written atomically, read without executing anything that they hold."""

import pickle
import struct
import zipfile

import numpy as np
import torch

from errors import InputError
from runs import atomic_path

SAFE_TYPES = [  # numpy values occur in the old pickles; everything else that would execute code is refused
    np.dtype, np.ndarray, np._core.multiarray.scalar, np._core.multiarray._reconstruct,
    *(type(np.dtype(kind)) for kind in (np.int64, np.int32, np.uint8, np.float32, np.float64)),
]


def load_pickle(path, flag):
    """Read a torch pickle without executing anything that it holds."""
    try:
        damaged = zipfile.is_zipfile(path) and zipfile.ZipFile(path).testzip()
        if damaged:
            raise ValueError(f"checksum of {damaged} is wrong")
        with torch.serialization.safe_globals(SAFE_TYPES):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{flag} {path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{flag} {path}: is a folder, expected a .pth file") from None
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, ValueError, LookupError, TypeError,
            AttributeError, OSError, struct.error) as error:  # a damaged pickle can fail in any of these ways
        reason = str(error).strip().split("\n")[0][:200] or "nothing in it"
        if "weights_only" in str(error):  # torch's advice would have the user run what the file holds
            reason = ("it holds code, which is never run here" if "GLOBAL" in str(error) else
                      "its pickle is damaged, or not as torch.save writes it")
        raise InputError(f"{flag} {path}: not a readable .pth file, cut short or not made by torch.save ({reason}); "
                         "compare its size with the source's and copy it again") from None


def save_torch(path, content):
    """torch.save, atomically; equal content gives equal bytes (given a path, torch would write its name into the file)."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        torch.save(content, file)


def brief(value):
    """A value's type and beginning, for messages."""
    return f"{type(value).__name__} {str(value)[:40]!r}"


def is_whole(value):
    """A whole number: int, numpy integer or a tensor of one."""
    if isinstance(value, torch.Tensor):
        return value.numel() == 1 and not value.is_floating_point()
    return isinstance(value, int | np.integer)
