"""What the report's template shows, made ready from runs: tables of texts, charts, pictures as data URIs."""

import math
from pathlib import Path

from apps.report_charts import bar_chart, loss_chart
from apps.report_evidence import METRIC, WITHIN_CLASS, choose_examples, claim
from audit.page import data_uri, finding_texts
from metrics.caption_files import MODEL_CONDITION, paired_rows
from options import CONDITIONS

MEANINGS = {
    "eeg+label": "The trial's EEG embedding and the class that the encoder predicts from it: the model as it is used.",
    "eeg": "The EEG embedding alone, without a class name.",
    "label": "The predicted class name alone, without an EEG embedding.",
    "noise+label": "The predicted class name with Gaussian noise in the embedding's place, of the embeddings' own mean and "
                   "covariance.",
    "noise": "That noise alone, without a class name.",
    "shuffled": "Embedding and predicted class of another trial, of another picture of any class.",
    "shuffled_within_class": "The embedding of another trial with the same predicted class, of another picture. What is "
                             "lost against eeg+label is what the EEG tells beyond the class name.",
    "oracle_label": "The EEG embedding with the true class name; it knows part of the answer.",
    "image": "The picture's own embedding with the true class name: the ceiling for this LLM.",
}
KNOW_THE_ANSWER = ("oracle_label", "image")
IN_TABLE = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "BLEU", "ROUGE-1", "ROUGE-2", "ROUGE-L", "METEOR", "BERTScore",
            "Object accuracy")
IN_CHARTS = ("ROUGE-1", "METEOR", "BLEU", "ROUGE-L")
IN_COMPARISON = ("BLEU-1", "ROUGE-1", "ROUGE-L", "METEOR")
STAGES = {"stage1": "Stage 1: EEG encoder", "stage2": "Stage 2: captioner on picture embeddings",
          "stage3": "Stage 3: captioner on EEG embeddings"}
PICTURE_SIZE, MATRIX_SIZE, LONGEST_TEXT = 160, 1100, 500


def is_number(value):
    return isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value)


def interval_of(ends):
    """(low, high) of an interval as the JSON files hold it, or (None, None)."""
    known = isinstance(ends, list | tuple) and len(ends) == 2 and all(map(is_number, ends))
    return tuple(ends) if known else (None, None)


def interval_text(ends):
    low, high = interval_of(ends)
    return "" if low is None else f"{low:.3f} to {high:.3f}"


def picture_uri(folder, row):
    """The row's picture, from the run folder first and then by the path in the CSV."""
    given = row["Ground Truth Image"]
    name = Path(row.get("image") or given).name.removesuffix(".JPEG")
    found = (data_uri(path, PICTURE_SIZE) for path in
             (folder / "data" / "images" / name.split("_")[0] / f"{name}.JPEG", Path(given)))
    return next(filter(None, found), None)


def encoder_rows(scores):
    """(what, value, 95% interval, chance) texts of test_eeg_classifier.py's scores."""
    def row(what, value, ends=None, chance=None):
        if is_number(value):
            rows.append((what, f"{value:.3f}", interval_text(ends), f"{chance:.3f}" if is_number(chance) else ""))

    rows, classes, retrieval = [], scores.get("n_classes"), scores.get("retrieval") or {}
    row("Accuracy (top 1)", scores.get("top1"), scores.get("top1_95"))
    if is_number(classes) and classes > 5:
        row("Accuracy (top 5)", scores.get("top5"), scores.get("top5_95"))
    row("Balanced accuracy", scores.get("balanced_accuracy"), scores.get("balanced_accuracy_95"), scores.get("chance"))
    baseline = scores.get("classical_baseline") or {}
    row("Balanced accuracy, classical baseline", baseline.get("balanced_accuracy"), baseline.get("balanced_accuracy_95"),
        scores.get("chance"))
    pictures = retrieval.get("n")
    for k in (1, 5):
        if is_number(pictures) and pictures > k:
            row(f"Picture retrieved among {pictures} (top {k})", retrieval.get(f"top{k}"), retrieval.get(f"top{k}_95"),
                retrieval.get(f"top{k}_chance", k / pictures))
    return rows


def encoder_sentence(scores):
    value, (low, high), chance = (scores.get("balanced_accuracy"), interval_of(scores.get("balanced_accuracy_95")),
                                  scores.get("chance"))
    if not is_number(value) or low is None or not is_number(chance):
        return ""
    name = (scores.get("classical_baseline") or {}).get("name")
    baseline = f" The classical baseline on the same split is {name}." if name else ""
    place = "above" if low > chance else "below" if high < chance else "not told apart from"
    return (f"On {scores.get('n')} test trials of {scores.get('n_classes')} classes the class is decoded from EEG with a "
            f"balanced accuracy of {value:.3f}, {place} chance ({chance:.3f}).{baseline}")


def score_lines(scores):
    """(label, CSV name, entry) of each line of the table: known conditions first, in their order."""
    def place(item):
        condition = item[1].get("condition")
        return CONDITIONS.index(condition) if condition in CONDITIONS else len(CONDITIONS), item[0]

    conditions = [entry.get("condition") for entry in scores.values()]
    return [(entry.get("condition") if entry.get("condition") and conditions.count(entry["condition"]) == 1 else key, key,
             entry) for key, entry in sorted(scores.items(), key=place)]


def metrics_of(scores, wanted=IN_TABLE):
    """Metrics that the scores hold; BLEU is BLEU-4 under its common name, so that one column is enough for both."""
    found = [metric for metric in wanted if any(is_number(entry.get(metric)) for entry in scores.values())]
    return [metric for metric in found if not (metric == "BLEU-4" and "BLEU" in found)]


def cell(entry, metric):
    """(value, interval) texts of one cell."""
    if not entry or not is_number(entry.get(metric)):
        return "-", ""
    return f"{entry[metric]:.3f}", interval_text((entry.get("95%") or {}).get(metric))


def score_table(scores):
    """Heads and lines of the full table; `best` are the cells with the highest value that does not know the answer."""
    metrics = metrics_of(scores)
    fair = [entry for entry in scores.values() if entry.get("condition") not in KNOW_THE_ANSWER]
    best = {}
    for metric in metrics:
        values = {entry[metric] for entry in fair if is_number(entry.get(metric))}
        best[metric] = max(values) if len(values) > 1 else None  # the encoder's accuracy is the same in each
    lines = [{"label": label, "file": key, "n": entry["n"], "css": css_of(entry.get("condition")),
              "cells": [(*cell(entry, metric), entry in fair and best[metric] is not None
                         and entry.get(metric) == best[metric]) for metric in metrics]}
             for label, key, entry in score_lines(scores)]
    return {"metrics": metrics, "lines": lines}


def comparison_table(scores, others):
    """Lines of both runs by condition: label and, for each metric, this run's cell and the other's."""
    metrics = [metric for metric in metrics_of(scores, IN_COMPARISON) if metric in metrics_of(others, IN_COMPARISON)]
    theirs = {label: entry for label, _, entry in score_lines(others)}
    lines = [{"label": label, "css": css_of(entry.get("condition")),
              "pairs": [(cell(entry, metric), cell(theirs.get(label), metric)) for metric in metrics]}
             for label, _, entry in score_lines(scores)]
    return {"metrics": metrics, "lines": lines}


def css_of(condition):
    return "model" if condition == MODEL_CONDITION else "knows" if condition in KNOW_THE_ANSWER else "control"


def score_charts(scores, others):
    """One bar chart a metric; the other run's bars, if there is one, under this run's."""
    def value(entry, metric):
        if not entry or not is_number(entry.get(metric)):
            return None
        return (entry[metric], *interval_of((entry.get("95%") or {}).get(metric)))

    theirs = {label: entry for label, _, entry in score_lines(others)}
    charts = []
    for metric in metrics_of(scores, IN_CHARTS):
        rows = [(label if len(label) <= 22 else f"…{label[-21:]}", css_of(entry.get("condition")),
                 [value(entry, metric)] + ([value(theirs.get(label), metric)] if others else []))
                for label, _, entry in score_lines(scores)]
        charts.append(bar_chart(metric, rows))
    return charts


def shortened(text):
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} … ({len(text)} characters)"


def examples(run, count):
    """{"good" | "median" | "bad": [what one card shows]}, {} without captions under eeg+label."""
    model = run.captions.get(MODEL_CONDITION)
    if model is None:
        return {}
    contrasts = {}
    for condition in (WITHIN_CLASS, "label"):
        if condition in run.differences:  # so the two files pair
            captions = run.captions[condition]
            theirs, ours = paired_rows(captions, model)
            texts = captions.table["Generated Caption"].iloc[theirs]
            contrasts[condition] = dict(zip(ours, texts, strict=True))
    scores = run.row_scores[MODEL_CONDITION]

    def card(number):
        row = model.table.iloc[number]
        seen = [f"{name} {row[name]}" for name in ("subject", "trial") if row.get(name)]
        return {"picture": picture_uri(run.folder, row), "name": row.get("image") or Path(row["Ground Truth Image"]).stem,
                "true": shortened(row["Expected Caption"]), "generated": shortened(row["Generated Caption"].strip()),
                "object": row["Expected object"], "predicted": row["Predicted object"],
                "right": row["Expected object"].strip() == row["Predicted object"].strip(),
                "score": f"{scores[number]:.3f}", "seen": ", ".join(seen),
                "contrasts": [(condition, shortened(texts[number].strip())) for condition, texts in contrasts.items()
                              if number in texts]}

    chosen = choose_examples(scores, model.clusters, count)
    return {group: [card(number) for number in numbers] for group, numbers in chosen.items()}


def option_tables(content):
    """(heading, [(name, value)]) of an args.json; long values are cut."""
    tables = [(part, content.pop(part)) for part in ("options", "versions") if isinstance(content.get(part), dict)]
    if content:
        tables.append(("data and other facts", content))

    def text(value):
        if isinstance(value, dict | list) and len(value) > 12:
            return f"{len(value)} entries"
        return shortened(str(value))

    return [(heading, [(name, text(value)) for name, value in table.items()]) for heading, table in tables]


def severe_sentences(run):
    """What the data's audit found that the claim cannot be read without."""
    return [one["sentence"] for one in run.findings if one["severity"] == "severe"]


def page(run, other, title, count):
    """Everything that the template shows. other: a second run to stand beside, or None."""
    matrix = run.folder / "eeg_encoder" / "test" / "confusion_matrix.png"
    others = other.scores if other else {}
    curves = {name: run.losses.get(name) for name in (*STAGES, *(set(run.losses) - set(STAGES)))}
    accuracy = run.encoder.get("balanced_accuracy")
    return {
        "title": title, "run": run, "claim": claim(run.differences), "metric": METRIC,
        "findings": finding_texts(run.findings), "severe": severe_sentences(run),
        "other": other and {"name": str(other.folder), "claim": claim(other.differences), "notes": other.notes,
                            "encoder_sentence": encoder_sentence(other.encoder),
                            "table": score_table(others), "beside": comparison_table(run.scores, others)},
        "encoder": encoder_rows(run.encoder), "encoder_sentence": encoder_sentence(run.encoder),
        "differences": [run.differences[name] for name in sorted(run.differences, key=lambda name: (
            CONDITIONS.index(name) if name in CONDITIONS else len(CONDITIONS), name))],
        "table": score_table(run.scores), "charts": score_charts(run.scores, others) if run.scores else [],
        "examples": examples(run, count),
        "losses": [(name, loss_chart(STAGES.get(name, name), found) if found and any(found.values()) else None)
                   for name, found in curves.items()],
        "stages": STAGES, "matrix": data_uri(matrix, MATRIX_SIZE, "PNG"), "matrix_path": matrix.relative_to(run.folder),
        "matrix_alt": "Confusion matrix of the EEG encoder on the test trials"
                      + (f", balanced accuracy {accuracy:.3f}" if is_number(accuracy) else ""),
        "options": [(stage, option_tables(dict(content))) for stage, content in run.options.items() if content],
        "meanings": MEANINGS,
    }
