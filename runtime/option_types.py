"""Types of options for argparse: a text becomes a number or a date within its bounds, or is refused in a few words."""

import argparse
import math
from collections.abc import Callable
from datetime import datetime


def bounded(kind: type, low: float = -math.inf, high: float = math.inf) -> Callable[[str], float]:
    """An argparse type: a finite number of `kind` in [low, high]."""

    def parse(text):
        value = kind(text)
        if not math.isfinite(value):
            raise argparse.ArgumentTypeError(f"{text} is not a finite number")
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is out of range, expected {low} to {high}")
        return value

    parse.__name__ = kind.__name__  # argparse names the type in "invalid int value"
    return parse


positive = bounded(int, 1)
fraction = bounded(float, 0, 1)
epochs = bounded(float, 0.001)


def samples(text: str) -> int:
    """An argparse type: a whole number of samples; the predecessors wrote it as 20.0."""
    if not float(text).is_integer():
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of samples")
    return int(float(text))


def date(text: str) -> str:
    """An argparse type: a date as 2026-01-31."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").strftime("%Y-%m-%d")
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: expected a date as 2026-01-31") from None


def step_limit(text: str) -> int:
    """An argparse type: -1 (no limit) or a positive number of steps."""
    if int(text) != -1 and int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected -1 or a positive number of steps")
    return int(text)


def encoder(text: str) -> str:
    """An argparse type: one of our encoders, or braindecode:NAME."""
    named = text.startswith("braindecode:") and text[12:].isidentifier()
    if not named and text not in ("transformer", "channelnet", "nice", "atm"):
        raise argparse.ArgumentTypeError(f"{text}: expected transformer, channelnet, nice, atm or braindecode:NAME")
    return text
