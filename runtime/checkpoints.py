"""Checkpoints are loaded strictly."""

from pathlib import Path

from runtime.errors import InputError
from runtime.runs import read_json

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file


def check_complete(loading: dict, what: str) -> None:
    """Raise InputError if transformers' loading info names weights that are missing or have a wrong shape.

    what: the name of the model in the message.
    """
    if loading["missing_keys"] or loading["mismatched_keys"]:
        missing, mismatched = (sorted(map(str, loading[key]))[:3] for key in ("missing_keys", "mismatched_keys"))
        raise InputError(f"{what}: weights are missing or have a wrong shape ({missing} {mismatched}); the folder is "
                         "incomplete, copy it again")


def is_predecessors(folder: str | Path) -> bool:
    """Whether a folder holds a captioner of Thought2Text, PTM or DL_Proj_EEG-to-Text, and none of ours."""
    folder = Path(folder)
    return (folder / "projector.pth").is_file() and not (folder / "projector.safetensors").is_file()


def check_output(folder: str | Path, model_type: str) -> None:
    """Raise InputError if `--output` holds another kind of model, whose config.json would be overwritten, or a
    predecessor's captioner: its encoder and class names would be, and its LLM taken for that of the new model.

    A model of the same kind may be trained anew; that it is replaced is printed.
    """
    if is_predecessors(folder):
        raise InputError(f"--output {folder}: holds a predecessor's captioner (projector.pth), of which a part would be "
                         "overwritten; choose another folder")
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
