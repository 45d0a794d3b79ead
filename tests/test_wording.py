"""How numbers, p values and lists are written."""

import math

from runtime import wording

import pytest


@pytest.mark.parametrize("value, options, text", [
    (0.262, {}, "0.262"), (-0.0131, {}, "-0.013"), (0.9996, {"zero": False}, "1.000"), (-0.0131, {"zero": False}, "-.013"),
    (0.33, {"sign": True}, "+0.330"), (0.0004, {"sign": True}, "0.000"), (-0.0004, {}, "0.000"), (12.345, {}, "12.3"),
    (-5.376, {"zero": False}, "-5.376"), (0.214, {"digits": 2, "zero": False}, ".21"),
    (0, {"digits": 2, "zero": False}, ".00"),
    (None, {}, "-"), (math.nan, {}, "-"), (True, {}, "-"), ("5", {}, "-")])
def test_numbers(value, options, text):
    assert wording.number(value, **options) == text


def test_p_values_with_and_without_their_name():
    values = (0.0001, 0.00004, 0.0123, 0.41, 1.0)
    assert [wording.p_number(p, 4, zero=True) for p in values] == ["0.0001", "< 0.0001", "0.0123", "0.4100", "1"]
    assert [wording.p_value(p) for p in values] == ["p < .001", "p < .001", "p = .012", "p = .410", "p = 1"]
    assert wording.p_number(None) == wording.p_number(math.nan) == "-"


def test_intervals_are_in_brackets_or_left_out():
    assert wording.interval(0.286, 0.371) == "[0.286, 0.371]"
    assert wording.interval(-0.01, 0.02, 2, zero=False) == "[-.01, .02]"
    assert wording.interval(None, 0.3) == wording.interval(0.1, math.nan) == ""


def test_counts_and_lists():
    assert [wording.counted(n, "class") for n in (1, 2, None)] == ["1 class", "2 classes", "? classes"]
    assert wording.counted(1987, "trial") == "1,987 trials"
    assert wording.listed("abcdef", 3) == "a, b, c and 3 more" and wording.listed("ab") == "a, b"
    assert wording.joined("abc") == "a, b and c" and wording.joined("a") == "a"
    assert [wording.percent(share) for share in (0.612, 0.125, 0.0034, 1.0)] == ["61.2%", "12.5%", "0.34%", "100%"]


def test_long_texts_are_cut():
    assert wording.shortened("a" * 500) == "a" * 500
    assert wording.shortened("a" * 1501) == "a" * 500 + " … (1,501 characters)"
