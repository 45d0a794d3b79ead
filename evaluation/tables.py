"""All caption files in one table: on the terminal, as CSV, as a chart."""

import json
import math
import shutil

from runtime.runs import atomic_path

from .scoring import summary


def short(value, sign=""):
    """Three decimals without the leading zero: .262, -.013, 1.000."""
    if math.isnan(value):
        return "-"
    text = f"{value:{sign}.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def without_twin(metrics):
    """The metrics in their order, without BLEU where the same numbers stand under BLEU-4."""
    return [metric for metric in metrics if metric != "BLEU" or "BLEU-4" not in metrics]


def print_verdicts(results):
    """The claim of each study, what it rests on, and what stands in its way."""
    for study in results["studies"]:
        print(f"\n{study['name']}: {study['claim']}")
        beyond = study["verdicts"].get("beyond_class", {})
        if beyond.get("p") is not None:
            print(f"grounding beyond the label: {beyond['text']}")
        for doubt in study["doubts"]:
            if doubt["severity"] != "severe":  # which the claim begins with
                print(doubt["text"])
        if study["missing"] and study["verdicts"]:
            print(f"not given: {', '.join(study['missing'])}")
        place = study["range"]
        if place:
            ends = f" [{place['low']:.0%}, {place['high']:.0%}]" if place["low"] is not None else ""
            stands = f"at {place['position']:.0%}{ends}" if place["position"] >= 0 else "below both"
            print(f"between the best control or baseline ({place['floor']}, {short(place['floor_mean'])}) and the "
                  f"picture's own embedding ({short(place['ceiling_mean'])}) the model stands {stands}")
        known = study["provenance"]
        if known["trained_on"]:
            print(f"--allow_overlap: the model was trained on {known['trained_on']} of the {study['pictures']} pictures")
        if known["machine_made"]:
            print(f"the true captions of {known['machine_made']} pictures were written by a model")
        if known["ledger"]:
            print(known["ledger"]["text"])


def _width(metric):
    return max(13, len(metric) + 2)


def _parts(metrics, room):
    """The metrics in as many runs as fit into `room` characters each."""
    parts, left = [], 0
    for metric in metrics:
        if not parts or _width(metric) > left:
            parts.append([])
            left = room
        parts[-1].append(metric)
        left -= _width(metric)
    return parts


def print_table(files):
    """Print all files, their metrics in as many parts as the terminal's width asks for."""
    metrics = without_twin(dict.fromkeys(metric for file in files for metric in file.scores))
    heads = [f"{file.key} ({file.condition})" if file.condition and not file.source else file.key for file in files]
    left = max(len("minus the reference"), *(min(len(head), 44) for head in heads)) + 2
    for part in _parts(metrics, shutil.get_terminal_size((170, 24)).columns - left - 7):
        widths = [_width(metric) for metric in part]

        def row(head, n, texts, widths=widths):
            print(f"{head:<{left}}{n:>7}" + "".join(f"{text:>{width}}" for text, width in zip(texts, widths, strict=True)))

        print()
        row("", "n", part)
        for file, head in zip(files, heads, strict=True):
            means = file.scores.mean()
            row(head if len(head) <= 44 else f"...{head[-41:]}", len(file.table),
                [short(means.get(metric, math.nan)) for metric in part])
            row("  95% interval", "", ["-".join(short(end) for end in file.interval[metric])
                                       if metric in file.interval else "" for metric in part])
            if file.against:
                found = [file.against.get(metric) for metric in part]
                row("  minus the reference", "", [short(one["difference"], "+") if one else "" for one in found])
                row("  p, p (Holm)", "", [f"{one['p']:.4f} {one['p_holm']:.4f}".replace("0.", ".") if one else ""
                                          for one in found])
    print()
    for key in dict.fromkeys(file.against["file"] for file in files if file.against):
        print(f"reference of the differences and p: {key}")
    for file in files:
        for note in file.notes:
            print(f"{file.key}: {note}")


def write_json_scores(path, files):
    content = {file.key: summary(file) for file in files}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_csv(path, files):
    """One row a file: its scores, their intervals and, where compared, differences and p."""
    import pandas as pd

    rows = []
    for file in files:
        row = {"file": file.key, "condition": file.condition, "n": len(file.table)}
        for metric, mean in file.scores.mean().items():
            low, high = file.interval[metric]
            row |= {metric: mean, f"{metric} 95% low": low, f"{metric} 95% high": high}
            if file.against and metric in file.against:
                row |= {f"{metric} {name}": value for name, value in file.against[metric].items()}
        rows.append(row | ({"against": file.against["file"]} if file.against else {}))
    with atomic_path(path) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)


def write_chart(path, files):
    """One panel a metric, one bar a file, with its interval."""
    from matplotlib.figure import Figure

    metrics = without_twin(dict.fromkeys(metric for file in files for metric in file.scores))
    names = [file.condition if file.condition and sum(file.condition == other.condition for other in files) == 1
             else file.key for file in files]
    columns = min(5, len(metrics))
    rows = math.ceil(len(metrics) / columns)
    figure = Figure(figsize=(2.5 + 2.6 * columns, rows * (1.0 + 0.32 * len(files))), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for panel, metric in zip(panels, metrics, strict=False):
        for place, file in enumerate(files):
            if metric not in file.scores:
                continue
            mean = file.scores[metric].mean()
            panel.barh(place, mean, color=f"C{place % 10}", height=0.7)
            low, high = file.interval[metric]
            if not math.isnan(low):
                panel.plot([low, high], [place, place], color="black", marker="|", markersize=5, linewidth=1)
        panel.set_title(metric, fontsize=10)
        panel.set_xlim(left=0)
        panel.tick_params(axis="x", labelsize=8)
        panel.grid(axis="x", alpha=0.3)
        panel.set_axisbelow(True)
    panels[0].set_yticks(range(len(files)), [name if len(name) <= 34 else f"...{name[-31:]}" for name in names],
                         fontsize=9)
    panels[0].invert_yaxis()
    for panel in panels[len(metrics):]:
        panel.set_visible(False)
    figure.supxlabel("mean over the rows, with its 95% interval", fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)
