"""Score an EEG encoder on every trial of the test part: classes, subjects, and which picture was seen.

    python test_eeg_classifier.py --eeg_dataset data/block/eeg_55_95_std.pth \\
        --splits_path data/block/block_splits_by_image_all.pth --output ./eeg_encoder_55-95_40_classes \\
        --image_dir data/images/

Writes scores.json, confusion_matrix.png, confusion_matrix.csv, per_class.csv and per_subject.csv into --results_dir, with
--when_and_where when_where.json and when_where.png, too.
Intervals are 95% bootstrap intervals; all trials of a picture are drawn together.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from runtime import options, profiler
from runtime.errors import InputError, exits_cleanly


def parse(argv):
    parser = options.make_parser(__doc__)
    options.data_options(parser)
    options.picture_options(parser, trained="encoder")
    group = parser.add_argument_group("encoder")
    group.add_argument("--output", required=True, help="encoder to score: a folder that train_eeg_classifier.py wrote, a "
                       "predecessor's, or a Hub id with subfolder")
    group.add_argument("--results_dir", help="folder for the scores (unset: test/, or the name of --split, in --output)")
    group.add_argument("--split", choices=("test", "val", "train"), default="test", help="part of the split to score")
    group.add_argument("--classical_baseline", action="store_true",
                       help="also fit xDAWN covariances + tangent space + logistic regression on the training part")
    group.add_argument("--when_and_where", action="store_true",
                       help="also look when and on which channels the evidence lies that the encoder uses: accuracy with a "
                            "window or region hidden or alone, and gradient x input on the scalp (when_where.json, .png)")
    group.add_argument("--window_ms", type=options.bounded(float, 1), default=50., help="of --when_and_where: length of a "
                       "window in ms, over the whole epoch")
    group.add_argument("--when_trials", type=options.positive, help="of --when_and_where: look at so many trials, drawn at "
                       "random (unset: all; each window and region takes two passes over them, with ChannelNet on a CPU "
                       "several seconds a trial)")
    group.add_argument("--allow_overlap", action="store_true",
                       help="score test pictures that the encoder was trained on, too, instead of refusing")
    group.add_argument("--batch_size", type=options.positive, default=256, help="trials per batch")
    options.run_options(parser)
    args = options.parse(parser, argv)
    if args.results_dir is None and not Path(args.output).is_dir():
        raise InputError(f"--output {args.output}: no such folder; for a Hub id give --results_dir too")
    return args


@dataclass(frozen=True)
class Pictures:
    """How the pictures that are scored are embedded, by the options or else as in the training of the encoder.

    picture is None where neither says: then it is what the data set has.
    """

    clip_model: str
    picture: str | None
    cache_dir: str | None


def as_trained(args: argparse.Namespace, then: dict) -> Pictures:
    """The Pictures of --clip_model, --picture and --cache_dir; then: the options that the encoder was trained with, {} for
    a predecessor's, which tells none."""
    cache = then.get("cache_dir")
    if cache and not Path(cache).is_dir():  # it may be another machine's
        cache = None
    return Pictures(args.clip_model or then.get("clip_model") or options.CLIP_MODEL, args.picture or then.get("picture"),
                    args.cache_dir or cache)


def check_pictures(args, paths, clip_model, folder, names, training, same):
    """Refuse another CLIP model than the encoder was trained towards, and test pictures that it was trained on.

    training: names of the pictures that the split's training part shows; same: what provenance.same_split says. Returns
    how many of the pictures `names` it was trained on, None where it does not tell, as a predecessor's.
    """
    from runtime.runs import read_run

    from encoders.clip import clip_identity
    from evaluation import provenance

    trained, then = read_run(folder)
    for flag, given, now, known in (("clip_model", clip_model, clip_identity(clip_model), trained.get("clip")),
                                    ("picture", paths.picture, paths.picture, then.get("picture"))):
        if known not in (None, now):
            raise InputError(f"--{flag} {given}: the encoder in {folder} was trained towards --{flag} {then.get(flag)}; "
                             "give the same")
    known = provenance.trained_on(folder, paths.image_dir, names)
    if args.split == "test" and known and not args.allow_overlap:
        raise provenance.overlap_error("--output", folder, known, names, len(set(training) & set(known)) if same else 0)
    chose = provenance.selected_on(folder, paths.image_dir, names) if args.split == "test" else None
    if known is None:
        print(f"note: {args.output} does not tell which pictures it was trained on, so these may be known to it")
    elif known:
        print(f"note: {args.output} was trained on {len(known)} of the {len(names)} pictures that are scored")
    if chose:
        print(f"note: {len(chose)} of the {len(names)} pictures chose its best epoch, so scores on them are too high")
    return None if known is None else len(known)


def picture_gallery(paths, pictures, names, embedding_size, device):
    """CLIP embeddings [n, E] of the pictures `names`."""
    from datautils import image_embeddings

    gallery = image_embeddings(names, paths.image_dir, pictures.clip_model, paths.picture, device, pictures.cache_dir)
    if gallery.shape[1] != embedding_size:
        raise InputError(f"--clip_model {pictures.clip_model}: embeddings of size {gallery.shape[1]}, the encoder gives "
                         f"{embedding_size}; name the CLIP model that it was trained towards")
    return gallery.numpy()


def baseline_scores(args, trials, split, clusters):
    """Scores of the classical baseline, fitted on the training part, on the same trials as the encoder."""
    import numpy as np

    from encoders.classical import NAME, classical_baseline
    from metrics.classification import classification_scores

    labels = trials.label.numpy()
    probabilities, classes = classical_baseline(trials.eeg, labels, split["train"], split[args.split], args.seed)
    scores = np.zeros((len(probabilities), max(trials.class_names) + 1))
    scores[:, classes] = probabilities
    return {"name": NAME, **classification_scores(labels[split[args.split]], scores, clusters)}


def write_tables(folder, labels, logits, subjects, class_names):
    from runtime.runs import atomic_path

    import pandas

    from metrics.classification import confusion_table, draw_confusion, per_class_table, per_group_table

    confusion = confusion_table(labels, logits.argmax(1), class_names)
    tables = {"confusion_matrix": confusion,
              "per_class": pandas.DataFrame(per_class_table(labels, logits, class_names)).set_index("class"),
              "per_subject": pandas.DataFrame(per_group_table("subject", subjects, labels, logits)).set_index("subject")}
    for name, table in tables.items():
        with atomic_path(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary)
    with atomic_path(folder / "confusion_matrix.png") as temporary:
        draw_confusion(confusion, temporary)
    return tables


def scored_so_often(args, splits_path, folder, trials, rows):
    """Note in the ledger that this encoder was scored on these trials of the test part; a sentence on how often it was."""
    from runtime.runs import content_key, file_hash

    from evaluation import ledger

    home = ledger.run_folder(args.output)
    family = ledger.family(trials.fingerprint, file_hash(splits_path), args.split_num, args.split, args.subject)
    ledger.note_scoring(home, family, script="test_eeg_classifier.py", model=file_hash(folder / "model.safetensors")[:16],
                        scored=content_key([sorted(trials.trial[rows].tolist()), args.time_low, args.time_high]))
    counted = ledger.count_scorings(home, family)
    return counted and counted["text"]


def print_scores(scores, tables):
    def line(name, entry, key):
        low, high = entry[f"{key}_95"]
        print(f"{name:<48} {entry[key]:.3f}  [{low:.3f}, {high:.3f}]")

    print(f"{scores['n']} trials, {scores['n_classes']} classes, chance {scores['chance']:.3f}; 95% intervals")
    for key in ("top1", "top5", "balanced_accuracy"):
        line(key, scores, key)
    if "classical_baseline" in scores:
        line("balanced_accuracy, classical baseline", scores["classical_baseline"], "balanced_accuracy")
    expected = f"expected calibration error (if calibrated {scores['calibration']['ece_if_calibrated']:.3f})"
    print(f"{expected:<48} {scores['calibration']['ece']:.3f}")
    for k in (1, 5) if "retrieval" in scores else ():
        line(f"picture among {scores['retrieval']['n']}, top {k} (chance {scores['retrieval'][f'top{k}_chance']:.3f})",
             scores["retrieval"], f"top{k}")
    print(tables["per_subject"].to_string(float_format="{:.3f}".format))


@exits_cleanly
def main(argv=None):
    args = parse(argv)
    if args.when_and_where:
        from eegdata.montage import require_mne

        require_mne("--when_and_where")
    results = args.results_dir or Path(args.output) / args.split
    with profiler.profiled(results if args.profile else None, "test_eeg_classifier", steps="EEG batch"):
        run(args)


def run(args):
    from runtime.checkpoints import resolve_checkpoint
    from runtime.runs import read_run, write_json

    from eegdata.data_paths import find_data
    from eegdata.splits import load_split
    from eegdata.trials import load_trials
    from encoders import encode, fit_to_encoder, load_encoder
    from encoders.temperature import class_probabilities
    from evaluation.provenance import trained_with
    from metrics.calibration import calibration
    from metrics.classification import classification_scores
    from metrics.retrieval import retrieval_scores

    folder = resolve_checkpoint(args.output, "--output")
    embedded = as_trained(args, read_run(folder)[1])
    paths = find_data(args.eeg_dataset, args.splits_path, args.image_dir, embedded.picture)
    profiler.stage("data")
    device = options.resolve_device(args.device)
    encoder = load_encoder(folder, "--output")
    trials = load_trials(paths.eeg_dataset, args.time_low, args.time_high, args.subject)
    fit_to_encoder(encoder.config, trials, "--output")
    if max(trials.class_names) >= encoder.config.num_classes:
        raise InputError(f"--output {args.output}: knows {encoder.config.num_classes} classes, {trials.path} has "
                         f"{len(trials.class_names)}; train an encoder on this data set")
    needed = {args.split, "train"} if args.classical_baseline or args.when_and_where else {args.split}
    split = load_split(paths.splits_path, trials, args.split_num, args.splits_index, needed=needed)
    rows, clusters, overlap = split[args.split], None, None
    same = trained_with(folder, args.output, trials.fingerprint, paths.splits_path, args.split_num, args.split)
    if trials.has_pictures:  # without pictures the classes alone are scored
        pictures, clusters = (part.numpy() for part in trials.image[rows].unique(return_inverse=True))
        names = [trials.images[i] for i in pictures]
        overlap = check_pictures(args, paths, embedded.clip_model, folder, names, trials.names(split["train"]), same)
        gallery = picture_gallery(paths, embedded, names, encoder.config.embedding_size, device)

    profiler.stage("encoding")
    embeddings, logits = encode(encoder, trials.eeg, rows, args.batch_size, device)
    profiler.stage("scores")
    confidence = class_probabilities(logits, encoder.config).max(1).values.numpy()
    embeddings, logits = embeddings.numpy(), logits.numpy()
    labels = trials.label[rows].numpy()
    scores = classification_scores(labels, logits, clusters)
    if trials.has_pictures:
        scores["retrieval"] = retrieval_scores(embeddings, gallery, clusters)
    if args.classical_baseline:
        scores["classical_baseline"] = baseline_scores(args, trials, split, clusters)
    scores["calibration"] = calibration(confidence, logits.argmax(1) == labels, clusters=clusters)
    scores |= {"split": args.split, "data": trials.fingerprint, "subject": args.subject, "overlap": overlap,
               "same_split": same,
               "ledger": scored_so_often(args, paths.splits_path, folder, trials, rows) if args.split == "test" else None}
    profiler.stage("results")
    results = Path(args.results_dir or folder / args.split)
    tables = write_tables(results, labels, logits, trials.subject[rows].numpy(), trials.class_names)
    write_json(results / "scores.json", scores)
    print_scores(scores, tables)
    if scores["ledger"]:
        print(scores["ledger"])
    if args.when_and_where:
        profiler.stage("when and where")
        from interpretability import when_where, write

        found = when_where(encoder, trials, rows, split["train"], clusters, window_ms=args.window_ms,
                           most=args.when_trials, batch_size=args.batch_size, device=device, seed=args.seed)
        write(results, found, trials.record.get("positions"))
        print("\n".join([found["sentence"], *(f"note: {note}" for note in found["notes"])]))
    print(f"written to {results}")


if __name__ == "__main__":
    sys.exit(main())
