"""Tables and bar charts of a study's scores, as texts for the template."""

import re
from collections.abc import Iterable

from runtime.wording import interval, is_number, number

from markupsafe import Markup

from evaluation.tables import main_metrics as of_metrics
from evaluation.tables import without_bleu_twin
from metrics.conditions import KINDS

from .charts import bar_chart

CHART_METRICS = ("ROUGE-1", "METEOR", "BLEU-4", "BLEU", "ROUGE-L")
MAX_CHARTS = 4
JUDGE_METRICS = ("Fluency", "Adequacy")
N_WAY = re.compile(r"(\d+)-way")


def metrics_of(study: dict, wanted: Iterable[str] | None = None) -> list[str]:
    """Metrics that the study's conditions have, of `wanted` and in its order; None: all of them."""
    found = without_bleu_twin(dict.fromkeys(name for one in study["conditions"] for name, score in one["scores"].items()
                                       if is_number((score or {}).get("mean"))))
    return found if wanted is None else [name for name in wanted if name in found]


def main_metrics(study: dict, metric: str) -> list[str]:
    """The metrics of the short tables, the headline metric first."""
    return of_metrics(metrics_of(study), metric)


def ways(metric: str) -> int | None:
    """n of a retrieval metric such as "2-way (text)", None of any other."""
    found = N_WAY.match(metric)
    return int(found[1]) if found else None


def triple(condition: dict | None, metric: str) -> tuple[float, float | None, float | None] | None:
    """(mean, low, high) of a condition's metric; low and high are None where unknown. None where the mean is unknown."""
    score = (condition or {}).get("scores", {}).get(metric) or {}
    if not is_number(score.get("mean")):
        return None
    low, high = score.get("low"), score.get("high")
    known = is_number(low) and is_number(high)
    return score["mean"], low if known else None, high if known else None


def cell(condition: dict | None, metric: str) -> tuple[str, str]:
    """(value, interval) texts."""
    value = triple(condition, metric)
    return (number(value[0]), interval(*value[1:])) if value else ("-", "")


def beats_floor(study: dict) -> bool:
    """Whether the model is better than every control and baseline. Only then is its headline score bold."""
    return study["verdicts"].get("better_than_nothing", {}).get("holds") is True and not is_doubted(study)


def is_doubted(study: dict) -> bool:
    """Whether there is a severe caveat, with which the claim then begins."""
    return any(one["severity"] == "severe" for one in study.get("doubts", []))


def groups_of(study: dict) -> list[tuple[str, list[dict]]]:
    """[(heading of a kind, its conditions)], in the order of KINDS."""
    groups = [(name, [one for one in study["conditions"] if one["kind"] == kind]) for kind, name in KINDS.items()]
    return [(name, conditions) for name, conditions in groups if conditions]


def score_table(study: dict, metrics: list[str], metric: str | None) -> dict:
    """{"metrics", "groups": [(name, lines)]}; a line: {"label", "source", "n", "css", "cells": [(value, interval, bold)]}.

    Only the model's `metric` can be bold, and only where it beats every control and baseline.
    """
    bold = beats_floor(study)

    def row(one):
        return {"label": one["condition"], "source": one.get("source") or "", "n": one["n"], "css": one["kind"],
                "cells": [(*cell(one, name), bold and one["kind"] == "model" and name == metric) for name in metrics]}

    return {"metrics": metrics, "groups": [(name, list(map(row, conditions))) for name, conditions in groups_of(study)]}


def retrieval_table(study: dict) -> dict | list:
    """score_table of the n-way metrics with their chance levels; empty without any."""
    metrics = [name for name in metrics_of(study) if ways(name)]
    return metrics and {**score_table(study, metrics, None), "chance": [number(1 / ways(name)) for name in metrics]}


def judge_table(study: dict) -> dict | list:
    """score_table of the judge's ratings (1 to 5); empty where no judge was asked."""
    metrics = metrics_of(study, JUDGE_METRICS)
    return metrics and score_table(study, metrics, None)


def corpus_table(study: dict) -> dict | list:
    """{"metrics", "lines": [(label, css, values)]} of the measures of all captions together; empty without any."""
    metrics = list(dict.fromkeys(name for one in study["conditions"] for name in one.get("corpus") or {}))
    conditions = [one for _, members in groups_of(study) for one in members if one.get("corpus")]
    return metrics and {"metrics": metrics, "lines": [
        (one["condition"], one["kind"], [number(one["corpus"].get(name)) for name in metrics]) for one in conditions]}


def beside_table(study: dict, other: dict, metrics: list[str]) -> dict:
    """Scores of both studies by condition: {"metrics", "lines": [(label, css, [(our cell, their cell)])]}."""
    metrics = [name for name in metrics if name in metrics_of(other)]
    theirs = {one["condition"]: one for one in other["conditions"]}
    return {"metrics": metrics, "lines": [
        (one["condition"], one["kind"], [(cell(one, name), cell(theirs.get(one["condition"]), name)) for name in metrics])
        for _, members in groups_of(study) for one in members]}


def seed_lines(group: dict, metric: str) -> dict:
    """A group of evaluation.seeds.over_seeds with the metrics shown and its lines of texts, "mean (SD)"."""
    metrics = of_metrics(group["conditions"][0]["scores"], metric) if group["conditions"] else []

    def text(score):
        return f"{number(score['mean'])} ({number(score['sd'])})" if score else "-"

    return group | {"metrics": metrics, "lines": [
        (one["condition"], *(text(one["scores"].get(name)) for name in metrics)) for one in group["conditions"]]}


def score_charts(study: dict, other: dict | None, metric: str) -> list[Markup]:
    """A bar chart for each metric. The bars of the other study, if there is one, are under this one's."""
    theirs = {one["condition"]: one for one in other["conditions"]} if other else {}
    charts = []
    for name in metrics_of(study, dict.fromkeys((metric, *CHART_METRICS)))[:MAX_CHARTS]:
        rows = [(short(one["condition"]), one["kind"],
                 [triple(one, name)] + ([triple(theirs.get(one["condition"]), name)] if other else []))
                for _, members in groups_of(study) for one in members]
        charts.append(bar_chart(name, rows))
    return charts


def short(label: str, most: int = 22) -> str:
    """The end of a long label."""
    return label if len(label) <= most else f"…{label[1 - most:]}"
