"""How numbers, p values and lists of names are written, in messages, in the report and in the audit."""

import math
from collections.abc import Iterable

MAX_TEXT_LENGTH = 500


def is_number(value: object) -> bool:
    """Whether a value is a finite number; True and False are none."""
    return isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value)


def number(value: object, digits: int = 3, *, sign: bool = False, zero: bool = True) -> str:
    """0.262; with zero=False .262, as statistics are printed; one decimal from 10 on; "-" where it is unknown."""
    if not is_number(value):
        return "-"
    text = f"{value:{'+' if sign else ''}.{digits if abs(value) < 10 else min(digits, 1)}f}"
    if not float(text):
        text = text.lstrip("+-")  # no -0.000
    return text if zero or abs(value) >= 1 else text.replace("0.", ".", 1)


def interval(low: object, high: object, digits: int = 3, *, zero: bool = True) -> str:
    """[0.262, 0.301]; "" where an end is unknown."""
    if not (is_number(low) and is_number(high)):
        return ""
    return f"[{number(low, digits, zero=zero)}, {number(high, digits, zero=zero)}]"


def p_number(p: object, digits: int = 3, *, zero: bool = False) -> str:
    """.041, < .001, 1, for tables; with zero=True 0.041; "-" where it is unknown."""
    if not is_number(p):
        return "-"
    if p < 0.5 * 10 ** -digits:
        return f"< {number(10 ** -digits, digits, zero=zero)}"
    return number(p, digits, zero=zero) if p < 1 - 0.5 * 10 ** -digits else "1"


def p_value(p: object, digits: int = 3, *, zero: bool = False) -> str:
    """p = .041, p < .001, p = 1; with zero=True p = 0.041."""
    text = p_number(p, digits, zero=zero)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def percent(share: float) -> str:
    """.612 -> 61%, .125 -> 12.5%, .0034 -> 0.34%."""
    return f"{100 * share:.{3 if .1 <= share < .995 else 2}g}%" if share < .995 else f"{100 * share:.0f}%"


def counted(count: object, noun: str) -> str:
    """"1 picture", "2 pictures", "2 classes", "2 people"; "?" in place of an unknown number."""
    plural = "people" if noun == "person" else f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}" if is_number(count) else f"? {plural}"


def listed(names: Iterable, most: int = 5) -> str:
    """"a, b, c and 4 more"."""
    names = [str(name) for name in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def joined(names: Iterable) -> str:
    """"a, b and c"."""
    *first, last = [str(name) for name in names]
    return f"{', '.join(first)} and {last}" if first else last


def shortened(text: str, most: int = MAX_TEXT_LENGTH) -> str:
    """The text, cut after `most` characters with a word on its length."""
    return text if len(text) <= most else f"{text[:most]} … ({len(text):,} characters)"
