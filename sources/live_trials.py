"""Trials of a recording that is still going on: samples and onsets arrive piece by piece, and each trial is processed as in
a recording that is whole (sources/preprocessing.py), as soon as the filters have all samples that they reach for.

FIR filters, reference, baseline and window of a trial depend on the samples around it only, so a stretch of the ring buffer
gives what the whole recording would. What depends on the whole recording, the scale of the channels and the bad ones, is
settled before, from a recording or by name.
"""

import math
from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise

from runtime.errors import InputError

import numpy as np

from . import epochs, preprocessing

MAX_JITTER = .05  # s by which the step between two time stamps may differ from an even one; more is lost samples
RESAMPLING_SECONDS = 2.  # at each side, which the resampling reaches for
HISTORY = 30.  # s that are kept for onsets that arrive late


@dataclass
class LiveTrial:
    """A trial: eeg [C, T] float32 of all its samples, time in s from the first sample of the stream, name of its event, and
    when its last sample arrived, by the clock that `LiveTrials.add` was given."""

    eeg: np.ndarray
    time: float
    event: str
    arrived: float


@dataclass
class _Stretch:
    """Samples without a gap: signal [channels, n] in microvolts, times [n], first: number of signal's first sample."""

    signal: np.ndarray
    times: np.ndarray
    first: int = 0

    def add(self, signal, times):
        self.signal, self.times = np.concatenate([self.signal, signal], 1), np.append(self.times, times)

    def forget(self, count):
        """Forget the oldest `count` samples."""
        if count > 0:
            self.signal, self.times, self.first = self.signal[:, count:], self.times[count:], self.first + count


class LiveTrials:
    """Turns samples and onsets into trials.

    names: channels of the samples, all EEG; sfreq: their rate in Hz; settings: what is done to them, where `bads` are names
    or "none"; every: seconds between onsets that are made here, None for onsets that `mark` brings.
    """

    def __init__(self, names: list[str], sfreq: float, settings: preprocessing.Settings, every: float | None = None,
                 where: str = "stream"):
        self.names, self.sfreq, self.settings, self.every, self.where = names, sfreq, settings, every, where
        if settings.bads == "auto":
            raise InputError(f"{where}: bad channels cannot be looked for while a recording goes on; name them, or none")
        epochs.check_filters(settings, where, sfreq, math.inf)
        self.reach = reach_seconds(settings, sfreq)
        self.step = epochs.grid_step(sfreq, settings.sfreq)
        self.stretch, self.pending, self.start, self.next = None, [], None, None
        self.received, self.lost, self.gaps, self.processed = 0, 0, 0, 0
        self.dropped, self.notes, self.arrived = Counter(), Counter(), 0.

    @property
    def wait(self) -> float:
        """Seconds from an onset until its trial can be processed."""
        return self.settings.last / self.settings.sfreq + self.reach

    def add(self, signal: np.ndarray, times: np.ndarray, arrived: float) -> list[LiveTrial]:
        """Take samples [channels, n] in microvolts with their time stamps [n] in s; returns trials that are complete now.

        arrived: the time, by any clock.
        """
        if not len(times):
            return []
        self.received, self.arrived = self.received + len(times), arrived
        known = self.stretch.times[-1:] if self.stretch else times[:1]
        steps = np.diff(np.append(known, times))
        steps[0] = steps[0] if self.stretch else 1 / self.sfreq
        gaps = np.flatnonzero(np.abs(steps - 1 / self.sfreq) > MAX_JITTER)
        edges = [0, *gaps, len(times)]  # a gap before the first of these samples leaves nothing before it
        ready = []
        for number, (low, high) in enumerate(pairwise(edges)):
            if number:
                ready += self._gap(times[low])
            if high > low:
                ready += self._add_even(signal[:, low:high], times[low:high])
        return ready

    def mark(self, time: float, event: str) -> None:
        """An onset at `time` by the clock of the time stamps."""
        self.pending.append((time, event))

    def finish(self) -> list[LiveTrial]:
        """The trials that the end of the stream completes: there the filters meet its edge, as at the end of a file."""
        return self._ready(True) if self.stretch else []

    def _gap(self, time):
        """Samples were lost before `time`."""
        self.gaps += 1
        self.lost += max(0, round((time - self.stretch.times[-1]) * self.sfreq) - 1)  # 0 where a clock was set back
        ready, end = self._ready(True), self.stretch.times[-1]
        inside = [mark for mark in self.pending if end < mark[0] < time]
        self.dropped["in lost samples"] += len(inside)
        self.pending = [mark for mark in self.pending if mark[0] >= time]
        self.stretch = None
        return ready

    def _add_even(self, signal, times):
        if self.stretch is None:
            self.stretch = _Stretch(np.asarray(signal, float), np.asarray(times, float))
            self.start = float(times[0]) if self.start is None else self.start
        else:
            self.stretch.add(signal, times)
        while self.every and (self._next_onset() <= times[-1]):
            self.pending.append((self.next, "onset"))
            self.next += self.every
        ready = self._ready(False)
        span = self.wait + self.reach + max(0., -self.settings.tmin) + HISTORY
        extra = self.stretch.signal.shape[1] - math.ceil(span * self.sfreq)
        self.stretch.forget(extra - extra % self.step)
        return ready

    def _next_onset(self):
        if self.next is None:
            self.next = self.start + max(0., -self.settings.tmin)
        return self.next

    def _ready(self, at_end):
        """The trials of pending onsets whose samples are there; at_end: no more samples come to this stretch."""
        done, waiting = [], []
        last = self.settings.last / self.settings.sfreq
        for time, event in self.pending:
            end = self.stretch.times[-1]
            if time + (last if at_end else self.wait) <= end + 1.5 / self.sfreq:
                done += self._trial(time, event)
            elif at_end and time <= end:
                self.dropped["outside the recording"] += 0 if self.every else 1
            else:
                waiting.append((time, event))
        self.pending = waiting
        return done

    def _trial(self, time, event):
        """[LiveTrial] of an onset, or [] where it gives none, which is counted."""
        import mne

        stretch, rate = self.stretch, self.sfreq
        if time < stretch.times[0] - .5 / rate:
            self.dropped["in samples that are no longer kept"] += 1
            return []
        number = stretch.first + float(np.interp(time, stretch.times, np.arange(len(stretch.times))))
        low = number + (self.settings.tmin - self.reach) * rate
        low = max(stretch.first, math.floor(low / self.step) * self.step)
        there = stretch.first + stretch.signal.shape[1] // self.step * self.step
        high = min(math.ceil((number + self.wait * rate) / self.step + 1) * self.step, there)
        piece = stretch.signal[:, low - stretch.first:high - stretch.first]
        raw = mne.io.RawArray(piece * 1e-6, mne.create_info(self.names, rate, "eeg"), verbose="error")
        try:
            trials, dropped, notes = preprocessing.process(self.where, raw, self.names, {}, [],
                                                           np.array([(number - low) / rate]), self.settings)
            eeg, _ = epochs.joined(trials, len(self.settings.ch_names), self.settings)
        except InputError as error:  # an electrode that came off later must not end the session
            if not self.processed:
                raise
            eeg, dropped, notes = [], {str(error): 1}, []
        self.processed += len(eeg)
        self.dropped.update(dropped)
        self.notes.update(note for note in notes if not note.startswith("filter_length"))  # at an edge it is cut anyway
        return [LiveTrial(each, time - self.start, event, self.arrived) for each in eeg]


def reach_seconds(settings: epochs.Epoching, sfreq: float) -> float:
    """Seconds on each side of a trial that its filters and its resampling reach for."""
    band, notch = replace(settings, notch=0.), replace(settings, l_freq=0., h_freq=0.)
    filters = (epochs.filter_seconds(band) + epochs.filter_seconds(notch)) / 2
    return filters + 2 / sfreq + RESAMPLING_SECONDS * (settings.sfreq != sfreq)
