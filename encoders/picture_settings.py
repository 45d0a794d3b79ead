"""How the pictures are embedded for an encoder that is trained: by the options, else as in its training."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from runtime import options

from .picture_targets import FOLDER


@dataclass(frozen=True)
class PictureSettings:
    """picture is None where neither the options nor the training say; then the data set decides."""

    clip_model: str
    picture: str | None
    cache_dir: str | None


def picture_settings(args: argparse.Namespace, trained_with: dict, folder: Path) -> PictureSettings:
    """trained_with: the options that the encoder in `folder` was trained with, {} for a predecessor's.

    Its own target, which --target_layers left in the folder, goes before the picture model's name.
    """
    own = folder / FOLDER  # wherever the folder lies now
    cache = trained_with.get("cache_dir")
    if cache and not Path(cache).is_dir():  # the encoder may come from another machine
        cache = None
    trained = str(own) if (own / "config.json").is_file() else trained_with.get("clip_model")
    return PictureSettings(args.clip_model or trained or options.CLIP_MODEL,
                           args.picture or trained_with.get("picture"), args.cache_dir or cache)
