"""Numbers as the report writes them."""

import math

LONGEST_TEXT = 500


def is_number(value):
    return isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value)


def number(value, sign=False):
    """Three decimals, one from 10 on; "-" where it is unknown."""
    if not is_number(value):
        return "-"
    text = f"{value:{'+' if sign else ''}.{3 if abs(value) < 10 else 1}f}"
    return text[1:] if text in ("-0.000", "+0.000") else text


def interval(low, high):
    return f"{number(low)} to {number(high)}" if is_number(low) and is_number(high) else ""


def p_text(p):
    if not is_number(p):
        return "-"
    return f"{p:.4f}" if p >= 0.00005 else "< 0.0001"


def shortened(text):
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} … ({len(text)} characters)"


def counted(count, noun):
    """"1 picture", "2 pictures"; "?" where the number is unknown."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}" if is_number(count) else f"? {noun}s"
