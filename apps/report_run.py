"""Read what the report shows from a run folder; parts that are absent become notes, broken ones errors."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from apps.report_evidence import ANY_CLASS, WITHIN_CLASS, difference, score_rows
from errors import InputError
from metrics.caption_files import MODEL_CONDITION, read_captions
from runs import read_json

PARTS = ("results/*.csv", "scores.json", "eeg_encoder/", "captioner/")


@dataclass
class Run:
    """One run folder: captions and their METRIC by condition, the score table, the encoder's test scores, logs."""

    folder: Path
    captions: dict = field(default_factory=dict)  # condition -> metrics.caption_files.Captions
    row_scores: dict = field(default_factory=dict)  # condition -> [n]
    differences: dict = field(default_factory=dict)  # control -> Difference
    scores: dict = field(default_factory=dict)  # CSV name -> what evaluate.py wrote of it
    encoder: dict = field(default_factory=dict)
    losses: dict = field(default_factory=dict)  # stage -> {"training" | "validation": [(epoch, loss)]}
    options: dict = field(default_factory=dict)  # stage -> args.json
    findings: list = field(default_factory=list)  # of the data's audit, worst first, as report_audit.find_audit gives them
    notes: dict = field(default_factory=dict)  # part of the page -> [what is to be said there]

    def note(self, part, text):
        self.notes.setdefault(part, []).append(text)

    def json(self, name, part, absent):
        """A JSON object of the run, {} with a note where the file is absent."""
        path = self.folder / name
        if not path.is_file():
            self.note(part, f"{name} is not in this run: {absent}")
            return {}
        return read_json(path)


def read_run(folder):
    """Run from a folder; InputError where it is none or where one of its files is broken."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected a run folder, such as recipes/demo.sh makes")
    if not any(next(folder.glob(part.rstrip("/")), None) for part in PARTS):
        raise InputError(f"{folder}: no run folder; expected at least one of {', '.join(PARTS)} in it")
    run = Run(folder)
    read_results(run)
    read_scores(run)
    run.encoder = run.json("eeg_encoder/test/scores.json", "encoder", "test_eeg_classifier.py writes it.")
    objects = [run.encoder.get(key) or {} for key in ("retrieval", "classical_baseline")]
    if run.encoder and not (isinstance(run.encoder.get("top1"), float | int) and all(isinstance(o, dict) for o in objects)):
        raise InputError(f"{folder}/eeg_encoder/test/scores.json: expected a number under 'top1' and objects under "
                         "'retrieval' and 'classical_baseline'; write it again with test_eeg_classifier.py")
    for stage, part in (("eeg_encoder", "train_eeg_classifier.py"), ("captioner", "finetune_llm.py")):
        log = run.json(f"{stage}/train_log.json", "losses", f"{part} writes it, so its loss curves are missing here.")
        run.losses |= {name: loss_curves(run, stage, name, entries) for name, entries in log.items()}
        run.options[stage] = run.json(f"{stage}/args.json", "options", f"{part} writes it.")
    return run


def read_results(run):
    """Caption files by condition, each row's score, and eeg+label against every control."""
    newest_first = sorted(run.folder.glob("results/*.csv"), key=lambda path: path.stat().st_mtime, reverse=True)
    for captions in map(read_captions, newest_first):
        if captions.condition is None:
            run.note("claim", f"{captions.path.name} names no condition, so it can stand in the table only.")
            continue
        kept = run.captions.setdefault(captions.condition, captions)
        if kept is not captions:
            run.note("claim", f"{captions.path.name} and {kept.path.name} hold the same condition; only the newer, "
                              f"{kept.path.name}, is in the claim, the differences and the examples.")
    if not newest_first:
        run.note("claim", "results/ holds no CSV of captions; inference.py and inference_chance.py write them.")
    run.row_scores = {condition: score_rows(captions) for condition, captions in run.captions.items()}
    model = run.captions.get(MODEL_CONDITION)
    for condition, captions in run.captions.items() if model else ():
        if captions is model:
            continue
        try:
            run.differences[condition] = difference(model, captions, run.row_scores)
        except InputError as error:
            run.note("claim", f"{condition} could not be paired with {MODEL_CONDITION}: {error}")
    for control in (WITHIN_CLASS, ANY_CLASS) if model else ():
        if control not in run.captions:
            run.note("claim", f"No captions under {control} in results/; inference_chance.py writes them.")


def read_scores(run):
    """The table of evaluate.py, checked against the CSVs beside it."""
    command = f"python evaluate.py {run.folder}/results/*.csv --json {run.folder}/scores.json"
    run.scores = run.json("scores.json", "scores", f"`{command}` writes it, and the table needs it.")
    for key, entry in run.scores.items():
        if not (isinstance(entry, dict) and isinstance(entry.get("n"), int) and isinstance(entry.get("95%", {}), dict)):
            raise InputError(f"{run.folder}/scores.json: entry {key!r} lacks the row count under 'n' or its '95%' is no "
                             f"object; expected what evaluate.py writes, by `{command}`")
    rows = {captions.path.name: len(captions.table) for captions in run.captions.values()}
    stale = [name for name, n in rows.items() if run.scores and run.scores.get(name, {}).get("n") != n]
    if stale:
        run.note("scores", f"The table is not of the captions in results/: {', '.join(sorted(stale))} missing from "
                           f"scores.json or of another length there. `{command}` writes it anew.")


def loss_curves(run, stage, name, entries):
    """{"training", "validation"} of a trainer's log_history; entries that are not finite are dropped with a note."""
    curves = {}
    for curve, key in (("training", "loss"), ("validation", "eval_loss")):
        try:
            points = [(float(entry["epoch"]), float(entry[key])) for entry in entries if key in entry]
        except (TypeError, ValueError, KeyError):
            raise InputError(f"{run.folder}/{stage}/train_log.json: {name!r} is no list of log entries with numbers under "
                             f"'epoch' and '{key}'; train again or remove the file") from None
        curves[curve] = [point for point in points if all(map(math.isfinite, point))]
        if len(curves[curve]) < len(points):
            run.note("losses", f"{name}: {len(points) - len(curves[curve])} {curve} losses are not finite.")
    if not any(curves.values()):
        run.note("losses", f"{name}: the log holds no losses.")
    return curves
