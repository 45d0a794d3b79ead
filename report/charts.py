"""Charts of scores: bars by condition, the range from floor to ceiling, differences by subject.

Each chart is drawn into Matplotlib axes by a `draw_...` function. It returns the chart's description, for screen readers.
"""

from typing import TYPE_CHECKING

from runtime.figures import PAGE_COLOURS, SOFT, panel, style, svg
from runtime.wording import interval, is_number, number

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW = 0.17  # inches that a bar or a dot takes
KIND_COLOURS = {"model": "accent", "variant": "control", "control": "control", "baseline": "baseline", "knows": "knows"}


def colour_of(kind: str, pale: bool = False) -> str:
    """The colour of a kind of condition, as one of PAGE_COLOURS; pale: of the study that stands beside."""
    return PAGE_COLOURS[KIND_COLOURS[kind] + ("-pale" if pale else "")]


def scores_axis(axes: "Axes", labels: list, values: list) -> None:
    """Rows from top to bottom with their labels at the left and their values, as texts, at the right."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - .5, -.5)
    axes.tick_params(axis="y", length=0, labelcolor=PAGE_COLOURS["ink"])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.ticklabel_format(axis="x", useOffset=False)
    for row, text in values:
        axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center")


def draw_interval(axes: "Axes", row: float, low: float | None, high: float | None) -> None:
    """An interval as a line with ends; nothing where it is unknown."""
    if is_number(low) and is_number(high):
        axes.plot([low, high], [row, row], color=PAGE_COLOURS["ink"], lw=.9, marker="|", ms=4, mew=.9, zorder=3)


def draw_bars(axes: "Axes", rows: list) -> str:
    """Horizontal bars from 0 with their intervals.

    rows: [(label, kind of condition, [(mean, low, high) or None, one for each study])]; low and high may be None. The
    second study's bars are pale and stand under the first one's.
    """
    studies = max(len(values) for _, _, values in rows)
    height, texts, described = .8 / studies, [], []
    for row, (label, kind, values) in enumerate(rows):
        for study, value in enumerate(values):
            if value is None:
                continue
            mean, low, high = value
            place = row + (study - (studies - 1) / 2) * height
            axes.barh(place, mean, .9 * height, color=colour_of(kind, pale=study > 0))
            draw_interval(axes, place, low, high)
            texts.append((place, number(mean)))
        described.append(f"{label} " + " and ".join(number(value[0]) if value else "none" for value in values))
    scores_axis(axes, [label for label, _, _ in rows], texts)
    if not any(value and value[0] for _, _, values in rows for value in values):
        axes.set_xlim(0, 1)  # all are 0
    axes.axvline(0, color=SOFT, lw=.8)
    return "; ".join(described)


def draw_range(axes: "Axes", points: list, position: str) -> str:
    """Where the model stands between floor and ceiling.

    points: [(role, label, kind of condition, mean, low, high)]; position: text of how far up the range the model is.
    """
    means, described = {point[0]: point[3] for point in points}, []
    bounded = {"floor", "ceiling"} <= set(means)
    for row, (role, label, kind, mean, low, high) in enumerate(points):
        if bounded and role != "model":
            axes.axvline(mean, color=SOFT, lw=.8, ls="--")
        if role == "model" and "floor" in means:
            axes.plot([means["floor"], mean], [row, row], color=PAGE_COLOURS["accent-pale"], lw=5, solid_capstyle="butt")
        draw_interval(axes, row, low, high)
        axes.plot(mean, row, "o", color=colour_of(kind), ms=6, zorder=4)
        name = f"{role}: {label} {number(mean)}" + (f", {position}" if role == "model" and position else "")
        described.append(name + (f" {interval(low, high)}" if interval(low, high) else ""))
    scores_axis(axes, [f"{role}\n{label}" for role, label, *_ in points],
                [(row, number(point[3])) for row, point in enumerate(points)])
    axes.margins(x=.08)
    return "; ".join(described)


def draw_differences(axes: "Axes", rows: list) -> str:
    """Dots with their intervals beside 0. rows: [(label, difference, low, high)]; a difference and its ends may be None."""
    for row, (_, value, low, high) in enumerate(rows):
        draw_interval(axes, row, low, high)
        if is_number(value):
            axes.plot(value, row, "o", color=PAGE_COLOURS["accent"], ms=5, zorder=4)
    axes.axvline(0, color=SOFT, lw=.8)
    texts = [number(value, sign=True) for _, value, *_ in rows]
    scores_axis(axes, [label for label, *_ in rows], list(enumerate(texts)))
    return "; ".join(f"{row[0]} {text}" for row, text in zip(rows, texts, strict=True))


@style(text__parse_math=False)
def bar_chart(metric: str, rows: list) -> Markup:
    """Bars by condition, as `draw_bars` draws them."""
    studies = max(len(values) for _, _, values in rows)
    figure, axes = panel(.6 + ROW * len(rows) * (.4 + .6 * studies), metric)
    return svg(figure, f"{metric} by condition, with 95% intervals", draw_bars(axes, rows))


@style(text__parse_math=False)
def range_chart(metric: str, points: list, position: str) -> Markup:
    """The model between floor and ceiling, as `draw_range` draws it."""
    figure, axes = panel(.6 + .33 * len(points), metric)
    axes.set_title(position, loc="right", fontweight="normal")
    return svg(figure, f"{metric}: floor, model and ceiling", draw_range(axes, points, position))


@style(text__parse_math=False)
def difference_chart(title: str, rows: list) -> Markup:
    """Differences by subject, as `draw_differences` draws them."""
    figure, axes = panel(.6 + ROW * len(rows), title)
    return svg(figure, f"{title}, with 95% intervals", draw_differences(axes, rows))
