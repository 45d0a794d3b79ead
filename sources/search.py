"""What lies below a folder that the user gave."""

from pathlib import Path

from runtime.errors import InputError


def all_below(folder: Path | str) -> list[Path]:
    """The files and folders below a folder, at any depth, in order of name; nothing hidden (names that begin with a dot).

    Links to folders are followed, as people link the folders of persons and classes into one; Path.rglob does not follow
    them. A folder is searched once: links to what is below anyway give nothing.
    """
    found, folders, links, searched = [], [Path(folder)], [], set()
    while folders or links:
        inner = (folders or links).pop()
        if inner.resolve() in searched:
            continue
        searched.add(inner.resolve())
        try:
            entries = [path for path in inner.iterdir() if not path.name.startswith(".")]
        except PermissionError:
            raise InputError(f"{inner}: this folder may not be read; give yourself the right to read it, or name the "
                             "folders beside it") from None
        found += entries
        for path in sorted(filter(Path.is_dir, entries), reverse=True):
            (links if path.is_symlink() else folders).append(path)
    return sorted(found)
