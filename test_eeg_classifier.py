"""Score an EEG encoder on every trial of the test part: classes, subjects, and which picture was seen.

    python test_eeg_classifier.py --eeg_dataset data/block/eeg_55_95_std.pth \\
        --splits_path data/block/block_splits_by_image_all.pth --output ./eeg_encoder_55-95_40_classes \\
        --image_dir data/images/

Writes scores.json, confusion_matrix.png, confusion_matrix.csv, per_class.csv and per_subject.csv into --results_dir.
Intervals are 95% bootstrap intervals; all trials of a picture are drawn together.
"""

import sys
from pathlib import Path

import options
from errors import InputError, exits_cleanly


def parse(argv):
    parser = options.make_parser(__doc__)
    options.data_options(parser)
    options.picture_options(parser)
    group = parser.add_argument_group("encoder")
    group.add_argument("--output", required=True, help="encoder to score: a folder that train_eeg_classifier.py wrote, a "
                       "predecessor's, or a Hub id with subfolder")
    group.add_argument("--results_dir", help="folder for the scores (unset: test/, or the name of --split, in --output)")
    group.add_argument("--split", choices=("test", "val", "train"), default="test", help="part of the split to score")
    group.add_argument("--classical_baseline", action="store_true",
                       help="also fit xDAWN covariances + tangent space + logistic regression on the training part")
    group.add_argument("--allow_known_pictures", action="store_true",
                       help="score test pictures that the encoder was trained on, too, instead of refusing")
    group.add_argument("--batch_size", type=options.positive, default=256, help="trials per batch")
    options.run_options(parser)
    args = parser.parse_args(argv)
    if args.results_dir is None and not Path(args.output).is_dir():
        raise InputError(f"--output {args.output}: no such folder; for a Hub id give --results_dir too")
    return args


def check_pictures(args, folder, names, identity):
    """Refuse pictures that the encoder was trained on, and embeddings of another CLIP model than it was trained towards.

    A predecessor's encoder folder does not tell either.
    """
    from pictures import picture_path
    from runs import file_hash, read_json

    if (folder / "args.json").is_file():
        trained = {"options": {}, **read_json(folder / "args.json")}
        for flag, now, then in (("clip_model", identity, trained.get("clip")),
                                ("picture", args.picture, trained["options"].get("picture"))):
            if then not in (None, now):
                raise InputError(f"--{flag} {getattr(args, flag)}: the encoder in {folder} was trained towards "
                                 f"--{flag} {trained['options'].get(flag)}; give the same")
    if args.split != "test" or args.allow_known_pictures or not (folder / "train_images.json").is_file():
        return
    seen = set(read_json(folder / "train_images.json").values())
    known = [name for name in names if file_hash(picture_path(args.image_dir, name, args.picture)) in seen]
    if known:
        raise InputError(f"--output {folder}: was trained on {len(known)} of the {len(names)} pictures to score, "
                         f"{known[0]} among them; use the split it was trained with, or give --allow_known_pictures")


def picture_gallery(args, trials, rows, device, embedding_size, folder):
    """CLIP embeddings [n, E] of the pictures that trials `rows` show, and which of them each trial shows [N]."""
    from datautils import image_embeddings
    from encoders.clip import clip_identity

    pictures, shown = trials.image[rows].unique(return_inverse=True)
    names = [trials.images[i] for i in pictures.tolist()]
    gallery = image_embeddings(names, args.image_dir, args.clip_model, args.picture, device, args.cache_dir)
    if gallery.shape[1] != embedding_size:
        raise InputError(f"--clip_model {args.clip_model}: embeddings of size {gallery.shape[1]}, the encoder gives "
                         f"{embedding_size}; name the CLIP model that it was trained towards")
    check_pictures(args, folder, names, clip_identity(args.clip_model))
    return gallery.numpy(), shown.numpy()


def baseline_scores(args, trials, split, clusters):
    """Scores of the classical baseline, fitted on the training part, on the same trials as the encoder."""
    import numpy as np

    from encoders.classical import NAME, classical_baseline
    from metrics.classification import classification_scores

    labels = trials.label.numpy()
    probabilities, classes = classical_baseline(trials.eeg[split["train"]], labels[split["train"]],
                                                trials.eeg[split[args.split]], args.seed)
    scores = np.zeros((len(probabilities), max(trials.class_names) + 1))
    scores[:, classes] = probabilities
    return {"name": NAME, **classification_scores(labels[split[args.split]], scores, clusters)}


def write_tables(folder, labels, logits, subjects, class_names):
    import pandas

    from metrics.classification import confusion_table, draw_confusion, per_class_table, per_group_table
    from runs import atomic_path

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


def print_scores(scores, tables):
    def line(name, entry, key):
        low, high = entry[f"{key}_95"]
        print(f"{name:<48} {entry[key]:.3f}  [{low:.3f}, {high:.3f}]")

    print(f"{scores['n']} trials, {scores['n_classes']} classes, chance {scores['chance']:.3f}; 95% intervals")
    for key in ("top1", "top5", "balanced_accuracy"):
        line(key, scores, key)
    if "classical_baseline" in scores:
        line("balanced_accuracy, classical baseline", scores["classical_baseline"], "balanced_accuracy")
    for k in (1, 5) if "retrieval" in scores else ():
        line(f"picture among {scores['retrieval']['n']}, top {k} (chance {scores['retrieval'][f'top{k}_chance']:.3f})",
             scores["retrieval"], f"top{k}")
    print(tables["per_subject"].to_string(float_format="{:.3f}".format))


@exits_cleanly
def main(argv=None):
    args = parse(argv)
    from trials import load_trials
    from splits import load_split
    from encoders import encode, fit_to_encoder, load_encoder
    from checkpoints import resolve_checkpoint
    from dataset_folder import complete_data
    from metrics.classification import classification_scores
    from metrics.retrieval import retrieval_scores
    from runs import write_json

    complete_data(args)
    device = options.resolve_device(args.device)
    folder = resolve_checkpoint(args.output, "--output")
    encoder = load_encoder(folder, "--output")
    trials = load_trials(args.eeg_dataset, args.time_low, args.time_high, args.subject)
    fit_to_encoder(encoder.config, trials, "--output")
    if max(trials.class_names) >= encoder.config.num_classes:
        raise InputError(f"--output {args.output}: knows {encoder.config.num_classes} classes, {trials.path} has "
                         f"{len(trials.class_names)}; train an encoder on this data set")
    needed = {args.split, "train"} if args.classical_baseline else {args.split}
    split = load_split(args.splits_path, trials, args.split_num, args.splits_index, needed=needed)
    rows = split[args.split]
    gallery, clusters = None, None  # without pictures the classes alone are scored
    if trials.has_pictures:
        gallery, clusters = picture_gallery(args, trials, rows, device, encoder.config.embedding_size, folder)

    embeddings, logits = (tensor.numpy() for tensor in encode(encoder, trials.eeg[rows], args.batch_size, device))
    labels = trials.label[rows].numpy()
    scores = classification_scores(labels, logits, clusters)
    if trials.has_pictures:
        scores["retrieval"] = retrieval_scores(embeddings, gallery, clusters)
    if args.classical_baseline:
        scores["classical_baseline"] = baseline_scores(args, trials, split, clusters)
    scores |= {"split": args.split, "data": trials.fingerprint, "subject": args.subject}
    results = Path(args.results_dir or folder / args.split)
    tables = write_tables(results, labels, logits, trials.subject[rows].numpy(), trials.class_names)
    write_json(results / "scores.json", scores)
    print_scores(scores, tables)
    print(f"written to {results}")


if __name__ == "__main__":
    sys.exit(main())
