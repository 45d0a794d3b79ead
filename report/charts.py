"""Charts as inline SVG: text stays text, colours come from the page's style sheet."""

import math

from markupsafe import Markup

from .texts import interval, is_number, number

WIDTH = 380  # about a phone's: a chart is never scaled down much, so its text stays readable
TICK_LETTER, LETTER = 6.5, 7.2  # pixels that a letter of a tick and of a bold label takes


def ticks(low, high, width=None):
    """Round numbers within [low, high], about 5 of them, fewer where their labels would not fit into width pixels."""
    for count in (5, 4, 3, 2, 1):
        span = (high - low) / count
        power = 10 ** math.floor(math.log10(span))
        step = power * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * power >= span * (1 - 1e-9))
        marks = [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
        if width is None or sum(TICK_LETTER * len(tick_text(mark)) + 8 for mark in marks) <= width:
            break
    return marks


def tick_text(value):
    return f"{value:.3g}"


def svg(height, title, description, parts):
    return Markup('<svg viewBox="0 0 {} {}" role="img"><title>{}</title><desc>{}</desc>{}</svg>').format(
        WIDTH, round(height), title, description, Markup("").join(parts))


def text(x, y, content, css="", anchor="start"):
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>').format(x, y, anchor, css, content)


def line(x1, y1, x2, y2, css):
    return Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>').format(x1, y1, x2, y2, css)


def circle(x, y, radius, css):
    return Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}" class="{}"/>').format(x, y, radius, css)


def polyline(points, css):
    return Markup('<polyline points="{}" class="{}"/>').format(" ".join(f"{x:.1f},{y:.1f}" for x, y in points), css)


def whisker(x1, x2, y):
    return [line(x1, y, x2, y, "whisker"), *(line(x, y - 3, x, y + 3, "whisker") for x in (x1, x2))]


class Scale:
    """Values of [low, high] to pixels [start, end]."""

    def __init__(self, low, high, start, end):
        self.low, self.high, self.start, self.end = low, high, start, end

    def __call__(self, value):
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    @property
    def ticks(self):
        return ticks(self.low, self.high, abs(self.end - self.start))


def around(values, margin=0.05):
    """(low, high) that holds all values with some room."""
    low, high = min(values), max(values)
    room = margin * (high - low) or margin * abs(high) or 1.0
    return low - room, high + room


def x_axis(scale, top, bottom):
    """Grid lines with their labels below."""
    parts = []
    for mark in scale.ticks:
        parts += [line(scale(mark), top, scale(mark), bottom, "grid"),
                  text(scale(mark), bottom + 15, tick_text(mark), "tick", "middle")]
    return parts


def bar_chart(metric, rows):
    """Horizontal bars from 0 with intervals.

    rows: [(label, css class, [(mean, low, high) or None, one for each run])]; low and high may be None.
    """
    left, right, top, bar = 150, 48, 26, 13
    runs = max(len(values) for _, _, values in rows)
    pitch = runs * bar + 9
    bottom = top + len(rows) * pitch
    known = [one for _, _, values in rows for value in values if value for one in value if one is not None]
    low, high = min([*known, 0]), max([*known, 0])
    x = Scale(low, high if high > low else low + 1, left, WIDTH - right)  # all are 0: the axis goes to 1
    parts = [text(0, 14, metric, "panel-title"), *x_axis(x, top, bottom)]
    for i, (label, css, values) in enumerate(rows):
        y = top + i * pitch + 5
        parts.append(text(left - 8, y + runs * bar / 2 + 4, label, f"bar-label {css}", "end"))
        for run, value in enumerate(values):
            if value is None:
                continue
            mean, first, last = value
            start, end = sorted((x(0), x(mean)))
            parts.append(Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{}" class="bar {} run{}"/>').format(
                start, y + run * bar, end - start, bar - 2, css, run))
            middle = y + run * bar + (bar - 2) / 2
            if first is not None and last is not None:
                parts += whisker(x(first), x(last), middle)
            parts.append(text(WIDTH, middle + 4, number(mean), "value", "end"))
    parts.append(line(x(0), top, x(0), bottom, "axis"))
    names = [f"{label} " + " and ".join(number(value[0]) if value else "none" for value in values)
             for label, _, values in rows]
    return svg(bottom + 22, f"{metric} by condition, with 95% intervals", "; ".join(names), parts)


def range_chart(metric, points, position):
    """Where the model stands between floor and ceiling, all on one axis.

    points: [(role, label, css class, mean, low, high)]; position: text of how far up the range the model is.
    """
    top, pitch = 8, 44
    bottom = top + pitch * len(points)
    numbers = [one for point in points for one in point[3:] if one is not None]
    x = Scale(*around(numbers, 0.08), 12, WIDTH - 12)
    parts = x_axis(x, top, bottom)
    ends = {point[0]: x(point[3]) for point in points}
    if {"floor", "ceiling"} <= set(ends):
        parts += [line(ends[role], top, ends[role], bottom, "bound") for role in ("floor", "ceiling")]
    described = []
    for i, (role, label, css, mean, low, high) in enumerate(points):
        y = top + pitch * i + 30
        if role == "model" and "floor" in ends:
            parts.append(line(ends["floor"], y, x(mean), y, "climb"))
        if low is not None and high is not None:
            parts += whisker(x(low), x(high), y)
        name = f"{role}: {label} {number(mean)}" + (f", {position}" if role == "model" and position else "")
        start = max(0, min(x(mean) + 8, WIDTH - LETTER * len(name)))  # the label beside its dot, but within the chart
        parts += [circle(x(mean), y, 5.5, f"point {css}"), text(start, y - 11, name, f"bar-label {css}")]
        described.append(name + (f" ({interval(low, high)})" if interval(low, high) else ""))
    parts.append(text(WIDTH / 2, bottom + 30, metric, "tick", "middle"))
    return svg(bottom + 36, f"{metric}: floor, model and ceiling", "; ".join(described), parts)


def difference_chart(title, rows):
    """A dot with its interval a line, beside 0. rows: [(label, difference, low, high)]; low and high may be None."""
    left, right, top, pitch = 120, 52, 26, 22
    bottom = top + pitch * len(rows) + 4
    numbers = [one for row in rows for one in row[1:] if is_number(one)]
    x = Scale(*around([*numbers, 0]), left, WIDTH - right)
    parts = [text(0, 14, title, "panel-title"), *x_axis(x, top, bottom), line(x(0), top, x(0), bottom, "axis")]
    for i, (label, value, low, high) in enumerate(rows):
        y = top + pitch * i + 13
        parts.append(text(left - 8, y + 4, label, "bar-label", "end"))
        if is_number(low) and is_number(high):
            parts += whisker(x(low), x(high), y)
        if is_number(value):
            parts.append(circle(x(value), y, 4.5, "point model"))
        parts.append(text(WIDTH, y + 4, number(value, sign=True), "value", "end"))
    described = "; ".join(f"{label} {number(value, sign=True)}" for label, value, *_ in rows)
    return svg(bottom + 22, f"{title}, with 95% intervals", described, parts)
