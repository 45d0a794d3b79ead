"""How often claims are made that are not true: thousands of studies at the level of captions, in many designs.

    python -m bench.claim_size --studies 1000
    python -m bench.claim_size --studies 200 --designs "predicted x true"

For each design of claim_designs.py the table has the share of studies with p < .05, in either direction, with its exact 95%
interval. Where the claim is not true this is the size of the test, which should be .05. Where it is true it is the power.
bench.null_studies measures the same over the whole pipeline, from EEG to verdicts, with fewer studies.
"""

from __future__ import annotations

import functools
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from runtime import options
from runtime.errors import InputError, exits_cleanly
from runtime.options import Options, bounded, neutral, positive
from runtime.runs import write_json
from runtime.wording import joined

import numpy as np
from tqdm import tqdm

from bench.claim_designs import Design, draw, named_designs
from bench.null_table import share, share_cell
from evaluation.claims import ALPHA, class_verdict, verdict_of
from metrics.grounding import beyond_the_class, fit_of, of_anything, of_the_class

CLAIMS = {"anything": "something of what was shown", "class": "the class", "beyond": "beyond the class"}


def parse(argv: list[str] | None) -> Options:
    parser = options.make_parser(__doc__)
    parser.prog = "python -m bench.claim_size"
    parser.add_argument("--studies", type=positive, default=1000, help="studies of each design")
    neutral(parser.add_argument("--designs", nargs="+", metavar="TEXT", help="designs with one of these in their name"))
    parser.add_argument("--n_perm", type=positive, default=499, help="permutations for p")
    parser.add_argument("--seed", type=bounded(int, 0, 2**31), default=0, help="random seed")
    neutral(parser.add_argument("--workers", type=positive, default=2, help="processes"))
    neutral(parser.add_argument("--json", metavar="FILE", help="write the rates here as JSON"))
    return options.parse(parser, argv)


def judge(design: Design, seed: int, n_perm: int, number: int) -> dict[str, tuple[float, bool]]:
    """(p, whether it is claimed) of each of CLAIMS in study `number` of a design."""
    rows = draw(design, np.random.default_rng([seed, number]))
    predicted, true = (np.char.add("kind", values.astype(str)) for values in (rows.predicted, rows.true))
    fit = fit_of(rows.generated, rows.true_captions, rows.picture, predicted, true, rows.person,
                 (rows.picture, rows.person))
    some, right, more = (test(fit, n_boot=1, n_perm=n_perm, seed=number)
                         for test in (of_anything, of_the_class, beyond_the_class))
    anything = verdict_of(some, "unknown")
    verdicts = {"anything": anything, "class": class_verdict(anything, right, "unknown"),
                "beyond": verdict_of(more, "unknown")}
    return {name: (1. if verdict["p"] is None else verdict["p"], bool(verdict["holds"]))
            for name, verdict in verdicts.items()}


def rates(results: list[dict], design: Design) -> dict[str, dict]:
    """For each claim whether it is true in the design, and the shares of studies with p < ALPHA and with the claim."""
    return {name: {"true": name in design.true_of,
                   "p_below": share(sum(result[name][0] < ALPHA for result in results), len(results)),
                   "claimed": share(sum(result[name][1] for result in results), len(results))} for name in CLAIMS}


def markdown(table: dict[str, dict]) -> str:
    """Rows of designs; a cell holds the share with p < .05, in bold where the claim is true and the share is power."""
    lines = [f"| design | {' | '.join(CLAIMS.values())} |", "|---" * (len(CLAIMS) + 1) + "|"]
    for design, found in table.items():
        cells = [f"**{share_cell(one['p_below'])}**" if one["true"] else share_cell(one["p_below"])
                 for one in found.values()]
        lines.append(f"| {design} | {' | '.join(cells)} |")
    return "\n".join(lines)


@exits_cleanly
def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    designs = {name: design for name, design in named_designs().items()
               if not args.designs or any(text in name for text in args.designs)}
    if not designs:
        raise InputError(f"--designs {' '.join(args.designs)}: fits none of {joined(list(named_designs()))}")
    table = {}
    with ProcessPoolExecutor(args.workers, get_context("spawn")) as pool, \
            tqdm(total=len(designs) * args.studies, desc="studies", unit="study") as bar:
        for name, design in designs.items():
            study, results = functools.partial(judge, design, args.seed, args.n_perm), []
            for result in pool.map(study, range(args.studies), chunksize=20):
                results.append(result)
                bar.update()
            table[name] = rates(results, design)
    print(markdown(table))
    if args.json:
        write_json(Path(args.json), {"rates": table, "studies": args.studies, "n_perm": args.n_perm, "seed": args.seed})
        print(f"wrote {args.json}")


if __name__ == "__main__":
    sys.exit(main())
