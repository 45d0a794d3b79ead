"""Gaps in EDF+ and BDF+ files: each data record states its own start, which MNE does not read.

MNE joins the records and leaves annotations at their time, so that behind a gap they lie on other samples than they should.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputError

from .clock import Clock

if TYPE_CHECKING:
    import mne

RECORD_START = re.compile(rb"([+-]\d+(?:\.\d*)?)\x14\x14")  # the time-keeping annotation of a record, its first
MARK = re.compile(rb"([+-]\d+(?:\.\d*)?)(?:\x15(\d+(?:\.\d*)?))?\x14(.*?)\x14\x00", re.S)  # onset, duration, texts


def edf_gaps(path: Path, raw: "mne.io.BaseRaw") -> tuple[Clock | None, list[tuple[float, float, str]]]:
    """(Clock of a recording with gaps, None without; its annotations as (onset in s from the start, duration in s,
    text))."""
    starts, marks, seconds, discontinuous = _annotations(path)
    clock = _clock(path, raw, starts, seconds, discontinuous) if starts else None
    return clock, [(onset - starts[0], duration, text) for onset, duration, text in marks] if clock else []


def _clock(path, raw, starts, seconds, discontinuous):
    first, sample = [0], 1 / raw.info["sfreq"]
    for number, start in enumerate(starts):
        off = start - starts[first[-1]] - (number - first[-1]) * seconds
        if off < -sample and discontinuous:
            raise InputError(f"{path}: record {number + 1} starts at {start:g} s, before the end of the record before it; "
                             "get it again, or export it as continuous")
        if off > sample:
            first.append(number)
    if len(first) == 1:
        return None
    return Clock([starts[number] - starts[0] for number in first], [number * seconds for number in first],
                 raw.n_times / raw.info["sfreq"])


def _annotations(path):
    """(starts of the records in s, [(onset, duration, text)], length of a record in s, whether it is EDF+D or BDF+D).

    Without starts the file is of a kind that has no gaps.
    """
    with open(path, "rb") as file:
        head = file.read(256)
        kind, size = head[192:236].decode("latin-1").strip(), 3 if head[0] == 0xff else 2
        seconds, count = float(head[244:252]), int(head[252:256])
        labels = [file.read(16).decode("latin-1").strip() for _ in range(count)]
        file.seek(256 + 216 * count)
        samples = [int(file.read(8)) for _ in range(count)]
        of_marks = [i for i, label in enumerate(labels) if label in ("EDF Annotations", "BDF Annotations")]
        discontinuous, length = kind[3:5] == "+D", size * sum(samples)
        starts, texts = [], []
        for at in range(256 * (1 + count), path.stat().st_size - length + 1, length) if length and of_marks else ():
            for i in of_marks:
                file.seek(at + size * sum(samples[:i]))
                texts.append(file.read(size * samples[i]))
                if i == of_marks[0] and (found := RECORD_START.match(texts[-1])):
                    starts.append(float(found[1]))
    records = len(texts) // max(len(of_marks), 1)
    if len(starts) == records > 0:
        return starts, [mark for each in texts for mark in _marks(each)], seconds, discontinuous
    if discontinuous:
        raise InputError(f"{path}: its header says that there are gaps ({kind[:5]}), but {records - len(starts)} of its "
                         f"{records} records do not say when they start; get it again, or export it as continuous")
    return [], [], seconds, False


def _marks(content):
    for onset, duration, texts in MARK.findall(content):
        for text in texts.split(b"\x14"):
            if text:
                yield float(onset), float(duration or 0), _decoded(text).split("@@")[0]


def _decoded(text):
    """Some programs write Latin-1 in place of UTF-8."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")
