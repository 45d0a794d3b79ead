"""The parts of a split: their names, and how many of a number of things each of them gets."""

from runtime.errors import InputError

import numpy as np

PARTS = ("train", "val", "test")


def check_fractions(val: float, test: float) -> None:
    """Raise InputError unless both shares are above 0 and leave something for training."""
    if not 0 < val < 1 or not 0 < test < 1 or val + test >= 1:
        raise InputError(f"--val_fraction {val} --test_fraction {test}: both must be above 0 and their sum below 1")


def part_sizes(count: int, val: float | None, test: float | None) -> tuple[int, int, int]:
    """How many of `count` things are for training, validation and testing; val, test: shares, None for no such part.

    Each part gets one at least. Where there are too few for that, one is the test (or the validation, where no test is
    asked for) and the rest is for training. Raises InputError where the shares leave nothing for training.
    """
    n_val, n_test = (0 if share is None else max(1, round(count * share)) for share in (val, test))
    if count < 1 + (n_val > 0) + (n_test > 0):
        n_val, n_test = int(count > 1 and not n_test), int(count > 1 and n_test > 0)
    if n_val + n_test >= count > 0:
        raise InputError(f"--val_fraction {val} --test_fraction {test}: leave none of {count} for training; lower them")
    return count - n_val - n_test, n_val, n_test


def parts_in_order(count: int, val: float | None, test: float | None) -> np.ndarray:
    """The parts of `count` things in order: training first, then validation, then test (see `part_sizes`)."""
    return np.repeat(PARTS, part_sizes(count, val, test))
