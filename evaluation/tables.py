"""All caption files in one table: on the terminal, as CSV, as a chart."""

import json
import math
import shutil
from collections.abc import Iterable
from pathlib import Path

from runtime import text_files
from runtime.figures import PALETTE, style
from runtime.runs import atomic_path
from runtime.wording import counted, interval, number, p_number

from metrics.caption_files import Captions

from .scoring import summary

MAX_FILE_NAME = 44  # characters of a file's name in the table on the terminal
MAX_CHART_NAME = 34  # and in the chart


def without_bleu_twin(metrics: Iterable[str]) -> list[str]:
    """The metrics in their order, without BLEU where BLEU-4 has the same numbers."""
    return [metric for metric in metrics if metric != "BLEU" or "BLEU-4" not in metrics]


def print_verdicts(results: dict) -> None:
    """Print each study's claim, what it rests on, and its caveats."""
    for study in results["studies"]:
        print(f"\n{study['name']}: {study['claim']}")
        beyond = study["verdicts"].get("beyond_class", {})
        if beyond.get("p") is not None:
            print(f"grounding beyond the label: {beyond['text']}")
        for doubt in study["doubts"]:
            if doubt["severity"] != "severe":  # the claim begins with those
                print(doubt["text"])
        if study["missing"] and study["verdicts"]:
            print(f"no captions under: {', '.join(study['missing'])}")
        place = study["range"]
        if place:
            ends = f" [{place['low']:.0%}, {place['high']:.0%}]" if place["low"] is not None else ""
            position = f"at {place['position']:.0%}{ends}" if place["position"] >= 0 else "below both"
            print(f"range from the best control or baseline ({place['floor']}, {_short(place['floor_mean'])}) to the "
                  f"picture's own embedding ({_short(place['ceiling_mean'])}): the model is {position}")
        provenance = study["provenance"]
        if provenance["trained_on"]:
            print(f"--allow_overlap: the model was trained on {provenance['trained_on']} of the {study['pictures']} "
                  "pictures")
        if provenance["machine_made"]:
            print(f"the true captions of {counted(provenance['machine_made'], 'picture')} were written by a model")
        if provenance["ledger"]:
            print(provenance["ledger"]["text"])


def _short(value, sign=False):
    """.262: three decimals without the leading zero."""
    return number(value, sign=sign, zero=False)


def _width(metric):
    """Characters of a metric's column; an interval takes 14."""
    return max(16, len(metric) + 2)


def _blocks(metrics, room):
    """The metrics in as many blocks as the terminal's width asks for, of `room` characters each."""
    blocks, left = [], 0
    for metric in metrics:
        if not blocks or _width(metric) > left:
            blocks.append([])
            left = room
        blocks[-1].append(metric)
        left -= _width(metric)
    return blocks


def _shortened(name, most):
    """The end of a long name, which tells files apart."""
    return name if len(name) <= most else f"...{name[3 - most:]}"


def print_coco(files: list[Captions]) -> None:
    """Print 100 times the scores over all rows as tables of COCO captions have them, if any file has such."""
    from metrics.coco import table_of

    rows = {file.key: table_of(file.corpus) for file in files}
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    if not names:
        return
    left = max(map(len, rows)) + 2
    print("\nover all rows, times 100, as tables of COCO captions print them")
    print(" " * left + "".join(f"{name:>11}" for name in names))
    for key, row in rows.items():
        print(f"{key:<{left}}" + "".join(f"{row[name]:>11.2f}" if name in row else " " * 11 for name in names))


def print_table(files: list[Captions]) -> None:
    """Print the scores of all files, below each its intervals and the differences from its reference."""
    metrics = without_bleu_twin(dict.fromkeys(metric for file in files for metric in file.scores))
    heads = [f"{file.key} ({file.condition})" if file.condition and not file.source else file.key for file in files]
    left = max(len("minus the reference"), *(min(len(head), MAX_FILE_NAME) for head in heads)) + 2
    for block in _blocks(metrics, shutil.get_terminal_size((170, 24)).columns - left - 7):
        widths = [_width(metric) for metric in block]

        def row(head, n, texts, widths=widths):
            print(f"{head:<{left}}{n:>7}" + "".join(f"{text:>{width}}" for text, width in zip(texts, widths, strict=True)))

        print()
        row("", "n", block)
        for file, head in zip(files, heads, strict=True):
            means = file.means()
            row(_shortened(head, MAX_FILE_NAME), len(file.table), [_short(means.get(metric)) for metric in block])
            row("  95% interval", "", [interval(*file.interval[metric], zero=False) if metric in file.interval else ""
                                       for metric in block])
            if file.against:
                tests = [file.against.get(metric) for metric in block]
                row("  minus the reference", "", [_short(test["difference"], sign=True) if test else "" for test in tests])
                row("  p, p (Holm)", "", [f"{p_number(test['p'], 4)} {p_number(test['p_holm'], 4)}" if test else ""
                                          for test in tests])
    print()
    for key in dict.fromkeys(file.against["file"] for file in files if file.against):
        print(f"reference of the differences and p: {key}")
    for file in files:
        for note in file.notes:
            print(f"{file.key}: {note}")


def write_json_scores(path: str | Path, files: list[Captions]) -> None:
    """Scores, intervals and comparisons as JSON, keyed by file name."""
    content = {file.key: summary(file) for file in files}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_csv(path: str | Path, files: list[Captions]) -> None:
    """One row for each file: its scores, their intervals and, where compared, differences and p."""
    rows = []
    for file in files:
        row = {"file": file.key, "condition": file.condition, "n": len(file.table)}
        for metric, mean in file.means().items():
            low, high = file.interval[metric]
            row |= {metric: mean, f"{metric} 95% low": low, f"{metric} 95% high": high}
            if file.against and metric in file.against:
                row |= {f"{metric} {name}": value for name, value in file.against[metric].items()}
        rows.append(row | ({"against": file.against["file"]} if file.against else {}))
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with atomic_path(path) as temporary:
        text_files.write_csv(temporary, columns, ([row.get(column) for column in columns] for row in rows))


@style()
def write_chart(path: str | Path, files: list[Captions]) -> None:
    """A panel for each metric with a bar for each file and its interval."""
    from matplotlib.figure import Figure

    metrics = without_bleu_twin(dict.fromkeys(metric for file in files for metric in file.scores))
    names = [file.condition if file.condition and sum(file.condition == other.condition for other in files) == 1
             else file.key for file in files]
    columns = min(5, len(metrics))
    rows = math.ceil(len(metrics) / columns)
    figure = Figure(figsize=(2.5 + 2.6 * columns, rows * (1.0 + 0.32 * len(files))), layout="constrained")
    means = [file.means() for file in files]
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for panel, metric in zip(panels, metrics, strict=False):
        for place, file in enumerate(files):
            if metric not in file.scores:
                continue
            panel.barh(place, means[place][metric], color=PALETTE[place % len(PALETTE)], height=0.7)
            low, high = file.interval[metric]
            if not math.isnan(low):
                panel.plot([low, high], [place, place], color="black", marker="|", markersize=5, linewidth=1)
        panel.set_title(metric, fontsize=10)
        panel.set_xlim(left=0)
        panel.tick_params(axis="x", labelsize=8)
        panel.grid(axis="x", alpha=0.3)
        panel.set_axisbelow(True)
    panels[0].set_yticks(range(len(files)), [_shortened(name, MAX_CHART_NAME) for name in names],
                         fontsize=9, parse_math=False)
    panels[0].invert_yaxis()
    for panel in panels[len(metrics):]:
        panel.set_visible(False)
    figure.supxlabel("mean with 95% interval", fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)
