"""A new recording as trials like those that a model was trained on, by the steps of sources/raw_recording.py. Onsets
suffice: what was shown need not be known.
"""

import argparse
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import options
from runtime.errors import InputError
from runtime.wording import counted

import numpy as np

from . import preprocessing, raw, raw_files, raw_recording
from .events import Event, choose_by_name, read_events, settle_times, share_table
from .settled import check_fits, check_names, names_in
from .shown_events import OpenRecording, leave_out

if TYPE_CHECKING:
    from eegdata.preprocessing_schema import Preprocessing

STIM = ("stim_channel", "stim_mask")  # options on codes that the recording itself holds
OF_THE_MODEL = ("--notch ", "--l_freq ", "--h_freq ", "--bads ", "--reference ")  # named in messages
FEW_TRIALS = 10  # below it a scale over trials is said to be uncertain


@dataclass
class NewTrials:
    """Trials of a new recording as an encoder takes them.

    eeg [n, C, T] float32; time [n]: seconds from the recording's start to each onset; events [n]: their names; scale: what
    each of the C channels was divided by, or None; dropped: {reason: onsets that gave no trial}; steps, notes: sentences
    on what was done; hashes: SHA-256 of its files.
    """

    eeg: np.ndarray
    time: np.ndarray
    events: list[str]
    scale: list[float] | None
    dropped: dict[str, int]
    steps: list[str]
    notes: list[str]
    hashes: list[str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The recording, its onsets, and the few things that may differ from the model's own data."""
    group = parser.add_argument_group("recording")
    group.add_argument("--recording", required=True, metavar="PATH", help="file of any format that prepare_data.py raw "
                                                                          "reads")
    group.add_argument("--unit_scale", type=options.bounded(float, 1e-12), help="factor for a file whose header names the "
                       "wrong unit (unset: as the model's data had)")
    raw.file_options(group)
    group.add_argument("--exclude", metavar="NAME,...", default="", help="channels to leave out, besides those that are "
                                                                         "not EEG by type or name")
    group.add_argument("--interpolate", action="store_true", help="interpolate missing channels (unset: refuse)")
    group.add_argument("--like", metavar="DATA", help="data set folder that was prepared as the model's data were, for "
                                                      "models that do not say themselves how that was")
    group = parser.add_argument_group("onsets")
    which = group.add_mutually_exclusive_group()
    which.add_argument("--events", metavar="TSV", help="table with the column onset (seconds) or sample (unset: "
                                                       "<recording>_events.tsv beside it, else its annotations or stim "
                                                       "channel)")
    which.add_argument("--every", type=options.bounded(float, .01), metavar="SECONDS", help="an onset in every so many "
                                                                                            "seconds, in place of events")
    which.add_argument("--onsets", type=options.bounded(float, 0), nargs="+", metavar="SECONDS", help="onsets in seconds "
                       "from the recording's start, in place of events")
    raw.event_options(group)


def check_onsets(args: argparse.Namespace) -> None:
    """Raise InputError for an option on the recording's own events where the onsets come from elsewhere."""
    for source, ignored in (("events", STIM), ("every", ("event_names", *STIM)), ("onsets", ("event_names", *STIM))):
        for name in ignored if getattr(args, source, None) else ():
            if getattr(args, name, None):
                raise InputError(f"--{name} {getattr(args, name)}: has no effect with --{source}, which says where the "
                                 "onsets are; leave one of the two out")


def read_new(args: argparse.Namespace, kept: "Preprocessing") -> NewTrials:
    """The trials of args.recording, made as `kept` says; args: the options of `add_arguments`."""
    from eegdata.dataset_writer import channel_scale, divided

    found, settings = open_new(args, kept)
    with _settings_of_the_model(found):
        trials, dropped, notes = raw_recording.read_trials(found, settings, kept.standardised)
    scale, blocks, numbers = None, [], []
    for eeg, rows in trials:
        if kept.scale == "recording" and len(eeg):
            scale = scale or channel_scale(eeg)  # of the first block, as eegdata/dataset_writer.py takes it
            eeg = divided(eeg, scale)
        blocks.append(eeg[:, :, kept.taken])
        numbers += rows.tolist()
    dropped = dropped | found.lost
    if not numbers:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        raise InputError(f"{args.recording}: no onset gave a trial ({reasons or 'there is none'}); a trial reaches from "
                         f"{settings.tmin:g} to {settings.last / settings.sfreq:g} s around its onset")
    steps = preprocessing.steps(settings, [found.sfreq])
    if kept.standardised:
        steps.append("each channel standardised over the recording")
    if scale:
        steps.append(f"each channel divided by its standard deviation over these {counted(len(numbers), 'trial')}")
        notes += note_on_scale(len(numbers))
    events = [found.events[number] for number in numbers]
    time = np.array([found.clock.to_time(event.onset) for event in events])
    return NewTrials(np.concatenate(blocks), time, [event.name for event in events], scale, dropped, steps, notes,
                     found.file.hashes)


def note_on_scale(count: int) -> list[str]:
    """What is to be said of a scale of channels that was taken from `count` trials."""
    return [f"with {counted(count, 'trial')} the scale of the channels is uncertain; more trials make it better"
            ] * (count < FEW_TRIALS)


def open_new(args: argparse.Namespace, kept: "Preprocessing") -> tuple[OpenRecording, preprocessing.Settings]:
    """args.recording with its onsets, checked against the Settings that `kept` gives, which come second."""
    from eegdata.montage import require_channels

    file = _file(args)
    settings = preprocessing.settings_of(kept)
    if args.unit_scale:
        settings = replace(settings, unit_scale=args.unit_scale)
    named = [] if args.onsets or args.every else _table(args, file)
    found = raw_recording.open_recording(file, named, names_in(args.exclude), args,
                                         lambda event: bool(choose_by_name([event], args.event_names)[0]))
    check_names(names_in(args.exclude), [found], "--exclude")
    if args.onsets:
        found.events = [Event("onset", f"--onsets {onset:g}", onset, listed=True) for onset in args.onsets]
    elif args.every:
        found.events = [Event("onset", f"--every {args.every:g}", onset)
                        for onset in _rhythm(found, settings, args.every)]
    found.events, _ = choose_by_name(found.events, None if args.onsets or args.every else args.event_names)
    if not found.events:
        raise InputError(f"{args.recording}: no event there" + (f" is named as --event_names {args.event_names} says" if
                         args.event_names else "") + "; give --onsets SECONDS ..., --every SECONDS, or a table with "
                         "--events")
    settle_times(found.events, found.sfreq, found.clock, 0. if args.every else args.event_delay)
    found.shown = list(found.events)
    leave_out(found, {i for i, event in enumerate(found.events) if math.isnan(event.onset)}, "in a gap of the recording")
    at = {}
    for number, event in enumerate(found.events):  # the first of each moment stays: they are one trial
        at.setdefault(round(event.onset * settings.sfreq), number)
    leave_out(found, set(range(len(found.events))) - set(at.values()), "at the time of another onset")
    if not args.interpolate:
        require_channels(found.names, settings.ch_names, f"--recording {args.recording}", "--interpolate")
    with _settings_of_the_model(found):
        check_fits(found, settings)
    return found, settings


@contextmanager
def _settings_of_the_model(found: OpenRecording) -> Iterator[None]:
    """Says of a message that names options of prepare_data.py whose they are: here nobody gave them, nor can."""
    try:
        yield
    except InputError as error:
        if not any(flag in str(error) for flag in OF_THE_MODEL):
            raise
        raise InputError(f"--recording {found.file.path}: cannot be treated as the model's data were, which "
                         "prepare_data.py made with these options; give another recording, or a model of other data "
                         f"({error})") from None


def _file(args):
    path = Path(args.recording)
    if path.is_dir() and not path.name.lower().endswith(raw_files.SUFFIXES):
        raise InputError(f"--recording {path}: is a folder, expected one recording; give a file of it")
    if not path.exists():
        raise InputError(f"--recording {path}: no such file; expected a recording")
    return raw_files.find_files([args.recording], args.stream, args.cut_short, args.allow_other_files)[0]


def _table(args, file):
    """The Events of --events or of a table beside the recording; None where the recording's own count."""
    if args.events:
        return share_table(args.events, [file], times_suffice=True)[file.name]
    if file.events and not args.stim_channel and not args.stim_mask:
        print(f"events: {file.events.name}, beside the recording")
        return [event for _, event in read_events(file.events, "events table", times_suffice=True)]
    return None


def _rhythm(found, settings, every):
    """Onsets in every so many seconds whose trials lie within the recording."""
    first, last = max(0., -settings.tmin), found.duration - settings.last / settings.sfreq
    return np.arange(first, last + 1e-9, every).tolist()
