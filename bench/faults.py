"""Kill the stages, damage the files that are read, flip bits in those that are written: checks docs/reliability.md.

    python -m bench.faults
    python -m bench.faults --parts kills --kills 400
    python -m bench.faults --parts inputs --readers "caption files" EDF --inputs 10000

kills: each stage runs on tiny data with tiny models, is killed by SIGKILL at a random moment or write, goes on as the page
says, and its result is compared byte for byte with that of a run that was not killed. inputs: damaged files are given to
all that reads files: they are read rightly or refused with one message. flips: a single bit is flipped in each kind of file
that the stages write: it is noticed, or changes nothing that is read.

--output gets kills.jsonl, inputs.jsonl and flips.jsonl with a line for each kill and each batch of inputs, and table.md. A
run that was stopped goes on where it was. Each input depends on --seed, its reader and its number alone. The exit code is 1
if a fault was found. With the package atheris installed, it draws a part of the inputs.
"""

from __future__ import annotations

import datetime
import json
import os
import random
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from runtime import options
from runtime.errors import InputError, exits_cleanly
from runtime.options import Options, bounded, positive
from runtime.runs import read_json, write_json

from tqdm import tqdm

PARTS = ("kills", "inputs", "flips")
BATCH = 500  # inputs of one process
ENGINES = ("random",) * 18 + ("hypothesis", "atheris")  # of batches in turn; both look for what random draws miss
COLUMNS = {"kills": ("stage", "kills", "results equal", "faults"),
           "inputs": ("reader", "inputs", "read", "refused", "faults"),
           "flips": ("file", "flips", "nothing changed", "noticed", "used unnoticed")}


def parse(argv: list[str] | None) -> Options:
    parser = options.make_parser(__doc__)
    parser.prog = "python -m bench.faults"
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to do")
    parser.add_argument("--kills", type=positive, default=200, help="number of kills over all stages")
    parser.add_argument("--inputs", type=positive, default=100_000, help="number of inputs for each reader")
    parser.add_argument("--flips", type=positive, default=1000, help="number of flipped bits for each kind of file")
    parser.add_argument("--readers", nargs="+", metavar="NAME", help="readers or kinds of files, by the beginning of their "
                        "name as in the table (unset: all)")
    parser.add_argument("--seed", type=bounded(int, 0, 2**31), default=0, help="random seed")
    parser.add_argument("--output", type=Path, default=Path("runs/faults"), help="folder for results, tiny models and data")
    return options.parse(parser, argv)


def read_rows(file: Path) -> list[dict]:
    """The lines of a part that were written so far, without one that was cut short."""
    lines = file.read_text(encoding="utf-8").split("\n")[:-1] if file.is_file() else []
    try:
        return [json.loads(line) for line in lines]
    except json.JSONDecodeError as error:
        raise InputError(f"{file}: damaged ({error}); remove the file") from None


class Rows:
    """The results of a part: a line each, appended as they come."""

    def __init__(self, file: Path):
        self.file, self.rows = file, read_rows(file)
        file.write_text("".join(json.dumps(row) + "\n" for row in self.rows), encoding="utf-8")

    def add(self, row: dict, bar: tqdm) -> None:
        """Keep a row, and say what it found."""
        self.rows.append(row)
        with open(self.file, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        for what in row["faults"]:
            bar.write(f"{row.get('stage') or row['reader']}: {what} {row['faults'][what][1:]}")


def run_kills(args: Options, stages: object, rows: Rows) -> None:
    """Kill the stages in turn."""
    done = sum(len(row["how"]) for row in rows.rows)
    with tqdm(total=args.kills, initial=min(done, args.kills), desc="kills", unit="kill") as bar:
        while done < args.kills:
            number = len(rows.rows)
            stage = list(stages.commands)[number % len(stages.commands)]
            row = stages.kill(stage, random.Random(f"{args.seed} {number}"))
            faults = {row["found"]: [1, number, row["how"]]} if row["found"] else {}
            rows.add({"stage": stage, "how": row["how"], "faults": faults}, bar)
            done += len(row["how"])
            bar.update(len(row["how"]))


def run_inputs(args: Options, readers: dict, count: int, rows: Rows, engines: tuple[str, ...], desc: str) -> None:
    """Give each reader inputs up to number `count`, a batch of each in turn, so that all have equally many at any time."""
    from bench.fault_inputs import run_batch

    if args.readers:
        readers = {name: reader for name, reader in readers.items() if name.startswith(tuple(args.readers))}
        if not readers:
            raise InputError(f"--readers {' '.join(args.readers)}: no reader has a name that begins so")
    done = Counter()
    for row in rows.rows:
        done[row["reader"]] = max(done[row["reader"]], row["first"] + row["count"])
    with tqdm(total=count * len(readers), initial=sum(min(done[name], count) for name in readers), desc=desc,
              unit="input") as bar:
        while left := [name for name in readers if done[name] < count]:
            for name in left:
                bar.set_postfix_str(name)
                engine = engines[done[name] // BATCH % len(engines)]
                number = min(BATCH, count - done[name])
                rows.add(run_batch(name, readers[name], args.seed, done[name], number, args.output, engine), bar)
                done[name] += number
                bar.update(number)


def table(part: str, rows: list[dict]) -> str:
    """Markdown table of a part, and a list of its faults."""
    from bench import measurement

    names, found = list(dict.fromkeys(row.get("stage") or row["reader"] for row in rows)), []
    for name in names:
        own = [row for row in rows if name in (row.get("stage"), row.get("reader"))]
        faults = sum(times for row in own for times, *_ in row["faults"].values())
        if part == "kills":
            found.append((name, sum(len(row["how"]) for row in own), sum(not row["faults"] for row in own), faults))
        else:
            found.append((name, *(sum(row[key] for row in own) for key in ("count", "read", "refused")), faults))
    total = ("all", *(sum(column) for column in list(zip(*found, strict=True))[1:]))
    return measurement.table(COLUMNS[part], [[row[0], *(f"{value:,}" for value in row[1:])] for row in [*found, total]])


def faults_of(rows: list[dict]) -> list[str]:
    """A line for each different fault."""
    first = {}
    for row in rows:
        for what, (_, number, said) in row["faults"].items():
            first.setdefault((row.get("stage") or row["reader"], what), f"number {number}: {said}")
    return [f"- {name}: {what} ({said})" for (name, what), said in first.items()]


@exits_cleanly
def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    args.output.mkdir(parents=True, exist_ok=True)
    seed = args.output / "seed.json"
    if seed.is_file() and read_json(seed, int) != args.seed:
        raise InputError(f"--output {args.output}: holds results of another --seed ({read_json(seed, int)}); choose "
                         "another folder")
    write_json(seed, args.seed)
    os.environ.update(EEG_TO_TEXT_CACHE=str(args.output.absolute() / "cache"), HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")
    from bench.fault_kills import Stages

    stages = Stages(args.output.absolute())
    rows = {part: Rows(args.output / f"{part}.jsonl") for part in PARTS}
    if "kills" in args.parts:
        run_kills(args, stages, rows["kills"])
    os.environ["EEG_TO_TEXT_CACHE"] = str(args.output.absolute() / "cache")
    if "flips" in args.parts:
        from bench.fault_flips import kinds

        run_inputs(args, kinds(stages.made), args.flips, rows["flips"], ("random",), "flips")
    if "inputs" in args.parts:
        from bench.fault_inputs import make_readers

        engines = tuple(name if name == "random" or find_spec(name) else "random" for name in ENGINES)
        run_inputs(args, make_readers(stages.made), args.inputs, rows["inputs"], engines, "inputs")
    parts = [table(part, rows[part].rows) + "\n" for part in PARTS if rows[part].rows]
    faults = [line for part in PARTS for line in faults_of(rows[part].rows)]
    text = "\n".join([f"{datetime.date.today()}, `python -m bench.faults`\n", *parts, *(faults or ["No fault was found."])])
    (args.output / "table.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
