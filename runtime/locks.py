"""One run at a time writes to a folder or file: two of them would mix their results."""

import contextlib
import hashlib
import os
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from runtime import processes
from runtime.atomic_files import remove_leftovers
from runtime.errors import InputError

LOCK = ".lock"


@contextlib.contextmanager
def only_run(folder: str | Path, flag: str, file: str | None = None) -> Iterator[None]:
    """Hold the lock of a folder that a run writes to, or of one file in it. InputError where another run holds it.

    The operating system lets go of a lock when its process ends, however it ends, so a lock that was left behind blocks
    nobody. What a killed run left half-written in the folder is removed. A folder that is still empty at the end goes
    again. Several processes of one run count as one.
    """
    if not processes.is_main():
        yield
        return
    from filelock import FileLock, Timeout

    folder = Path(folder)
    made = not folder.exists()
    lock_file = folder / (f"{LOCK}-{hashlib.sha256(os.fsencode(file)).hexdigest()[:8]}" if file else LOCK)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_file, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(f"{flag} {folder / (file or '')}: another run writes to it ({_owner(lock_file)}); wait for its "
                         "end, or choose another place") from None
    except NotImplementedError:
        print(f"note: {folder} lies on a file system without locks, so nothing keeps a second run out of it")
        yield
        return
    try:
        lock_file.write_text(f"process {os.getpid()} on {socket.gethostname()}, since "
                             f"{datetime.now().isoformat(' ', 'seconds')}")
        if not file:
            remove_leftovers(folder)
        yield
    finally:
        lock_file.unlink(missing_ok=True)
        lock.release()
        if made:
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()


@contextlib.contextmanager
def only_writer(files: dict[str, Path], flag: str) -> Iterator[None]:
    """Hold the locks of several files that a run writes. InputError where another run holds one of them."""
    with contextlib.ExitStack() as stack:
        for file in files.values():
            stack.enter_context(only_run(file.parent, flag, file.name))
        yield


def _owner(file):
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return file.read_text() or "it has just begun"
    return "it has just ended"
