"""What the events of the recordings show: which are kept, and what became of the others."""

import argparse
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import InputError

from .channel_kinds import may_hold_codes
from .clock import Clock
from .events import PICTURE_COLUMNS, Event, choose_by_name, settle_times
from .raw_files import RecordingFile
from .stimuli import Stimuli, event_names
from .tables import first_of

MAX_NAMES = 24  # of events in a table of those found


@dataclass
class OpenRecording:
    """A recording before it is read: file; sfreq; clock, which knows its length and gaps; names of its EEG channels;
    places of electrodes; bads that the file names; all_names; notes; events and, later, what they show; lost: {reason:
    events that are no longer among them}; marks: {name: annotations that are no events}; date: day of the recording
    YYYY-MM-DD, None where the file does not say."""

    file: RecordingFile
    sfreq: float
    clock: Clock
    names: list
    places: dict
    bads: list
    all_names: list
    notes: list
    events: list
    lost: Counter
    marks: Counter
    shown: list | None = None
    date: str | None = None

    @property
    def duration(self) -> float:
        """Seconds of EEG in the file."""
        return self.clock.end


def judge_of_names(args: argparse.Namespace, stimuli: Stimuli) -> Callable[[Event], bool] | None:
    """Whether an event of a recording shows something, by its name; None where names alone do not tell."""
    if args.event_names is None and not stimuli.map and not stimuli.files:
        return None

    def shows(event):
        return bool(choose_by_name([event], args.event_names)[0] and stimuli.names_something(event, args.event_names))

    return shows


def leave_out(found: OpenRecording, numbers: set[int], reason: str) -> None:
    """Leave events of an OpenRecording out, and count them."""
    if numbers:
        found.lost[reason] += len(numbers)
        kept = [i for i in range(len(found.events)) if i not in numbers]
        found.events, found.shown = [found.events[i] for i in kept], [found.shown[i] for i in kept]


def keep_shown(args: argparse.Namespace, found: list[OpenRecording], stimuli: Stimuli) -> Counter:
    """Keep the events that show something, and what; returns {name: number} of the other events."""
    ignored, names = Counter(), Counter()
    absent = _pictures_not_given([event for each in found for event in choose_by_name(each.events, args.event_names)[0]],
                                 stimuli)
    for each in found:
        names.update(event.name for event in each.events)
        each.events, others = choose_by_name(each.events, args.event_names)
        others.update(event.name for event in each.events if event.name in absent)
        each.events = [event for event in each.events if event.name not in absent]
        shown = [(event, stimuli.resolve(event, args.event_names is not None)) for event in each.events]
        others.update(event.name for event, what in shown if what is None)
        each.events = [event for event, what in shown if what is not None]
        each.shown = [what for _, what in shown if what is not None]
        ignored += others
    ignored += _leave_out_loose(found, stimuli)
    for each in found:
        settle_times(each.events, each.sfreq, each.clock, args.event_delay)
        leave_out(each, {i for i, event in enumerate(each.events) if math.isnan(event.onset)}, "in a gap of the recording")
    kinds = {what.kind for each in found for what in each.shown}
    if len(kinds) == 1 and kinds <= stimuli.kinds_of_events:
        raise InputError(f"{found[0].file.path}: all pictures shown would be of the class '{min(kinds)}', which is what "
                         "the events are called; put the pictures into one folder per class below --pictures, or give the "
                         "column class in the table or in --picture_list")
    if stimuli.kind_of and kinds & stimuli.kinds_of_events:
        print(f"class {', '.join(sorted(kinds & stimuli.kinds_of_events))}: so events are called whose pictures lie in no "
              "folder of a class; if they are none, choose events with --event_names")
    for text, other in stimuli.taken_for.items():
        print(f"'{text}' is taken for {other}, the only one of like spelling")
    if stimuli.map and names:
        print(_found_and_expected(names, stimuli))
    total = sum(len(each.events) for each in found)
    if not total:
        held = ", ".join(f"{name} ({count})" for name, count in names.most_common(12)) or " ".join(
            ["none at all", *(f"({note})" for note in found[0].notes if "annotation" in note)])
        channels = may_hold_codes(found[0].all_names)
        raise InputError(f"{found[0].file.path}{' and others' if len(found) > 1 else ''}: no event shows a picture; the "
                         f"events' names are: {held}; expected {_expected(args, names, stimuli)}" + (
                             f"; by its name, {channels[0]} may be one" if channels and not names else ""))
    print(f"{total} events show pictures" + (", ignored are " + ", ".join(f"{count} of '{name}'" for name, count in
                                                                        ignored.most_common(12)) if ignored else ""))
    if any(event.captions and what.file is None for each in found for event, what in
           zip(each.events, each.shown, strict=True)):
        print("captions of events that name no picture are left out: a caption belongs to a picture")
    return ignored


def _expected(args, names, stimuli):
    """What would make events show pictures, where none of those of these names does."""
    if not names:
        return "rows in its events.tsv" if args.bids else "--events TSV, or --stim_channel NAME where a channel holds codes"
    if args.event_names and not any(choose_by_name([Event(name, "")], args.event_names)[0] for name in names):
        return f"a --event_names that fits whole names, such as '.*({args.event_names}).*'"
    if stimuli.files and not stimuli.map:
        return "one that names a picture or class of --pictures, or --picture_map to say what they mean"
    if stimuli.map or stimuli.pattern:
        return "one that --picture_map or --event_picture names"
    return "--event_names REGEX to say which are classes, or --picture_map or --pictures to say what they mean"


def _leave_out_loose(found, stimuli):
    """Leave out recorded events that are taken for the class that others are called exactly, as `a` is beside `A`: they are
    something else. Returns {name: number}."""
    targets, left = {}, Counter()
    for event, what in ((event, what) for each in found for event, what in zip(each.events, each.shown, strict=True)):
        if not event.listed and not what.file:
            loose = any(name in stimuli.taken_for for name in event_names(event.name))
            targets.setdefault(what.kind, {}).setdefault(loose, set()).add(event.name)
    wrong = {name for names in targets.values() if len(names) == 2 for name in names[True]}
    for each in found if wrong else ():
        kept = [i for i, event in enumerate(each.events) if event.listed or event.name not in wrong]
        left.update(event.name for i, event in enumerate(each.events) if i not in set(kept))
        each.events, each.shown = [each.events[i] for i in kept], [each.shown[i] for i in kept]
    for name in sorted(wrong):
        for text in event_names(name):
            if text in stimuli.taken_for:
                print(f"'{name}' is ignored, not taken for {stimuli.taken_for.pop(text)}, as others have that very name")
    return left


def _pictures_not_given(events, stimuli):
    """Names of events that all show one and the same picture, which is not there, as a fixation cross may be; said.

    Only where the pictures have classes and the name is none of them, and not the picture's: else it may be one missing.
    """
    shown = {}
    for event in events if stimuli.kind_of else ():
        shown.setdefault(event.name, set()).add("" if event.kind else event.picture)
    absent = {}
    for name, pictures in shown.items():
        picture = next(iter(pictures))
        if (len(pictures) == 1 and picture and name not in (picture, Path(picture).stem) and stimuli.in_map(name) is None
                and stimuli.find(picture) is None and not stimuli.kinds.find(name)[0]):
            absent[name] = picture
    if len(absent) == len(shown):
        return {}
    for name, picture in absent.items():
        print(f"all events of '{name}' show {picture}, which is not among the pictures: they are ignored")
    return absent


def _found_and_expected(names, stimuli):
    """The names of all events, with how many there are, beside those that --picture_map names."""
    expected, of_name = stimuli.map, {name: stimuli.in_map(name) for name in names}
    known = {expect: first_of(row, (*PICTURE_COLUMNS, "class")) for expect, row in expected.items()}
    rows = [(name, count, known.get(of_name[name], "not in --picture_map")) for name, count in names.most_common()]
    absent = [name for name in expected if name not in of_name.values()]
    lines = [f"  {name[:40]:<12} {count:>6}  {what}" for name, count, what in rows[:MAX_NAMES]]
    lines += [f"  ... and {len(rows) - MAX_NAMES} more names"] * (len(rows) > MAX_NAMES)
    if absent:
        lines.append(f"  {len(absent)} of {len(expected)} in --picture_map not found: {', '.join(absent)[:200]}")
    return "\n".join(["events found, and what --picture_map says they show:", *lines])
