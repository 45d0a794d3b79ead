"""Charts of the report as inline SVG: text stays text, colours come from the page's style sheet."""

import math

from markupsafe import Markup

WIDTH = 380  # about a phone's: a panel is never scaled down much, so its text stays readable


def ticks(low, high, count=5):
    """About `count` round numbers within [low, high]."""
    span = (high - low) / count
    power = 10 ** math.floor(math.log10(span))
    step = power * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * power >= span * (1 - 1e-9))
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _number(value):
    return f"{value:.3g}"


def _svg(height, title, description, parts):
    return Markup('<svg viewBox="0 0 {} {}" role="img"><title>{}</title><desc>{}</desc>{}</svg>').format(
        WIDTH, height, title, description, Markup("").join(parts))


def _text(x, y, text, css="", anchor="start"):
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>').format(x, y, anchor, css, text)


def _line(x1, y1, x2, y2, css):
    return Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>').format(x1, y1, x2, y2, css)


def bar_chart(metric, rows):
    """Horizontal bars from 0 with intervals.

    rows: [(label, css class, [(mean, low, high) or None, one for each run])]; low and high may be None.
    """
    left, right, top, bar = 150, 48, 26, 13
    runs = max(len(values) for _, _, values in rows)
    pitch = runs * bar + 9
    bottom = top + len(rows) * pitch
    known = [number for _, _, values in rows for value in values if value for number in value if number is not None]
    marks = ticks(0, max([*known, 1e-3]))
    scale = (WIDTH - left - right) / max([*known, marks[-1], 1e-3])
    parts = [_text(0, 14, metric, "panel-title")]
    for mark in marks:
        x = left + scale * mark
        parts += [_line(x, top, x, bottom, "grid"), _text(x, bottom + 15, _number(mark), "tick", "middle")]
    for i, (label, css, values) in enumerate(rows):
        y = top + i * pitch + 5
        parts.append(_text(left - 8, y + runs * bar / 2 + 4, label, f"bar-label {css}", "end"))
        for run, value in enumerate(values):
            if value is None:
                continue
            mean, low, high = value
            parts.append(Markup('<rect x="{}" y="{:.1f}" width="{:.1f}" height="{}" class="bar {} run{}"/>').format(
                left, y + run * bar, scale * max(mean, 0), bar - 2, css, run))
            middle = y + run * bar + (bar - 2) / 2
            if low is not None and high is not None:
                parts.append(_line(left + scale * low, middle, left + scale * high, middle, "whisker"))
                parts += [_line(left + scale * end, middle - 3, left + scale * end, middle + 3, "whisker")
                          for end in (low, high)]
            parts.append(_text(WIDTH, middle + 4, f"{mean:.3f}", "value", "end"))
    parts.append(_line(left, top, left, bottom, "axis"))
    names = [f"{label} " + " and ".join(f"{value[0]:.3f}" if value else "none" for value in values)
             for label, _, values in rows]
    return _svg(bottom + 22, f"{metric} by condition, with 95% intervals", "; ".join(names), parts)


def thinned(points, most=300):
    """At most `most` points: neighbours are averaged."""
    import numpy as np

    if len(points) <= most:
        return points
    return [tuple(part.mean(axis=0)) for part in np.array_split(np.asarray(points, dtype=float), most)]


def loss_chart(title, curves):
    """Loss by epoch. curves: {name: [(epoch, loss)]}, finite numbers, at least one point in all."""
    left, right, top, height = 46, 12, 46, 170
    points = [point for curve in curves.values() for point in curve]
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    if first == last:
        first, last = first - 0.5, last + 0.5
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = low - margin, high + margin

    def place(x, y):
        return (left + (x - first) / (last - first) * (WIDTH - left - right), top + (high - y) / (high - low) * height)

    parts = [_text(0, 14, title, "panel-title")]
    for mark in ticks(low, high):
        y = place(first, mark)[1]
        parts += [_line(left, y, WIDTH - right, y, "grid"), _text(left - 6, y + 4, _number(mark), "tick", "end")]
    for mark in ticks(first, last):
        parts.append(_text(place(mark, low)[0], top + height + 16, _number(mark), "tick", "middle"))
    parts += [_line(left, top + height, WIDTH - right, top + height, "axis"),
              _text((left + WIDTH - right) / 2, top + height + 32, "epoch", "tick", "middle")]
    described = []
    for i, (name, curve) in enumerate(curves.items()):
        if not curve:
            continue
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in thinned(curve)))
        parts.append(Markup('<polyline points="{}" class="curve curve{}"/>').format(path, i))
        if len(curve) <= 40:
            parts += [Markup('<circle cx="{:.1f}" cy="{:.1f}" r="2.5" class="dot curve{}"/>').format(*place(*point), i)
                      for point in curve]
        lowest = min(curve, key=lambda point: point[1])
        x = left + i * 165
        parts += [_line(x, 30, x + 18, 30, f"curve curve{i}"),
                  _text(x + 24, 34, f"{name}, lowest {_number(lowest[1])}", "tick")]
        described.append(f"{name} from {_number(curve[0][1])} to {_number(curve[-1][1])}, lowest {_number(lowest[1])} at "
                         f"epoch {_number(lowest[0])}")
    return _svg(top + height + 38, title, "; ".join(described), parts)
