"""A pandas DataFrame in an HDF5 file (`to_hdf`, format "fixed"), read without pandas: it would run what the file says.

Columns of one type are an array `block<i>_values`; those of objects are a pickled numpy array, of which only lists,
numbers, texts and arrays of numbers are taken (safe_npy.py). HDF5 can also lead to other files, whose bytes would then be
taken for EEG: all must lie in the file itself.
"""

from pathlib import Path

from runtime.errors import InputError

import numpy as np

from .hdf5 import own
from .safe_npy import read_object_bytes


def read_frame(path: Path | str, key: str) -> dict[str, np.ndarray | list]:
    """{column: values [n]} of the DataFrame at `key`. InputError for another content."""
    try:
        import h5py
    except ImportError:
        raise InputError(f"{path}: needs the package h5py; pip install -r requirements-data.txt") from None
    try:
        with h5py.File(path, "r") as file:
            group = own(file, key) if key in file else None
            if not isinstance(group, h5py.Group) or group.attrs.get("pandas_type") != b"frame":
                raise InputError(f"{path}: holds no DataFrame '{key}' in pandas' format \"fixed\" (found "
                                 f"{', '.join(file)[:200]}); expected the publishers' file")
            count, columns = len(own(group, "axis1")), {}
            for number in range(int(group.attrs["nblocks"])):
                names = [name.decode() for name in own(group, f"block{number}_items")[:]]
                values = own(group, f"block{number}_values")
                if values.dtype == object:
                    content = read_object_bytes(values[0].tobytes(), f"{path}: {', '.join(names)[:100]}")
                    columns |= {name: content[start * count:(start + 1) * count] for start, name in enumerate(names)}
                else:
                    columns |= dict(zip(names, values[:].T, strict=True))
    except (OSError, KeyError, ValueError, TypeError, IndexError, AttributeError, RuntimeError) as error:
        raise InputError(f"{path}: not readable as HDF5 ({str(error)[:150]}); it is damaged or of another kind: copy it "
                         "again") from None
    short = [name for name, values in columns.items() if len(values) != count]
    if short:
        raise InputError(f"{path}: column {short[0]} has {len(columns[short[0]])} values, expected {count}; copy it again")
    return columns
