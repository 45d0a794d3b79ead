"""The report's charts: drawn where the numbers are, readable at their limits, escaped."""

import itertools
import re

import numpy as np
import pytest

from report.charts import bar_chart, difference_chart, range_chart, tick_text, ticks
from report.curves import loss_chart, reliability_chart, risk_chart, thinned
from report.traces import choose_channels


def numbers(pattern, svg):
    return [float(found) for found in re.findall(pattern, svg)]


def test_ticks_are_round_and_within():
    assert np.allclose(ticks(0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1])
    assert all(0.011 <= mark <= 0.019 for mark in ticks(0.011, 0.019))
    assert 0 in ticks(-0.3, 0.2)


@pytest.mark.parametrize("span", [(0, 1), (0, 0.001), (0, 0.00123), (-0.0004, 0.0007), (0, 12345), (-1e-6, 1e-6)])
@pytest.mark.parametrize("width", [60, 180, 320])
def test_labels_of_ticks_do_not_overlap(span, width):
    marks = ticks(*span, width)
    scale = width / (span[1] - span[0])
    assert marks
    for one, two in itertools.pairwise(marks):  # 6 pixels a digit at 11 px
        assert scale * (two - one) >= 6 * (len(tick_text(one)) + len(tick_text(two))) / 2


def test_bars_where_all_scores_are_0_have_an_axis_to_1():
    chart = bar_chart("M", [("a", "control", [(0.0, None, None), None]), ("b", "model", [(0.0, 0.0, 0.0)] * 2)])
    assert "nan" not in chart and "0.000" in chart
    assert re.findall(r'class="tick">([^<]+)<', chart) == ["0", "0.2", "0.4", "0.6", "0.8", "1"]


def test_bars_are_as_long_as_their_means_and_negative_ones_go_left():
    chart = bar_chart("M", [("a", "model", [(0.5, 0.4, 0.6)]), ("b", "control", [(0.25, None, None)]),
                            ("c", "control", [(-0.25, -0.3, -0.2)])])
    widths, starts = (numbers(rf'<rect[^>]* {name}="([\d.]+)"', chart) for name in ("width", "x"))
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.2) and widths[1] == pytest.approx(widths[2], abs=0.2)
    assert starts[0] == starts[1] == pytest.approx(starts[2] + widths[2], abs=0.2)


def test_the_range_places_the_model_between_floor_and_ceiling():
    points = [("floor", "class_medoid", "baseline", 0.3, 0.25, 0.35), ("model", "eeg+label", "model", 0.4, None, None),
              ("ceiling", "image", "knows", 0.7, 0.6, 0.8)]
    chart = range_chart("ROUGE-1", points, "25% of the range")
    floor, model, ceiling = numbers(r'<circle cx="([\d.]+)"', chart)
    assert (model - floor) / (ceiling - floor) == pytest.approx(0.25, abs=0.01)
    assert "25% of the range" in chart and "nan" not in chart


def test_differences_stand_beside_0():
    chart = difference_chart("D", [("subject 1", 0.1, 0.05, 0.15), ("subject 2", -0.1, None, None),
                                   ("subject 3", None, None, None)])
    right, left = numbers(r'<circle cx="([\d.]+)"', chart)
    zero = numbers(r'<line x1="([\d.]+)"[^>]*class="axis"', chart)[0]
    assert right - zero == pytest.approx(zero - left, abs=0.2) and ">+0.100<" in chart and ">-<" in chart


def test_losses_at_their_limits():
    assert len(thinned([(i, i) for i in range(5000)])) == 300
    flat = loss_chart("<t>", {"training": [(1.0, 0.0)], "validation": []})
    assert "nan" not in flat and "&lt;t&gt;" in flat
    alone = loss_chart("t", {"training": [], "validation": [(1.0, 2.0), (2.0, 1.0)]})
    assert "curve1" in alone and "curve0" not in alone


def test_a_calibrated_bin_lies_on_the_diagonal():
    bins = [{"confidence": 0.5, "accuracy": 0.5, "n": 10}, {"confidence": 0.9, "accuracy": 0.6, "n": 40},
            {"confidence": None, "accuracy": None, "n": 0}]
    chart = reliability_chart(bins)
    (x1, y1, x2, y2), = [list(map(float, found)) for found in re.findall(
        r'<line x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)" y2="([\d.]+)" class="diagonal"', chart)]
    (x, y, small), (_, below, large) = [list(map(float, found)) for found in re.findall(
        r'<circle cx="([\d.]+)" cy="([\d.]+)" r="([\d.]+)"', chart)]
    assert x == pytest.approx((x1 + x2) / 2, abs=0.1) and y == pytest.approx((y1 + y2) / 2, abs=0.1)
    assert below > y2 + 0.3 * (y1 - y2) and large > small
    assert reliability_chart([]) is None and reliability_chart(bins[2:]) is None


def test_risk_and_score_are_drawn_where_they_are_known():
    points = [{"coverage": c, "risk": c / 2, "score": None, "threshold": 1 - c} for c in (0.25, 0.5, 1.0)]
    chart = risk_chart(points, "ROUGE-1")
    assert "wrong class" in chart and "mean ROUGE-1" not in chart and "coverage 1.000: risk 0.500" in chart
    assert "mean ROUGE-1" in risk_chart([one | {"score": 0.3} for one in points], "ROUGE-1")
    assert risk_chart([], "ROUGE-1") is None


def test_channels_are_known_ones_from_front_to_back_or_every_nth():
    assert choose_channels(["O1", "Fz", "x", "oz", "Pz", "Cz", "O2"], 7)[1] == ["Fz", "Cz", "Pz", "O1", "oz", "O2"]
    assert choose_channels(None, 128)[0] == [0, 18, 36, 54, 73, 91, 109, 127]
    assert choose_channels(["TP9", "AF7"], 2) == ([0, 1], ["TP9", "AF7"])
