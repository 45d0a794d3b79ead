"""The report's charts: they show the numbers of the results, work at their limits, and become part of the page."""

import re
from pathlib import Path

from runtime.figures import INK, PAGE_COLOURS, panel, style, svg, unique_ids

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from report.charts import bar_chart, draw_bars, draw_differences, draw_range
from report.curves import draw_losses, draw_reliability, draw_risk, loss_chart, reliability_chart, risk_chart, thinned
from report.traces import Eeg, choose_channels, draw_trace, trace_chart

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def axes():
    return Figure().add_subplot()


def row_labels(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def lines_of(axes, colour):
    return [np.asarray(line.get_xydata(), float) for line in axes.lines if line.get_color() == PAGE_COLOURS[colour]]


def dots(axes):
    """The points drawn as dots, one a line, with their colours."""
    return [(*line.get_xydata()[0], line.get_color()) for line in axes.lines if line.get_marker() == "o"]


def test_bars_have_their_means_intervals_and_texts(axes):
    description = draw_bars(axes, [("a", "model", [(0.5, 0.4, 0.6)]), ("b", "control", [(0.25, None, None)]),
                                   ("c", "knows", [(-0.25, -0.3, -0.2)])])
    assert [bar.get_width() for bar in axes.patches] == [0.5, 0.25, -0.25] and {bar.get_x() for bar in axes.patches} == {0}
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == [
        PAGE_COLOURS[name] for name in ("accent", "control", "knows")]
    assert [line[:, 0].tolist() for line in lines_of(axes, "ink")] == [[0.4, 0.6], [-0.3, -0.2]]
    assert row_labels(axes) == ["a", "b", "c"] and texts(axes) == ["0.500", "0.250", "-0.250"]
    low, high = axes.get_xlim()
    assert low < -0.3 and high > 0.6 and description == "a 0.500; b 0.250; c -0.250"


def test_bars_of_two_studies_stand_one_below_the_other(axes):
    description = draw_bars(axes, [("a", "model", [(0.5, None, None), (0.4, None, None)]), ("b", "control", [None, None]),
                                   ("c", "baseline", [(0.3, None, None), None])])
    first, second, alone = axes.patches
    assert first.get_y() + first.get_height() <= second.get_y() + 1e-9 < alone.get_y()  # the axis goes down
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == [
        PAGE_COLOURS[name] for name in ("accent", "accent-pale", "baseline")]
    assert texts(axes) == ["0.500", "0.400", "0.300"]
    assert description == "a 0.500 and 0.400; b none and none; c 0.300 and none"


def test_bars_where_all_scores_are_0_have_an_axis_to_1(axes):
    draw_bars(axes, [("a", "control", [(0.0, None, None), None]), ("b", "model", [(0.0, 0.0, 0.0)] * 2)])
    assert axes.get_xlim() == (0, 1)


def test_the_range_places_the_model_between_floor_and_ceiling(axes):
    points = [("floor", "class_medoid", "baseline", 0.3, 0.25, 0.35), ("model", "eeg+label", "model", 0.4, None, None),
              ("ceiling", "image", "knows", 0.7, 0.6, 0.8)]
    description = draw_range(axes, points, "25% of the range")
    assert dots(axes) == [(0.3, 0, PAGE_COLOURS["baseline"]), (0.4, 1, PAGE_COLOURS["accent"]),
                          (0.7, 2, PAGE_COLOURS["knows"])]
    assert lines_of(axes, "accent-pale")[0].tolist() == [[0.3, 1], [0.4, 1]]
    assert [line[0, 0] for line in lines_of(axes, "soft")] == [0.3, 0.7]  # the bounds
    assert row_labels(axes)[0] == "floor\nclass_medoid" and texts(axes) == ["0.300", "0.400", "0.700"]
    assert description == ("floor: class_medoid 0.300 [0.250, 0.350]; model: eeg+label 0.400, 25% of the range; "
                           "ceiling: image 0.700 [0.600, 0.800]")


def test_differences_stand_beside_0(axes):
    draw_differences(axes, [("subject 1", 0.1, 0.05, 0.15), ("subject 2", -0.1, None, None),
                            ("subject 3", None, None, None)])
    assert [dot[:2] for dot in dots(axes)] == [(0.1, 0), (-0.1, 1)]
    assert [line[0, 0] for line in lines_of(axes, "soft")] == [0]
    assert texts(axes) == ["+0.100", "-0.100", "-"] and row_labels(axes)[2] == "subject 3"


def test_losses_are_drawn_and_their_lowest_named(axes):
    training = [(0.5, 3.0), (1.0, 1.0), (1.5, 2.0)]
    description = draw_losses(axes, {"training": training, "validation": []})
    assert lines_of(axes, "accent")[0].tolist() == [list(point) for point in training]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["training, lowest 1"]
    assert description == "training from 3 to 2, lowest 1 at epoch 1"


def test_losses_at_their_limits(axes):
    many = thinned([(i, 2 * i) for i in range(6000)])
    assert len(many) == 300 and many[1] == (29.5, 59) and thinned(many) is many
    flat = loss_chart("<t>", {"training": [(1.0, 0.0)], "validation": []})
    assert "nan" not in flat and "<title>&lt;t&gt;" in flat and "<t>" not in flat
    draw_losses(axes, {"training": [], "validation": [(1.0, 2.0), (2.0, 1.0)]})
    assert lines_of(axes, "validation") and not lines_of(axes, "accent")


def test_a_calibrated_bin_lies_on_the_diagonal(axes):
    bins = [{"confidence": 0.5, "accuracy": 0.5, "n": 10}, {"confidence": 0.9, "accuracy": 0.6, "n": 40},
            {"confidence": None, "accuracy": None, "n": 0}]
    draw_reliability(axes, bins[:2])
    gaps, points = axes.collections
    assert points.get_offsets().tolist() == [[0.5, 0.5], [0.9, 0.6]] and np.diff(points.get_sizes())[0] > 0
    assert [gap.tolist() for gap in gaps.get_segments()] == [[[0.5, 0.5], [0.5, 0.5]], [[0.9, 0.9], [0.9, 0.6]]]
    assert lines_of(axes, "soft")[0].tolist() == [[0, 0], [1, 1]]
    assert "probability 0.900, accuracy 0.600, 40 trials" in reliability_chart(bins)
    assert reliability_chart([]) is None and reliability_chart(bins[2:]) is None


def test_risk_and_score_are_drawn_where_they_are_known(axes):
    points = [{"coverage": c, "risk": c / 2, "score": None, "threshold": 1 - c} for c in (1.0, 0.25, 0.5)]
    assert "coverage 1.000: risk 0.500" in draw_risk(axes, points, "ROUGE-1")
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[0.25, 0.125], [0.5, 0.25], [1, 0.5]]]
    chart = risk_chart([one | {"score": 0.3} for one in points], "ROUGE-1")
    assert ">mean ROUGE-1</text>" in chart and ">mean ROUGE-1</text>" not in risk_chart(points, "ROUGE-1")
    assert risk_chart([], "ROUGE-1") is None


def test_traces_show_each_channel_at_one_scale(axes):
    ms = np.arange(-100, 100, 2.)
    curves = np.stack([np.full(100, 4.), np.where(ms >= 0, 11., 0), -ms / 10])
    eeg = Eeg({3: curves}, ["GFP", "Oz", "Pz"], ms, True, "µV")
    assert eeg.amplitude == 10  # 98% of the samples are below 11
    description = draw_trace(axes, eeg, 3)
    drawn = [*lines_of(axes, "accent"), *lines_of(axes, "ink")[:2]]
    for row, (line, curve) in enumerate(zip(drawn, curves, strict=True)):
        assert np.allclose(line[:, 0], ms) and np.allclose((row - line[:, 1]) * 10 / 0.6, curve)
    bar = axes.lines[-1].get_ydata()
    assert bar[1] - bar[0] == pytest.approx(0.6) and texts(axes) == ["10 µV"] and row_labels(axes) == ["GFP", "Oz", "Pz"]
    assert description == "2 channels (Oz, Pz) and the global field power, highest at -100 ms"
    assert ">ms from the picture's onset</text>" in trace_chart(eeg, 3, "t")


def test_channels_are_known_ones_from_front_to_back_or_every_nth():
    assert choose_channels(["O1", "Fz", "x", "oz", "Pz", "Cz", "O2"], 7)[1] == ["Fz", "Cz", "Pz", "O1", "oz", "O2"]
    assert choose_channels(None, 128)[0] == [0, 18, 36, 54, 73, 91, 109, 127]
    assert choose_channels(["TP9", "AF7"], 2) == ([0, 1], ["TP9", "AF7"])


def test_a_chart_is_text_in_the_pages_colours_and_the_same_every_time():
    rows = [("a & <b> $x$", "model", [(0.12345, 0.1, 0.2)]), ("b", "knows", [(0.3, None, None)])]
    chart = bar_chart("M", rows)
    assert chart == bar_chart("M", rows) and chart.startswith("<svg ") and 'role="img"' in chart
    assert ">a &amp; &lt;b&gt; $x$</text>" in chart and ">0.123</text>" in chart
    assert all(f"var(--{name})" in chart for name in ("accent", "knows", "ink", "soft", "rule"))
    assert not any(colour in chart for colour in PAGE_COLOURS.values())
    assert "<script" not in chart and "://" not in chart and "<style" not in chart and "date" not in chart


def test_numbers_in_texts_are_not_rounded_as_coordinates_are():
    with style():
        figure, axes = panel(2, "t")
        axes.set_xticks([0.5], ["0.0125"])
        axes.set_xlabel("at 1.23456")
        chart = svg(figure, "t", "d")
    assert ">0.0125</text>" in chart and ">at 1.23456</text>" in chart
    assert not re.search(r' [dxy]="[^"]*\d\.\d{3}', chart)


def test_a_page_may_hold_a_chart_twice():
    chart = bar_chart("M", [("a", "model", [(0.5, 0.4, 0.6)])])
    page = unique_ids(f"<p>{chart}</p><p>{chart}</p>")
    ids = re.findall(r' id="([^"]+)"', page)
    assert ids and len(ids) == len(set(ids)) == 2 * len(re.findall(' id="', chart))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', page)) <= set(ids)


def test_colours_are_those_of_the_style_sheets():
    sheets = (ROOT / "audit" / "page.css").read_text() + (ROOT / "report" / "report.css").read_text()
    light, dark = {}, {}
    for rule in re.findall(r"(@media screen and \(prefers-color-scheme: dark\) \{\s*)?:root \{([^}]*--[^}]*)\}", sheets):
        (dark if rule[0] else light).update(re.findall(r"--([\w-]+): (#\w{6})", rule[1]))
    assert PAGE_COLOURS.items() <= light.items() and set(PAGE_COLOURS) <= set(dark) and light["ink"] == INK
