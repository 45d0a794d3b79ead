"""All results of an evaluation as one dict: results.json, from which the report is written."""

from argparse import Namespace
from pathlib import Path

from runtime.errors import InputError
from runtime.run_facts import run_facts
from runtime.runs import file_hash, versions
from runtime.secrets import without_secrets

import numpy as np

from evaluation.ledger import count_scorings, family, ledger_folders, note_scoring, run_folder
from metrics.calibration import calibration
from metrics.caption_files import COLUMNS, Captions, paired_rows
from metrics.conditions import BY_NAME, MODEL_CONDITION
from metrics.grounding import METRIC
from metrics.judge import Judge
from metrics.statistics import holm, known_or_none

from .caveats import about_scores
from .claims import ALPHA, claim, correct_over_studies, difference, judge_study
from .data_audit import add_audit
from .data_source import eeg_of
from .scoring import known_corpus
from .seeds import over_seeds
from .study import Study

FORMAT = "eeg-to-text results 1"
FAMILY_KEYS = ("data", "splits", "split_num", "split", "subject")  # of a record: what identifies a test split


def refuse_overlap(files: list[Captions], allowed: bool) -> None:
    """Raise InputError where captions are of pictures that the model was trained on, unless that is allowed."""
    for file in files:
        known = (file.record or {}).get("trained_on")
        if known and not allowed:
            raise InputError(f"{file.path}: the model was trained on {len(known)} of its {len(set(file.clusters))} "
                             f"pictures, {known[0]} among them, so the scores tell nothing about new pictures; caption "
                             "pictures that it was not trained on, or give --allow_overlap to score these anyway (the "
                             "report says so)")


def look_of(file: Captions) -> tuple[list[Path], str] | None:
    """(folders of the ledger, family) of a scoring of a model's captions; None where the record does not say what is
    scored, or where it is no test part."""
    record = file.record or {}
    identified = all(record.get(name) is not None for name in (*FAMILY_KEYS, "model", "model_path"))
    if file.condition != MODEL_CONDITION or record.get("split") != "test" or not identified:
        return None
    run = run_folder(record["model_path"]) or file.path.resolve().parent
    return ledger_folders(record.get("eeg_dataset"), run), family(record["data"], record["split"])


def note_looks(studies: list[Study]) -> None:
    """Note the scorings of test data in their ledgers, then let each study have the ledgers' count.

    Further captions of a model are further scorings, whether claims rest on them or not.
    """
    for file in (file for study in studies for file in study.members):
        look = look_of(file)
        if look:
            record = file.record
            note_scoring(*look, script="evaluate.py", model=record["model"], scored=file_hash(file.path),
                         split=f"{record['splits']}/{record['split_num']}", subject=record["subject"])
    for study in studies:
        look = study.model and look_of(study.model)
        study.ledger = look and count_scorings(*look)


def provenance(study: Study, args: Namespace) -> dict:
    """Where the captions come from, and what the model may have seen of the pictures before."""
    record = study.record
    known = record.get("trained_on")
    paths = {name: record.get(name) for name in ("model_path", "eeg_dataset", "splits_path", "image_dir", "split_num",
                                                 "subject", "abstain_below")}
    return {"trained_on": None if known is None else len(known), "of_pictures": study.shown,
            "allowed": args.allow_overlap, "machine_made": record.get("machine_made"), "ledger": study.ledger, **paths}


def calibration_of(study: Study, args: Namespace) -> dict | None:
    """Calibration of the predicted class's probability; None where the captions do not hold it."""
    if study.probability is None:
        return None
    scores = None if study.abstained else study.model.headline
    found = calibration(study.probability, study.correct, scores, clusters=study.factors, n_boot=args.n_boot,
                        seed=args.seed)
    return found | {"abstained": study.abstained, "answered": len(study.probability) - study.abstained}


def condition_entry(condition: str, file: Captions) -> dict:
    """One condition's scores."""
    means = file.means()
    scores = {metric: {"mean": known_or_none(means[metric]), "low": known_or_none(file.interval[metric][0]),
                       "high": known_or_none(file.interval[metric][1])} for metric in file.scores}
    return {"condition": condition, "kind": BY_NAME[condition].kind, "source": file.source or file.key,
            "n": len(file.table), "cleaning": file.cleaning, "scores": scores, "corpus": known_corpus(file)}


def study_results(study: Study, args: Namespace, judge: Judge | None) -> dict:
    """One study's entry."""
    first = study.model or next(iter(study.files.values()))
    only = {name: first.only(name) or None for name in ("model", "prompt", "split")}
    study.eeg = eeg_of(study)
    study.doubts += about_scores(study, args)
    add_audit(study, args)
    judged = judge_study(study, args)  # which adds to the notes
    notes = study.notes + [f"{file.key}: {note}" for file in study.files.values() for note in file.notes]
    return {"name": study.name, **only, "n": len(first.table), "pictures": len(set(first.clusters)),
            "people": study.eeg["people"],
            "classes": _class_count(study, first), "classes_a_picture": study.classes, **judged,
            "conditions": [condition_entry(condition, file) for condition, file in study.files.items()],
            "missing": study.missing, "calibration": calibration_of(study, args) if study.model else None,
            "judge": judge.summary([file.judged for file in study.files.values()]) if judge else None,
            "provenance": provenance(study, args), "notes": notes, "doubts": study.doubts, "audit": study.audit,
            "eeg": study.eeg}


def _class_count(study, file):
    """How many classes the captioned pictures have."""
    cells = set(file.classes(COLUMNS[1]))
    return len({name for cell in cells for name in cell.split(", ")} - {""} if study.classes == "several" else cells - {""})


def model_comparisons(studies: list[Study], args: Namespace) -> list[dict]:
    """METRIC of each model minus that of each other one, where they captioned the same trials; p corrected by Holm."""
    rows, models = [], [study for study in studies if study.model]
    for place, one in enumerate(models):
        for other in models[place + 1:]:
            try:
                ours, theirs = paired_rows(one.model, other.model)
            except InputError as error:
                one.notes.append(f"not compared with {other.name}: {error}")
                continue
            rows.append({"a": one.name, "b": other.name, **difference(one.model, other.model, ours, theirs, args)})
    for row, p in zip(rows, holm(np.array([row["p"] for row in rows])), strict=True):
        row["p_holm"] = known_or_none(p)
    return rows


def title_of(studies: list[Study], folder: str | None) -> str:
    """"EEG-to-Text: simulated EEG of 4 people (demo/simulated)", so that two open reports can be told apart."""
    eeg = "; ".join(dict.fromkeys(study.eeg["text"].split(" (")[0] for study in studies))
    return f"EEG-to-Text: {eeg}" + (f" ({'/'.join(Path(folder).resolve().parts[-2:])})" if folder else "")


def all_results(studies: list[Study], args: Namespace, judge: Judge | None = None) -> dict:
    """The dict of results.json. judge: that rated the captions."""
    models = model_comparisons(studies, args)
    note_looks(studies)
    found = [study_results(study, args, judge) for study in studies]
    correct_over_studies([entry["verdicts"] for entry in found])
    for study, entry in zip(studies, found, strict=True):
        entry["claim"] = claim(study, entry["verdicts"])
    return {"format": FORMAT, "title": args.title or title_of(studies, args.report), "metric": METRIC,
            "protocol": args.protocol, "alpha": ALPHA, "made": run_facts(getattr(args, "command_line", None)),
            "studies": found, "models": models, "seeds": over_seeds(found),
            "options": without_secrets(vars(args)), "versions": versions()}
