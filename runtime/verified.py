"""Files whose content was compared with a known hash: large ones are read for it once, not at each use."""

import contextlib
from pathlib import Path

from runtime.runs import cache_dir, content_key, file_hash


def has_hash(file: Path, sha256: str) -> bool:
    """Whether a file has this SHA-256. The answer "yes" is kept in the cache by path, size and time of change."""
    state = file.stat()
    mark = cache_dir() / "verified" / content_key([str(file.resolve()), state.st_size, state.st_mtime_ns, sha256])
    if mark.is_file():
        return True
    if file_hash(file) != sha256:
        return False
    with contextlib.suppress(OSError):  # without a cache the file is read again the next time
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    return True
