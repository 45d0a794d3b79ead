"""Names that a file holds, such as those of pictures and shards, as parts of a path: they stay below their folder."""

from pathlib import Path

from runtime.errors import InputError


def below(folder: Path | str, name: object, where: object) -> Path:
    """folder / name, for a name read from the file `where`.

    InputError unless the name is the plain name of a file or folder. An absolute path or ".." would read, or even write,
    elsewhere. Symbolic links in the folder are followed: whoever made them owns the folder.
    """
    if not isinstance(name, str) or name in ("", ".", "..") or any(letter in name for letter in "/\\\0"):
        raise InputError(f"{where}: names {str(name)[:100]!r}, expected the plain name of a file in {folder}, without a "
                         "folder; get the file again from a source that you trust")
    return Path(folder) / name
