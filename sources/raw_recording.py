"""One recording: opened with its channels and events, then read as trials."""

import argparse
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from runtime.errors import InputError

if TYPE_CHECKING:
    import mne

from . import channel_kinds, epochs, preprocessing, raw_files
from .clock import clock_of
from .events import Event, mark_boundaries, marks_of, pauses, recorded_events
from .reader_losses import left_out
from .shown_events import OpenRecording

MAX_CHANNELS = 64  # in a note


def open_recording(file: raw_files.RecordingFile, events: list[Event] | None, exclude: list[str], args: argparse.Namespace,
                   shows: Callable[[Event], bool] | None) -> OpenRecording:
    """Read the header of a recording. events: of a table, None for those that the recording holds, as the options of
    `event_options` say; exclude: channels to leave out; shows: see events.recorded_events."""
    raw, notes = file.open()
    sfreq = float(raw.info["sfreq"])
    names, left = channel_kinds.eeg_channels(raw, exclude, file.path)
    if not names:
        raise InputError(f"{file.path}: no EEG channel among its {len(raw.ch_names)} "
                         f"({ {why: each[:8] for why, each in left.items()} }); expected channels of type EEG")
    places, more = preprocessing.places_of(raw, names)
    file.hashes = raw_files.hash_files(file, raw)
    lost, marks = Counter(), Counter()
    if events is None:
        lost, marks = left_out(notes), marks_of(raw)
        events, told = recorded_events(file, raw, args.stim_channel, args.stim_mask, shows)
        for note in told:
            print(f"{file.name}: {note}")
        notes = [*notes, *told]
    elif pauses(raw) and clock_of(raw).lost < 1e-9:
        more = [*more, f"{pauses(raw)} pauses whose length the file does not state: the onsets of its events table are "
                       "taken to count recorded seconds only"]
        print(f"{file.name}: {more[-1]}")
    notes = [*notes, *more]
    notes += [f"{len(each)} channels left out ({why}): {', '.join(each[:MAX_CHANNELS])}" for why, each in left.items()]
    return OpenRecording(file, sfreq, clock_of(raw), names, places, list(raw.info["bads"]), list(raw.ch_names),
                         notes, events, lost, marks, date=date_of(raw))


def date_of(raw: "mne.io.BaseRaw") -> str | None:
    """The day of a recording, YYYY-MM-DD. None where the file does not say, or says a day that stands for none, as
    anonymised files do: the first of a year, or one before 1990."""
    when = raw.info["meas_date"]
    return None if when is None or when.year < 1990 or (when.month, when.day) == (1, 1) else when.strftime("%Y-%m-%d")


def read_trials(found: OpenRecording, settings: preprocessing.Settings,
                standardised: bool = False) -> tuple[epochs.Trials, dict[str, int], list[str]]:
    """The trials of one recording, what became of the other events, and notes, as preprocessing.process gives them."""
    import numpy as np

    from eegdata.montage import match_channels

    raw, _ = found.file.open()
    marks = mark_boundaries(raw)
    notes = [*found.notes, *match_channels(found.names, settings.ch_names, found.places or None)[1]]
    if marks:
        notes.append(f"{marks} pauses in the recording: neither filters nor trials reach across them")
    onset = np.array([event.onset for event in found.events])
    trials, dropped, more = preprocessing.process(found.file.path, raw, found.names, found.places, found.bads, onset,
                                                  settings, standardised)
    more[:0] = notes  # the list that grows until the trials are read
    return trials, dropped, more
