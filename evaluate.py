"""Score caption files side by side: text scores and object accuracy with intervals, and paired tests against one.

    python evaluate.py results/*.csv --json scores.json --chart scores.png
    python evaluate.py results/*.csv --compare_to shuffled_within_class
    python evaluate.py deepseek_eeg_model_7B_base_results.csv --protocol thought2text

Takes the CSVs that inference.py and inference_chance.py write, and the predecessors' five-column ones. Intervals are
95% bootstrap intervals that draw whole pictures, since several people saw the same one; p is a two-sided paired
permutation test, by picture, on the rows that both files hold. METEOR needs `python -m metrics.wordnet` once.
"""

import json
import math
import shutil
import sys
from pathlib import Path

from errors import InputError, exits_cleanly
from metrics.caption_files import MODEL_CONDITION, find_reference, name_files, paired_rows, read_captions
from metrics.text import CLEANINGS, METRICS, PROTOCOLS
from options import bounded, make_parser, positive
from runs import atomic_path

ACCURACY = "Object accuracy"


def score(file, args):
    """Fill in the file's scores per row and their intervals."""
    import pandas as pd

    from metrics.statistics import bootstrap_interval
    from metrics.text import bert_scores, caption_scores, clean_captions, default_cleaning

    predictions, references = (file.table[column].tolist() for column in ("Generated Caption", "Expected Caption"))
    cleaning = args.cleaning or default_cleaning(predictions, args.protocol)
    if cleaning != "none":
        file.notes.append(f"captions cleaned: {cleaning}")
    empty = sum(not caption.strip() for caption in predictions)
    if empty:
        scored_as = "score 0" if cleaning == "none" else "are scored as the text 'No response.'"
        file.notes.append(f"{empty} of {len(predictions)} generated captions are empty and {scored_as}")
    try:
        scores = caption_scores(predictions, references, args.protocol, cleaning, args.metrics)
    except InputError as error:
        raise InputError(f"{file.path}: {error}") from None
    if args.bertscore_model:
        scores["BERTScore"] = bert_scores(clean_captions(predictions, cleaning), references, args.bertscore_model,
                                          args.bertscore_layers, device=args.device)
    expected, predicted = (file.table[column].str.strip() for column in ("Expected object", "Predicted object"))
    if predicted.any():
        scores[ACCURACY] = (expected == predicted).to_numpy(dtype=float)
    else:
        file.notes.append("no predicted objects, so no object accuracy")
    file.scores = pd.DataFrame(scores)
    low, high = bootstrap_interval(lambda rows: rows.mean(axis=0), file.scores.to_numpy(), clusters=file.clusters,
                                   n_boot=args.n_boot, seed=args.seed)
    file.interval = dict(zip(file.scores, zip(low.tolist(), high.tolist(), strict=True), strict=True))


def compare(file, reference, pairs, args):
    """Fill in the mean paired difference, the file minus the reference, and its p."""
    from metrics.statistics import paired_permutation

    rows, others = pairs
    metrics = [metric for metric in file.scores if metric in reference.scores]
    a, b = file.scores[metrics].to_numpy()[rows], reference.scores[metrics].to_numpy()[others]
    p = paired_permutation(a, b, clusters=file.clusters[rows], n_perm=args.n_perm, seed=args.seed)
    file.against = {"file": reference.key} | {
        metric: {"difference": float(difference), "p": float(value)}
        for metric, difference, value in zip(metrics, (a - b).mean(axis=0), p, strict=True)}
    if len(rows) < max(len(file.table), len(reference.table)):
        file.notes.append(f"compared on the {len(rows)} trials that {reference.key} also holds")


def pair_with(reference, files, strict):
    """{file key: paired rows}; where a file cannot be paired an InputError if `strict`, else a note."""
    pairs = {}
    for file in files:
        if file is reference:
            continue
        try:
            pairs[file.key] = paired_rows(file, reference)
        except InputError as error:
            if strict:
                raise
            file.notes.append(f"not compared: {error}")
    return pairs


def summary(file):
    """The file's entry in the JSON."""
    known = {metric: [None if math.isnan(end) else end for end in ends] for metric, ends in file.interval.items()}
    entry = {"n": len(file.table), **file.scores.mean().to_dict(), "95%": known, "condition": file.condition}
    return entry | ({"against": file.against} if file.against else {})


def short(value, sign=""):
    """Three decimals without the leading zero: .262, -.013, 1.000."""
    return "-" if math.isnan(value) else f"{value:{sign}.3f}".replace("0.", ".", 1)


def print_table(files):
    """Print all files, their metrics in as many parts as the terminal's width asks for."""
    metrics = list(dict.fromkeys(metric for file in files for metric in file.scores))
    heads = [f"{file.key} ({file.condition})" if file.condition else file.key for file in files]
    left = max(len("minus the reference"), *(min(len(head), 44) for head in heads)) + 2
    cells = 12
    per_part = max(1, (shutil.get_terminal_size((170, 24)).columns - left - 7) // cells)
    for start in range(0, len(metrics), per_part):
        part = metrics[start:start + per_part]

        def row(head, n, texts):
            print(f"{head:<{left}}{n:>7}" + "".join(f"{text:>{cells}}" for text in texts))

        print()
        row("", "n", ["Object acc." if metric == ACCURACY else metric for metric in part])
        for file, head in zip(files, heads, strict=True):
            means = file.scores.mean()
            row(head if len(head) <= 44 else f"...{head[-41:]}", len(file.table),
                [short(means.get(metric, math.nan)) for metric in part])
            row("  95% interval", "", ["-".join(short(end) for end in file.interval[metric])
                                       if metric in file.interval else "" for metric in part])
            if file.against:
                found = [file.against.get(metric) for metric in part]
                row("  minus the reference", "", [short(one["difference"], "+") if one else "" for one in found])
                row("  p", "", [f"{one['p']:.4f}" if one else "" for one in found])
    print()
    reference = {file.against["file"] for file in files if file.against}
    for key in reference:
        print(f"reference of the differences and p: {key}")
    for file in files:
        for note in file.notes:
            print(f"{file.key}: {note}")


def write_csv(path, files):
    """One row a file: its scores, their intervals and, where compared, differences and p."""
    import pandas as pd

    rows = []
    for file in files:
        row = {"file": file.key, "condition": file.condition, "n": len(file.table)}
        for metric, mean in file.scores.mean().items():
            low, high = file.interval[metric]
            row |= {metric: mean, f"{metric} 95% low": low, f"{metric} 95% high": high}
            if file.against and metric in file.against:
                row |= {f"{metric} {name}": value for name, value in file.against[metric].items()}
        rows.append(row | ({"against": file.against["file"]} if file.against else {}))
    with atomic_path(path) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)


def write_chart(path, files):
    """One panel a metric, one bar a file, with its interval."""
    from matplotlib.figure import Figure

    metrics = [metric for metric in dict.fromkeys(metric for file in files for metric in file.scores)
               if metric != "BLEU-4"]  # the same as BLEU
    names = [file.condition if file.condition and sum(file.condition == other.condition for other in files) == 1
             else file.key for file in files]
    columns = min(5, len(metrics))
    rows = math.ceil(len(metrics) / columns)
    figure = Figure(figsize=(2.5 + 2.6 * columns, rows * (1.0 + 0.32 * len(files))), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for panel, metric in zip(panels, metrics, strict=False):
        for place, file in enumerate(files):
            if metric not in file.scores:
                continue
            mean = file.scores[metric].mean()
            panel.barh(place, mean, color=f"C{place % 10}", height=0.7)
            low, high = file.interval[metric]
            if not math.isnan(low):
                panel.plot([low, high], [place, place], color="black", marker="|", markersize=5, linewidth=1)
        panel.set_title(metric, fontsize=10)
        panel.set_xlim(left=0)
        panel.tick_params(axis="x", labelsize=8)
        panel.grid(axis="x", alpha=0.3)
        panel.set_axisbelow(True)
    panels[0].set_yticks(range(len(files)), [name if len(name) <= 34 else f"...{name[-31:]}" for name in names],
                         fontsize=9)
    panels[0].invert_yaxis()
    for panel in panels[len(metrics):]:
        panel.set_visible(False)
    figure.supxlabel("mean over the rows, with its 95% interval", fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)


def parse(argv):
    parser = make_parser(__doc__)
    parser.add_argument("csv_files", nargs="+", metavar="CSV", help="CSVs of captions, one a condition or model")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="ours",
                        help="how captions are cleaned and cut into words: ours, or as the predecessors' published "
                             "scores were computed")
    parser.add_argument("--cleaning", choices=CLEANINGS,
                        help="what to take of each generated caption: deepseek = between '<s>System:' and '</s>', "
                             "first_sentence, or none = all of it; unset: none for ours, and for thought2text "
                             "deepseek where a caption holds '<s>System:', else first_sentence")
    parser.add_argument("--metrics", nargs="+", choices=METRICS, default=METRICS, metavar="METRIC",
                        help="text scores to compute, of " + " ".join(METRICS))
    parser.add_argument("--bertscore_model", metavar="NAME_OR_FOLDER",
                        help="Hugging Face encoder for BERTScore F1; unset: no BERTScore")
    parser.add_argument("--bertscore_layers", type=positive,
                        help="number of the encoder's layer that BERTScore compares; unset: bert-score's for the name")
    parser.add_argument("--device", default="cpu", help="device of the BERTScore encoder")
    parser.add_argument("--compare_to", metavar="FILE_OR_CONDITION",
                        help="which of the CSVs the others are compared to, by path, file name or condition; unset: "
                             f"the one of condition {MODEL_CONDITION} if there is exactly one")
    parser.add_argument("--n_boot", type=positive, default=2000, help="bootstrap resamples for the intervals")
    parser.add_argument("--n_perm", type=positive, default=10000, help="random exchanges for p")
    parser.add_argument("--seed", type=bounded(int, 0, 2**32 - 1), default=0, help="seed of the resampling")
    parser.add_argument("--json", metavar="FILE", help="write everything here as JSON, keyed by file name")
    parser.add_argument("--csv", metavar="FILE", help="write everything here as CSV, one row a file")
    parser.add_argument("--chart", metavar="FILE", help="draw bars with intervals here (.png, .pdf or .svg)")
    args = parser.parse_args(argv)
    if args.chart and Path(args.chart).suffix not in (".png", ".pdf", ".svg"):
        raise InputError(f"--chart {args.chart}: expected a name that ends in .png, .pdf or .svg")
    return args


@exits_cleanly
def main(argv=None):
    args = parse(argv)
    from tqdm import tqdm

    from metrics.wordnet import require_wordnet

    files = [read_captions(path) for path in args.csv_files]
    taken = {file.path.resolve() for file in files}
    for flag, path in (("--json", args.json), ("--csv", args.csv), ("--chart", args.chart)):
        if path and Path(path).resolve() in taken:
            raise InputError(f"{flag} {path}: is an input or another output; choose another file")
        taken |= {Path(path).resolve()} if path else set()
    if args.compare_to and Path(args.compare_to).is_file():
        given = {file.path.resolve() for file in files}
        files += [] if Path(args.compare_to).resolve() in given else [read_captions(args.compare_to)]
    name_files(files)
    reference = find_reference(files, args.compare_to)
    pairs = pair_with(reference, files, strict=bool(args.compare_to)) if reference else {}
    if "METEOR" in args.metrics:
        require_wordnet()
    for file in tqdm(files, desc="scoring", unit="file", disable=None, leave=False):
        score(file, args)
    for file in files:
        if file.key in pairs:
            compare(file, reference, pairs[file.key], args)
    print_table(files)
    if args.json:
        content = {file.key: summary(file) for file in files}
        with atomic_path(args.json) as temporary:
            temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
    if args.csv:
        write_csv(args.csv, files)
    if args.chart:
        write_chart(args.chart, files)
    for path in filter(None, (args.json, args.csv, args.chart)):
        print(f"wrote {path}")


if __name__ == "__main__":
    sys.exit(main())
