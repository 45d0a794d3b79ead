"""The options of stage 1 on what is predicted of a picture."""

import argparse
import math

from runtime.errors import InputError
from runtime.option_types import bounded


def add(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("target: what is predicted of a picture (unset: the picture model's own embedding)")
    group.add_argument("--target_layers", nargs="+", metavar="LAYER", help="layers of --clip_model, numbered from 1, or "
                       "final, as in: 6 12 final; a linear decoder tells which one is used, or how they are mixed. The "
                       "target is written to target/ in --output, where later stages find it")
    group.add_argument("--target_mix", choices=("best", "learned"), default="best",
                       help="with several --target_layers: best takes the layer by which validation pictures are "
                            "retrieved best; learned takes all, with weights learned on training trials")
    group.add_argument("--target_tokens", type=bounded(int, 0, 256), default=0, metavar="N",
                       help="with --target_layers: predict the means of a grid of N = 1, 4, 9 ... parts of the picture; 0 "
                            "predicts the class token, or the mean where the model has none")
    group.add_argument("--target_head", type=bounded(int, 0, 8192), default=0, metavar="SIZE",
                       help="learn a linear layer from --target_layers to this many dimensions together with a linear "
                            "decoder, and predict its outputs; 0: none")
    group.add_argument("--target_blur", nargs="+", type=bounded(float, 0, 50), metavar="PERCENT",
                       help="train on the pictures blurred by these standard deviations, in percent of their shorter side "
                            "and from weak to strong, as in: 1 2 4; a picture is blurred more where the EEG fits it less "
                            "(UBP). Validation and scores take sharp pictures")
    group.add_argument("--soft_targets", type=bounded(float, 0, 0.9), default=0.0,
                       help="with --loss infonce: share of the match that goes to near pictures of the batch")


def check(args: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
    if args.soft_targets and "infonce" not in args.loss:
        raise InputError(f"--soft_targets {args.soft_targets:g}: is a part of InfoNCE; add infonce to --loss, found "
                         f"{' '.join(args.loss)}")
    if math.isqrt(args.target_tokens) ** 2 != args.target_tokens:
        raise InputError(f"--target_tokens {args.target_tokens}: expected a square number, as 1, 4 or 9")
    for flag in ("target_head", "target_tokens") if not args.target_layers else ():
        if getattr(args, flag):
            raise InputError(f"--{flag} {getattr(args, flag)}: is made of layers; name them as --target_layers")
    if args.target_mix == "learned" and (args.target_head or len(set(args.target_layers or ())) < 2):
        why = (f"--target_head {args.target_head} takes all layers as they are" if args.target_head
               else f"expected several --target_layers, found {' '.join(args.target_layers or ()) or 'none'}")
        raise InputError(f"--target_mix learned: {why}; leave it out{'' if args.target_head else ', or name more layers'}")
    if args.target_blur and args.target_blur != sorted(set(args.target_blur)):
        raise InputError(f"--target_blur {' '.join(f'{each:g}' for each in args.target_blur)}: expected rising numbers")
    for flag in ("target_layers", "target_blur") if not args.loss_weight else ():
        if getattr(args, flag):
            raise InputError(f"--{flag}: with --loss_weight 0 nothing is predicted of a picture; leave it out")
