"""Time of day against position in the file: a recording with gaps holds fewer samples than seconds passed."""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import mne


@dataclass
class Clock:
    """The stretches of a recording without a gap inside.

    start [n]: seconds from the recording's start to a stretch's first sample; position [n]: seconds of samples that the
    file holds before it; end: seconds of samples in the whole file; pace: seconds that a second of samples takes by another
    clock than the amplifier's.
    """

    start: np.ndarray
    position: np.ndarray
    end: float
    pace: float = 1.

    def __post_init__(self):
        self.start, self.position = np.asarray(self.start, float), np.asarray(self.position, float)
        self.length = np.diff(np.append(self.position, self.end))

    @property
    def seconds(self) -> float:
        """From the recording's start to its end, gaps included."""
        return float(self.start[-1] + self.length[-1] * self.pace)

    @property
    def lost(self) -> float:
        """Seconds in all gaps."""
        return self.seconds - self.end * self.pace

    def to_position(self, time: float) -> float:
        """Where among the file's samples a moment lies, in s; NaN in a gap. Before the start and after the end count on."""
        number = max(int(np.searchsorted(self.start, time + 1e-9, side="right")) - 1, 0)
        inside = (time - self.start[number]) / self.pace
        if number < len(self.start) - 1 and inside > self.length[number] - 1e-9:
            return float("nan")
        return float(self.position[number] + inside)

    def to_time(self, position: float) -> float:
        """The moment of a position among the file's samples, both in s."""
        number = max(int(np.searchsorted(self.position, position + 1e-9, side="right")) - 1, 0)
        return float(self.start[number] + (position - self.position[number]) * self.pace)


def keep_clock(raw: "mne.io.BaseRaw", clock: Clock) -> None:
    """Keep the Clock of a recording with gaps with it."""
    raw.info["temp"] = clock


def clock_of(raw: "mne.io.BaseRaw") -> Clock:
    """The Clock of a recording, with gaps or without."""
    kept = raw.info.get("temp")
    return kept if isinstance(kept, Clock) else Clock([0.], [0.], raw.n_times / raw.info["sfreq"])


def mark_gaps(raw: "mne.io.BaseRaw", clock: Clock, marks: list[tuple[float, float, str]]) -> None:
    """Put the annotations of a recording with gaps onto its samples, and BAD_ACQ_SKIP at each gap; keeps the Clock.

    marks: (onset in s from the recording's start, duration in s, text). Those in gaps are left out, with a warning that
    counts them.
    """
    import mne

    kept = [(position, duration, text) for onset, duration, text in marks
            if 0 <= (position := clock.to_position(onset)) < clock.end]  # NaN, in a gap, is neither
    gaps = [(position, 1 / raw.info["sfreq"], "BAD_ACQ_SKIP") for position in clock.position[1:].tolist()]
    raw.set_annotations(mne.Annotations(*map(list, zip(*sorted(kept + gaps), strict=True))), verbose="error")
    if len(kept) < len(marks):
        warnings.warn(f"{len(marks) - len(kept)} of {len(marks)} marks lie before, after or in gaps of the EEG",
                      RuntimeWarning, stacklevel=2)
    warnings.warn(f"the recording has {len(gaps)} gaps, {clock.lost:g} s in all: neither filters nor trials reach across "
                  "them", RuntimeWarning, stacklevel=2)
    keep_clock(raw, clock)
