"""Events that a reader of a format leaves out: counted, so that what became of each event adds up to those in the file."""

import re
from collections import Counter
from collections.abc import Iterable

WORDS = (  # what readers say, why the events are not there
    (re.compile(r"Omitted (\d+) annotation"), "outside the data of the file"),
    (re.compile(r"(\d+) events have an onset that is NaN"), "without a time in the file"),
    (re.compile(r"(\d+) of \d+ marks lie before, after or in gaps of the EEG"), "before, after or in gaps of the EEG"))


def left_out(notes: Iterable[str]) -> Counter:
    """{reason: number of events} by the notes of `open_raw`."""
    lost = Counter()
    for note in notes:
        for pattern, reason in WORDS:
            if found := pattern.match(note):
                lost[reason] += int(found[1])
    return lost
