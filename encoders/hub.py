"""A checkpoint by local folder or Hub id, with or without a subfolder."""

from pathlib import Path

from errors import InputError


def resolve_checkpoint(name, flag):
    """The local folder of a checkpoint; fetched from the Hub when `name` is none.

    Hub ids: `org/name`, `org/name/sub/folder`, and `datasets/org/name/sub/folder` for dataset repositories, where the
    predecessors' checkpoints lie (`datasets/Jasmine1122/data-and-classes/...`).
    """
    if Path(name).is_dir():
        return Path(name)
    kind, parts = "model", str(name).strip("/").split("/")
    if parts[0] == "datasets":
        kind, parts = "dataset", parts[1:]
    if len(parts) < 2 or str(name).startswith(("/", ".", "~")):
        raise InputError(f"{flag} {name}: no such folder; expected one, or a Hub id such as org/name/subfolder")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository, subfolder = "/".join(parts[:2]), "/".join(parts[2:])
    try:
        folder = Path(snapshot_download(repository, repo_type=kind, allow_patterns=f"{subfolder}/*" if subfolder else None))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(f"{flag} {name}: neither a local folder nor to be had from the Hub as {kind} {repository} "
                         f"({str(error).splitlines()[0][:200]})") from None
    if not (folder / subfolder).is_dir():
        raise InputError(f"{flag} {name}: the Hub {kind} {repository} has no folder '{subfolder}'")
    return folder / subfolder
