"""Gaps in Persyst recordings: the section SampleTimes of the .lay file, which MNE does not use."""

from pathlib import Path

from .clock import Clock
from .unread_headers import persyst_sections


def persyst_gaps(path: Path, sfreq: float, n_times: int) -> tuple[Clock | None, list[tuple[float, float, str]]]:
    """(Clock of a recording with gaps, None without; its comments as (onset in s from the start, duration in s, text))."""
    sections = persyst_sections(path)
    times = [tuple(map(float, line.split("="))) for line in sections.get("sampletimes", ()) if "=" in line]
    starts = times[:1]
    for sample, time in times[1:]:
        if time - starts[-1][1] - (sample - starts[-1][0]) / sfreq > 1.5 / sfreq:
            starts.append((sample, time))
    if len(starts) < 2:
        return None, []
    marks = [line.split(",", 4) for line in sections.get("comments", ())]
    clock = Clock([time - starts[0][1] for _, time in starts], [sample / sfreq for sample, _ in starts], n_times / sfreq)
    return clock, [(float(mark[0]), float(mark[1]), mark[4]) for mark in marks if len(mark) == 5]
