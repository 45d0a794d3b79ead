"""Tables and bar charts of a study's scores, as texts for the template."""

import re

from evaluation.tables import without_bleu_twin
from metrics.conditions import KINDS
from runtime.wording import interval, is_number, number

from .charts import bar_chart

MAIN = ("ROUGE-1", "BLEU-1", "BLEU-4", "BLEU", "ROUGE-L", "METEOR", "CIDEr", "BERTScore", "Object accuracy")
MOST_MAIN = 6
IN_CHARTS = ("ROUGE-1", "METEOR", "BLEU-4", "BLEU", "ROUGE-L")
MOST_CHARTS = 4
JUDGED = ("Fluency", "Adequacy")
WAYS = re.compile(r"(\d+)-way")


def metrics_of(study, wanted=None):
    """Metrics that the study's conditions hold, of `wanted` (None: all) and in its order."""
    found = without_bleu_twin(dict.fromkeys(name for one in study["conditions"] for name, score in one["scores"].items()
                                       if is_number((score or {}).get("mean"))))
    return found if wanted is None else [name for name in wanted if name in found]


def main_metrics(study, metric):
    """The few metrics of the short tables, the headline metric first."""
    return metrics_of(study, dict.fromkeys((metric, *MAIN)))[:MOST_MAIN]


def ways(metric):
    """n of a retrieval metric such as "2-way (text)", None of any other."""
    found = WAYS.match(metric)
    return int(found[1]) if found else None


def triple(condition, metric):
    """(mean, low, high) of a condition's metric, ends None where they are unknown; None where the mean is."""
    score = (condition or {}).get("scores", {}).get(metric) or {}
    if not is_number(score.get("mean")):
        return None
    low, high = score.get("low"), score.get("high")
    known = is_number(low) and is_number(high)
    return score["mean"], low if known else None, high if known else None


def cell(condition, metric):
    """(value, interval) texts."""
    value = triple(condition, metric)
    return (number(value[0]), interval(*value[1:])) if value else ("-", "")


def beats_floor(study):
    """Whether the model is better than every control and baseline: only then is its headline score set in bold."""
    return study["verdicts"].get("better_than_nothing", {}).get("holds") is True and not is_doubted(study)


def is_doubted(study):
    """Whether the captions cannot be taken at their word, as the claim then begins by saying."""
    return any(one["severity"] == "severe" for one in study.get("doubts", []))


def groups_of(study):
    """[(name of the kind, its conditions)], in the order of KINDS."""
    groups = [(name, [one for one in study["conditions"] if one["kind"] == kind]) for kind, name in KINDS.items()]
    return [(name, conditions) for name, conditions in groups if conditions]


def score_table(study, metrics, metric):
    """{"metrics", "groups": [(name, lines)]}; a line: {"label", "source", "n", "css", "cells": [(value, interval, bold)]}.

    Bold is the model's `metric` alone, and only where it beats the floor.
    """
    bold = beats_floor(study)

    def row(one):
        return {"label": one["condition"], "source": one.get("source") or "", "n": one["n"], "css": one["kind"],
                "cells": [(*cell(one, name), bold and one["kind"] == "model" and name == metric) for name in metrics]}

    return {"metrics": metrics, "groups": [(name, list(map(row, conditions))) for name, conditions in groups_of(study)]}


def retrieval_table(study):
    """score_table of the n-way columns, with their chance levels; None without any."""
    metrics = [name for name in metrics_of(study) if ways(name)]
    return metrics and {**score_table(study, metrics, None), "chance": [number(1 / ways(name)) for name in metrics]}


def judge_table(study):
    """score_table of the judge's answers (1..5), None where no judge was asked."""
    metrics = metrics_of(study, JUDGED)
    return metrics and score_table(study, metrics, None)


def corpus_table(study):
    """{"metrics", "lines": [(label, css, values)]} of the measures that a whole file has; None where there are none."""
    metrics = list(dict.fromkeys(name for one in study["conditions"] for name in one.get("corpus") or {}))
    conditions = [one for _, members in groups_of(study) for one in members if one.get("corpus")]
    return metrics and {"metrics": metrics, "lines": [
        (one["condition"], one["kind"], [number(one["corpus"].get(name)) for name in metrics]) for one in conditions]}


def beside_table(study, other, metrics):
    """Lines of both by condition: {"metrics", "lines": [(label, css, [(our cell, their cell)])]}."""
    metrics = [name for name in metrics if name in metrics_of(other)]
    theirs = {one["condition"]: one for one in other["conditions"]}
    return {"metrics": metrics, "lines": [
        (one["condition"], one["kind"], [(cell(one, name), cell(theirs.get(one["condition"]), name)) for name in metrics])
        for _, members in groups_of(study) for one in members]}


def score_charts(study, other, metric):
    """One bar chart a metric; the other study's bars, if there is one, under this one's."""
    theirs = {one["condition"]: one for one in other["conditions"]} if other else {}
    charts = []
    for name in metrics_of(study, dict.fromkeys((metric, *IN_CHARTS)))[:MOST_CHARTS]:
        rows = [(short(one["condition"]), one["kind"],
                 [triple(one, name)] + ([triple(theirs.get(one["condition"]), name)] if other else []))
                for _, members in groups_of(study) for one in members]
        charts.append(bar_chart(name, rows))
    return charts


def short(label, most=22):
    return label if len(label) <= most else f"…{label[1 - most:]}"
