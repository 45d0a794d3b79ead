"""What lies below a folder that the user gave."""

from pathlib import Path

from runtime.errors import InputError


def all_below(folder: Path | str) -> list[Path]:
    """The files and folders below a folder, at any depth, in order of name; nothing hidden (names that begin with a dot).

    Links to folders are followed, as people link the folders of persons and classes into one; Path.rglob does not follow
    them.
    """
    found = []

    def search(inner, above):
        real = inner.resolve()
        if real in above:  # a link to a folder that it lies in
            return
        try:
            entries = [path for path in inner.iterdir() if not path.name.startswith(".")]
        except PermissionError:
            raise InputError(f"{inner}: this folder may not be read; give yourself the right to read it, or name the "
                             "folders beside it") from None
        found.extend(entries)
        for path in entries:
            if path.is_dir():
                search(path, {*above, real})

    search(Path(folder), set())
    return sorted(found)
