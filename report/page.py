"""The report's page: what the template shows, from the results and the models' folders."""

from pathlib import Path

from runtime.figures import unique_ids
from runtime.wording import shortened

import audit.page
from audit.page import data_uri, finding_texts, render
from metrics.conditions import MODEL_CONDITION, TABLE

from . import sections, tables
from .confusion import MAX_CLASSES, confusion
from .curves import loss_chart
from .evoked import evoked_part
from .examples import examples
from .grid import grid
from .plain_words import plain_words
from .run import STAGES, Run, read_run

FIGURE_SIZE = 1100  # pixels
MAX_COMMAND = 240  # letters
MAX_ENTRIES = 12  # of a list that is shown in a table of options; of a longer one only the number is
CONTRASTS = ("shuffled_within_class", "label")


def render_page(results: dict, files: list[dict], other: tuple[str, dict] | None, count: int) -> str:
    """The page as text. other: (name, results) that are shown beside, or None; count: of examples in each study."""
    content = page(results, files, other, count)
    return unique_ids(render("report.html", content, Path(__file__).parent, Path(audit.page.__file__).parent))


def page(results: dict, files: list[dict], other: tuple[str, dict] | None, count: int) -> dict:
    """Content of the template."""
    metric, found = results["metric"], results["studies"]
    theirs = other[1]["studies"] if other else []
    studies = [study_part(study, captions, results, partner(study, found, theirs), count, f"s{place}")
               for place, (study, captions) in enumerate(zip(found, files, strict=True))]
    metrics = list(dict.fromkeys(name for study in found for name in tables.metrics_of(study)))
    conditions = {one["condition"] for study in found for one in study["conditions"]}
    return {
        "title": results["title"], "metric": metric, "alpha": results["alpha"], "protocol": results["protocol"],
        "studies": studies,
        "other": other and {"name": other[0], "studies": theirs, "cleaning": other_cleaning(results, other[1]),
                            "without": [study["name"] for study in found if partner(study, found, theirs) is None]},
        "made": dict.fromkeys(("date", "commit", "command"), "")
                | {name: shortened(text, MAX_COMMAND) for name, text in (results.get("made") or {}).items() if text},
        "seeds": [tables.seed_lines(group, metric) for group in results.get("seeds") or []],
        "models": sections.comparison_lines(results.get("models"), "a", "b"),
        "options": [("evaluate.py", [("Options", rows_of(results.get("options") or {})),
                                     ("Versions", rows_of(results.get("versions") or {}))])],
        "meanings": {condition.name: condition.meaning for condition in TABLE if condition.name in conditions},
        "metric_meanings": {name: text for name, text in metric_texts().items() if name in metrics}}


def metric_texts() -> dict[str, str]:
    """What each metric means."""
    from metrics.text import DESCRIPTIONS

    return DESCRIPTIONS


def partner(study: dict, studies: list[dict], theirs: list[dict]) -> dict | None:
    """The other results' study to show beside this one: that of the same name, or the only one if both have only one."""
    if len(studies) == len(theirs) == 1:
        return theirs[0]
    return next((one for one in theirs if one["name"] == study["name"]), None)


def other_cleaning(results: dict, other: dict) -> str:
    """A sentence where the captions of the other results were cleaned in another way; "" where not or where unknown."""
    ours, theirs = map(_cleanings, (results, other))
    if not ours or not theirs:
        return ""
    return "" if ours == theirs else (f"Its captions were cleaned in another way (--cleaning: {theirs}; here: {ours}), so "
                                      "the scores may differ for this reason alone.")


def _cleanings(results):
    """How the captions of results were cleaned; "" where unknown. Earlier versions tell the option only, and without it the
    protocol of Thought2Text chose by the captions."""
    used = {entry.get("cleaning") for study in results["studies"] for entry in study["conditions"]} - {None}
    if used:
        return ", ".join(sorted(used))
    chosen = (results.get("options") or {}).get("cleaning")
    known = results.get("options") and results.get("protocol") != "thought2text"
    return chosen or ("none" if known else "")


def study_part(study: dict, files: dict, results: dict, other: dict | None, count: int, key: str) -> dict:
    """What the page shows of one study.

    files: {condition: Captions}; other: the study beside it, or None; key: prefix of its ids in the page.
    """
    metric, model, origin = results["metric"], files.get(MODEL_CONDITION), study["provenance"]
    record = model.record if model else None
    run = read_run(origin, record)
    best = study["verdicts"].get("better_than_nothing", {}).get("best")
    contrasts = [*CONTRASTS, *([best] if best and best not in CONTRASTS else [])]
    main, everything = tables.main_metrics(study, metric), tables.metrics_of(study)
    content = {
        "key": key, "study": study, "notes": run.notes, "words": plain_words(study, metric),
        "grid": grid(model, files, origin.get("image_dir")),
        "evoked": evoked_part(origin.get("eeg_dataset"), (record or {}).get("data")),
        "findings": finding_texts(study["audit"]["findings"]), "audit_note": study["audit"]["note"],
        "warnings": sections.warnings(study, record),
        "verdicts": sections.verdict_cards(study, results["alpha"]),
        "range": sections.range_part(study, metric), "main": tables.score_table(study, main, metric),
        "all": tables.score_table(study, everything, metric) if len(everything) > len(main) else None,
        "charts": tables.score_charts(study, other, metric), "other": other,
        "beside": other and tables.beside_table(study, other, main),
        "comparisons": sections.comparison_lines(study["comparisons"], "control"),
        "subjects": sections.subject_part(study, metric), "power": sections.power_part(study, metric),
        "calibration": sections.calibration_part(study, metric), "retrieval": tables.retrieval_table(study),
        "corpus": tables.corpus_table(study), "judge": tables.judge_table(study),
        "judge_sentence": sections.judge_sentence(study),
        "examples": examples(model, files, contrasts, origin, count),
        "encoder": sections.encoder_lines(run.scores), "encoder_sentence": sections.encoder_sentence(run.scores),
        "classical": bool(run.scores.get("classical_baseline")), **pictures_of(run),
        "losses": [(STAGES.get(name, name), loss_chart(STAGES.get(name, name), curves)) for name, curves in
                   sorted(run.losses.items()) if any(curves.values())],
        "options": [(name, option_tables(content)) for name, content in run.options.items() if content]
                   + ([(f"{model.path.name}.json", option_tables(record))] if record else []),
    }
    return content | {"sections": sections_of(content)}


def sections_of(content: dict) -> set[str]:
    """The parts of a study that the contents bar leads to: those that are there, by the ends of their ids."""
    notes = content["notes"]
    there = {"tested": content["verdicts"], "range": content["range"], "scores": True, "subjects": content["subjects"],
             "power": content["power"], "calibration": content["calibration"], "evoked": content["evoked"],
             "examples": True,
             "encoder": content["encoder"] or content["matrix"] or content["when_where"] or "encoder" in notes,
             "audit": content["findings"] or content["audit_note"], "losses": content["losses"] or "losses" in notes,
             "options": content["options"] or "options" in notes}
    return {part for part, shown in there.items() if shown}


def pictures_of(run: Run) -> dict:
    """The encoder's confusion matrix and its figure of when and where."""
    if not run.scored:
        return {"matrix": None, "when_where": None}
    file = run.scored / "confusion_matrix.csv"
    matrix = confusion(file)
    if not matrix:
        run.note("encoder", f"{file} is missing, or is no table of 2 to {MAX_CLASSES} classes. test_eeg_classifier.py "
                            "writes it.")
    sentence = run.when_where.get("sentence")
    return {"matrix": matrix, "when_where": sentence and {
        "sentence": sentence, "picture": data_uri(run.scored / "when_where.png", FIGURE_SIZE, "PNG")}}


def option_tables(content: dict) -> list[tuple[str, list]]:
    """[(heading, rows)] of an args.json or a record."""
    headings = {"options": "Options", "used": "Chosen by the program", "versions": "Versions"}
    found = [(heading, rows_of(content[part])) for part, heading in headings.items() if isinstance(content.get(part), dict)]
    rest = {name: value for name, value in content.items()
            if name not in headings or not isinstance(content.get(name), dict)}
    return [*found, ("Data and other facts", rows_of(rest))] if rest else found


def rows_of(table: dict) -> list[tuple[str, str]]:
    """(name, text) rows; long values are shortened."""
    return [(name, f"{len(value):,} entries" if isinstance(value, dict | list) and len(value) > MAX_ENTRIES
             else shortened(str(value))) for name, value in table.items()]
