"""What the trials of a training are to predict: standardised targets of their pictures."""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass

from runtime.errors import InputError

import torch
from torch import Tensor

from eegdata.trials import Trials

from .clip import clip_identity
from .picture_models import FINAL, kind_of
from .picture_targets import PictureTarget
from .target_layers import decoding, make_target, report_text
from .targets import mean_and_scale


@dataclass(frozen=True)
class TrialTargets:
    """by_picture [pictures, E] standardised (zero in the test part), mean [E] and scale of the training pictures.

    blurred [levels, pictures, E]: the same of blurred pictures, or None. layers: the PictureTarget that --target_layers led
    to, or None, and report: how it was found.
    """

    by_picture: Tensor
    mean: Tensor
    scale: float
    blurred: Tensor | None = None
    layers: PictureTarget | None = None
    report: dict | None = None


def no_targets(trials: Trials, size: int) -> TrialTargets:
    """For a classifier only: zeros of `size` dimensions."""
    return TrialTargets(torch.zeros(len(trials.images), size), torch.zeros(size), 1.0)


def trial_targets(trials: Trials, split: dict[str, Tensor], features: Callable[..., dict[str, Tensor]],
                  args: argparse.Namespace) -> TrialTargets:
    """Targets of the pictures of the training and validation parts.

    split: part -> positions. features: names of pictures, layers=, grid=, blur= -> {layer: [n, D]}
    (datautils.picture_features). args: the options of runtime/target_options.py.
    """
    train, val = (trials.image[split[part]].unique() for part in ("train", "val"))
    both = torch.cat([train, val]).unique()
    names = [trials.images[i] for i in both.tolist()]
    layers = report = None
    asked = {}
    if args.target_layers:
        if kind_of(args.clip_model) == "target":
            raise InputError(f"--target_layers {' '.join(args.target_layers)}: --clip_model {args.clip_model}: layers of a "
                             "picture target cannot be taken; name the picture model itself, or leave --target_layers out")
        asked = {"layers": tuple(dict.fromkeys(args.target_layers)), "grid": math.isqrt(args.target_tokens)}
        layers, report = _of_layers(trials, split, both, features(names, **asked), args)
        print(report_text(layers, report))

    def embed(blur=0.0):
        found = features(names, **asked, blur=blur)
        return found[FINAL] if layers is None else layers.of_features(found)

    embeddings = embed()
    mean, scale = mean_and_scale(embeddings[torch.isin(both, train)])

    def placed(embeddings):
        by_picture = torch.zeros(len(trials.images), embeddings.shape[1])
        by_picture[both] = (embeddings - mean) / scale
        return by_picture

    blurred = torch.stack([placed(embed(blur)) for blur in args.target_blur]) if args.target_blur else None
    return TrialTargets(placed(embeddings), mean, scale, blurred, layers, report)


def _of_layers(trials, split, both, features, args):
    """(PictureTarget, report) of the layers' features, whose rows are the pictures `both`."""
    row = torch.searchsorted(both, trials.image).clamp_max(len(both) - 1)  # any for the test part, which is not asked for
    found = decoding(trials.eeg, row, split["train"], split["val"], trials.sfreq, features, args.seed)
    return make_target(*found, name=args.clip_model, identity=clip_identity(args.clip_model),
                       grid=math.isqrt(args.target_tokens), mix=args.target_mix, head=args.target_head, seed=args.seed)
