"""The weights of an encoder after every epoch of its training, in `epochs/` of its folder.

They show what picking the epoch on the test pictures adds to a score: the training itself never reads the test part.
While it runs they lie beside its checkpoints, so that the folder never holds the epochs of one training and the encoder of
another.
"""

import copy
import shutil
from pathlib import Path

from runtime import processes
from runtime.atomic_files import atomic_path, remove_folder
from runtime.checkpoints import load_strictly, read_tensors
from runtime.errors import InputError

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .targets import rescale_embedding

FOLDER = "epochs"


class KeepEpochs(TrainerCallback):
    """Writes the encoder's weights after each epoch's evaluation, as they would be saved: with the scale of the targets.

    folder: of the checkpoints; mean [E], scale: of rescale_embedding.
    """

    def __init__(self, encoder: nn.Module, folder: Path, mean: torch.Tensor, scale: float) -> None:
        self.encoder, self.folder, self.mean, self.scale = encoder, folder, mean, scale

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        encoder = copy.deepcopy(self.encoder).cpu()
        rescale_embedding(encoder, self.mean, self.scale)
        with atomic_path(self.folder / FOLDER / f"step-{state.global_step:07d}.safetensors") as temporary:
            save_file({name: tensor.contiguous() for name, tensor in encoder.state_dict().items()}, temporary,
                      metadata={"format": "pt"})


def publish_epochs(checkpoints: Path, folder: Path) -> None:
    """Copy the epochs that a training kept beside its checkpoints, if any, in place of an earlier training's in the
    encoder's folder.

    They are not moved: a run that is killed before its encoder is written needs them when it is resumed, and the
    checkpoints may lie on another disk.
    """
    remove_folder(folder / FOLDER)
    for file in kept_epochs(checkpoints) if processes.is_main() else ():
        with atomic_path(folder / FOLDER / file.name) as temporary:
            shutil.copyfile(file, temporary)


def kept_epochs(folder: Path) -> list[Path]:
    """The files of weights, in the order of training."""
    return sorted((folder / FOLDER).glob("step-*.safetensors"))


def require_epochs(folder: Path, name: str) -> None:
    """name: what --output gives, for the message."""
    if not kept_epochs(folder):
        raise InputError(f"--all_epochs: --output {name} keeps no epochs ({FOLDER}/step-*.safetensors); train it with "
                         "--keep_epochs")


def with_weights(encoder: nn.Module, file: Path) -> nn.Module:
    """A copy of the encoder with the weights of a file."""
    other = copy.deepcopy(encoder)
    load_strictly(other, read_tensors(file), file)
    return other.eval()
