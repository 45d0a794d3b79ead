"""Files and folders that are whole or not there: they are written under a temporary name, which they lose at the end."""

import contextlib
import errno
import hashlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from runtime import processes
from runtime.errors import InputError, why_not_written

TEMPORARY = ".writing-"  # begins the name of a file that is not whole yet


@contextlib.contextmanager
def atomic_path(path: str | Path, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which is renamed to `path` only if the block ends without an error.

    Several processes all write the same; the file of process 0 is kept. sync: the file is on the disk before it takes its
    name, so that a loss of power leaves the old file or the new one; without it for one of very many files.
    """
    path = Path(os.path.realpath(path))  # a link stays a link
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is a folder or a device, expected a file to write; choose another path")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(path, sync)
    except OSError as error:
        raise InputError(f"{path}: {why_not_written(error)}") from None
    os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes private files; results are for everybody
    try:
        yield Path(temporary)
        if processes.is_main():
            if sync:
                _to_disk(temporary)
            os.replace(temporary, path)
            if sync:
                _to_disk(path.parent)
    finally:
        Path(temporary).unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, which is renamed to `path` if the block ends without an error.

    If another run has made that folder by then, its folder stays. Several processes write to the folder of process 0.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(processes.from_main(lambda: _temporary(path, True, folder=True)))
    try:
        yield temporary
        processes.wait()
        if processes.is_main():
            try:
                os.replace(temporary, path)
                _to_disk(path.parent)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
    finally:
        if processes.is_main():
            shutil.rmtree(temporary, ignore_errors=True)


def remove_folder(folder: str | Path) -> None:
    """Remove a folder with all it holds. It loses its name first, so that a killed run leaves a whole folder, or none.

    A link stays a link, such as one to a larger disk: the folder it leads to stays too, and loses what it holds.
    """
    folder = Path(folder)
    if processes.is_main() and folder.is_dir():
        if folder.is_symlink():
            for inner in sorted(folder.iterdir()):  # checkpoints before the key.json that says whose they are
                if inner.is_dir() and not inner.is_symlink():
                    remove_folder(inner)
                else:
                    inner.unlink()
            return
        doomed = _temporary(folder, False, folder=True)
        os.replace(folder, doomed)
        shutil.rmtree(doomed)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left in a folder, but not what a run in a folder below is writing."""
    for leftover in list(folder.rglob(f"{TEMPORARY}*")):
        if not _of_another_run(leftover):
            _remove(leftover)


def _temporary(path, clean, folder=False):
    """The name of a new temporary file or folder for `path`. clean: remove those that killed processes of this machine left
    for it.

    The name tells the process. A lock on the file would not: what writes to it may put another file in its place, as
    safetensors does.
    """
    prefix = f"{TEMPORARY}{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]}-{_machine()}-"
    for leftover in path.parent.glob(f"{prefix}*") if clean else ():
        if not _is_running(_writer(leftover)):
            _remove(leftover)
    prefix = f"{prefix}{os.getpid()}-"
    if folder:
        made = Path(tempfile.mkdtemp(dir=path.parent, prefix=prefix))
        made.chmod(0o777 & ~_umask())  # mkdtemp makes private folders
        return str(made)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=path.suffix)
    os.close(handle)
    return temporary


def _remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _of_another_run(path):
    """Whether another process that is running on this machine made a temporary file or folder."""
    return _writer(path) != os.getpid() and _is_running(_writer(path))


def _writer(path):
    """The process of this machine that made a temporary file; None for one of another machine or of an earlier version."""
    parts = path.name.removeprefix(TEMPORARY).split("-")
    return int(parts[2]) if len(parts) > 2 and parts[1] == _machine() and parts[2].isdecimal() else None


def _is_running(process):
    if process in (None, os.getpid()):
        return process is not None
    import psutil

    return psutil.pid_exists(process)


def _machine():
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _umask():
    umask = os.umask(0)
    os.umask(umask)
    return umask


def _to_disk(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # a file system that cannot
            raise
    finally:
        os.close(handle)
