"""Score caption files side by side, and say what may be claimed from them.

    python evaluate.py results/*.csv --report runs/mine
    python evaluate.py results/*.csv --json scores.json --chart scores.png
    python evaluate.py deepseek_eeg_model_7B_base_results.csv --protocol thought2text

Reads the CSVs of inference.py and inference_chance.py, and the five-column CSVs of the predecessors. The files of one model
form a study: its captions, the controls and the text baselines. Claims rest on ROUGE-1 alone. Intervals are 95% bootstrap
intervals that resample whole pictures, and also people where several saw each picture. p is of two-sided permutation tests;
Holm marks p that are corrected for the number of tests. METEOR needs `python -m metrics.wordnet` once.
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

from runtime import idle_options, locks, options
from runtime.errors import InputError, exits_cleanly
from runtime.next_command import report_folder, say_next
from runtime.options import bounded, make_parser, positive

from evaluation.scoring import N_WAY, OBJECT_WORD
from metrics.caption_files import Captions, name_files, read_captions, with_whole_letters
from metrics.coco import TABLE as COCO_TABLE
from metrics.conditions import MODEL_CONDITION
from metrics.grounding import METRIC
from metrics.judge import Judge
from metrics.judge import add_arguments as judge_options
from metrics.text import CLEANINGS, METRICS, PROTOCOLS
from report import FILES

ALL_METRICS = (*METRICS, OBJECT_WORD, N_WAY)


def parse(argv: list[str] | None) -> options.Options:
    """The options as given; InputError where a file name does not fit its option."""
    parser = make_parser(__doc__)
    parser.add_argument("csv_files", nargs="+", metavar="CSV", help="CSVs of captions, one for each condition or model")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="ours",
                        help="how captions are cleaned, tokenised and scored: ours, as for the predecessors' published "
                             "scores, or by pycocoevalcap as tables of COCO captions do")
    parser.add_argument("--cleaning", choices=CLEANINGS,
                        help="which part of each generated caption is scored: deepseek = between '<s>System:' and '</s>', "
                             "first_sentence, or none = all of it. Unset: none with --protocol ours; with thought2text "
                             "deepseek if a caption contains '<s>System:', else first_sentence")
    parser.add_argument("--metrics", nargs="+", choices=ALL_METRICS, default=ALL_METRICS, metavar="METRIC",
                        help="scores to compute. n-way is retrieval of the true caption among n. ROUGE-1, on which claims "
                             "rest, is always computed")
    parser.add_argument("--sentence_model", metavar="NAME_OR_FOLDER", help="sentence-embedding model for the similarity of "
                        "captions and for retrieval by embedding; unset: neither")
    parser.add_argument("--clip_score_model", metavar="NAME_OR_FOLDER", help="CLIP model, with its text tower, for CLIP-S "
                        "and RefCLIP-S; the pictures are those that the CSVs name; unset: neither")
    parser.add_argument("--spice", action="store_true", help="with --protocol coco: also SPICE, where Java is there; it "
                                                             "takes minutes")
    parser.add_argument("--bertscore_model", metavar="NAME_OR_FOLDER",
                        help="Hugging Face encoder for BERTScore F1; unset: no BERTScore")
    parser.add_argument("--bertscore_layers", type=positive,
                        help="layer of the encoder whose states BERTScore compares; unset: bert-score's choice for the "
                             "model")
    parser.add_argument("--device", default="auto", help="device of --bertscore_model, --sentence_model, "
                        "--clip_score_model and a local --judge_model: cpu, cuda, cuda:N or auto (CUDA if available)")
    parser.add_argument("--compare_to", metavar="FILE_OR_CONDITION",
                        help="the CSV that all others are compared with, by path, file name or condition; unset: each is "
                             f"compared with the {MODEL_CONDITION} of its model")
    parser.add_argument("--n_boot", type=positive, default=2000, help="bootstrap resamples for the intervals")
    parser.add_argument("--n_perm", type=positive, default=10000, help="random permutations for p")
    options.seed_option(parser, "resamples and permutations, and of the rows that --judge_limit draws")
    parser.add_argument("--json", metavar="FILE", help="write scores, intervals and comparisons here as JSON, keyed by "
                        "file name")
    parser.add_argument("--csv", metavar="FILE", help="write the same here as CSV, a row for each file")
    parser.add_argument("--chart", metavar="FILE", help="draw a bar chart with intervals here (.png, .pdf or .svg)")
    parser.add_argument("--all", action="store_true", help="print each metric with intervals and tests, not only the main "
                        "ones")
    parser.add_argument("--effects", nargs="+", type=bounded(float, 1e-6), default=[0.01, 0.02, 0.05], metavar="GAIN",
                        help="gains in ROUGE-1; the report says how many test pictures are needed to detect each")
    parser.add_argument("--allow_overlap", action="store_true",
                        help="also score captions of pictures that the model was trained on; the report says so")
    judge_options(parser)
    group = parser.add_argument_group("report")
    group.add_argument("--report", metavar="DIR", help="write report.html, results.json, table.tex and index.md into "
                       "this folder")
    group.add_argument("--title", help="heading of the report (unset: it names the data and the folder)")
    group.add_argument("--examples", type=bounded(int, 0), default=24,
                       help="number of examples in the report; a third each are good, median and bad captions")
    group.add_argument("--beside", metavar="RESULTS_JSON", help="results.json of another report, which is shown beside")
    options.data_options(parser, required=False).description = (
        "The model's data, for text baselines that inference_chance.py did not write. Unset: the data that the record of "
        "the captions names")
    args = options.parse(parser, argv)
    if args.chart and Path(args.chart).suffix not in (".png", ".pdf", ".svg"):
        raise InputError(f"--chart {args.chart}: expected a file name that ends in .png, .pdf or .svg")
    refuse_without_effect(args)
    return args


def refuse_without_effect(args: options.Options) -> None:
    """Raise InputError for an option that would be ignored beside the others."""
    idle_options.say_idle(args, idle_options.EVALUATION)
    if args.protocol == "coco":
        known = (*COCO_TABLE, METRIC, OBJECT_WORD, N_WAY)
        unknown = [metric for metric in args.metrics if metric not in known] if "metrics" in args.given() else []
        if unknown:
            raise InputError(f"--metrics {' '.join(unknown)}: not among the scores of --protocol coco, which are "
                             f"{', '.join(metric for metric in ALL_METRICS if metric in known)}; name some of these, or "
                             "choose another protocol")
    elif args.spice:
        raise InputError(f"--spice: has no effect with --protocol {args.protocol}; give --protocol coco, or leave --spice "
                         "out")


def read_files(args: argparse.Namespace) -> list[Captions]:
    """The CSVs, that of --compare_to among them; InputError where an output would overwrite one, its record or --beside, or
    cannot be written."""
    files = [with_whole_letters(read_captions(path)) for path in args.csv_files]
    if args.compare_to and Path(args.compare_to).is_file():
        given = {file.path.resolve() for file in files}
        files += [] if Path(args.compare_to).resolve() in given else [with_whole_letters(read_captions(args.compare_to))]
    taken = {path.resolve() for file in files for path in (file.path, file.path.with_name(f"{file.path.name}.json"))}
    taken |= {Path(args.beside).resolve()} if args.beside else set()
    taken |= {(Path(args.report) / name).resolve() for name in (*FILES, "audit.json")} if args.report else set()
    for flag, path in (("--json", args.json), ("--csv", args.csv), ("--chart", args.chart)):
        if path and Path(path).resolve() in taken:
            raise InputError(f"{flag} {path}: is also an input or another output; choose another file")
        taken |= {Path(path).resolve()} if path else set()
    if args.report and Path(args.report).exists() and not Path(args.report).is_dir():
        raise InputError(f"--report {args.report}: is a file; expected a folder for report.html, results.json, table.tex")
    for flag, path in (("--report", args.report), ("--json", args.json), ("--csv", args.csv), ("--chart", args.chart)):
        place = path and next(folder for folder in Path(path).resolve().parents if folder.exists())
        if place and not (place.is_dir() and os.access(place, os.W_OK)):  # before the work, not after it
            raise InputError(f"{flag} {path}: {place} is no folder that can be written to; choose another path")
    name_files(files)
    return files


def _clip_scores(name, device):
    """What scores captions by a CLIP: each picture and each text is embedded once."""
    from functools import cache

    from encoders.clip import embed_pictures, embed_texts
    from metrics.clip_score import clip_scores

    @cache
    def pictures(paths):
        return embed_pictures(paths, name, device)

    def scores(captions, references, paths):
        absent = [path for path in paths if not path.is_file()]
        if absent:
            raise InputError(f"--clip_score_model {name}: picture {absent[0]}, which a CSV names, is not there; evaluate "
                             "where the captions were written, or leave the option out")
        return clip_scores(captions, references, paths, lambda files: pictures(tuple(files)),
                           lambda texts: embed_texts(texts, name, device))

    return scores


@exits_cleanly
def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    from tqdm import tqdm

    from evaluation import tables, terminal
    from evaluation.reference import compare_files
    from evaluation.results import all_results, refuse_overlap
    from evaluation.score_chart import write_chart
    from evaluation.scoring import score
    from evaluation.studies import complete, group, training_captions
    from metrics.wordnet import require_wordnet
    from report import read_beside, write_report

    files = read_files(args)
    other = read_beside(args.beside) if args.beside else None
    if other and other[1].get("protocol", args.protocol) != args.protocol:
        raise InputError(f"--beside {args.beside}: its scores are those of --protocol {other[1]['protocol']}, which cannot "
                         f"be compared with those of {args.protocol}; evaluate both with the same --protocol")
    refuse_overlap(files, args.allow_overlap)
    if "METEOR" in args.metrics or OBJECT_WORD in args.metrics:
        require_wordnet()
    embed, clip, judge = None, None, Judge.from_arguments(args)
    if args.sentence_model or args.bertscore_model or args.judge_model or args.clip_score_model:
        options.resolve_device(args.device)  # a missing device ends the run before the work
    if args.sentence_model:
        from metrics.sentences import embed as sentence_embeddings

        embed = partial(sentence_embeddings, model=args.sentence_model, device=args.device)
    if args.clip_score_model:
        clip = _clip_scores(args.clip_score_model, options.resolve_device(args.device))
    studies = group(files)
    for study in studies:
        complete(study, training_captions(study, args), args.seed)
    files = [file for study in studies for file in study.members]
    for file in tqdm(files, desc="scoring", unit="file", leave=False):
        score(file, args, embed, judge, clip)
    compare_files(studies, files, args)
    results = all_results(studies, args, judge)
    terminal.print_verdicts(results)
    terminal.print_seeds(results)
    terminal.print_scores(files, args.all)
    terminal.print_coco(files)
    if judge:
        print("\n".join(judge.lines()))
    if args.json:
        tables.write_json_scores(args.json, files)
    if args.csv:
        tables.write_csv(args.csv, files)
    if args.chart:
        write_chart(args.chart, files, [study.eeg["text"] for study in studies])
    written = [path for path in (args.json, args.csv, args.chart) if path]
    if args.report:
        with locks.only_run(args.report, "--report"):
            written += write_report(args.report, results, [study.files for study in studies], other, args.examples)
    for path in written:
        print(f"wrote {path}")
    if args.report:
        print(f"next: open {Path(args.report) / 'report.html'} in a browser")
    else:
        same = tuple(name for name in args.given() if name not in ("csv_files", "json", "csv", "chart", "all"))
        say_next("evaluate.py", args, *args.csv_files, carry=same, report=report_folder(Path(args.csv_files[0]).parent))


if __name__ == "__main__":
    sys.exit(main())
