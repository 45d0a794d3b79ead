"""Events of raw recordings: when something happened and what it was called, from a table or from the file itself."""

import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputError

import numpy as np

from .clock import Clock
from .raw_files import RecordingFile, named
from .readers import mne_reads
from .stim_codes import read_codes, stim_channels
from .tables import Captions, first_of, plain_text, read_table

if TYPE_CHECKING:
    import mne

PICTURE_COLUMNS = ("picture", "stim_file", "image")  # columns that mean the same
NAME_COLUMNS = ("trial_type", "value")
BOUNDARY = re.compile(r"((bad|edge)[ _])?boundary|new segment(/.*)?", re.I)  # EEGLAB, BrainVision: the recording paused
NO_EVENT = re.compile(r"(bad|edge)([ _].*)?", re.I)  # MNE's marks of stretches that are no good

LETTER_NUMBER = re.compile(r"&#(\d{2,6});")
FOUND_GAP = "BAD_ACQ_SKIP"


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


def read_events(path: Path | str, flag: str = "--events", captions: Captions | None = None,
                times_suffice: bool = False) -> list[tuple[str, Event]]:
    """[(text of column file or "", Event)] of an events table; columns onset [s] or sample and, unless `times_suffice`,
    what was shown."""
    form = captions or Captions()
    columns, rows = read_table(path, flag, needed=[form.picture] if form.picture else ())
    captions_of, pictures = form.of(columns, f"{flag} {path}"), (form.picture,) if form.picture else PICTURE_COLUMNS
    when = [name for name in ("onset", "sample") if name in columns]
    what = [name for name in (*pictures, "class", *NAME_COLUMNS) if name in columns]
    if not when or not (what or times_suffice):
        expected = ", ".join((*PICTURE_COLUMNS, "class", *NAME_COLUMNS))
        raise InputError(f"{flag} {path}, line 1: columns {', '.join(columns)[:200]}; expected onset (seconds from the "
                         "recording's start) or sample" + f", and at least one of {expected}" * (not times_suffice))
    if when[0] == "sample" and form.onset_unit != 1:
        raise InputError(f"{flag} {path}, line 1: has no column onset, so --onset_unit has no effect on it: sample counts "
                         "samples; leave the option out, or call the column onset")
    events, last, unsorted = [], {}, 0
    for line, row in rows:
        place = f"{flag} {path}, line {line}"
        event = Event(first_of(row, (*NAME_COLUMNS, "class", *pictures)) or "n/a", place, listed=True,
                      picture=first_of(row, pictures), kind=row.get("class", ""), captions=captions_of(row))
        if not row[when[0]]:  # BIDS writes n/a; an error only if it is shown
            event.onset = math.nan
            events.append((row.get("file", ""), event))
            continue
        time = _number(row[when[0]], when[0], place)
        if when[0] == "onset":
            event.onset = time * form.onset_unit
        else:
            event.sample = int(time)
        file = row.get("file", "")
        before, its_line = last.get(file, (-math.inf, 0))
        if time < before and flag != "--bids":
            raise InputError(f"{place}: {when[0]} {row[when[0]]} is before that of line {its_line}; expected the events of "
                             "a recording in order of time; sort the rows, or correct the wrong one")
        unsorted += time < before
        last[file] = (time, line)
        events.append((file, event))
    if unsorted:
        print(f"{flag} {path}: {unsorted} rows are not in order of time, which BIDS advises; they are sorted")
        events.sort(key=lambda each: (each[1].onset is not None and math.isnan(each[1].onset),
                                      each[1].onset if each[1].sample is None else each[1].sample))
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


def share_table(path: Path | str, files: list[RecordingFile], captions: Captions | None = None,
                times_suffice: bool = False) -> dict[str, list[Event]]:
    """{name of a File: its Events} from the one --events table (see read_events)."""
    rows = read_events(path, captions=captions, times_suffice=times_suffice)
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


def recorded_events(file: RecordingFile, raw: "mne.io.BaseRaw", stim_channel: str | None = None, mask: int | None = None,
                    shows: Callable[[Event], bool] | None = None) -> tuple[list[Event], list[str]]:
    """The Events that the recording itself holds, and notes: annotations, else the trigger channels, or the one that is
    named.

    mask: bits of the codes to look at; shows: whether an Event shows a picture, as far as names tell. Where no annotation
    does, they are comments, and the trigger channels are read.
    """
    channels = stim_channels(file.path, raw, stim_channel)
    if mask is not None and not channels:
        raise InputError(f"--stim_mask {mask}: {file.path} has no trigger channel, only annotations; "
                         "name the channel of the codes with --stim_channel, or leave the option out")
    if (stim_channel is None and mask is None) or not channels:
        onsets, texts = (raw.annotations.onset - raw.first_time).tolist(), map(_text, raw.annotations.description)
        found = [Event(text, f"{file.path}, '{text}' at {onset:.3f} s", onset) for onset, text in
                 zip(onsets, texts, strict=True) if not is_mark(text)]
        if not channels or (found and (shows is None or any(map(shows, found)))):
            return found, []
    else:
        found = []
    sfreq = raw.info["sfreq"]
    with mne_reads(file.path):
        rows, notes = read_codes(file.path, raw, channels, mask, shows and (lambda code: shows(Event(code, ""))))
    codes = [Event(str(code), f"{file.path}, code {code} at {sample / sfreq:.3f} s", sample / sfreq)
             for sample, code in rows]
    if found and codes:
        notes.append(f"{len(found)} annotations name no picture: events are those of the trigger channel "
                     f"{', '.join(channels)}")
    return sorted(found + codes, key=lambda event: event.onset), notes


def _text(description):
    """An annotation's text. MNE writes letters beyond Latin-1 into FIF files as numbers, and reads those."""
    return plain_text(LETTER_NUMBER.sub(lambda found: chr(int(found[1])), str(description)))


def is_mark(text: str) -> bool:
    """Whether an annotation marks a pause or a bad stretch, so that it is no event."""
    return bool(NO_EVENT.fullmatch(text) or BOUNDARY.fullmatch(text))


def marks_of(raw: "mne.io.BaseRaw") -> Counter:
    """{name: number} of the marks that are no events: pauses and bad stretches, but for gaps that the reader found."""
    texts = map(_text, raw.annotations.description)
    return Counter(text for text in texts if is_mark(text) and text != FOUND_GAP)


def settle_times(events: list[Event], sfreq: float, clock: Clock, delay: float = 0.) -> None:
    """Fill in the onsets, in s among the samples of the file; NaN in a gap. An event of a table outside is an InputError.

    clock: of the recording; delay: seconds from each event to what it stands for. An event of the recording's own that lies
    outside gives no trial later and is counted as such.
    """
    for event in events:
        if event.listed and event.sample is None and math.isnan(event.onset):
            raise InputError(f"{event.place}: onset is missing, expected seconds from the recording's start, as this event "
                             "shows a picture; write it, or choose events with --event_names")
        time = event.onset if event.listed and event.sample is None else clock.to_time(
            event.onset if event.sample is None else event.sample / sfreq)
        if event.listed and not 0 <= time < clock.seconds:
            given = f"sample {event.sample}" if event.sample is not None else f"onset {event.onset:g}"
            raise InputError(f"{event.place}: {given} is outside the recording, which lasts {clock.seconds:.3f} s "
                             f"({round(clock.end * sfreq)} samples); expected seconds from its start in column onset: are "
                             "they milliseconds or samples, or of another recording?")
        event.onset = clock.to_position(time + delay)


def at_one_moment(events: list[Event], sfreq: float, skip: bool = False) -> set[int]:
    """Numbers of the events that are at the time of another one: they would be equal trials with unlike labels.

    Unless `skip`, they are an InputError.
    """
    at = {}
    for number, event in enumerate(events):
        others = at.setdefault(round(event.onset * sfreq), [])
        others.append(number)
        if len(others) > 1 and not skip:
            raise InputError(f"{event.place}: shows a picture at {event.onset:.3f} s, as {events[others[0]].place} does; "
                             "expected one picture at a time; choose events with --event_names, correct them, or leave "
                             "both out with --skip_ambiguous")
    return {number for others in at.values() if len(others) > 1 for number in others}


def choose_by_name(events: list[Event], pattern: str | None) -> tuple[list[Event], Counter]:
    """Split events into those whose name matches the regular expression as a whole, and a Counter of the other names."""
    if pattern is None:
        return events, Counter()
    try:
        match = re.compile(plain_text(pattern)).fullmatch
    except re.error as error:
        raise InputError(f"--event_names {pattern}: not a regular expression ({error})") from None
    chosen = [event for event in events if match(event.name)]
    return chosen, Counter(event.name for event in events if not match(event.name))


def pauses(raw: "mne.io.BaseRaw") -> int:
    """How many marks of pauses a recording has after its first sample."""
    marks = np.array([BOUNDARY.fullmatch(text) is not None for text in raw.annotations.description], bool)
    samples = np.rint((raw.annotations.onset - raw.first_time)[marks] * raw.info["sfreq"])
    return len(set(samples[samples > 1]))


def mark_boundaries(raw: "mne.io.BaseRaw") -> int:
    """Rename marks of pauses to "BAD boundary" of one sample, so that no filter and no trial reaches across them.

    Returns how many there are after the first sample.
    """
    count = pauses(raw)
    names = [str(text) for text in set(raw.annotations.description) if BOUNDARY.fullmatch(text)]
    raw.annotations.rename(dict.fromkeys(names, "BAD boundary"))
    if names:
        raw.annotations.set_durations({"BAD boundary": 1 / raw.info["sfreq"]})
    return count
