"""Stage 1: train an EEG encoder to give the class and the CLIP embedding of the picture that was seen.

    python train_eeg_classifier.py --eeg_dataset data/block/eeg_55_95_std.pth \\
        --splits_path data/block/block_splits_by_image_all.pth --output ./eeg_encoder_55-95_40_classes \\
        --image_dir data/images/

Start from self-supervised pretraining on the files of pretrain_data_processor.py (masked patches are reconstructed):

    python train_eeg_classifier.py --pretrain --pretrained data/pretrain --output ./pretrained_encoder
    python train_eeg_classifier.py --pretrained ./pretrained_encoder --eeg_dataset ... (as above)

Writes config.json (with the temperature of the class probabilities, fitted to the validation part), model.safetensors
(the best epoch by validation), id2label.json, args.json, train_log.json, train_images.json and val_images.json (the
training and validation pictures' hashes) into --output. The test part is not read.
"""

import sys
from dataclasses import asdict
from pathlib import Path

from runtime import options, profiler
from runtime.errors import InputError, exits_cleanly


def parse(argv):
    parser = options.make_parser(__doc__)
    options.data_options(parser, required=False)
    options.picture_options(parser)
    group = parser.add_argument_group("encoder")
    options.neutral(group.add_argument("--output", required=True, help="folder to write the encoder to"))
    group.add_argument("--encoder", choices=("transformer", "channelnet"), default="transformer",
                       help="transformer over EEG patches, or ChannelNet as in the published checkpoints")
    group.add_argument("--d_model", type=options.positive, default=options.ENCODER["d_model"],
                       help="transformer: width of a token")
    group.add_argument("--attn_heads", type=options.positive, default=options.ENCODER["attn_heads"],
                       help="transformer: number of attention heads")
    group.add_argument("--layers", type=options.positive, default=options.ENCODER["layers"],
                       help="transformer: number of layers")
    group.add_argument("--dropout", type=options.bounded(float, 0, 0.95), default=options.ENCODER["dropout"],
                       help="transformer: dropout")
    group.add_argument("--spatial_filters", type=options.positive, default=options.ENCODER["spatial_filters"],
                       help="transformer: number of spatial filters, which are learned mixtures of the channels")
    group.add_argument("--patch_size", type=options.positive, help="transformer: samples in a patch (unset: 50 ms)")
    group.add_argument("--residual_blocks", type=options.bounded(int, 0), default=4,
                       help="channelnet: residual blocks; each halves channels and samples, so few channels allow fewer")
    group.add_argument("--pretrained", metavar="DIR", help="start from this encoder folder, or pretrain first on the "
                       "train.pt and val.pt of this folder")
    group.add_argument("--pretrain", action="store_true", help="only pretrain on the train.pt and val.pt of --pretrained "
                       "and write the encoder; it takes no data set")
    group.add_argument("--mask_ratio", type=options.fraction, default=0.5, help="share of patches hidden in pretraining")
    group.add_argument("--pretrain_sfreq", type=options.bounded(float, 1), default=128.0,
                       help="sampling rate of the pretraining files in Hz")
    group.add_argument("--pretrain_epochs", type=options.positive, default=20, help="epochs of pretraining")
    group = parser.add_argument_group("objective")
    group.add_argument("--loss", nargs="+", choices=("mse", "infonce", "siglip", "margin"), default=["mse"],
                       help="embedding losses, summed; mse is in units of the training pictures' variance, the others see "
                            "directions only")
    group.add_argument("--loss_weight", type=options.bounded(float, 0), default=1.0,
                       help="weight of the embedding losses beside the cross-entropy; 0 trains a classifier only")
    group.add_argument("--label_smoothing", type=options.bounded(float, 0, 0.99), default=0.0,
                       help="share of the class target spread over all classes")
    group.add_argument("--best_by", choices=("score", "accuracy", "loss"), default="score",
                       help="what picks the best epoch on the validation part: balanced accuracy plus the correlation of "
                            "true and decoded embeddings, accuracy alone, or the loss")
    group = parser.add_argument_group("augmentation of training trials")
    group.add_argument("--time_shift", type=options.bounded(float, 0), default=4.0, help="largest shift in time in ms")
    group.add_argument("--noise", type=options.bounded(float, 0), default=0.0,
                       help="Gaussian noise, as a share of each channel's standard deviation")
    group.add_argument("--channel_dropout", type=options.fraction, default=0.0, help="share of channels set to zero")
    group = options.training_options(parser, batch_size=64, learning_rate=1e-3, warmup_ratio=0.1,
                                     lr_scheduler_type="cosine", max_grad_norm=1.0)
    group.add_argument("--num_epochs", type=options.epochs, default=30, help="passes over the training part")
    options.neutral(group.add_argument("--patience", type=options.bounded(int, 0), default=0,
                                       help="stop after this many epochs without improvement; 0 trains all epochs"))
    options.run_options(parser)
    args = options.parse(parser, argv)
    if not args.pretrain:
        options.require(parser, args, "eeg_dataset")
    elif not args.pretrained:
        raise InputError("--pretrain needs --pretrained DIR, the folder of train.pt and val.pt")
    for flag in ("eeg_dataset", "splits_path", "image_dir") if args.pretrain else ():
        if getattr(args, flag):
            raise InputError(f"--pretrain reads train.pt and val.pt of --pretrained {args.pretrained} only, found --{flag} "
                             f"{getattr(args, flag)}; leave --{flag} out, or leave --pretrain out to go on to stage 1")
    if args.pretrained and args.encoder != "transformer":
        raise InputError(f"--pretrained works with --encoder transformer, found --encoder {args.encoder}")
    return args


def new_encoder(args, *, n_chans, n_times, sfreq, ch_names, **heads):
    """An untrained encoder for EEG of this kind; heads: embedding_size, num_classes, id2label."""
    from config import ChannelNetConfig, EEGEncoderConfig
    from encoders import build_encoder

    if args.encoder == "channelnet":
        return build_encoder(ChannelNetConfig(input_height=n_chans, input_width=n_times, sfreq=sfreq, ch_names=ch_names,
                                              num_residual_blocks=args.residual_blocks, **heads))
    return build_encoder(EEGEncoderConfig(
        n_chans=n_chans, n_times=n_times, sfreq=sfreq, ch_names=ch_names, d_model=args.d_model, layers=args.layers,
        attn_heads=args.attn_heads, dropout=args.dropout, spatial_filters=args.spatial_filters,
        patch_size=args.patch_size, **heads))


def arguments_for(args, device, output, epochs, **more):
    return options.training_arguments(args, device, Path(output) / "checkpoints", num_train_epochs=epochs,
                                      eval_strategy="epoch", save_strategy="epoch", load_best_model_at_end=True,
                                      logging_nan_inf_filter=False,  # a look at each loss would wait for the device
                                      **more)


def read_samples(folder, part):
    """`samples` [N, C, T] float32 of `<folder>/<part>.pt`, as pretrain_data_processor.py writes them, and its SHA-256."""
    from runtime.pickles import load_hashed

    import torch

    from encoders.batches import row_batches

    path = Path(folder) / f"{part}.pt"
    content, digest = load_hashed(path, "--pretrained")
    samples = content.get("samples") if isinstance(content, dict) else None
    if (not isinstance(samples, torch.Tensor) or samples.ndim != 3 or not samples.numel()
            or not all(samples[rows].isfinite().all() for rows in row_batches(samples))):
        raise InputError(f"--pretrained {path}: expected a dict with 'samples', a finite tensor [trials, channels, "
                         "samples]; make it with pretrain_data_processor.py")
    return samples.float(), digest


def pretrain(args, device, output):
    """Masked reconstruction on --pretrained's train.pt and val.pt; writes an encoder folder and returns the encoder."""
    from runtime.runs import save_run, write_json

    import torch

    from eegdata.dataset_folder import MappedEEG
    from encoders import save_encoder
    from encoders.masked import MaskedReconstruction
    from encoders.training import fit, gather, place
    from sources.emotiv_insight import CHANNELS

    (train, train_hash), (val, val_hash) = (read_samples(args.pretrained, part) for part in ("train", "val"))
    n_chans, n_times = train.shape[1:]
    if val.shape[1:] != train.shape[1:]:
        raise InputError(f"--pretrained {args.pretrained}: val.pt has trials of {tuple(val.shape[1:])}, train.pt "
                         f"of {(n_chans, n_times)}; make both in one run of pretrain_data_processor.py")
    encoder = new_encoder(args, n_chans=n_chans, n_times=n_times, sfreq=args.pretrain_sfreq, num_classes=1,
                          embedding_size=1, ch_names=list(CHANNELS) if n_chans == len(CHANNELS) else None)
    hashes, count = {"train": train_hash, "val": val_hash}, len(train)
    arguments = arguments_for(args, device, output, args.pretrain_epochs, metric_for_best_model="loss", label_names=["eeg"],
                              ddp_find_unused_parameters=True)  # the encoder's heads have no part here
    eeg = place(MappedEEG([train.numpy(), val.numpy()], 0, n_times), torch.arange(count + len(val)), arguments)
    rows = {"train": torch.arange(count), "val": torch.arange(count, count + len(val))}
    encoder.fit_whitening(eeg, rows["train"])
    log = fit(MaskedReconstruction(encoder, args.mask_ratio), gather({"eeg": eeg}), rows, arguments,
              options_key=[args.asked(), hashes], save_every=args.save_steps, resume=args.resume,
              patience=args.patience)
    save_encoder(encoder, output)
    write_json(Path(output) / "train_log.json", {"pretraining": log})
    save_run(output, args, data=hashes)
    print(f"pretrained on {count} windows of {n_chans} channels x {n_times} samples, written to {output}")
    return encoder.cpu()


def start_from(args, device, encoder):
    """Put into `encoder` what fits of --pretrained, and say what did."""
    from encoders import load_encoder
    from encoders.masked import transfer_weights

    if (Path(args.pretrained) / "train.pt").is_file():
        source = pretrain(args, device, Path(args.output) / "pretrained")
    else:
        source = load_encoder(args.pretrained, "--pretrained")
    if source.config.model_type != encoder.config.model_type:
        raise InputError(f"--pretrained {args.pretrained}: a {source.config.model_type}, expected "
                         f"{encoder.config.model_type}")
    copied, left = transfer_weights(source, encoder)
    print(f"--pretrained: taken over {len(copied)} weights: {', '.join(copied) or 'none'}")
    print(f"--pretrained: new {len(left)} weights: {', '.join(left)}")


def picture_targets(args, paths, trials, split, device):
    """CLIP embeddings of each trial's picture [N, E] (zero in the test part), and of the training pictures [n, E].

    A data set without pictures has none to give: zeros of E = 1, and --loss_weight must be 0.
    """
    import torch

    from datautils import image_embeddings

    if not trials.has_pictures:
        if args.loss_weight:
            raise InputError(f"--eeg_dataset {trials.path}: has no pictures to match; give --loss_weight 0 to train a "
                             "classifier only")
        return torch.zeros(len(trials), 1), torch.zeros(1, 1)
    pictures = {part: trials.image[split[part]].unique() for part in ("train", "val")}
    both = torch.cat(list(pictures.values())).unique()
    embeddings = image_embeddings([trials.images[i] for i in both.tolist()], paths.image_dir, args.clip_model,
                                  paths.picture, device, args.cache_dir)
    by_picture = torch.zeros(len(trials.images), embeddings.shape[1])
    by_picture[both] = embeddings
    return by_picture[trials.image], by_picture[pictures["train"]]


def fit_probabilities(encoder, eeg, rows, labels, device):
    """Fit the temperature of the encoder's class probabilities to the validation part, `rows` [n] of eeg and labels [n]."""
    from encoders import encode
    from encoders.temperature import fit_temperature

    encoder.config.class_temperature = fit_temperature(encode(encoder, eeg, rows, device=device)[1], labels)
    print(f"temperature of the class probabilities, fitted to {len(labels)} validation trials: "
          f"{encoder.config.class_temperature:.2f}")


def pictures_before(args):
    """The records of the pictures that the encoder of --pretrained, if there is one, was trained on."""
    from runtime.checkpoints import resolve_checkpoint

    from evaluation.provenance import read_records

    if not args.pretrained or (Path(args.pretrained) / "train.pt").is_file():
        return {}
    return read_records(resolve_checkpoint(args.pretrained, "--pretrained"))


def target_variance(pictures):
    """Mean variance over the dimensions of pictures' embeddings [n, E]; 1 where they do not vary."""
    variance = pictures.var(0, correction=0).mean().item()
    return variance if variance > 1e-12 else 1.0


@exits_cleanly
def main(argv=None):
    args = parse(argv)
    with profiler.profiled(args.output if args.profile else None, "train_eeg_classifier"):
        run(args)


def run(args):
    from runtime.checkpoints import check_output
    from runtime.runs import file_hash, save_run, write_json

    import torch
    from transformers import set_seed

    from eegdata.data_paths import find_data
    from eegdata.splits import load_split
    from eegdata.trials import load_trials
    from encoders import save_encoder
    from encoders.clip import clip_identity
    from encoders.training import Augmentation, EncoderObjective, fit, gather, place, validation_scores
    from evaluation.provenance import new_records, write_records

    device, output = options.resolve_device(args.device), Path(args.output)
    check_output(output, "eeg_channelnet" if args.encoder == "channelnet" else "eegencoder")
    best = {"metric_for_best_model": args.best_by, "greater_is_better": args.best_by != "loss"}
    set_seed(args.seed)
    if args.pretrain:
        profiler.stage("pretraining")
        pretrain(args, device, output)
        return
    profiler.stage("data")
    paths = find_data(args.eeg_dataset, args.splits_path, args.image_dir, args.picture)
    arguments = arguments_for(args, device, output, args.num_epochs, label_names=["labels", "target"], **best)
    trials = load_trials(paths.eeg_dataset, args.time_low, args.time_high, args.subject)
    split = load_split(paths.splits_path, trials, args.split_num, args.splits_index, needed=("train", "val"))
    before = pictures_before(args)
    target, train_pictures = picture_targets(args, paths, trials, split, device)
    encoder = new_encoder(args, n_chans=trials.eeg.shape[1], n_times=trials.eeg.shape[2], sfreq=trials.sfreq,
                          ch_names=trials.ch_names, num_classes=len(trials.class_names), id2label=trials.class_names,
                          embedding_size=target.shape[1])
    count, needed = len(split["train"]), torch.cat([split["train"], split["val"]])
    rows = {"train": torch.arange(count), "val": torch.arange(count, len(needed))}
    eeg, labels = place(trials.eeg, needed, arguments), trials.label[needed]
    if args.encoder == "transformer":
        encoder.fit_whitening(eeg, rows["train"])
    if args.pretrained and not args.resume:  # a checkpoint to resume from holds all weights
        start_from(args, device, encoder)
    with torch.no_grad():
        encoder.projector.bias.copy_(train_pictures.mean(0))  # decoding starts at the mean picture
    print(f"{args.encoder}: {sum(p.numel() for p in encoder.parameters()):,} parameters, {count} trials to train on, "
          f"{len(needed) - count} to validate on, {device}")
    augmentation = Augmentation(round(args.time_shift * trials.sfreq / 1000), args.noise, args.channel_dropout)
    objective = EncoderObjective(encoder, args.loss, args.loss_weight, args.label_smoothing,
                                 target_variance(train_pictures), augmentation)
    batches = gather({"eeg": eeg, "labels": labels, "target": target[needed], "image": trials.image[needed]})
    identity = clip_identity(args.clip_model) if trials.has_pictures else None
    profiler.stage("training")
    log = fit(objective, batches, rows, arguments, resume=args.resume, patience=args.patience,
              options_key=[args.asked(), trials.fingerprint, [split[part].tolist() for part in rows], identity],
              save_every=args.save_steps, compute_metrics=validation_scores)
    profiler.stage("results")
    fit_probabilities(encoder, eeg, rows["val"], labels[rows["val"]], device)
    save_encoder(encoder, output)
    write_json(output / "id2label.json", trials.class_names)
    write_json(output / "train_log.json", {"stage1": log})
    names = {part: sorted(set(trials.names(split[part]))) for part in ("train", "val")}
    write_records(output, new_records(paths.image_dir if trials.has_pictures else None, names, paths.picture, before))
    save_run(output, args, used=asdict(paths), data=trials.fingerprint, splits=file_hash(paths.splits_path), clip=identity)
    print(f"encoder written to {output}; its scores on the test part: test_eeg_classifier.py --output {output}")


if __name__ == "__main__":
    sys.exit(main())
