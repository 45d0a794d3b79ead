"""Checkpoints are found by local folder or Hub id, and loaded strictly."""

from pathlib import Path

from runtime.errors import InputError
from runtime.runs import read_json

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file


def resolve_checkpoint(name: str | Path, flag: str) -> Path:
    """The local folder of a checkpoint; if `name` is not a folder, it is fetched from the Hub.

    Hub ids: `org/name`, `org/name/sub/folder`, and `datasets/org/name/sub/folder` for dataset repositories, where the
    predecessors' checkpoints lie (`datasets/Jasmine1122/data-and-classes/...`).
    """
    if Path(name).is_dir():
        return Path(name)
    kind, parts = "model", str(name).strip("/").split("/")
    if parts[0] == "datasets":
        kind, parts = "dataset", parts[1:]
    if len(parts) < 2 or str(name).startswith(("/", ".", "~")) or (kind == "model" and Path(parts[0]).is_dir()):
        raise InputError(f"{flag} {name}: no such folder; expected one, or a Hub id such as org/name/subfolder")
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


def check_complete(loading: dict, what: str) -> None:
    """Raise InputError if transformers' loading info names weights that are missing or have a wrong shape.

    what: the name of the model in the message.
    """
    if loading["missing_keys"] or loading["mismatched_keys"]:
        missing, mismatched = (sorted(map(str, loading[key]))[:3] for key in ("missing_keys", "mismatched_keys"))
        raise InputError(f"{what}: weights are missing or have a wrong shape ({missing} {mismatched}); the folder is "
                         "incomplete, copy it again")


def check_output(folder: str | Path, model_type: str) -> None:
    """Raise InputError if `--output` holds another kind of model, whose config.json would be overwritten.

    A model of the same kind may be trained anew; that it is replaced is printed.
    """
    file = Path(folder) / "config.json"
    found = read_json(file).get("model_type") if file.is_file() else model_type
    if found != model_type:
        raise InputError(f"--output {folder}: holds a model of type {found!r}, this stage writes {model_type!r}; choose "
                         "another folder")
    if file.is_file():
        print(f"note: --output {folder}: holds a finished model, which is replaced when the training is done")


def read_tensors(file: str | Path) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors file by name."""
    try:
        return load_file(file)
    except FileNotFoundError:
        raise InputError(f"{file}: not found; expected the weights that the stage before writes there") from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file}: damaged or cut short ({error}); copy it again or train again") from None


def check_tensors(expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor], file: str | Path) -> None:
    """Raise InputError unless both dicts have the same names and shapes, and all numbers that were found are finite."""
    missing, unexpected = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    shapes = [f"{name}: {tuple(found[name].shape)}, expected {tuple(tensor.shape)}" for name, tensor in expected.items()
              if name in found and found[name].shape != tensor.shape]
    if missing or unexpected or shapes:
        raise InputError(f"{file}: does not fit the model; missing {missing[:3]}, unexpected {unexpected[:3]}, wrong "
                         f"shapes {shapes[:3]}; it belongs to another model")
    wrong = [name for name, tensor in found.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if wrong:
        raise InputError(f"{file}: {wrong[0]} holds NaN or infinite values; it is damaged or its training diverged, so "
                         "copy it again or train again")


def load_strictly(module: torch.nn.Module, state: dict[str, torch.Tensor], file: str | Path) -> None:
    """Load a state dict into a module; any difference in names or shapes is an InputError that names `file`."""
    check_tensors(module.state_dict(), state, file)
    module.load_state_dict(state)
