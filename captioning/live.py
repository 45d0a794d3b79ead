"""Captions of a stream while it goes on, and what is to be said of the session at its end."""

import time
from argparse import Namespace
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from runtime.errors import InputError

import numpy as np
import torch

from captioning.reading_files import lines
from captioning.readings import readings
from captioning.requests import Request
from eegdata.dataset_writer import divided
from eegdata.montage import require_channels
from eegdata.preprocessing_schema import Preprocessing
from sources import new_recording, preprocessing
from sources.events import Event, choose_by_name, is_mark
from sources.live_trials import LiveTrial, LiveTrials
from sources.lsl import LOOK_SECONDS, PULL_SECONDS, Inlet, StreamChannels, channels_of, check_same

if TYPE_CHECKING:
    from captioning.captioner import Captioner


class ChannelScale:
    """Divides each channel by its standard deviation: a fixed one [C], or over all trials so far."""

    def __init__(self, fixed: list[float] | None = None):
        self.fixed, self.count, self.sums = fixed, 0, 0.

    def __call__(self, eeg: np.ndarray) -> np.ndarray:
        """Trials [n, C, T], scaled."""
        if self.fixed is not None:
            return divided(eeg, self.fixed)
        values = eeg.astype(float)
        self.count += values.shape[0] * values.shape[2]
        self.sums = self.sums + np.stack([values.sum((0, 2)), np.square(values).sum((0, 2))])
        mean, square = self.sums / self.count
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        return divided(eeg, np.where(deviation > 0, deviation, 1.).tolist())


@dataclass
class Session:
    """What a session wrote: time and event of each trial, columns of readings.readings, and s from a trial's last sample to
    its caption."""

    time: list[float] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    columns: dict[str, list] = field(default_factory=dict)
    latency: list[float] = field(default_factory=list)

    def whole(self) -> "Session":
        """Without a trial of which only a part was noted when the session was interrupted."""
        count = min([len(self.time), len(self.events), *map(len, self.columns.values())] if self.columns else [0])
        return Session(self.time[:count], self.events[:count], {name: values[:count] for name, values in
                                                                self.columns.items()}, self.latency[:count])


def calibrated_scale(args: Namespace, kept: Preprocessing) -> ChannelScale | None:
    """The ChannelScale that a stream's trials need: of the recording --calibrate, else over the trials so far; None where
    the model's data are not scaled."""
    if kept.standardised:
        raise InputError(f"--model_path {args.model_path}: its data were standardised over whole recordings, which a "
                         "stream is not; use caption.py on the recording, or a model of raw recordings")
    if kept.scale == "none":
        return None
    if not args.calibrate:
        print("note: without --calibrate each channel is divided by its standard deviation over the trials so far, so the "
              "first captions are uncertain")
        return ChannelScale()
    options = Namespace(recording=args.calibrate, stream=None, cut_short=False, allow_other_files=False, exclude="",
                        unit_scale=None, interpolate=args.interpolate, events=None, onsets=None, every=args.every,
                        event_names=args.event_names, stim_channel=None, stim_mask=None, event_delay=args.event_delay)
    return ChannelScale(new_recording.read_new(options, kept).scale)


def open_stream(args: Namespace, kept: Preprocessing) -> tuple[Inlet, LiveTrials, StreamChannels]:
    """The EEG stream, its LiveTrials and its channels."""
    inlet = Inlet(args.lsl, "--lsl", args.wait)
    channels = channels_of(inlet)
    names = [channels.names[row] for row in channels.eeg]
    if not args.interpolate:
        require_channels(names, kept.ch_names, f"--lsl {args.lsl}", "--interpolate")
    bads = [name.strip() for name in args.bads.split(",") if name.strip()]
    unknown = sorted(set(bads) - set(names))
    if unknown:
        raise InputError(f"--bads {unknown[0]}: no channel of that name in the stream (channels {', '.join(names)[:300]})")
    settings = replace(preprocessing.settings_of(kept), bads=bads or "none")
    live = LiveTrials(names, channels.sfreq, settings, args.every, f"--lsl {args.lsl}")
    return inlet, live, channels


def run(args: Namespace, captioner: "Captioner", kept: Preprocessing, request: Request, session: Session) -> tuple:
    """Caption a stream until it ends, or --seconds of it or --trials are done; fills in `session`.

    Returns (Inlet, LiveTrials) for what is to be said of them.
    """
    scale = calibrated_scale(args, kept)
    markers = Inlet(args.markers, "--markers", args.wait) if args.markers else None  # first, so that it misses none
    inlet, live, channels = open_stream(args, kept)
    rows, factor = channels.eeg, channels.factor[channels.eeg]
    print(f"{len(rows)} channels at {live.sfreq:g} Hz; a caption comes {live.wait:.2f} s after its onset at the earliest, "
          "as the window and the filters reach so far")

    def write(trials: list[LiveTrial]):
        if args.trials is not None:  # several may come at a time
            trials = trials[:args.trials - len(session.time)]
        if not trials:
            return
        eeg = np.stack([trial.eeg for trial in trials])
        eeg = (scale(eeg) if scale else eeg)[:, :, kept.taken]
        columns = _read(captioner, torch.from_numpy(np.ascontiguousarray(eeg)), request, len(session.time))
        print("\n".join(lines([trial.time for trial in trials], columns)), flush=True)
        session.latency += [time.perf_counter() - trial.arrived for trial in trials]
        session.time += [trial.time for trial in trials]
        session.events += [trial.event for trial in trials]
        for name, values in columns.items():
            session.columns.setdefault(name, []).extend(values)

    marked = True
    while not _enough(args, live, session):
        pulled = inlet.pull(PULL_SECONDS)
        if markers:
            marked = _take_marks(live, markers, marked, args)
        if pulled is None:
            write(live.finish())
            if _enough(args, live, session) or not inlet.again():
                break
            check_same(inlet, channels)
            continue
        values, times = pulled
        if len(times):
            write(live.add(np.asarray(values, float).T[rows] * factor[:, None], times, time.perf_counter()))
    write(live.finish())
    return inlet, live


def _read(captioner, eeg, request, first):
    """Columns of `readings` for trials that arrived at a time. Sampled captions are drawn trial by trial, so --seed gives
    the same ones however many trials arrive at a time."""
    if not request.generation["do_sample"]:
        return readings(captioner, eeg, request, first)
    each = [readings(captioner, eeg[row:row + 1], request, first + row) for row in range(len(eeg))]
    return {name: [columns[name][0] for columns in each] for name in each[0]}


def _enough(args, live, session):
    return ((args.seconds is not None and live.received >= args.seconds * live.sfreq)
            or (args.trials is not None and len(session.time) >= args.trials))


def _take_marks(live, markers, there, args):
    """Hand on the markers that came; whether their stream is there. Its program may be started again, as between blocks,
    while the EEG goes on. there: whether it was before."""
    marks = markers.pull()
    if marks is not None:
        _mark(live, *marks, args)
    elif there:
        print(f"note: the stream of markers {args.markers} is gone; it is looked for while the EEG goes on", flush=True)
    elif markers.again(LOOK_SECONDS):
        print(f"note: the stream of markers {args.markers} is back", flush=True)
        return True
    return marks is not None


def _mark(live, values, times, args):
    """Hand on the markers that are events of the name asked for."""
    for value, moment in zip(values, times.tolist(), strict=True):
        name = str(value[0]).strip()
        if not is_mark(name) and choose_by_name([Event(name, "")], args.event_names)[0]:
            live.mark(moment + args.event_delay, name)


def summary(inlet: Inlet, live: LiveTrials, session: Session) -> list[str]:
    """Sentences on latency, lost samples, reconnects and onsets that gave no trial."""
    text = [f"{len(session.time)} trials captioned"]
    if session.latency:
        p50, p95 = np.percentile(session.latency, [50, 95])
        text[0] += f"; from a trial's last sample to its caption: p50 {p50:.3f} s, p95 {p95:.3f} s"
    text.append(f"samples received: {live.received}, lost: {live.lost} in {live.gaps} gaps; reconnects: {inlet.reconnects}")
    text += [f"{count} onsets gave no trial: {reason}" for reason, count in live.dropped.items() if count]
    return text + [f"note: {note}" for note in live.notes]
