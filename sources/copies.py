"""Files that are copies of each other. In two parts of a split they would put training data into the test."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from runtime.runs import file_hash

T = TypeVar("T")


def without_copies(found: Iterable[T], path_of: Callable[[T], Path], where: str, what: str = "recordings") -> dict[str, T]:
    """{hash of its file: the first of `found` with that file}; it says how many copies of other files are left out.

    where, what: words of that sentence, the folder or data set and the kind of files.
    """
    unlike, copies = {}, 0
    for each in found:
        copies += unlike.setdefault(file_hash(path_of(each)), each) is not each
    if copies:
        print(f"{where}: {copies} copies of other {what} left out")
    return unlike
