"""Retrieval by target, loss and protocol, over several seeds: a table of means and standard deviations.

    python -m recipes.compare_targets --eeg_dataset demo/half/data --clip_model demo/half/clip --layers 2 3 4 final \\
        --output runs/targets

Each combination of a target (the picture model's final embedding, the layer of --layers that validation picks, their
learned mix) and of losses is trained by train_eeg_classifier.py with each seed, and scored by test_eeg_classifier.py. A row
of the table is a combination; a column is a protocol of its retrieval table: repetitions, people and similarity. What is
in --output of the same data, picture model and options is not trained again. File: table.md.
"""

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

from runtime import options
from runtime.atomic_files import atomic_path
from runtime.errors import InputError, exits_cleanly
from runtime.locks import only_run
from runtime.model_files import model_identity, model_key
from runtime.runs import content_key
from runtime.text_files import read_csv

LOSSES = (("mse",), ("infonce",), ("mse", "infonce"))


def parse(argv: list[str] | None) -> options.Options:
    parser = options.make_parser(__doc__)
    parser.prog = "python -m recipes.compare_targets"
    parser.add_argument("--eeg_dataset", required=True, help="data set folder")
    parser.add_argument("--clip_model", required=True, help="picture model, as of train_eeg_classifier.py")
    parser.add_argument("--output", required=True, help="folder for encoders and table.md")
    parser.add_argument("--layers", nargs="+", default=[], metavar="LAYER", help="--target_layers of two further targets: "
                        "one layer picked on validation, and of several layers a learned mix (unset: the final embedding "
                        "only)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="seeds of training")
    parser.add_argument("--subject", type=int, default=0, help="person to train and score on (unset: all)")
    parser.add_argument("--num_epochs", type=options.positive, default=30, help="epochs of training")
    return options.parse(parser, argv)


def targets_of(layers: list[str]) -> dict[str, list[str]]:
    """{target: options of train_eeg_classifier.py}."""
    if not layers:
        return {"final embedding": []}
    given = ["--target_layers", *layers]
    mixed = {"learned mix": [*given, "--target_mix", "learned"]} if len(set(layers)) > 1 else {}
    return {"final embedding": [], "layer picked on validation": given} | mixed


def made_from(args: argparse.Namespace) -> str:
    """A short key of the data, the picture model and the options that all combinations share."""
    from eegdata.trials import load_trials

    return content_key([load_trials(args.eeg_dataset).fingerprint, model_key(model_identity(args.clip_model)),
                        args.layers, args.subject, args.num_epochs])


def scored(args: argparse.Namespace, folder: Path, seed: int, more: list[str]) -> dict[tuple, float]:
    """Top-1 by (repetitions, people, similarity) of the encoder in `folder`, which is trained if it is not there."""
    data = ["--eeg_dataset", args.eeg_dataset, "--clip_model", args.clip_model, "--subject", str(args.subject)]
    file = folder / "test" / "retrieval.csv"
    if not file.is_file():
        train = [*data, "--output", folder, "--seed", str(seed), "--num_epochs", str(args.num_epochs), "--overwrite", *more]
        subprocess.run([sys.executable, "train_eeg_classifier.py", *train], check=True, stdout=subprocess.DEVNULL)
        pictures = folder / "target" if (folder / "target" / "config.json").is_file() else args.clip_model
        test = [*data[:2], *data[4:], "--clip_model", pictures, "--output", folder]
        subprocess.run([sys.executable, "test_eeg_classifier.py", *test], check=True, stdout=subprocess.DEVNULL)
    columns, cells = read_csv(file)
    try:
        rows = [dict(zip(columns, row, strict=True)) for row in cells]
        return {(int(row["repetitions"]), int(row["people"]), row["similarity"]): float(row["top1"]) for row in rows}
    except (KeyError, ValueError) as error:
        raise InputError(f"{file}: damaged ({error!r}); expected the columns repetitions, people, similarity and top1; "
                         "delete the file, and it is computed again") from None


def table(found: dict[str, list[dict[tuple, float]]]) -> str:
    """A Markdown table: a row for each combination, a column for each protocol; mean and SD over seeds."""
    protocols = list(next(iter(found.values()))[0])
    heads = [f"{repetitions} x {people}, {similarity}{' (transductive)' * (similarity == 'csls')}"
             for repetitions, people, similarity in protocols]
    rows = [["target and losses", *heads], ["---"] * (len(heads) + 1)]
    for name, by_seed in found.items():
        values = [[each[protocol] for each in by_seed] for protocol in protocols]
        rows.append([name, *(f"{statistics.mean(each):.3f} ± {statistics.stdev(each):.3f}" if len(each) > 1 else
                             f"{each[0]:.3f}" for each in values)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


@exits_cleanly
def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    found, output, key = {}, Path(args.output), made_from(args)
    with only_run(output, "--output"):
        for target, more in targets_of(args.layers).items():
            for losses in LOSSES:
                name = f"{target}, {' + '.join(losses)}"
                found[name] = [scored(args, output / key / f"{target}_{'_'.join(losses)}_{seed}".replace(" ", "_"),
                                      seed, [*more, "--loss", *losses]) for seed in dict.fromkeys(args.seeds)]
                print(name, flush=True)
    text = table(found)
    with atomic_path(output / "table.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
