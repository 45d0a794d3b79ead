"""Score an EEG encoder on the test part: classes, subjects, and retrieval of the picture that was seen.

    python test_eeg_classifier.py --eeg_dataset data/block/eeg_55_95_std.pth \\
        --splits_path data/block/block_splits_by_image_all.pth --output ./eeg_encoder_55-95_40_classes \\
        --image_dir data/images/

Files in --results_dir: scores.json, confusion_matrix.png, confusion_matrix.csv, per_class.csv, per_subject.csv and
retrieval.csv; with --when_and_where also when_where.json and when_where.png. Where pictures have several classes, there are
the average precision of each in per_class.csv and no confusion matrix; where they have none, retrieval is all that is
scored. Every trial of the test part is scored. retrieval.csv has a row for each protocol that papers report: how many
repetitions and people are averaged, by which similarity (docs/decoding.md).
Intervals are 95% bootstrap intervals; all trials of a picture are resampled together.
"""

import argparse
import sys
from pathlib import Path

from runtime import idle_options, locks, options, profiler, seeds
from runtime.errors import InputError, exits_cleanly
from runtime.next_command import beside, say_next


def parse(argv: list[str] | None) -> options.Options:
    parser = options.make_parser(__doc__)
    options.data_options(parser)
    options.picture_options(parser, trained="encoder")
    group = parser.add_argument_group("encoder")
    group.add_argument("--output", required=True, help="encoder to score: a folder written by train_eeg_classifier.py or a "
                       "predecessor, or a Hub id with subfolder")
    group.add_argument("--results_dir", help="folder for the scores (unset: a folder in --output with the name of "
                       "--split)")
    group.add_argument("--split", choices=("test", "val", "train"), default="test", help="part of the split to score")
    group.add_argument("--classical_baseline", action="store_true",
                       help="also fit classical classifiers on the training and validation parts, and compare with the "
                            "best of them: LDA and logistic regression of window means, xDAWN and ERP covariances on the "
                            "tangent space, minimum distance to mean")
    group.add_argument("--embedding_baseline", action="store_true",
                       help="also fit a logistic regression and an MLP on the encoder's embeddings of the training part, "
                            "which it was trained on itself, so they are seldom better than its own classifier")
    group.add_argument("--when_and_where", action="store_true",
                       help="also find the times and channels that the encoder uses: accuracy without a time window or "
                            "scalp region and with it alone, and a map of gradient x input (when_where.json, .png)")
    group.add_argument("--window_ms", type=options.bounded(float, 1), default=50.,
                       help="with --when_and_where: length of a time window in ms")
    group.add_argument("--when_trials", type=options.positive,
                       help="with --when_and_where: use this many trials, drawn at random (unset: all; each window and "
                            "region takes two passes over the trials, which for ChannelNet on a CPU is slow)")
    group.add_argument("--allow_overlap", action="store_true",
                       help="score test pictures even if the encoder was trained on them (unset: refuse)")
    group.add_argument("--all_epochs", action="store_true",
                       help="also score every epoch that train_eeg_classifier.py --keep_epochs kept, to show what picking "
                            "the epoch on the test pictures adds to retrieval, as many published numbers do")
    group.add_argument("--batch_size", type=options.positive, default=256, help="trials per batch")
    for flag in ("--num_epochs", "--learning_rate", "--optim", "--weight_decay", "--max_grad_norm", "--max_steps",
                 "--warmup_ratio", "--lr_scheduler_type", "--save_steps", "--logging_steps", "--save_every"):
        group.add_argument(flag, help=argparse.SUPPRESS)  # the predecessors shared them with the training
    group.add_argument("--group_by_length", action="store_true", help=argparse.SUPPRESS)
    options.run_options(parser, seeds=True)
    args = options.parse(parser, argv)
    if args.results_dir is None and not Path(args.output).is_dir():
        raise InputError(f"--output {args.output}: no such folder; for a Hub id give --results_dir too")
    idle_options.say_idle(args, idle_options.SCORING)
    return args


def _picture_gallery(paths, settings, names, embedding_size, device):
    """CLIP embeddings [n, E] of the pictures `names`."""
    from datautils import image_embeddings

    gallery = image_embeddings(names, paths.image_dir, settings.clip_model, paths.picture, device, settings.cache_dir)
    if gallery.shape[1] != embedding_size:
        raise InputError(f"--clip_model {settings.clip_model}: its embeddings have {gallery.shape[1]} dimensions, those of "
                         f"the encoder {embedding_size}; name the CLIP model that the encoder was trained with")
    return gallery.numpy()


def _retrieval_table(args, folder, encoder, trials, rows, embeddings, clusters, gallery, device):
    """The rows of retrieval.csv. embeddings [n, E]: of the trials `rows`, which are not encoded again."""
    from eegdata.averages import AveragedEEG
    from encoders import encode
    from encoders.kept_epochs import kept_epochs, with_weights
    from evaluation.retrieval_table import picked_on_test, retrieval_table

    own, person, order = rows.numpy(), trials.subject[rows].numpy(), trials.trial[rows].numpy()

    def table(encoder, single=None):
        def encode_groups(groups):
            if single is not None and groups.shape[1] == 1:
                return single[groups[:, 0]]
            size = max(1, args.batch_size // groups.shape[1])
            return encode(encoder, AveragedEEG(trials.eeg, own[groups]), None, size, device)[0].numpy()

        return retrieval_table(encode_groups, gallery, clusters, person, order)

    saved = table(encoder, embeddings)
    if not args.all_epochs:
        return saved
    return picked_on_test(saved, {path.stem: table(with_weights(encoder, path)) for path in kept_epochs(folder)})


def _count_scoring(args, splits_path, weights, trials, rows):
    """Note in the ledger that these weights were scored on these trials; returns a sentence on how often any were."""
    from runtime.runs import content_key, file_hash

    from evaluation import ledger

    folders = ledger.ledger_folders(trials.path, ledger.run_folder(args.output))
    family = ledger.family(trials.fingerprint, args.split)
    ledger.note_scoring(folders, family, script="test_eeg_classifier.py",
                        model=file_hash(weights)[:16],
                        scored=content_key([sorted(trials.trial[rows].tolist()), args.time_low, args.time_high]),
                        split=f"{file_hash(splits_path)}/{args.split_num}", subject=args.subject)
    counted = ledger.count_scorings(folders, family)
    return counted and counted["text"]


def _when_and_where(args, results, scores, encoder, trials, rows, train, clusters, device):
    from interpretability import when_where, write

    profiler.stage("when and where")
    found = when_where(encoder, trials, rows, train, clusters, window_ms=args.window_ms, max_trials=args.when_trials,
                       batch_size=args.batch_size, device=device, seed=args.seed)
    write(results, {**found, **{key: scores[key] for key in ("encoder", "scored_on")}}, trials.record.get("positions"))
    print("\n".join([found["sentence"], *(f"note: {note}" for note in found["notes"])]))


@exits_cleanly
def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    if args.when_and_where:
        from eegdata.montage import require_mne

        require_mne("--when_and_where")
    options.check_places(args)
    if args.seeds:
        return seeds.run_each(main, args, written=("results_dir",))
    results = args.results_dir or Path(args.output) / args.split
    with profiler.profiled(results if args.profile else None, "test_eeg_classifier", steps="EEG batch"):
        _run(args)


def _run(args):
    from runtime.places import resolve_checkpoint
    from runtime.runs import read_run, training_warnings, write_record

    import torch

    from eegdata.data_paths import find_data
    from eegdata.splits import load_split
    from eegdata.trials import load_trials
    from encoders import encode, fit_to_encoder, load_encoder, name_all_classes
    from encoders.branches import shares_text
    from encoders.classical import baseline_scores, embedding_scores
    from encoders.clip import check_clip, is_classifier_only
    from encoders.kept_epochs import kept_epochs, require_epochs
    from encoders.picture_settings import picture_settings
    from encoders.temperature import class_probabilities
    from evaluation.encoder_scores import (
        check_overlap,
        print_scores,
        scored_on,
        scored_weights,
        write_object_tables,
        write_tables,
    )
    from evaluation.provenance import check_window, trained_with
    from evaluation.retrieval_table import table_text
    from metrics.calibration import calibration
    from metrics.classification import classification_scores, several_classes_scores
    from metrics.retrieval import retrieval_scores

    folder = resolve_checkpoint(args.output, "--output")
    settings = picture_settings(args, read_run(folder)[1], folder)
    classes_only = is_classifier_only(folder)
    if args.all_epochs:
        require_epochs(folder, args.output)
    if classes_only and args.embedding_baseline:
        raise InputError(f"--output {args.output}: was trained with --loss_weight 0, so its embeddings hold nothing; leave "
                         "--embedding_baseline out, or train an encoder without that option")
    paths = find_data(args.eeg_dataset, args.splits_path, args.image_dir, settings.picture,
                      needed=("splits_path",) if classes_only else ("splits_path", "image_dir"))
    profiler.stage("data")
    device = options.resolve_device(args.device)
    encoder = load_encoder(folder, "--output")
    trials = load_trials(paths.eeg_dataset, args.time_low, args.time_high, args.subject)
    check_window(folder, trials, "--output")
    fit_to_encoder(encoder.config, trials, "--output")
    trials = trials if encoder.config.num_classes else trials.without_classes()
    if len(trials.class_names) > encoder.config.num_classes:
        raise InputError(f"--output {args.output}: the encoder has {encoder.config.num_classes} classes, {trials.path} has "
                         f"{len(trials.class_names)}; train an encoder on this data set")
    name_all_classes(encoder.config, trials)
    if args.all_epochs and (classes_only or not trials.has_pictures):
        why = (f"--output {args.output} was trained with --loss_weight 0" if classes_only
               else f"{trials.path} has no pictures")
        raise InputError(f"--all_epochs: compares the retrieval of pictures, but {why}; leave it out")
    fitted = args.classical_baseline or args.embedding_baseline or args.when_and_where
    if fitted and trials.classes != "one":
        had = "none" if trials.classes == "none" else "several"
        raise InputError("--classical_baseline, --embedding_baseline and --when_and_where need one class a picture, and "
                         f"those of {trials.path} have {had} that the encoder knows; leave them out")
    known = ("train", "val") if args.classical_baseline and args.split == "test" else ("train",) if fitted else ()
    needed = {args.split, *known}
    split = load_split(paths.splits_path, trials, args.split_num, args.splits_index, needed=needed)
    rows, clusters, overlap = split[args.split], None, None
    same_split = trained_with(folder, args.output, trials.fingerprint, paths.splits_path, args.split_num, args.split)
    if args.split == "val" and same_split and encoder.config.branches:
        print(f"note: {args.output} has linear branches, which were fitted to the validation trials of its training, too; "
              "scores of these say nothing about new trials, and --branches neural keeps them out of the weights")
    if trials.has_pictures:  # otherwise only the classes are scored
        pictures, clusters = (part.numpy() for part in trials.image[rows].unique(return_inverse=True))
        names = [trials.images[i] for i in pictures]
        overlap = check_overlap(folder, args.output, paths.image_dir, names, part=args.split, allowed=args.allow_overlap,
                                in_training=[name for part in ("train", "val") for name in trials.names(split[part])]
                                if same_split else [])
        if not classes_only:
            check_clip(folder, settings.clip_model, paths.picture)
            gallery = _picture_gallery(paths, settings, names, encoder.config.embedding_size, device)

    profiler.stage("encoding")
    embeddings, logits = encode(encoder, trials.eeg, rows, args.batch_size, device)
    if args.embedding_baseline:
        learned = encode(encoder, trials.eeg, split["train"], args.batch_size, device)[0].numpy()
    profiler.stage("scores")
    probabilities = class_probabilities(logits, encoder.config)
    embeddings, logits = embeddings.numpy(), logits.numpy()
    labels = trials.class_targets(rows).numpy()
    scores = (classification_scores if trials.classes == "one" else several_classes_scores)(labels, logits, clusters)
    if trials.has_pictures and not classes_only:
        scores["retrieval"] = retrieval_scores(embeddings, gallery, clusters)
        scores["retrieval_table"] = _retrieval_table(args, folder, encoder, trials, rows, embeddings, clusters, gallery,
                                                      device)
    if args.classical_baseline:
        scores["classical_baseline"] = baseline_scores(trials, torch.cat([split[part] for part in known]), rows,
                                                       logits.argmax(1), clusters, args.seed)
    if args.embedding_baseline:
        scores["embedding_baseline"] = embedding_scores(trials, split["train"], rows, learned, embeddings, clusters,
                                                        args.seed)
    if trials.classes == "one":
        confidence = probabilities.max(1).values.numpy()
        scores["calibration"] = calibration(confidence, logits.argmax(1) == labels, clusters=clusters)
    scores |= {"encoder": scored_weights(folder), "split": args.split, "data": trials.fingerprint,
               "source": trials.source, "subject": args.subject,
               "scored_on": scored_on(args, trials, paths.splits_path),
               "branches": encoder.config.branches, "centre": encoder.config.centre,
               "overlap": overlap, "same_split": same_split, "ledger": None, "training_warnings": training_warnings(folder)}
    if args.split == "test":
        for weights in (*(kept_epochs(folder) if args.all_epochs else ()), folder / "model.safetensors"):
            scores["ledger"] = _count_scoring(args, paths.splits_path, weights, trials, rows)
    profiler.stage("results")
    results = Path(args.results_dir or folder / args.split)
    with locks.only_run(results, "--results_dir"):
        write = write_tables if trials.classes == "one" else write_object_tables
        tables = write(results, labels, logits, trials.subject[rows].numpy(), trials.class_names,
                       scores.get("retrieval_table"))
        write_record(results / "scores.json", scores)
        print_scores(scores, tables.get("per_subject"))
        if "retrieval_table" in scores:
            print(table_text(scores["retrieval_table"]))
        print("\n".join(filter(None, [scores["branches"] and shares_text(scores["branches"]), scores["ledger"]])))
        if args.when_and_where:
            _when_and_where(args, results, scores, encoder, trials, rows, split["train"], clusters, device)
    print("\n".join([*(f"warning: {text}" for text in scores["training_warnings"]), f"written to {results}"]))
    if trials.has_pictures and not classes_only and args.split == "test":
        say_next("finetune_llm.py", args, eeg_encoder_path=args.output, clip_model=settings.clip_model,
                 output=beside(args.output, "captioner"))


if __name__ == "__main__":
    sys.exit(main())
