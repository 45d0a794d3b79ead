"""Where data and models lie: a local file or folder, or an id on the Hub.

The checks import nothing heavy, so that a misspelt path is told at once (runtime.command_line.check_places).
"""

from pathlib import Path

from runtime.errors import InputError


def check_data(name: str, flag: str = "--eeg_dataset") -> None:
    """InputError unless `name` is a file or folder, or may be a data set's Hub id."""
    if not Path(name).exists() and not str(name).startswith("datasets/"):
        raise InputError(f"{flag} {name}: no such file or folder; expected a .pth file, a data set folder of "
                         "prepare_data.py, or its Hub id datasets/org/name")


def check_checkpoint(name: str | Path, flag: str) -> None:
    """InputError unless `name` is a folder, or may be a checkpoint's Hub id."""
    if not Path(name).is_dir() and not _may_be_hub_id(name):
        raise InputError(f"{flag} {name}: no such folder; expected one, or a Hub id such as org/name/subfolder")


def check_model(name: str, flag: str) -> None:
    """InputError unless `name` is a folder, or may be a pretrained model's name on the Hub."""
    folder = str(name).removeprefix("local-dir:")  # open_clip's own way of naming a folder
    if Path(folder).is_dir() or ((_may_be_hub_id(folder) or "/" not in folder) and folder == name):
        return
    raise InputError(f"{flag} {name}: no such folder; expected one, or a name on the Hub such as org/name")


def check_splits(name: str | Path, flag: str = "--splits_path") -> None:
    """InputError unless `name` is a file."""
    if not Path(name).is_file():
        raise InputError(f"{flag} {name}: no such file; prepare_data.py split makes one")


def check_folder(name: str, flag: str) -> None:
    """InputError unless `name` is a folder."""
    if not Path(name).is_dir():
        raise InputError(f"{flag} {name}: no such folder; check the path")


def _hub_parts(name):
    """("model" or "dataset", [org, name, subfolders])"""
    parts = str(name).strip("/").split("/")
    return ("dataset", parts[1:]) if parts[0] == "datasets" else ("model", parts)


def _may_be_hub_id(name):
    kind, parts = _hub_parts(name)
    return (len(parts) > 1 and not str(name).startswith(("/", ".", "~"))
            and not (kind == "model" and Path(parts[0]).is_dir()))


def resolve_checkpoint(name: str | Path, flag: str) -> Path:
    """The local folder of a checkpoint; if `name` is not a folder, it is fetched from the Hub.

    Hub ids: `org/name`, `org/name/sub/folder`, and `datasets/org/name/sub/folder` for dataset repositories, where the
    predecessors' checkpoints lie (`datasets/Jasmine1122/data-and-classes/...`).
    """
    check_checkpoint(name, flag)
    if Path(name).is_dir():
        return Path(name)
    kind, parts = _hub_parts(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository, subfolder = "/".join(parts[:2]), "/".join(parts[2:])
    try:
        folder = Path(snapshot_download(repository, repo_type=kind, allow_patterns=f"{subfolder}/*" if subfolder else None))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(f"{flag} {name}: is not a local folder, and the Hub gives no {kind} {repository} "
                         f"({str(error).splitlines()[0][:200]}); a dataset repository is named datasets/org/name/..."
                         ) from None
    if not (folder / subfolder).is_dir():
        raise InputError(f"{flag} {name}: the Hub {kind} {repository} has no folder '{subfolder}'")
    return folder / subfolder
