"""Names that a file holds, such as those of pictures and shards, as parts of a path: they stay below their folder."""

import re
from pathlib import Path

from runtime.errors import InputError

MAX_NAME = 1000  # letters
MAX_BYTES = 255  # of a file's name, in the usual file systems
HALF = re.compile("[\ud800-\udfff]")  # half a surrogate pair


def is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8. The name of a file that is not UTF-8 holds half a surrogate pair for each
    such byte."""
    return HALF.search(name) is None


def below(folder: Path | str, name: object, where: object) -> Path:
    """folder / name, for a name read from the file `where`.

    InputError unless the name is the plain name of a file or folder. An absolute path or ".." would read, or even write,
    elsewhere. Symbolic links in the folder are followed: whoever made them owns the folder.
    """
    if not isinstance(name, str) or name in ("", ".", "..") or any(letter in name for letter in "/\\\0"):
        raise InputError(f"{where}: names {str(name)[:100]!r}, expected the plain name of a file in {folder}, without a "
                         "folder; get the file again from a source that you trust")
    if len(name.encode(errors="surrogatepass")) > MAX_BYTES:
        raise InputError(f"{where}: names {name[:60]!r}..., which is too long for a file ({MAX_BYTES} bytes); give a "
                         "shorter name, or get the file again")
    return Path(folder) / name
