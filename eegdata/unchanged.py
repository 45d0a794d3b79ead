"""Whether the data set that a record names is still there, and still the same."""

from pathlib import Path

from runtime.errors import InputError
from runtime.runs import file_hash


def why_other_data(path: Path, fingerprint: str | None) -> str:
    """Why the folder or .pth file at path is not the data set that was used, as part of a sentence; "" where it is.

    fingerprint: that it must have; None: any. The EEG of a folder is not read, a file is.
    """
    from eegdata.dataset_folder import read_record

    if not path.exists():
        return f"{path} was not found"
    if path.is_file():
        found = file_hash(path) if fingerprint else None
    else:
        try:
            found = read_record(path)["fingerprint"]
        except InputError as error:
            return str(error)
    return f"{path} has changed since it was used" if found != fingerprint and fingerprint else ""
