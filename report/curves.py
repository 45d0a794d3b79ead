"""Charts of curves: losses, reliability of the class probability, risk by coverage.

Each chart is drawn into Matplotlib axes by a `draw_...` function. It returns the chart's description, for screen readers.
"""

from typing import TYPE_CHECKING

from runtime.figures import PAGE_COLOURS, SOFT, panel, style, svg
from runtime.wording import is_number, number

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_POINTS = 300  # of a curve that are drawn
MAX_MARKED_POINTS = 40  # a curve of no more has a dot at each
HEIGHT = 2.1  # inches
LINES = ({"color": PAGE_COLOURS["accent"], "ls": "-"}, {"color": PAGE_COLOURS["validation"], "ls": "--"})
DESCRIBED_POINTS = 5  # of a risk-coverage curve that its description names, about


def thinned(points: list, most: int = MAX_POINTS) -> list:
    """At most `most` points: neighbours are averaged."""
    import numpy as np

    if len(points) <= most:
        return points
    return [tuple(part.mean(axis=0)) for part in np.array_split(np.asarray(points, dtype=float), most)]


def draw_curves(axes: "Axes", curves: dict) -> None:
    """Up to two curves {name: [(x, y)]} with a legend; an empty one leaves its colour unused."""
    for line, (name, points) in zip(LINES, curves.items(), strict=False):
        if points:
            marker = {"marker": "o", "ms": 2.5} if len(points) <= MAX_MARKED_POINTS else {}
            axes.plot(*zip(*thinned(points), strict=True), lw=1.3, label=name, **line, **marker)
    axes.grid(axis="y")
    axes.ticklabel_format(useOffset=False)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0, borderpad=.2)


def draw_losses(axes: "Axes", curves: dict) -> str:
    """Loss by epoch. curves: {name: [(epoch, loss)]}, finite numbers, at least one point in all."""
    named, described = {}, []
    for name, points in curves.items():
        if not points:
            named[name] = points  # validation keeps its colour where there is no training curve
            continue
        epoch, lowest = min(points, key=lambda point: point[1])
        named[f"{name}, lowest {lowest:.3g}"] = points
        described.append(f"{name} from {points[0][1]:.3g} to {points[-1][1]:.3g}, lowest {lowest:.3g} at epoch {epoch:.3g}")
    draw_curves(axes, named)
    axes.set_xlabel("epoch")
    return "; ".join(described)


def draw_reliability(axes: "Axes", bins: list) -> str:
    """Accuracy of the predicted class by its probability; the diagonal is a perfectly calibrated encoder.

    bins: [{"confidence", "accuracy", "n"}], each with trials; a dot's area is the bin's share of the trials.
    """
    axes.plot([0, 1], [0, 1], color=SOFT, lw=.8, ls="--")
    most = max(one["n"] for one in bins)
    x, y = ([one[key] for one in bins] for key in ("confidence", "accuracy"))
    axes.vlines(x, x, y, color=PAGE_COLOURS["accent-pale"], lw=1.5)
    axes.scatter(x, y, s=[8 + 60 * one["n"] / most for one in bins], color=PAGE_COLOURS["accent"], lw=0, zorder=3,
                 clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability of the predicted class", ylabel="accuracy")
    axes.grid()
    axes.set_axisbelow(True)
    return "; ".join(f"probability {number(one['confidence'])}, accuracy {number(one['accuracy'])}, {one['n']} trials"
                     for one in bins)


def draw_risk(axes: "Axes", points: list, metric: str) -> str:
    """Share of wrong classes and mean score among the trials answered, by the share answered, the surest first.

    points: [{"coverage", "risk", "score", "threshold"}].
    """
    points = sorted(points, key=lambda one: one["coverage"])
    risks, scores = ([(one["coverage"], one[key]) for one in points if is_number(one.get(key))]
                     for key in ("risk", "score"))
    draw_curves(axes, {"wrong class": risks, f"mean {metric}": scores})
    values = [value for _, value in risks + scores]
    axes.set(xlim=(0, 1), ylim=(min([0, *values]), max([1, *values])), xlabel="share of trials captioned")
    return "; ".join(f"coverage {number(one['coverage'])}: risk {number(one.get('risk'))}, "
                     f"{metric} {number(one.get('score'))}"
                     for one in points[::max(1, len(points) // DESCRIBED_POINTS)])


@style(text__parse_math=False)
def loss_chart(title: str, curves: dict) -> Markup:
    """Losses of a stage, as `draw_losses` draws them."""
    figure, axes = panel(HEIGHT, f"{title}\n")  # the empty line is the legend's
    return svg(figure, title, draw_losses(axes, curves))


@style(text__parse_math=False)
def reliability_chart(bins: list) -> Markup | None:
    """Reliability of the class probability, as `draw_reliability` draws it; None without a filled bin."""
    filled = [one for one in bins if one["n"] and is_number(one["confidence"]) and is_number(one["accuracy"])]
    if not filled:
        return None
    title = "Reliability of the class probability"
    figure, axes = panel(HEIGHT, title)
    return svg(figure, title, draw_reliability(axes, filled))


@style(text__parse_math=False)
def risk_chart(points: list, metric: str) -> Markup | None:
    """Risk and score by coverage, as `draw_risk` draws them; None without points."""
    if not any(is_number(one.get(key)) for one in points for key in ("risk", "score")):
        return None
    title = "Risk and score by coverage"
    figure, axes = panel(HEIGHT, f"{title}\n")  # the empty line is the legend's
    return svg(figure, title, draw_risk(axes, points, metric))
