"""Options of train_eeg_classifier.py: the encoder, what it learns, and what is not possible together."""

import argparse

from runtime import idle_options, option_types, options, target_options
from runtime.errors import InputError
from runtime.places import check_checkpoint


def encoder_options(parser: argparse.ArgumentParser) -> None:
    """Which encoder is trained, and from where."""
    group = parser.add_argument_group("encoder")
    options.neutral(group.add_argument("--output", required=True, help="folder to write the encoder to"))
    group.add_argument("--encoder", type=option_types.encoder, default="transformer",
                       help="transformer over patches of EEG, channelnet as in the published checkpoints, nice and "
                            "atm (the encoders of NICE and ATM), or a model of braindecode by name, as "
                            "braindecode:EEGNet or braindecode:Labram (requirements-encoders.txt)")
    group.add_argument("--encoder_weights", metavar="DIR", help="braindecode: start from these published weights, a Hub id "
                       "or a folder")
    group.add_argument("--features", type=options.positive, default=128,
                       help="braindecode: how many numbers the model gives to the layers for class and embedding")
    group.add_argument("--branches", choices=("auto", "neural"), default="auto",
                       help="transformer: auto adds two linear branches, each used as far as it helps on trials that it "
                            "was not fitted to, and takes the mean of the transformer's weights over the last third of "
                            "the training; neural is the transformer alone, at its best epoch")
    sizes = options.ENCODER
    group.add_argument("--centre", choices=("none", "subject"), default="none",
                       help="transformer: subject subtracts each person's mean trial, over all their trials, those of the "
                            "test part among them, without labels (transductive); it helps across people, and each new "
                            "person must then bring at least 10 trials at once")
    group.add_argument("--d_model", type=options.positive, default=sizes["d_model"], help="transformer: size of a token")
    group.add_argument("--attn_heads", type=options.positive, default=sizes["attn_heads"],
                       help="transformer: number of attention heads")
    group.add_argument("--layers", type=options.positive, default=sizes["layers"], help="transformer: number of layers")
    group.add_argument("--dropout", type=options.bounded(float, 0, 0.95), default=sizes["dropout"],
                       help="transformer: dropout")
    group.add_argument("--spatial_filters", type=options.positive, default=sizes["spatial_filters"],
                       help="transformer: number of learned spatial filters, each a weighted sum of the channels")
    group.add_argument("--patch_size", type=options.positive, help="transformer: samples in a patch (unset: 50 ms)")
    group.add_argument("--residual_blocks", type=options.bounded(int, 0), default=4,
                       help="channelnet: number of residual blocks; each halves channels and samples, so recordings with "
                            "few channels need fewer blocks")
    options.checked(group.add_argument("--pretrained", metavar="DIR", help=(
        "start from the encoder in this folder; if it holds train.pt and val.pt instead, pretrain on these first")),
        check_checkpoint)
    group.add_argument("--pretrain", action="store_true", help="only pretrain, on train.pt and val.pt in --pretrained, and "
                       "write the encoder; no data set is read")
    group.add_argument("--mask_ratio", type=options.fraction, default=0.5, help="share of patches hidden in pretraining")
    group.add_argument("--pretrain_sfreq", type=options.bounded(float, 1), default=128.0,
                       help="sampling rate in Hz of pretraining files that do not say it")
    group.add_argument("--pretrain_epochs", type=options.positive, default=20, help="number of epochs of pretraining")


def objective_options(parser: argparse.ArgumentParser) -> None:
    """What is learned, and how training trials are varied."""
    group = parser.add_argument_group("objective")
    group.add_argument("--loss", nargs="+", choices=("mse", "infonce", "siglip", "margin"), default=["mse"],
                       help="losses of the embedding, which are summed; mse is divided by the variance of the training "
                            "pictures' embeddings, the others depend on the direction of an embedding only")
    group.add_argument("--loss_weight", type=options.bounded(float, 0), default=1.0,
                       help="weight of the embedding losses relative to the cross-entropy; 0 trains a classifier only")
    group.add_argument("--class_head", choices=("auto", "on", "off"), default="auto",
                       help="whether classes are learned beside the embedding and named in prompts; auto: if the data set "
                            "has any, and those of the validation part are in the training part")
    group.add_argument("--label_smoothing", type=options.bounded(float, 0, 0.99), default=0.0,
                       help="share of the class target that is spread over all classes")
    group.add_argument("--best_by", choices=("score", "accuracy", "loss"), default="score",
                       help="what selects the best epoch on the validation part, with --branches neural, --patience or any "
                            "--encoder but transformer; score is balanced accuracy (of several classes a picture: average "
                            "precision) plus the correlation of true and predicted embeddings")
    options.neutral(group.add_argument("--keep_epochs", action="store_true",
                                       help="keep the weights of every epoch in epochs/, so that test_eeg_classifier.py "
                                            "--all_epochs can show what picking the epoch on the test pictures adds"))
    target_options.add(parser)
    group = parser.add_argument_group("augmentation of training trials")
    group.add_argument("--time_shift", type=options.bounded(float, 0), default=4.0, help="largest shift in time in ms")
    group.add_argument("--noise", type=options.bounded(float, 0), default=0.0,
                       help="standard deviation of added Gaussian noise, relative to that of each channel")
    group.add_argument("--channel_dropout", type=options.fraction, default=0.0,
                       help="probability that a channel is set to zero")


def check(parser: argparse.ArgumentParser, args: options.Options) -> None:
    """Refuse options that do not go together."""
    if not args.pretrain:
        options.require(parser, args, "eeg_dataset")
    elif not args.pretrained:
        raise InputError("--pretrain needs --pretrained DIR, the folder of train.pt and val.pt")
    for flag in ("eeg_dataset", "splits_path", "image_dir") if args.pretrain else ():
        if getattr(args, flag):
            raise InputError(f"--pretrain reads only train.pt and val.pt in --pretrained {args.pretrained}, found --{flag} "
                             f"{getattr(args, flag)}; leave --{flag} out, or leave --pretrain out to run stage 1 as well")
    if args.keep_epochs and args.encoder == "transformer" and args.branches == "auto":
        raise InputError("--keep_epochs: with --branches auto no epoch is picked, the mean of the weights is taken; add "
                         "--branches neural")
    if args.centre != "none" and (args.encoder != "transformer" or args.pretrain):
        raise InputError(f"--centre {args.centre}: is for stage 1 with --encoder transformer; leave it out")
    target_options.check(args)
    if args.encoder_weights and not args.encoder.startswith("braindecode:"):
        raise InputError(f"--encoder_weights works with --encoder braindecode:NAME only, found --encoder {args.encoder}")
    if args.pretrained and args.encoder != "transformer":
        raise InputError(f"--pretrained works with --encoder transformer only, found --encoder {args.encoder}")
    idle_options.say_idle(args, idle_options.TRAINING)
