"""The bar chart of evaluate.py --chart: a panel for each metric, a bar for each file, a colour for each condition."""

import math
from pathlib import Path

from runtime.atomic_files import atomic_path
from runtime.figures import INK, PALETTE, style

from metrics.caption_files import Captions
from metrics.conditions import KINDS, TABLE

from .tables import without_bleu_twin

MAX_NAME = 34  # characters of a file's name
# Each kind of condition has a hue, as in the report, and each condition of a kind a shade, from dark to pale.
HUES = {"model": "#0a58ca", "variant": "#3d444d", "control": "#3d444d", "baseline": "#8f3306", "knows": "#c08a00"}
PALEST = .62  # share of white in the palest shade


def condition_colours() -> dict[str, str]:
    """The colour of each condition; no two are the same."""
    from matplotlib.colors import to_hex, to_rgb

    colours = {}
    for hue in dict.fromkeys(HUES[kind] for kind in KINDS):
        names = [one.name for one in TABLE if HUES[one.kind] == hue]
        for place, name in enumerate(names):
            white = PALEST * place / max(1, len(names) - 1)
            colours[name] = to_hex([channel + (1 - channel) * white for channel in to_rgb(hue)])
    return colours


@style()
def write_chart(path: str | Path, files: list[Captions], sources: list[str]) -> None:
    """Draw the scores of all files with their intervals. sources: texts on where the EEG of the studies is from."""
    from matplotlib.figure import Figure

    metrics = without_bleu_twin(dict.fromkeys(metric for file in files for metric in file.scores))
    names = [file.condition if file.condition and sum(file.condition == other.condition for other in files) == 1
             else file.key for file in files]
    columns = min(5, len(metrics))
    rows = math.ceil(len(metrics) / columns)
    figure = Figure(figsize=(2.5 + 2.6 * columns, .4 + rows * (1.0 + 0.32 * len(files))), layout="constrained")
    means, colours = [file.means() for file in files], condition_colours()
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for panel, metric in zip(panels, metrics, strict=False):
        for place, file in enumerate(files):
            if metric not in file.scores:
                continue
            colour = colours.get(file.condition, PALETTE[place % len(PALETTE)])
            panel.barh(place, means[place][metric], color=colour, height=0.7)
            low, high = file.interval[metric]
            if not math.isnan(low):
                panel.plot([low, high], [place, place], color=INK, marker="|", markersize=5, linewidth=1)
        panel.set_title(metric, fontsize=10)
        panel.set_xlim(left=min(0, panel.get_xlim()[0]))  # a mean cosine may be negative
        panel.tick_params(axis="x", labelsize=8)
        panel.grid(axis="x", alpha=0.3)
        panel.set_axisbelow(True)
    panels[0].set_yticks(range(len(files)), [name if len(name) <= MAX_NAME else f"...{name[3 - MAX_NAME:]}"
                                             for name in names], fontsize=9, parse_math=False)
    panels[0].invert_yaxis()
    for panel in panels[len(metrics):]:
        panel.set_visible(False)
    source = "; ".join(dict.fromkeys(sources))
    figure.suptitle(source[:1].upper() + source[1:], fontsize=10, parse_math=False)
    figure.supxlabel("mean with 95% interval", fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)
