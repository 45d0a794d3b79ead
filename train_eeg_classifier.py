"""Stage 1: train an EEG encoder to predict the class and the CLIP embedding of the picture that was seen.

Where pictures have several classes, it predicts which of them each has; where they have none, the embedding alone.

    python train_eeg_classifier.py --eeg_dataset data/block/eeg_55_95_std.pth \\
        --splits_path data/block/block_splits_by_image_all.pth --output ./eeg_encoder_55-95_40_classes \\
        --image_dir data/images/

To start from self-supervised pretraining (masked patches are reconstructed) on the files of pretrain_data_processor.py:

    python train_eeg_classifier.py --pretrain --pretrained data/pretrain --output ./pretrained_encoder
    python train_eeg_classifier.py --pretrained ./pretrained_encoder --eeg_dataset ... (as above)

Files in --output: model.safetensors, config.json (with the share of each branch, or the temperature of the class
probabilities, fitted to the validation part), id2label.json, args.json, train_log.json, and the hashes of the training and
validation pictures in train_images.json and val_images.json; with --keep_epochs the weights after each epoch in epochs/.
The linear branches of --branches auto are fitted to the validation part as well, so its pictures are in both files then.
The test part is not read.
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import encoder_options, idle_options, locks, options, profiler, seeds
from runtime.errors import InputError, exits_cleanly
from runtime.next_command import CARRIED, beside, say_next

if TYPE_CHECKING:
    from config import BraindecodeConfig, ChannelNetConfig, EEGEncoderConfig, NICEConfig


def parse(argv: list[str] | None) -> options.Options:
    parser = options.make_parser(__doc__)
    options.data_options(parser, required=False)
    options.picture_options(parser)
    encoder_options.encoder_options(parser)
    encoder_options.objective_options(parser)
    group = options.training_options(parser, batch_size=64, learning_rate=1e-3, warmup_ratio=0.1,
                                     lr_scheduler_type="cosine", max_grad_norm=1.0)
    group.add_argument("--num_epochs", type=options.epochs, default=30, help="number of epochs")
    options.neutral(group.add_argument("--patience", type=options.bounded(int, 0), default=0,
                                       help="stop after this many epochs without improvement; 0 trains all epochs"))
    options.run_options(parser, seeds=True)
    args = options.parse(parser, argv)
    encoder_options.check(parser, args)
    return args


def encoder_config(args: argparse.Namespace, *, n_chans: int, n_times: int,
                   **described: object) -> "EEGEncoderConfig | ChannelNetConfig | NICEConfig | BraindecodeConfig":
    """The configuration of the encoder that the options ask for; described: other fields, which the data set gives."""
    from config import BraindecodeConfig, ChannelNetConfig, EEGEncoderConfig, NICEConfig

    if args.encoder.startswith("braindecode:"):
        return BraindecodeConfig(network=args.encoder.removeprefix("braindecode:"), features=args.features, n_chans=n_chans,
                                 n_times=n_times, **described)
    if args.encoder == "channelnet":
        return ChannelNetConfig(input_height=n_chans, input_width=n_times, num_residual_blocks=args.residual_blocks,
                                **described)
    if args.encoder in ("nice", "atm"):
        attention = args.encoder == "atm"
        width = 1024 if attention else 768  # the papers'
        return NICEConfig(n_chans=n_chans, n_times=n_times, features=width, channel_attention=attention, **described)
    return EEGEncoderConfig(n_chans=n_chans, n_times=n_times, patch_size=args.patch_size, centre=args.centre,
                            **{name: getattr(args, name) for name in options.ENCODER}, **described)


def _arguments_for(args, device, output, epochs, **more):
    from runtime.trainer_arguments import training_arguments

    return training_arguments(args, device, Path(output) / "checkpoints", num_train_epochs=epochs,
                              logging_nan_inf_filter=False,  # a look at each loss would wait for the device
                              **{"load_best_model_at_end": True} | more)


def _pretrain(args, device, output):
    """Pretrain on train.pt and val.pt in --pretrained; writes an encoder folder and returns the encoder."""
    from runtime.atomic_files import remove_folder
    from runtime.checkpoint_files import begin_saving, written_files
    from runtime.runs import save_run, write_json

    from encoders import build_encoder, kept_epochs, picture_targets, pretraining, save_encoder
    from evaluation.provenance import write_records
    from sources.emotiv_insight import CHANNELS

    data = pretraining.read_pretraining_data(args.pretrained)
    count, n_chans, n_times = data.train.shape
    if data.sfreq and data.sfreq != args.pretrain_sfreq and "pretrain_sfreq" in args.given():
        raise InputError(f"--pretrain_sfreq {args.pretrain_sfreq:g}: the files in --pretrained {args.pretrained} are of "
                         f"{data.sfreq:g} Hz, as they say; leave it out")
    names = data.channels or (list(CHANNELS) if n_chans == len(CHANNELS) else None)  # older files do not name them
    encoder = build_encoder(encoder_config(
        args, n_chans=n_chans, n_times=n_times, sfreq=data.sfreq or args.pretrain_sfreq, num_classes=1, embedding_size=1,
        ch_names=names))
    arguments = _arguments_for(args, device, output, args.pretrain_epochs, metric_for_best_model="loss",
                               label_names=["eeg"], ddp_find_unused_parameters=True)  # the encoder's heads are not used
    log = pretraining.pretrain(encoder, data, args.mask_ratio, arguments, options_key=[args.asked(), data.hashes],
                               save_every=args.save_steps, resume=args.resume, overwrite=args.overwrite,
                               patience=args.patience)
    begin_saving(output)
    for name in (picture_targets.FOLDER, kept_epochs.FOLDER):  # of a stage 1 in this folder before; this encoder saw no
        remove_folder(Path(output) / name)                     # pictures and has no classes
    (Path(output) / "id2label.json").unlink(missing_ok=True)
    write_records(output, {})
    save_encoder(encoder, output)
    write_json(Path(output) / "train_log.json", {"pretraining": log})
    save_run(output, args, files=written_files(output), data=data.hashes)
    remove_folder(Path(output) / "checkpoints")
    print(f"pretrained on {count} windows of {n_chans} channels x {n_times} samples, written to {output}")
    if args.pretrain:
        say_next("train_eeg_classifier.py", args, carry=(*CARRIED, *options.ENCODER, "patch_size"), pretrained=output,
                 eeg_dataset="DATA", output=beside(output, "eeg_encoder"))
    return encoder.cpu()


def _start_from_pretrained(args, device, encoder):
    """Copy into `encoder` the weights of --pretrained that fit, after pretraining where it is a folder of data."""
    from encoders import load_encoder
    from encoders.pretraining import has_pretraining_data, start_from

    if has_pretraining_data(args.pretrained):
        source = _pretrain(args, device, Path(args.output) / "pretrained")
    else:
        source = load_encoder(args.pretrained, "--pretrained")
    start_from(source, encoder, args.pretrained)


def _pictures_of_pretrained(args):
    """The records of the pictures that the encoder in --pretrained was trained on; {} where there are none."""
    from runtime.places import resolve_checkpoint

    from encoders.pretraining import has_pretraining_data
    from evaluation.provenance import read_records

    if not args.pretrained or has_pretraining_data(args.pretrained):
        return {}
    return read_records(resolve_checkpoint(args.pretrained, "--pretrained"))


def _with_classes_to_learn(args, trials, split):
    """The trials, without classes where there is no class head; refuses options that need one class a picture.

    Of new classes, as --split_by class tests them, a classifier could only give the name of a wrong one, which would then
    stand in the prompts.
    """
    seen, held_out = (set(trials.label[split[part]].tolist()) for part in ("train", "val"))
    is_new = trials.classes == "one" and not seen & held_out and args.loss_weight
    if is_new and args.class_head == "auto":
        print("note: no class of the validation part is in the training part, so the encoder learns no classes and prompts "
              "name none; --class_head on trains a classifier all the same")
    if args.class_head == "off" or (is_new and args.class_head == "auto"):
        trials = trials.without_classes()
    if trials.classes == "none" and args.class_head == "on":
        raise InputError(f"--class_head on: there are no classes to learn of {trials.path}; leave it out")
    if trials.classes == "none" and not args.loss_weight:
        raise InputError(f"--loss_weight 0: there are no classes to learn of {trials.path}, so only the picture embeddings "
                         "can be learned; leave it out")
    if trials.classes != "one" and args.best_by == "accuracy":
        raise InputError(f"--best_by accuracy: there is no one class a picture to learn of {trials.path}; give score or "
                         "loss")
    return trials


def _picture_targets(args, paths, trials, split, device):
    """encoders.trial_targets.TrialTargets. With --loss_weight 0 there is nothing to predict, and no model is needed."""
    from datautils import picture_features
    from encoders import encoder_class
    from encoders.trial_targets import no_targets, trial_targets

    if not args.loss_weight:
        encoder = encoder_class(args.encoder)
        return no_targets(trials, encoder.config_class().embedding_size if encoder.classifies_embedding else 1)
    if not trials.has_pictures:
        raise InputError(f"--eeg_dataset {trials.path}: has no pictures, so there are no embeddings to predict; give "
                         "--loss_weight 0 to train a classifier only")

    def features(names, **asked):
        return picture_features(names, paths.image_dir, args.clip_model, paths.picture, device, args.cache_dir, **asked)

    return trial_targets(trials, split, features, args)


@exits_cleanly
def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    options.check_places(args)
    if args.seeds:
        return seeds.run_each(main, args)
    with locks.only_run(args.output, "--output"), profiler.profiled(args.output if args.profile else None,
                                                                    "train_eeg_classifier"):
        _run(args)


def _run(args):
    from runtime.atomic_files import remove_folder
    from runtime.checkpoint_files import begin_saving, written_files
    from runtime.checkpoints import check_output
    from runtime.interrupted import check_interrupted, complete_checkpoints
    from runtime.model_files import model_key
    from runtime.runs import file_hash, save_run, write_json

    import torch
    from transformers import set_seed

    from eegdata.data_paths import find_data
    from eegdata.pictures import picture_hashes
    from eegdata.source import eeg_text
    from eegdata.splits import load_split
    from eegdata.trials import load_trials
    from encoders import build_encoder, encode, encoder_class, picture_targets, save_encoder
    from encoders.averaging import AverageWeights, averaged
    from encoders.braindecode_encoder import start_from_weights
    from encoders.branches import BranchFitting, class_weights, independent_groups, shares_text
    from encoders.centre import centre_people
    from encoders.chance import training_warnings
    from encoders.clip import clip_identity
    from encoders.confidence import confidence_text, measure_confidence
    from encoders.kept_epochs import KeepEpochs, publish_epochs
    from encoders.target_blur import BlurredTargets
    from encoders.targets import rescale_embedding
    from encoders.temperature import fit_temperature
    from encoders.training import Augmentation, EncoderObjective, fit, gather, place, validation_scores
    from evaluation.provenance import new_records, write_records

    device, output = options.resolve_device(args.device), Path(args.output)
    check_interrupted(output, args.resume, args.overwrite)
    check_output(output, encoder_class(args.encoder).config_class.model_type)
    set_seed(args.seed)
    if args.pretrain:
        profiler.stage("pretraining")
        _pretrain(args, device, output)
        return
    profiler.stage("data")
    paths = find_data(args.eeg_dataset, args.splits_path, args.image_dir, args.picture,
                      needed=("splits_path", "image_dir") if args.loss_weight else ("splits_path",))
    trials = load_trials(paths.eeg_dataset, args.time_low, args.time_high, args.subject)
    split = load_split(paths.splits_path, trials, args.split_num, args.splits_index, needed=("train", "val"))
    trials = _with_classes_to_learn(args, trials, split)
    one_class = trials.classes == "one"
    branched = args.encoder == "transformer" and args.branches == "auto" and bool(one_class or args.loss_weight)
    of_best_epoch = not branched or bool(args.patience)
    idle_options.say_idle(args, idle_options.of_trials(trials.classes, of_best_epoch))
    arguments = _arguments_for(args, device, output, args.num_epochs, label_names=["labels", "target"],
                              metric_for_best_model=args.best_by, greater_is_better=args.best_by != "loss",
                              load_best_model_at_end=of_best_epoch,
                              ddp_find_unused_parameters=not args.loss_weight)  # the projector then has no loss
    if args.centre == "subject":
        centre_people(trials)
    earlier_pictures = _pictures_of_pretrained(args)
    targets = _picture_targets(args, paths, trials, split, device)
    target, mean, scale = targets.by_picture[trials.image], targets.mean, targets.scale
    encoder = build_encoder(encoder_config(
        args, n_chans=trials.eeg.shape[1], n_times=trials.eeg.shape[2], sfreq=trials.sfreq, ch_names=trials.ch_names,
        num_classes=len(trials.class_names), id2label=trials.class_names, embedding_size=target.shape[1],
        several_classes=trials.classes == "several", preprocessing=trials.preprocessing))
    count, needed = len(split["train"]), torch.cat([split["train"], split["val"]])
    rows = {"train": torch.arange(count), "val": torch.arange(count, len(needed))}
    eeg, labels = place(trials.eeg, needed, arguments), trials.class_targets(needed)
    target, fitting = target[needed], None
    if branched:
        fitting = BranchFitting(eeg, labels if one_class else None, target if args.loss_weight else None,
                                len(trials.class_names), rows, independent_groups(trials, split["train"], split["val"]),
                                trials.sfreq, args.seed)
    if args.encoder == "transformer":
        encoder.fit_whitening(eeg, rows["train"], *([fitting.whitening] if fitting else []))
    in_pretraining = args.resume and bool(complete_checkpoints(output / "pretrained" / "checkpoints"))
    if args.pretrained and (in_pretraining or not args.resume):  # a checkpoint of stage 1 holds all weights
        _start_from_pretrained(args, device, encoder)
    if args.encoder_weights and not args.resume:
        start_from_weights(encoder, args.encoder_weights)
    torch.nn.init.zeros_(encoder.projector.bias)  # the first prediction is about the mean picture
    for head in (encoder.projector, encoder.classifier) if branched else ():
        torch.nn.init.zeros_(head.weight)  # what the linear branches tell needs no second teller
    beside_it = ", and linear branches, which are fitted afterwards" if branched else ""
    print(f"{args.encoder}: {sum(p.numel() for p in encoder.parameters()):,} trained parameters{beside_it}; "
          f"{eeg_text(trials.source)}, {count} trials to train on, {len(needed) - count} to validate on; {device}")
    shift = round(args.time_shift * trials.sfreq / 1000)
    if args.time_shift and not shift:
        print(f"note: --time_shift {args.time_shift:g} ms: is less than half a sample at {trials.sfreq:g} Hz, so no trial "
              "is shifted")
    augmentation = Augmentation(shift, args.noise, args.channel_dropout)
    average = None if of_best_epoch else averaged(encoder)
    weights = class_weights(labels[rows["train"]], len(trials.class_names)) if branched and one_class else None
    blurred = None if targets.blurred is None else BlurredTargets(targets.blurred, mean / scale)
    objective = EncoderObjective(encoder, args.loss, args.loss_weight, args.label_smoothing, mean / scale, augmentation,
                                 average, weights, args.soft_targets, blurred)
    batches = gather({"eeg": eeg, "labels": labels, "target": target, "image": trials.image[needed]})
    names = {part: sorted(set(trials.names(split[part]))) if trials.has_pictures else [] for part in ("train", "val")}
    identity, seen = None, None
    if args.loss_weight:  # the pictures themselves: what lies under their names may change before a --resume
        identity = clip_identity(args.clip_model)
        seen = [picture_hashes(paths.image_dir, names[part], paths.picture) for part in names]
    profiler.stage("training")
    log = fit(objective, batches, rows, arguments, resume=args.resume and not in_pretraining, overwrite=args.overwrite,
              patience=args.patience,
              options_key=[args.asked(), trials.fingerprint, [trials.trial[split[part]].tolist() for part in rows],
                           identity and model_key(identity), seen, "standardised targets"],
              save_every=args.save_steps, compute_metrics=validation_scores,
              callbacks=([AverageWeights(average, encoder)] if average else [])
              + ([KeepEpochs(encoder, output / "checkpoints", mean, scale)] if args.keep_epochs else []))
    profiler.stage("results")
    if average:
        encoder.load_state_dict(average.module.state_dict())
    if fitting:
        fitting.add_to(encoder, eeg, device, scale)
    warnings = training_warnings(encoder, eeg, labels, target if args.loss_weight else None, rows["train"], device)
    rescale_embedding(encoder, mean, scale)
    logits, unfitted = (fitting.val_logits, fitting.val_rows) if fitting else (None, rows["val"])
    if fitting:
        print(shares_text(encoder.config.branches))
    if logits is None and trials.class_names:
        logits = encode(encoder, eeg, rows["val"], device=device)[1]
        encoder.config.class_temperature = fit_temperature(logits, labels[rows["val"]])
        print(f"temperature of the class probabilities, fitted to {len(logits)} validation trials: "
              f"{encoder.config.class_temperature:.2f}")
    if one_class:
        encoder.config.confidence = measure_confidence(encoder, eeg, unfitted, logits, labels[unfitted], device)
        print(confidence_text(encoder.config))
    if fitting:  # to the validation part, too
        names["train"] = sorted({*names["train"], *names["val"]})
    known = {part: dict.fromkeys(names[part]) | earlier_pictures.get(part, {}) for part in names}  # by name, without files
    begin_saving(output)
    save_encoder(encoder, output)
    publish_epochs(output / "checkpoints", output)
    used = asdict(paths) | {"time_low": trials.eeg.low, "time_high": trials.eeg.high}
    remove_folder(output / picture_targets.FOLDER)
    if targets.layers:
        targets.layers.save(output / picture_targets.FOLDER)
        used["clip_model"] = str(output / picture_targets.FOLDER)
        identity = clip_identity(used["clip_model"])
    write_json(output / "id2label.json", trials.class_names)
    write_json(output / "train_log.json", {"stage1": log} | ({"target": targets.report} if targets.report else {}))
    write_records(output, new_records(paths.image_dir, names, paths.picture, known))
    save_run(output, args, files=written_files(output), used=used, data=trials.fingerprint, source=trials.source,
             splits=file_hash(paths.splits_path), clip=identity, warnings=warnings,
             branches=encoder.config.branches)
    remove_folder(output / "checkpoints")
    print(f"encoder written to {output}")
    for text in warnings:
        print(f"warning: {text} Its losses are in {output}/train_log.json; a lower --learning_rate or more epochs may help")
    say_next("test_eeg_classifier.py", args, output=output)


if __name__ == "__main__":
    sys.exit(main())
