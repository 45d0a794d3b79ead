"""The table of simulated studies: how often each verdict was claimed, with exact intervals, and whether p is uniform."""

from collections.abc import Sequence
from pathlib import Path

from runtime.atomic_files import atomic_path
from runtime.runs import write_json

import numpy as np

from evaluation.claims import ALPHA

VERDICTS = {"anything": "something of what was shown", "class": "the captions carry the class",
            "beyond_class": "more than the class", "better_than_nothing": "better than every control and baseline"}
ANY_VERDICT = "any of the four"


def share(count: int, total: int) -> dict[str, float]:
    """{"count", "rate", "low", "high"} of `count` of `total`, with the exact 95% interval (Clopper and Pearson 1934)."""
    from scipy import stats

    low, high = stats.binomtest(count, total).proportion_ci(.95, method="exact")
    return {"count": count, "rate": count / total, "low": float(low), "high": float(high)}


def verdict_summary(verdicts: Sequence[dict]) -> dict:
    """Summary of one verdict over studies; verdicts: {"holds", "p", "low", "high"} of each study.

    `claimed`, `p_below` (p < ALPHA) and `off_zero` (the interval does not contain 0) are results of `share`; the last two
    count both directions. `ks` is the two-sided Kolmogorov-Smirnov test of p against the uniform distribution, with
    statistic and p. `too_small` is p of the one-sided test that the p values are smaller than uniform. If no study could
    test the verdict, the summary has only the counts.
    """
    from scipy import stats

    tested = [verdict for verdict in verdicts if verdict["p"] is not None]
    summary = {"studies": len(verdicts), "tested": len(tested)}
    if tested:
        p = [verdict["p"] for verdict in tested]
        test = stats.kstest(p, "uniform")
        summary |= {"claimed": share(sum(bool(verdict["holds"]) for verdict in tested), len(tested)),
                    "p_below": share(sum(value < ALPHA for value in p), len(tested)),
                    "off_zero": share(sum(off_zero(verdict) for verdict in tested), len(tested)),
                    "ks": {"statistic": float(test.statistic), "p": float(test.pvalue)},
                    "too_small": float(stats.kstest(p, "uniform", alternative="greater").pvalue)}
    return summary


def off_zero(verdict: dict) -> bool:
    """Whether the interval of a verdict is known and does not contain 0."""
    return verdict["low"] is not None and not verdict["low"] <= 0 <= verdict["high"]


def summarise(lines: Sequence[dict]) -> dict:
    """The content of summary.json for the lines of studies.jsonl."""
    verdicts = {name: verdict_summary([line["verdicts"][name] for line in lines]) for name in VERDICTS}
    claims = sum(any(verdict["holds"] for verdict in line["verdicts"].values()) for line in lines)
    scores = {condition: float(np.mean([line["scores"][condition] for line in lines])) for condition in lines[0]["scores"]}
    medians = {name: float(np.median([line[name] for line in lines])) for name in (
        "distinct_captions", "commonest_caption", "commonest_class", "class_accuracy")}
    seconds = float(np.median([sum(line["seconds"].values()) for line in lines]))
    return {"studies": len(lines), "verdicts": verdicts, "any": share(claims, len(lines)), "scores": scores,
            "median": medians, "trials": lines[0]["n"], "seconds": seconds}


def share_cell(value: dict) -> str:
    """A result of `share` as text: "10: 0.050 [0.024, 0.090]"."""
    return f"{value['count']}: {value['rate']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"


def markdown(summary: dict, options: dict, versions: dict[str, str]) -> str:
    """The summary as text and table."""
    lines = ["| verdict | studies | claimed | p < .05 | interval without 0 | KS distance of p from uniform | its p | p of "
             "too small p |", "|" + "---|" * 8]
    for name, title in VERDICTS.items():
        one = summary["verdicts"][name]
        cells = [f"{title} (`{name}`)", str(one["tested"])]
        if one["tested"]:
            cells += [share_cell(one[part]) for part in ("claimed", "p_below", "off_zero")]
            cells += [f"{one['ks']['statistic']:.3f}", f"{one['ks']['p']:.4f}", f"{one['too_small']:.4f}"]
        lines.append(f"| {' | '.join(cells + [''] * (8 - len(cells)))} |")
    lines.append(f"| {ANY_VERDICT} | {summary['studies']} | {share_cell(summary['any'])} | | | | | |")
    medians, scores = summary["median"], summary["scores"]
    simulated = ", ".join(f"{name} {options[name]}" for name in (
        "snr", "variant", "people", "classes", "train_pictures", "test_pictures", "picture_sets", "n_perm"))
    text = (f"{summary['studies']} studies by `python -m bench.null_studies` ({simulated}), {summary['seconds']:.0f} s "
            f"each (median). Medians: class right in {medians['class_accuracy']:.1%} of the {summary['trials']} test "
            f"trials, {medians['distinct_captions']:.0f} different captions, the commonest in "
            f"{medians['commonest_caption']:.1%}, the commonest predicted class in {medians['commonest_class']:.1%}. "
            "Mean ROUGE-1: "
            + ", ".join(f"`{name}` {score:.3f}" for name, score in scores.items()) + ". Rates with exact 95% intervals.")
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{text}\n{packages}.\n\n" + "\n".join(lines) + "\n"


def draw(path: Path, lines: Sequence[dict]) -> None:
    """Histograms of the p values of each verdict, with a line at the height of the uniform distribution."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3), layout="constrained")
    for panel, (name, title) in zip(figure.subplots(1, len(VERDICTS), sharey=True), VERDICTS.items(), strict=True):
        p = [line["verdicts"][name]["p"] for line in lines if line["verdicts"][name]["p"] is not None]
        panel.hist(p, bins=20, range=(0, 1), color="#4477aa", edgecolor="white")
        panel.axhline(len(p) / 20, color="black", linewidth=1, linestyle="--")
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("p")
        panel.set_xlim(0, 1)
    figure.axes[0].set_ylabel("studies")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)


def write_table(output: Path, lines: Sequence[dict], options: dict, versions: dict[str, str]) -> str:
    """Write summary.json, table.md and p_values.png to `output`; returns the table."""
    summary = summarise(lines)
    text = markdown(summary, options, versions)
    write_json(output / "summary.json", summary | {"options": options, "versions": versions})
    with atomic_path(output / "table.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    draw(output / "p_values.png", lines)
    return text
