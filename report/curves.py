"""Line charts as inline SVG: losses, reliability of the class probability, risk by coverage."""

from .charts import WIDTH, Scale, around, circle, line, polyline, svg, text, tick_text, x_axis
from .texts import is_number, number

MOST_POINTS = 300


def thinned(points, most=MOST_POINTS):
    """At most `most` points: neighbours are averaged."""
    import numpy as np

    if len(points) <= most:
        return points
    return [tuple(part.mean(axis=0)) for part in np.array_split(np.asarray(points, dtype=float), most)]


class Panel:
    """A plot with both axes; `parts` grows as things are drawn. xs, ys: (low, high)."""

    def __init__(self, title, xs, ys, x_name, y_name="", legend=True, height=170):
        self.left, self.top = 46, 46 if legend else 28
        self.bottom = self.top + height
        self.x = Scale(*xs, self.left, WIDTH - 12)
        self.y = Scale(*ys, self.bottom, self.top)
        self.parts = [text(0, 14, title, "panel-title"), *x_axis(self.x, self.bottom, self.bottom)]
        for mark in self.y.ticks:
            self.parts += [line(self.left, self.y(mark), WIDTH - 12, self.y(mark), "grid"),
                           text(self.left - 6, self.y(mark) + 4, tick_text(mark), "tick", "end")]
        self.parts += [line(self.left, self.bottom, WIDTH - 12, self.bottom, "axis"),
                       text((self.left + WIDTH - 12) / 2, self.bottom + 32, x_name, "tick", "middle"),
                       text(WIDTH, 14, y_name, "tick", "end")]
        self.curves = 0

    def place(self, point):
        return self.x(point[0]), self.y(point[1])

    def curve(self, points, name=None):
        """A curve in the next colour; its name goes into the legend."""
        css = f"curve curve{self.curves}"
        self.parts.append(polyline([self.place(point) for point in thinned(points)], css))
        if len(points) <= 40:
            self.parts += [circle(*self.place(point), 2.5, f"dot {css}") for point in points]
        if name:
            x = self.left + self.curves * 165
            self.parts += [line(x, 30, x + 18, 30, css), text(x + 24, 34, name, "tick")]
        self.curves += 1

    def svg(self, title, description):
        return svg(self.bottom + 38, title, description, self.parts)


def loss_chart(title, curves):
    """Loss by epoch. curves: {name: [(epoch, loss)]}, finite numbers, at least one point in all."""
    points = [point for curve in curves.values() for point in curve]
    epochs = [x for x, _ in points]
    first, last = min(epochs), max(epochs)
    if first == last:
        first, last = first - 0.5, last + 0.5
    panel = Panel(title, (first, last), around([y for _, y in points]), "epoch")
    described = []
    for name, curve in curves.items():
        if not curve:
            panel.curves += 1  # validation keeps its colour where there is no training curve
            continue
        lowest = min(curve, key=lambda point: point[1])
        panel.curve(curve, f"{name}, lowest {tick_text(lowest[1])}")
        described.append(f"{name} from {tick_text(curve[0][1])} to {tick_text(curve[-1][1])}, lowest "
                         f"{tick_text(lowest[1])} at epoch {tick_text(lowest[0])}")
    return panel.svg(title, "; ".join(described))


def reliability_chart(bins):
    """Accuracy of the predicted class by its probability; the diagonal is a perfectly calibrated encoder.

    bins: [{"confidence", "accuracy", "n"}]; a dot's area is the bin's share of the trials. None without a filled bin.
    """
    filled = [one for one in bins if one["n"] and is_number(one["confidence"]) and is_number(one["accuracy"])]
    if not filled:
        return None
    title, most = "Reliability of the class probability", max(one["n"] for one in filled)
    panel = Panel(title, (0, 1), (0, 1), "probability of the predicted class", "accuracy", legend=False)
    panel.parts.append(line(*panel.place((0, 0)), *panel.place((1, 1)), "diagonal"))
    for one in filled:
        x, y = panel.place((one["confidence"], one["accuracy"]))
        panel.parts += [line(x, panel.y(one["confidence"]), x, y, "gap"),
                        circle(x, y, 2 + 6 * (one["n"] / most) ** 0.5, "point model")]
    return panel.svg(title, "; ".join(f"probability {number(one['confidence'])}, accuracy {number(one['accuracy'])}, "
                                      f"{one['n']} trials" for one in filled))


def risk_chart(points, metric):
    """Wrong classes and mean score of the trials answered, by the share answered, the surest first; None without points.

    points: [{"coverage", "risk", "score", "threshold"}].
    """
    risks, scores = ([(one["coverage"], one[key]) for one in points if is_number(one.get(key))]
                     for key in ("risk", "score"))
    if not risks and not scores:
        return None
    values = [y for _, y in risks + scores]
    panel = Panel("Risk and score by coverage", (0, 1), (min([0, *values]), max([1, *values])), "share of trials answered")
    for curve, name in ((risks, "wrong class"), (scores, f"mean {metric}")):
        if curve:
            panel.curve(sorted(curve), name)
        else:
            panel.curves += 1
    shown = sorted(points, key=lambda one: one["coverage"])[::max(1, len(points) // 5)]
    return panel.svg("Risk and score by coverage", "; ".join(
        f"coverage {number(one['coverage'])}: risk {number(one.get('risk'))}, {metric} {number(one.get('score'))}"
        for one in shown))
