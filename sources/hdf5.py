"""HDF5 files may lead to other files, whose bytes would be taken for EEG, and claim any size: all must lie in the file
itself."""

from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputError

if TYPE_CHECKING:
    import h5py

MAX_RATIO = 1100  # bytes of an array for each byte stored: the compression of HDF5 reaches 1032


def own(group: "h5py.Group", name: str) -> "h5py.Group | h5py.Dataset":
    """What lies in a group under a name. InputError where it lies in another file, or claims more values than the file can
    hold, which would fill the memory."""
    import h5py

    place = f"{group.file.filename}: {group.name.rstrip('/')}/{name}"
    link = group.get(name, getlink=True)
    found = group[name] if isinstance(link, h5py.HardLink) else None  # others are not followed
    stored = isinstance(found, h5py.Dataset)
    if found is None or (stored and (found.external or found.is_virtual)):
        raise InputError(f"{place} leads to another place or file; expected a file that holds all itself: get it again "
                         "from a source that you trust")
    if stored and found.nbytes > MAX_RATIO * found.id.get_storage_size():
        raise InputError(f"{place} claims {found.nbytes} bytes, but {found.id.get_storage_size()} are stored; the file is "
                         "damaged or cut short: copy it again")
    return found


def check_own(path: Path) -> None:
    """InputError as own, for all that a file holds; nothing for a file that is no HDF5."""
    import h5py

    if not h5py.is_hdf5(path):
        return
    with h5py.File(path, "r") as file:
        groups, seen = [file], set()
        while groups:
            group = groups.pop()
            place = h5py.h5o.get_info(group.id).addr
            if place not in seen:
                seen.add(place)
                groups += [found for name in group if isinstance(found := own(group, name), h5py.Group)]
