"""`.pth` files: written atomically, read without executing anything that they hold and without a copy in memory."""

import hashlib
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

from runtime.atomic_files import atomic_path
from runtime.errors import InputError
from runtime.runs import file_hash

import numpy as np
import torch

SAFE_TYPES = [  # numpy values in old pickles; all else that would execute code is refused
    np.dtype, np.ndarray, np._core.multiarray.scalar, np._core.multiarray._reconstruct,
    *((function, f"numpy.core.multiarray.{function.__name__}")  # as numpy 1 called them
      for function in (np._core.multiarray.scalar, np._core.multiarray._reconstruct)),
    *(type(np.dtype(kind)) for kind in (np.int64, np.int32, np.uint32, np.uint8, np.float16, np.float32, np.float64, str)),
]
READ_BYTES = 2**20  # bytes read at a time


def load_pickle(path: str | Path, flag: str) -> object:
    """Read a torch pickle without executing anything that it holds; its tensors lie on disk (load_hashed)."""
    return load_hashed(path, flag)[0]


def load_state(path: str | Path, flag: str) -> dict[str, torch.Tensor]:
    """The tensors of a torch pickle by name, as load_pickle reads them; InputError where it holds anything else."""
    content = load_pickle(path, flag)
    if isinstance(content, dict):
        other = next((f"under {name!r} {brief(value)}" for name, value in content.items()
                      if not isinstance(name, str) or not isinstance(value, torch.Tensor)), None)
    else:
        other = brief(content)
    if other:
        raise InputError(f"{flag} {path}: holds {other}, expected a dict of tensors by name, the weights of a model; give "
                         "the file that torch.save(model.state_dict(), ...) wrote")
    return content


def load_hashed(path: str | Path, flag: str) -> tuple[object, str]:
    """The content of a torch pickle, and the SHA-256 of its bytes; the file is read once.

    Tensors are memory-mapped views of the file, so they take no memory. Writing into them does not change the file. Files
    in the format before torch 1.6 are read into memory. A damaged file is an InputError.
    """
    try:
        digest = _check_zip(path) if zipfile.is_zipfile(path) else None
        with torch.serialization.safe_globals(SAFE_TYPES):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=digest is not None)
        return content, digest or file_hash(path)
    except FileNotFoundError:
        raise InputError(f"{flag} {path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{flag} {path}: is a folder, expected a .pth file") from None
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, ValueError, LookupError, TypeError,
            AttributeError, OSError, AssertionError, ImportError, ArithmeticError, MemoryError,
            struct.error) as error:  # a damaged pickle can fail in any of these ways
        reason = str(error).strip().split("\n")[0][:200] or "nothing in it"
        if "weights_only" in str(error):  # torch's advice would have the user run what the file holds
            reason = ("it holds code, which is never run here" if "GLOBAL" in str(error) else
                      "its pickle is damaged, or not as torch.save writes it")
        raise InputError(f"{flag} {path}: not a readable .pth file, cut short or not made by torch.save ({reason}); "
                         "compare its size with the source's and copy it again") from None


def _check_zip(path):
    """SHA-256 of a zip file. The checksums of its members are compared in the same pass; a wrong one is a ValueError."""
    digest = hashlib.sha256()
    with open(path, "rb") as file, zipfile.ZipFile(path) as archive:

        def read(count):
            crc = 0
            while count > 0 and (piece := file.read(min(count, READ_BYTES))):
                digest.update(piece)
                crc, count = zlib.crc32(piece, crc), count - len(piece)
            return crc

        for member in sorted(archive.infolist(), key=lambda member: member.header_offset):
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{member.filename} is compressed")
            read(member.header_offset - file.tell())
            header = file.read(zipfile.sizeFileHeader)
            digest.update(header)
            read(sum(struct.unpack("<HH", header[-4:])))  # name and padding
            if read(member.file_size) != member.CRC:
                raise ValueError(f"checksum of {member.filename} is wrong")
        digest.update(file.read())
    return digest.hexdigest()


def save_torch(path: str | Path, content: object) -> None:
    """torch.save, atomically. Equal content gives equal bytes: given a path, torch would write its name into the file."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        torch.save(content, file)


def brief(value: object) -> str:
    """A value's type and beginning, for messages."""
    return f"{type(value).__name__} {str(value)[:40]!r}"


def is_series(value: object) -> bool:
    """Values one after the other: a list, tuple, range or set, or a tensor or array of one axis."""
    if isinstance(value, torch.Tensor | np.ndarray):
        return value.ndim == 1
    return isinstance(value, list | tuple | range | set)


def is_whole(value: object) -> bool:
    """A whole number that fits into 64 bits: int, numpy integer or a tensor of one."""
    if isinstance(value, torch.Tensor):
        return value.numel() == 1 and not value.is_floating_point() and not value.is_complex()
    return isinstance(value, int | np.integer) and -2**63 <= value < 2**63
