"""What an encoder is trained to predict of a picture, where that is more than a model's own embedding: a folder.

    config.json           which model (_name_or_path, and its identity), which layers, how their positions are pooled
    target.safetensors    mean, scale [D] of the layers' features side by side, and head [D, E] where there is one

The target of a picture is (features - mean) * scale, multiplied by the head. The folder is named like a picture model, as
--clip_model; it is written by train_eeg_classifier.py, in target/ of the encoder's folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from runtime.atomic_files import atomic_path
from runtime.checkpoints import read_tensors
from runtime.errors import InputError
from runtime.model_files import differing_files
from runtime.run_schema import ModelIdentity
from runtime.runs import read_json, write_json
from runtime.schema import PathText, Schema, Text, check

import torch
from PIL import Image
from pydantic import Field
from safetensors.torch import save_file

from .picture_models import FINAL, TARGET, PictureModel

FOLDER = "target"
FILES = (f"{FOLDER}/config.json", f"{FOLDER}/target.safetensors")


class TargetConfig(Schema):
    """config.json."""

    model_type: Text
    name_or_path: PathText = Field(alias="_name_or_path")
    base: ModelIdentity
    layers: Annotated[list[Text], Field(min_length=1, max_length=256)]
    grid: Annotated[int, Field(ge=0, le=64)]


@dataclass(frozen=True)
class PictureTarget:
    """mean, scale [D]; head [D, E] or None; layers, grid: of PictureModel.features; name, identity: of the model."""

    name: str
    identity: dict
    layers: tuple[str, ...]
    grid: int
    mean: torch.Tensor
    scale: torch.Tensor
    head: torch.Tensor | None = None

    def of_features(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        """{layer: [n, D_l]} -> targets [n, E]."""
        standardised = (torch.cat([features[name] for name in self.layers], 1) - self.mean) * self.scale
        return standardised if self.head is None else standardised @ self.head

    def of_pictures(self, model: PictureModel, pictures: list[Image.Image]) -> torch.Tensor:
        """Targets [n, E] of pictures by the loaded model."""
        return self.of_features(model.features(pictures, self.layers, self.grid))

    def save(self, folder: Path) -> None:
        tensors = {"mean": self.mean, "scale": self.scale} | ({} if self.head is None else {"head": self.head})
        with atomic_path(folder / "target.safetensors") as temporary:
            save_file({name: tensor.float().contiguous() for name, tensor in tensors.items()}, temporary)
        write_json(folder / "config.json", {"model_type": TARGET, "_name_or_path": self.name, "base": self.identity,
                                            "layers": list(self.layers), "grid": self.grid})


def read_target(folder: Path) -> PictureTarget:
    """The target in a folder."""
    file, weights = folder / "config.json", folder / "target.safetensors"
    config = read_json(file)
    check(TargetConfig, config, file, "it is damaged or was changed by hand, so copy the folder again or train again")
    tensors = read_tensors(weights)
    mean, scale, head = (tensors.get(name) for name in ("mean", "scale", "head"))
    if mean is None or scale is None or mean.shape != scale.shape or mean.ndim != 1 or (
            head is not None and (head.ndim != 2 or len(head) != len(mean))):
        raise InputError(f"{weights}: expected mean and scale [D], and head [D, E] or none, found "
                         f"{ {name: list(tensor.shape) for name, tensor in tensors.items()} }; copy the folder again")
    return PictureTarget(name=config["_name_or_path"], identity=config["base"], layers=tuple(config["layers"]),
                         grid=config["grid"], mean=mean, scale=scale, head=head)


def check_base(target: PictureTarget, found: dict, folder: Path) -> None:
    """InputError where the model that lies under the target's name, of the identity `found`, is another one now."""
    differing = differing_files(found, target.identity)
    if differing:
        raise InputError(f"--clip_model {folder}: its picture model {target.name} has changed since the training "
                         f"({', '.join(differing[:3])}); bring back the one that it was trained with")


def check_layers(layers: Sequence[str], count: int, grid: int, name: str) -> None:
    """InputError where the model does not have these layers."""
    wrong = [layer for layer in layers if layer != FINAL and not (layer.isdecimal() and 1 <= int(layer) <= count)]
    if wrong:
        known = f"the layers 1 to {count}, and final" if count else "no layers that can be named, only final"
        raise InputError(f"--target_layers {wrong[0]}: {name} has {known}")
    if grid and FINAL in layers:
        raise InputError(f"--target_tokens: the final embedding of {name} is one vector; name layers 1 to {count}")
