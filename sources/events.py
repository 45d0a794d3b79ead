"""Events of raw recordings: when something happened and what it was called, from a table or from the file itself."""

import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputError

from .raw_files import RecordingFile, mne_reads, named
from .tables import first_of, read_table

if TYPE_CHECKING:
    import mne

PICTURE_COLUMNS = ("picture", "stim_file", "image")  # columns that mean the same
NAME_COLUMNS = ("trial_type", "value")
BOUNDARY = re.compile(r"((bad|edge)[ _])?boundary|new segment(/.*)?", re.I)  # EEGLAB, BrainVision: the recording paused
NO_EVENT = re.compile(r"(bad|edge)([ _].*)?", re.I)  # MNE's marks of stretches that are no good


@dataclass
class Event:
    """An event. name: its trial_type, value or annotation; place: where it stands, for messages; onset in s from the
    recording's first sample, or sample, its number; listed: a table names it, with picture, kind (class) and captions as
    far as it knows them."""

    name: str
    place: str
    onset: float | None = None
    sample: int | None = None
    listed: bool = False
    picture: str = ""
    kind: str = ""
    captions: tuple = ()


def captions_of(row: dict) -> tuple[str, ...]:
    """The cells of all columns whose names begin with "caption"."""
    return tuple(cell for column, cell in row.items() if column.startswith("caption") and cell)


def read_events(path: Path | str, flag: str = "--events") -> list[tuple[str, Event]]:
    """[(text of column file or "", Event)] of an events table; columns onset [s] or sample, and what was shown."""
    columns, rows = read_table(path, flag)
    when = [name for name in ("onset", "sample") if name in columns]
    what = [name for name in (*PICTURE_COLUMNS, "class", *NAME_COLUMNS) if name in columns]
    if not when or not what:
        expected = ", ".join((*PICTURE_COLUMNS, "class", *NAME_COLUMNS))
        raise InputError(f"{flag} {path}, line 1: columns {', '.join(columns)[:200]}; expected onset (seconds from the "
                         f"recording's start) or sample, and at least one of {expected}")
    events, last = [], {}
    for line, row in rows:
        place = f"{flag} {path}, line {line}"
        event = Event(first_of(row, (*NAME_COLUMNS, "class", *PICTURE_COLUMNS)) or "n/a", place, listed=True,
                      picture=first_of(row, PICTURE_COLUMNS), kind=row.get("class", ""), captions=captions_of(row))
        time = _number(row[when[0]], when[0], place)
        if when[0] == "onset":
            event.onset = time
        else:
            event.sample = int(time)
        file = row.get("file", "")
        before, its_line = last.get(file, (-math.inf, 0))
        if time < before:
            raise InputError(f"{place}: {when[0]} {row[when[0]]} is before that of line {its_line}; expected the events of "
                             "a recording in order of time; sort the rows, or correct the wrong one")
        last[file] = (time, line)
        events.append((file, event))
    return events


def _number(text, column, place):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (column == "sample" and value != int(value)):
        kind = "seconds from the recording's start, with a decimal point" if column == "onset" else "a whole number"
        raise InputError(f"{place}: {column} is '{text}', expected {kind}")
    return value


def share_table(path: Path | str, files: list[RecordingFile]) -> dict[str, list[Event]]:
    """{name of a File: its Events} from the one --events table."""
    rows = read_events(path)
    if not rows:
        raise InputError(f"--events {path}: has no events below its header line; expected one line per event")
    if not any(file for file, _ in rows):
        if len(files) > 1:
            raise InputError(f"--events {path}: there are {len(files)} recordings, but no column file that says which "
                             "one an event "
                             "belongs to; add that column, or put <recording>_events.tsv beside each recording and leave "
                             "--events out")
        return {files[0].name: [event for _, event in rows]}
    shared, owner = {file.name: [] for file in files}, {}
    for name, event in rows:
        if name not in owner:
            owner[name] = named(files, name, event.place)
        if owner[name] is None:
            raise InputError(f"{event.place}: file '{name}' is not one of the recordings ({', '.join(shared)[:200]})")
        shared[owner[name].name].append(event)
    return shared


def recorded_events(file: RecordingFile, raw: "mne.io.BaseRaw", stim_channel: str | None = None) -> list[Event]:
    """The Events that the recording itself holds: annotations, else the stim channel, or the one that is named."""
    if stim_channel is None:
        onsets, texts = (raw.annotations.onset - raw.first_time).tolist(), map(str, raw.annotations.description)
        found = [Event(text, f"{file.path}, '{text}' at {onset:.3f} s", onset) for onset, text in
                 zip(onsets, texts, strict=True) if not NO_EVENT.fullmatch(text) and not BOUNDARY.fullmatch(text)]
        if found or "stim" not in raw.get_channel_types():
            return found
    elif stim_channel not in raw.ch_names:
        raise InputError(f"--stim_channel {stim_channel}: not in {file.path} (channels {', '.join(raw.ch_names)[:300]})")
    import mne

    with mne_reads(file.path):
        rows = mne.find_events(raw, stim_channel, shortest_event=1, verbose="warning")
    return [Event(str(code), f"{file.path}, code {code} at {(sample - raw.first_samp) / raw.info['sfreq']:.3f} s",
                  (sample - raw.first_samp) / raw.info["sfreq"]) for sample, _, code in rows.tolist()]


def settle_times(events: list[Event], sfreq: float, duration: float) -> None:
    """Fill in the onsets; an event of a table that lies outside the recording is an InputError.

    One of the recording's own that lies outside gives no trial later and is counted as such.
    """
    for event in events:
        if event.onset is None:
            event.onset = event.sample / sfreq
        if event.listed and not 0 <= event.onset < duration:
            given = f"sample {event.sample}" if event.sample is not None else f"onset {event.onset:g}"
            raise InputError(f"{event.place}: {given} is outside the recording, which lasts {duration:.3f} s "
                             f"({round(duration * sfreq)} samples); expected seconds from its start in column onset: are "
                             "they milliseconds or samples, or of another recording?")


def check_moments(events: list[Event], sfreq: float) -> None:
    """Two pictures at one moment, of one recording, would be equal trials with unlike labels."""
    at = {}
    for event in events:
        other = at.setdefault(round(event.onset * sfreq), event)
        if other is not event:
            raise InputError(f"{event.place}: shows a picture at {event.onset:.3f} s, as {other.place} does; expected one "
                             "picture at a time; choose events with --event_names, or correct them")


def choose_by_name(events: list[Event], pattern: str | None) -> tuple[list[Event], Counter]:
    """Split events into those whose name matches the regular expression as a whole, and a Counter of the other names."""
    if pattern is None:
        return events, Counter()
    try:
        match = re.compile(pattern).fullmatch
    except re.error as error:
        raise InputError(f"--event_names {pattern}: not a regular expression ({error})") from None
    chosen = [event for event in events if match(event.name)]
    return chosen, Counter(event.name for event in events if not match(event.name))


def mark_boundaries(raw: "mne.io.BaseRaw") -> int:
    """Rename marks of pauses to "BAD boundary" of one sample, so that no filter and no trial reaches across them.

    Returns how many there are after the first sample.
    """
    names = [str(text) for text in set(raw.annotations.description) if BOUNDARY.fullmatch(text)]
    raw.annotations.rename(dict.fromkeys(names, "BAD boundary"))
    if names:
        raw.annotations.set_durations({"BAD boundary": 1 / raw.info["sfreq"]})
    inside = raw.annotations.onset - raw.first_time > 1.5 / raw.info["sfreq"]
    return int((inside & (raw.annotations.description == "BAD boundary")).sum())
