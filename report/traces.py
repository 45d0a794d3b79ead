"""The EEG of single trials as small inline SVGs: global field power and a few channels, in ms from the picture's onset."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .charts import WIDTH, Scale, line, polyline, svg, text, tick_text, ticks
from .run import not_as_it_was

CHANNELS = 8
SHOWN = ("Fz", "Cz", "T7", "T8", "P7", "P8", "Pz", "PO7", "PO8", "POz", "O1", "Oz", "O2")  # from front to back
CHOICE = ("Oz", "Pz", "Cz", "Fz", "O1", "O2", "PO7", "PO8", "P7", "P8", "T7", "T8", "POz")  # most wanted first
MOST_SAMPLES = 130
POWER = "GFP"
UNITS = {"uV": "µV"}


@dataclass
class Eeg:
    """EEG of a few trials.

    curves {trial: [1 + channels, T]}, the global field power first; names of the curves; ms [T] from the picture's onset,
    or from the trial's start where onset is False; unit of the amplitudes.
    """

    curves: dict
    names: list
    ms: np.ndarray
    onset: bool
    unit: str

    @property
    def step(self):
        """A round amplitude that most samples of the channels stay below; one for all trials, so that they compare."""
        most = np.percentile(np.abs(np.concatenate([curves[1:].ravel() for curves in self.curves.values()])), 98)
        return max(ticks(0, 1.05 * most)) if most > 0 else 1.0


def read_eeg(path, fingerprint, pictures):
    """(Eeg, "") of trials of a data set folder or .pth file, or (None, why there is none). pictures: {record number: name}.

    Each channel's mean over the trial is taken off. The global field power is the standard deviation over channels at each
    moment (Lehmann and Skrandies 1980). Of a folder only the trials asked for are read.
    """
    from eegdata.dataset_folder import read_record
    from eegdata.trials import load_trials

    refusal = not_as_it_was(Path(path), fingerprint)
    if refusal:
        return None, refusal
    window = (0, read_record(path)["n_times"]) if Path(path).is_dir() else ()
    trials = load_trials(path, *window)
    position = {number: place for place, number in enumerate(trials.trial.tolist()) if number in pictures}
    strangers = [number for number, name in pictures.items()
                 if number not in position or (name and trials.has_pictures and trials.names([position[number]]) != [name])]
    if strangers:
        return None, (f"trial {strangers[0]} of {path} is not the one that the captions are of; expected picture "
                      f"{pictures[strangers[0]] or '?'}")
    chosen, names = choose_channels(trials.ch_names, trials.eeg.shape[1])
    curves = {}
    for number, place in position.items():
        signal = trials.eeg[place].numpy().astype(float)
        signal = signal - signal.mean(1, keepdims=True)
        curves[number] = np.vstack([signal.std(0), signal[chosen]])
    ms = 1000 * (np.arange(trials.eeg.shape[2]) / trials.sfreq + (trials.tmin or 0))
    unit = UNITS.get(trials.record.get("units"), "units of its own")
    if trials.record.get("scale") == "recording":
        unit = "standard deviations of the channel"
    return Eeg(curves, [POWER, *names], ms, trials.tmin is not None, unit), ""


def choose_channels(names, count):
    """(numbers, names) of about CHANNELS channels from front to back: known ones over the visual path, else every n-th."""
    names = list(names or map(str, range(1, count + 1)))
    place = {name.casefold(): number for number, name in enumerate(names)}
    known = [name for name in CHOICE if name.casefold() in place][:CHANNELS]
    if len(known) >= min(count, CHANNELS // 2):
        numbers = [place[name.casefold()] for name in SHOWN if name in known]
    else:
        numbers = sorted(set(np.linspace(0, count - 1, min(count, CHANNELS)).round().astype(int).tolist()))
    return numbers, [names[number] for number in numbers]


def trace_chart(eeg, trial, title):
    """One trial's curves, one below the other; a bar shows the amplitude."""
    left, top, pitch = 40, 10, 20
    curves, bottom = eeg.curves[trial], top + pitch * (len(eeg.names) + 0.5)
    groups = np.array_split(np.arange(len(eeg.ms)), min(MOST_SAMPLES, len(eeg.ms)))
    ms = np.array([eeg.ms[group].mean() for group in groups])
    x = Scale(eeg.ms[0], eeg.ms[-1], left, WIDTH - 44)
    parts, gain = [], 0.6 * pitch / eeg.step
    for mark in x.ticks:
        parts += [line(x(mark), top, x(mark), bottom, "onset" if eeg.onset and mark == 0 else "grid"),
                  text(x(mark), bottom + 14, tick_text(mark), "tick", "middle")]
    for row, (name, curve) in enumerate(zip(eeg.names, curves, strict=True)):
        y = top + pitch * (row + 0.75)
        means = [curve[group].mean() for group in groups]
        parts += [text(left - 6, y + 3, name, "tick", "end"),
                  polyline([(x(t), y - gain * value) for t, value in zip(ms, means, strict=True)],
                           "trace power" if name == POWER else "trace")]
    edge, unit = WIDTH - 36, f" {eeg.unit}" if eeg.unit in UNITS.values() else ""
    parts += [line(edge, bottom - gain * eeg.step, edge, bottom, "whisker"),
              text(edge + 4, bottom - 2, tick_text(eeg.step) + unit, "tick"),
              text(left, bottom + 27, "ms from the picture's onset" if eeg.onset else "ms from the trial's start", "tick")]
    peak = eeg.ms[int(curves[0].argmax())]
    described = (f"{len(eeg.names) - 1} channels ({', '.join(eeg.names[1:])}) and the global field power, highest at "
                 f"{peak:.0f} ms")
    return svg(bottom + 32, title, described, parts)
