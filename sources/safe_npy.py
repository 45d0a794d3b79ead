"""Object .npy files, a dict with arrays pickled by np.save, read without executing anything that they hold.

np.load(allow_pickle=True) would run whatever a file says. Here the pickle may build dicts, lists, strings, numbers and
numpy arrays of these, and nothing else. Large arrays are not read but mapped: they stay on disk until they are indexed.
"""

import io
import pickle
import re
import struct
import tokenize
from pathlib import Path

from runtime.errors import InputError

import numpy as np

MAX_READ_BYTES = 1 << 20  # bytes; longer arrays stay on disk
OPCODES = b"".join((
    pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.MEMOIZE, pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET,
    pickle.LONG_BINGET, pickle.GLOBAL, pickle.STACK_GLOBAL, pickle.REDUCE, pickle.BUILD, pickle.EMPTY_DICT, pickle.SETITEM,
    pickle.SETITEMS, pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS, pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1,
    pickle.TUPLE2, pickle.TUPLE3, pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BININT, pickle.BININT1,
    pickle.BININT2, pickle.LONG1, pickle.BINFLOAT, pickle.BINUNICODE, pickle.SHORT_BINUNICODE, pickle.BINBYTES,
    pickle.SHORT_BINBYTES, pickle.BINBYTES8, pickle.BYTEARRAY8))


DAMAGE = (pickle.UnpicklingError, struct.error, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError,
          OverflowError, OSError, SyntaxError, tokenize.TokenError)  # damage can show in any of these ways


def read_object_npy(path: Path | str) -> dict:
    """The dict that an .npy file holds: of np.save, or a bare pickle under that name, as NICE-EEG's scripts write.

    Arrays above 1 MiB are np.memmap. Raises InputError for any other content, a damaged file or forbidden types.
    """
    try:
        with open(path, "rb") as file:
            content = _Unpickler(_Reader(file)).load()
            if isinstance(content, _Array):  # np.save wraps the dict into an array without axes
                content = content.make(path)
                content = content[0] if isinstance(content, list) and len(content) == 1 else content
            if not isinstance(content, dict):
                raise pickle.UnpicklingError(f"it holds a {type(content).__name__}")
            return {key: value.make(path) if isinstance(value, _Array) else value for key, value in content.items()}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except DAMAGE as error:
        reason = f"{type(error).__name__} {error}".strip()[:200]
        raise InputError(f"{path}: not a readable .npy file with a dict of arrays ({reason}); it is cut short, damaged or "
                         "of another kind: compare its size with the publisher's and copy it again") from None


def read_object_bytes(content: bytes, place: str) -> list:
    """The list of values in a pickled numpy array of objects, each a number, text, list or array; place: for messages."""
    try:
        found = _Unpickler(io.BytesIO(content)).load()
        values = found.make(None) if isinstance(found, _Array) else None
        if not isinstance(values, list):
            raise pickle.UnpicklingError(f"it holds a {type(found).__name__}")
        return [value.make(None) if isinstance(value, _Array) else value for value in values]
    except DAMAGE as error:
        raise InputError(f"{place}: no pickled array of objects ({type(error).__name__} {str(error)[:150]}); it is damaged "
                         "or of another kind: copy the file again") from None


def _skip_header(file):
    """Go to where the pickle begins."""
    start = file.read(2)
    file.seek(0)
    if start[:1] == pickle.PROTO:
        return
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the format")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if not dtype.hasobject:
        raise ValueError(f"it holds an array of {dtype}, shape {shape}")


class _Payload:
    """A long byte string of a pickle that was left in the file."""

    def __init__(self, offset, size):
        self.offset, self.size = offset, size

    def __len__(self):
        return self.size


class _Reader:
    """A file that gives a _Payload in place of more than MAX_READ_BYTES bytes."""

    def __init__(self, file):
        self.file, self.readline = file, file.readline
        self.end = file.seek(0, 2)
        file.seek(0)
        _skip_header(file)

    def read(self, n):
        offset = self.file.tell()
        if offset + n > self.end:
            raise EOFError(f"the file ends {offset + n - self.end} bytes too early")
        if n <= MAX_READ_BYTES:
            return self.file.read(n)
        self.file.seek(n, 1)
        return _Payload(offset, n)


class _DType:
    """Stands for numpy.dtype: its name and byte order, of plain numbers, strings and objects only."""

    def __init__(self, name, *_):
        if not re.fullmatch(r"[fiubU]\d{1,4}|O8?", name):
            raise pickle.UnpicklingError(f"an array of type {name!r}")
        self.name, self.order = name, "="

    def __setstate__(self, state):
        self.order = {"<": "<", ">": ">"}.get(state[1], "=")

    def make(self):
        return np.dtype(self.order + self.name)


class _Array:
    """Stands for numpy.ndarray until its file is known."""

    def __setstate__(self, state):
        _, self.shape, self.dtype, fortran, self.content = state
        self.order = "F" if fortran else "C"
        good = isinstance(self.dtype, _DType) and isinstance(self.shape, tuple) and all(
            type(n) is int and n >= 0 for n in self.shape)
        if not good or not isinstance(self.content, bytes | bytearray | list | _Payload):
            raise pickle.UnpicklingError("an array without shape, type or values")

    def make(self, path):
        """The array, np.memmap where it is large; of objects: the list of them."""
        if isinstance(self.content, list):
            return self.content
        dtype, size = self.dtype.make(), len(self.content)
        if dtype.hasobject or int(np.prod(self.shape, dtype=object)) * dtype.itemsize != size:
            raise pickle.UnpicklingError(f"an array of shape {self.shape} and type {dtype} in {size} bytes")
        if isinstance(self.content, _Payload):
            return np.memmap(path, dtype, "r", self.content.offset, self.shape, self.order)
        return np.frombuffer(self.content, dtype).reshape(self.shape, order=self.order)


def _reconstruct(*_):
    return _Array()


def _frombuffer(content, dtype, shape, order):
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", content))
    return array


def _scalar(dtype, content):
    return np.frombuffer(content, dtype.make())[0].item()


ALLOWED_NAMES = {("numpy", "ndarray"): _Array, ("numpy", "dtype"): _DType,
         ("numpy.core.multiarray", "_reconstruct"): _reconstruct, ("numpy.core.multiarray", "scalar"): _scalar,
         ("numpy.core.numeric", "_frombuffer"): _frombuffer}


class _Unpickler(pickle._Unpickler):  # not the C one, which would read large arrays into memory
    def find_class(self, module, name):
        found = ALLOWED_NAMES.get((module.replace("numpy._core.", "numpy.core."), name))
        if found is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is never run")
        return found

    def load_build(self):
        if not isinstance(self.stack[-2], _Array | _DType):
            raise pickle.UnpicklingError("it changes something that is not an array")
        super().load_build()

    dispatch = {code: pickle._Unpickler.dispatch[code] for code in OPCODES} | {
        pickle.BUILD[0]: load_build,  # and as bytes, since a bytearray's size is believed before the file is looked at
        pickle.BYTEARRAY8[0]: pickle._Unpickler.dispatch[pickle.BINBYTES8[0]]}
