"""The EEG of single trials as small figures: global field power and a few channels, in ms from the picture's onset."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.figures import PAGE_COLOURS, SOFT, panel, style, svg

import numpy as np
from markupsafe import Markup

from .run import why_not_readable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_CHANNELS = 8
CHANNELS_FRONT_TO_BACK = ("Fz", "Cz", "T7", "T8", "P7", "P8", "Pz", "PO7", "PO8", "POz", "O1", "Oz", "O2")
CHANNELS_BY_PREFERENCE = ("Oz", "Pz", "Cz", "Fz", "O1", "O2", "PO7", "PO8", "P7", "P8", "T7", "T8", "POz")
MAX_SAMPLES = 130  # of a curve; neighbouring samples are averaged
GFP = "GFP"
UNITS = {"uV": "µV"}
GAIN = .6  # rows that the amplitude bar is high


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
    def amplitude(self) -> float:
        """A round amplitude, near the largest of the channels. It is one for all trials, so that they can be compared."""
        from matplotlib.ticker import MaxNLocator

        samples = np.abs(np.concatenate([curves[1:].ravel() for curves in self.curves.values()]))
        largest = 1.05 * np.percentile(samples, 98)
        if not largest > 0:
            return 1.0
        return max(tick for tick in MaxNLocator(2, steps=[1, 2, 5, 10]).tick_values(0, largest) if tick <= largest)


def read_eeg(path: str | Path, fingerprint: str | None, pictures: dict[int, str]) -> tuple[Eeg | None, str]:
    """(Eeg, "") of trials of a data set folder or .pth file, or (None, why there is none). pictures: {record number: name}.

    Each channel's mean over the trial is subtracted. The global field power is the standard deviation over channels at each
    moment (Lehmann and Skrandies 1980). Of a folder only the trials asked for are read.
    """
    from eegdata.dataset_folder import read_record
    from eegdata.microvolts import are_known, in_microvolts
    from eegdata.trials import load_trials

    refusal = why_not_readable(Path(path), fingerprint)
    if refusal:
        return None, refusal
    window = (0, read_record(path)["n_times"]) if Path(path).is_dir() else ()
    trials = load_trials(path, *window)
    position = {number: place for place, number in enumerate(trials.trial.tolist()) if number in pictures}
    mismatched = [
        number for number, name in pictures.items()
        if number not in position or (name and trials.has_pictures and trials.names([position[number]]) != [name])]
    if mismatched:
        return None, (f"trial {mismatched[0]} of {path} is not the one that the captions are of; expected picture "
                      f"{pictures[mismatched[0]] or '?'}")
    chosen, names = choose_channels(trials.ch_names, trials.eeg.shape[1])
    curves = {}
    for number, place in position.items():
        signal = in_microvolts(trials, np.array([place]))[0].astype(float)
        signal = signal - signal.mean(1, keepdims=True)
        curves[number] = np.vstack([signal.std(0), signal[chosen]])
    ms = 1000 * (np.arange(trials.eeg.shape[2]) / trials.sfreq + (trials.tmin or 0))
    unit = UNITS["uV"] if are_known(trials) else "units of its own"
    return Eeg(curves, [GFP, *names], ms, trials.tmin is not None, unit), ""


def choose_channels(names: list[str] | None, count: int) -> tuple[list[int], list[str]]:
    """(numbers, names) of up to MAX_CHANNELS channels from front to back: of the 10-20 system, else evenly spread.

    Visual channels come first. names: of all channels, None: they have none; count: of all channels.
    """
    names = list(names or map(str, range(1, count + 1)))
    place = {name.casefold(): number for number, name in enumerate(names)}
    known = [name for name in CHANNELS_BY_PREFERENCE if name.casefold() in place][:MAX_CHANNELS]
    if len(known) >= min(count, MAX_CHANNELS // 2):
        numbers = [place[name.casefold()] for name in CHANNELS_FRONT_TO_BACK if name in known]
    else:
        numbers = sorted(set(np.linspace(0, count - 1, min(count, MAX_CHANNELS)).round().astype(int).tolist()))
    return numbers, [names[number] for number in numbers]


def draw_trace(axes: "Axes", eeg: Eeg, trial: int) -> str:
    """Draw a trial's curves into Matplotlib axes, one below the other, with a bar for the amplitude.

    Returns the description for screen readers.
    """
    curves = eeg.curves[trial]
    groups = np.array_split(np.arange(len(eeg.ms)), min(MAX_SAMPLES, len(eeg.ms)))
    ms = [eeg.ms[group].mean() for group in groups]
    gain = GAIN / eeg.amplitude
    for row, (name, curve) in enumerate(zip(eeg.names, curves, strict=True)):
        line = {"color": PAGE_COLOURS["accent"], "lw": 1.2} if name == GFP else {"color": PAGE_COLOURS["ink"], "lw": .7}
        axes.plot(ms, [row - gain * curve[group].mean() for group in groups], **line)
    if eeg.onset and eeg.ms[0] <= 0 <= eeg.ms[-1]:
        axes.axvline(0, color=SOFT, lw=.8)
    bottom = len(eeg.names) - .5
    bar = axes.get_yaxis_transform()
    axes.plot([1.02, 1.02], [bottom - GAIN, bottom], color=PAGE_COLOURS["ink"], lw=1, transform=bar, clip_on=False)
    unit = f" {eeg.unit}" if eeg.unit in UNITS.values() else ""
    axes.text(1.035, bottom - GAIN / 2, f"{eeg.amplitude:.3g}{unit}", va="center", transform=bar)
    axes.set_yticks(range(len(eeg.names)), eeg.names)
    axes.set(xlim=(eeg.ms[0], eeg.ms[-1]), ylim=(bottom, -1),
             xlabel="ms from the picture's onset" if eeg.onset else "ms from the trial's start")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    peak = eeg.ms[int(curves[0].argmax())]
    return (f"{len(eeg.names) - 1} channels ({', '.join(eeg.names[1:])}) and the global field power, highest at "
            f"{peak:.0f} ms")


@style(text__parse_math=False)
def trace_chart(eeg: Eeg, trial: int, title: str) -> Markup:
    """The EEG of a trial, as `draw_trace` draws it; the title is for screen readers."""
    figure, axes = panel(.5 + .17 * len(eeg.names), "")
    return svg(figure, title, draw_trace(axes, eeg, trial))
