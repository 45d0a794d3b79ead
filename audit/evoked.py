"""Figures of a data set's EEG: responses to the pictures with scalp maps, spectra, the order of presentation.

The EEG is read once, a chunk at a time. Matplotlib and MNE draw the figures, in the style of runtime/figures.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.figures import INK, PALETTE, SOFT, WIDTH, panel, style, svg
from runtime.wording import listed

import numpy as np
from markupsafe import Markup

from eegdata.microvolts import are_known, in_microvolts
from eegdata.montage import scalp_info

if TYPE_CHECKING:
    import mne
    from matplotlib.axes import Axes

    from eegdata.trials import Trials

CHUNK_VALUES = 2**22  # EEG values read at a time: 16 MB
MAX_CLASSES_DRAWN = 8
MAX_LATENCIES = 4  # maps for each class
MIN_SMOOTH_ELECTRODES = 8  # with fewer, each point of a map takes the value of the nearest electrode
MAX_ROWS = 24  # recordings in the figure of the order
MAX_SPECTRUM_TRIALS = 1000


@dataclass
class Responses:
    """Means over trials and their standard errors, NaN of one trial.

    mean and error [C, T] of all; for each label of `labels` a row of class_mean and class_error [K, C, T] and counts [K].
    times [T] in ms from the picture, or from the trial's start where the picture's onset is not known.
    """

    times: np.ndarray
    mean: np.ndarray
    error: np.ndarray
    labels: list
    counts: np.ndarray
    class_mean: np.ndarray
    class_error: np.ndarray

    @property
    def strength(self) -> np.ndarray:
        """Global field power of the mean, [T]: its standard deviation over channels; of one channel its size."""
        return self.mean.std(0) if len(self.mean) > 1 else np.abs(self.mean[0])


def chunks(trials: "Trials", rows: np.ndarray, what: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """EEG of `rows` as (rows, float32 array [n, C, T]), in microvolts where known, a chunk at a time, with a progress
    bar."""
    from tqdm import tqdm

    step = max(1, CHUNK_VALUES // (trials.eeg.shape[1] * trials.eeg.shape[2]))
    for start in tqdm(range(0, len(rows), step), desc=what, unit="chunk", leave=False):
        part = rows[start:start + step]
        yield part, in_microvolts(trials, part)


def responses(trials: "Trials") -> Responses:
    """Responses of trials.Trials; classes beyond the MAX_CLASSES_DRAWN largest only count in the mean of all."""
    labels = trials.groups.numpy()
    found, sizes = np.unique(labels, return_counts=True)
    shown = sorted(found[np.argsort(-sizes, kind="stable")][:MAX_CLASSES_DRAWN].tolist())
    shape = tuple(trials.eeg.shape[1:])
    sums, squares = np.zeros((2, len(shown) + 1, *shape))  # the last of all trials
    for rows, eeg in chunks(trials, np.arange(len(labels)), "evoked responses"):
        for place, own in enumerate([*(eeg[labels[rows] == label] for label in shown), eeg]):
            own = own.astype(np.float64)
            sums[place] += own.sum(0)
            squares[place] += np.einsum("nct,nct->ct", own, own)
    counts = np.array([*((labels == label).sum() for label in shown), len(labels)])
    n = counts[:, None, None]
    means = sums / n
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.sqrt(np.maximum(squares / n - means**2, 0) / (n - 1))
    times = 1000 * ((trials.tmin or 0) + np.arange(shape[1]) / trials.sfreq)
    return Responses(times, means[-1], errors[-1], shown, counts[:-1], means[:-1], errors[:-1])


def spectrum(trials: "Trials") -> tuple[np.ndarray, np.ndarray]:
    """Mean power spectral density: frequencies [F] in Hz and power [C, F] in unit²/Hz.

    From up to MAX_SPECTRUM_TRIALS trials, evenly spread, with a Hann window over the whole trial and its mean subtracted.
    """
    from scipy.signal import periodogram

    rows = np.linspace(0, len(trials) - 1, min(len(trials), MAX_SPECTRUM_TRIALS)).astype(int)
    power = 0
    for _, eeg in chunks(trials, rows, "power spectrum"):
        frequencies, density = periodogram(eeg.astype(np.float64), trials.sfreq, "hann", detrend="constant")
        power += density.sum(0)
    return frequencies[1:], power[:, 1:] / len(rows)


def unit(trials: "Trials") -> str:
    """The unit of the EEG as it is drawn."""
    if not trials.record:
        return "unit of the file"
    return "µV" if are_known(trials) else "standard deviations"


def scalp(trials: "Trials") -> tuple:
    """(mne.Info of the channels with a known place, their rows), or (None, a sentence on why no map can be drawn)."""
    if not trials.ch_names:
        return None, "The file names no channels, so no scalp maps can be drawn."
    info, rows = scalp_info(trials.ch_names, trials.sfreq, trials.record.get("positions"))
    return (info, rows) if info is not None else (None, f"No scalp maps can be drawn: {rows}.")


def latencies(found: Responses) -> list[int]:
    """Up to MAX_LATENCIES samples after the picture at which the mean of all trials peaks most, in order of time."""
    from scipy.signal import find_peaks

    after = np.flatnonzero(found.times >= min(0, found.times[-1]))
    strength = found.strength[after]
    apart = max(1, round(40 / max(found.times[1] - found.times[0], 1e-6))) if len(found.times) > 1 else 1
    peaks, about = find_peaks(strength, distance=apart, prominence=0)
    if not len(peaks):
        return [int(after[strength.argmax()])]
    return sorted(after[peaks[np.argsort(-about["prominences"])[:MAX_LATENCIES]]].tolist())


def mark_onset(axes: "Axes", found: Responses, known: bool) -> None:
    axes.set_xlim(found.times[0], found.times[-1])
    axes.axhline(0, color=SOFT, lw=.4)
    if known and found.times[0] < 0:
        axes.axvline(0, color=SOFT, lw=.8, ls=":")
    axes.set_xlabel("ms from the picture" if known else "ms from the trial's start")


def draw_all(trials: "Trials", found: Responses, samples: list[int]) -> Markup:
    """Every channel of the mean of all trials, its global field power, and where the maps are taken."""
    figure, axes = panel(2.3, f"Mean of all {len(trials)} trials, each channel")
    lines = axes.plot(found.times, found.mean.T, color=PALETTE[0], lw=.5, alpha=.6)
    for line in lines:
        line.set_rasterized(len(lines) > 8)
    if len(found.mean) > 1:
        axes.plot(found.times, found.strength, color=INK, lw=1.4)
        axes.set_title("thick: GFP", loc="right", fontweight="normal")
    for sample in samples:
        axes.axvline(found.times[sample], color=PALETTE[1], lw=.7)
    mark_onset(axes, found, trials.tmin is not None)
    axes.set_ylabel(unit(trials))
    peaks = ", ".join(f"{found.times[sample]:.0f}" for sample in samples)
    return svg(figure, "Evoked response, all trials", f"{len(found.mean)} channels; strongest at {peaks} ms")


def draw_channels(trials: "Trials", found: Responses, samples: list[int]) -> list[Markup]:
    """For each latency the channel that responds most, in standard errors: a line for each class with the 95% band of its
    mean."""
    figures, rows = [], []
    for sample in samples[:len(found.mean)]:
        mean, error = found.mean[:, sample], found.error[:, sample]
        response = np.abs(np.divide(mean, error, out=mean.copy(), where=error > 0))
        rows.append(next(row for row in np.argsort(-response) if row not in rows))
    for row in rows:
        name = trials.ch_names[row] if trials.ch_names else f"channel {row}"
        figure, axes = panel(1.9, name)
        for place, colour in zip(range(len(found.labels)), PALETTE, strict=False):
            mean, error = found.class_mean[place, row], 1.96 * found.class_error[place, row]
            axes.plot(found.times, mean, color=colour, lw=1.1)
            if np.isfinite(error).all():
                axes.fill_between(found.times, mean - error, mean + error, color=colour, alpha=.18, lw=0, rasterized=True)
        mark_onset(axes, found, trials.tmin is not None)
        axes.set_ylabel(unit(trials))
        figures.append(svg(figure, f"Evoked responses by class at {name}", "a line for each class, with the 95% band of "
                           "its mean",
                           dpi=110))
    return figures


def draw_maps(trials: "Trials", found: Responses, samples: list[int], info: "mne.Info", rows: list[int],
              by_class: bool = True) -> list[Markup]:
    """Scalp maps at the latencies: of all trials, and of each class shown, on one colour scale."""
    from matplotlib.figure import Figure
    from mne.viz import plot_topomap

    kinds = [(f"all ({len(trials)})", found.mean)] if len(found.labels) > 1 or not by_class else []
    kinds += [] if not by_class else [(f"{trials.group_names[label]} ({count})", mean) for label, count, mean in
              zip(found.labels, found.counts, found.class_mean, strict=True)]
    limit = max(np.abs(values[np.ix_(rows, samples)]).max() for _, values in kinds) or 1.0
    options = {"contours": 4} if len(rows) >= MIN_SMOOTH_ELECTRODES else {
        "image_interp": "nearest", "extrapolate": "local", "contours": 0}
    figures = []
    for name, values in kinds:
        figure = Figure(figsize=(WIDTH, 1.3), layout="constrained")
        places = figure.subplots(1, MAX_LATENCIES + 1, width_ratios=[*[1] * MAX_LATENCIES, .09])
        figure.suptitle(name if len(name) <= 50 else f"{name[:49]}…", x=.01, ha="left", fontsize=8.5, fontweight="bold",
                        parse_math=False)
        for axes in places[len(samples):-1]:
            axes.set_axis_off()
        for axes, sample in zip(places, samples, strict=False):
            image, _ = plot_topomap(values[rows, sample], info, axes=axes, show=False, vlim=(-limit, limit), res=48,
                                    cmap="RdBu_r", sensors=not figures, **options)
            axes.set_title(f"{found.times[sample]:.0f} ms", loc="center", fontweight="normal")
        figure.colorbar(image, cax=places[-1]).ax.tick_params(labelsize=6.5)
        figures.append(svg(figure, f"Scalp maps: {name}", f"at {len(samples)} latencies, in {unit(trials)}, from "
                                                          f"-{limit:.3g} to {limit:.3g}", dpi=100))
    return figures


def draw_spectrum(trials: "Trials") -> Markup:
    frequencies, power = spectrum(trials)
    figure, axes = panel(2.1, "Power spectrum, each channel")
    shown = np.where(power > 0, power, np.nan)
    for line in axes.semilogy(frequencies, shown.T, color=PALETTE[0], lw=.5, alpha=.6):
        line.set_rasterized(len(power) > 8)
    if np.isfinite(shown).any():
        axes.semilogy(frequencies, np.nanmedian(shown, 0), color=INK, lw=1.4)
        axes.set_title("thick: median", loc="right", fontweight="normal")
    for mains in (50, 60):
        if mains < frequencies[-1]:
            axes.axvline(mains, color=PALETTE[1], lw=.6, ls=":")
    axes.set_xlim(0, frequencies[-1])
    axes.set_xlabel("Hz (dotted: 50 and 60 Hz)")
    axes.set_ylabel(f"{unit(trials)}²/Hz" if unit(trials) == "µV" else "power density")
    return svg(figure, "Power spectrum of each channel", f"mean of up to {MAX_SPECTRUM_TRIALS} trials, "
                                                         f"{frequencies[0]:.3g} to {frequencies[-1]:.3g} Hz")


def draw_order(trials: "Trials") -> tuple[Markup, str]:
    """(figure, sentences on it): a row for each recording, a line in the class's colour for each trial, over time."""
    labels = trials.groups.numpy()
    if trials.recording is not None:
        groups = trials.recording.numpy()
        names = [entry["name"] for entry in trials.record["recordings"]]
    else:
        pairs, groups = np.unique(np.stack([trials.subject.numpy(), trials.session.numpy()]), axis=1, return_inverse=True)
        groups, names = groups.reshape(-1), [f"subject {s}" + (f" session {n}" if n >= 0 else "") for s, n in pairs.T]
    timed = trials.onset is not None and not np.isnan(trials.onset).all()
    present = np.unique(groups)
    kept = present[:MAX_ROWS]
    colour = class_colours(np.unique(labels))
    figure, axes = panel(.75 + .17 * len(kept), "Order of presentation")
    for row, group in enumerate(kept):
        own = np.flatnonzero(groups == group)
        places = trials.onset[own] / 60 if timed else np.arange(len(own))
        axes.vlines(places, row - .42, row + .42, colors=[colour[label] for label in labels[own].tolist()],
                    lw=max(.4, min(3, 180 / len(own))), rasterized=True)
    axes.set_yticks(range(len(kept)), [names[group][-18:] for group in kept], parse_math=False)
    axes.set_ylim(len(kept) - .4, -.6)
    axes.set_xlabel("minutes from the start of the recording" if timed else "number of the trial in the file")
    said = f"Shown are the first {MAX_ROWS} of {len(present)} recordings. " if len(present) > MAX_ROWS else ""
    if not timed:
        said += "The times of presentation are unknown, so the order is that of the file. "
    if len(colour) > len(PALETTE):
        said += "The colours run through the rainbow in the order of the classes. "
    return svg(figure, "Order of presentation", f"{len(kept)} rows, coloured by class"), said


def class_colours(labels: np.ndarray) -> dict:
    """A colour for each label: PALETTE in their order, where they are enough, else along the rainbow."""
    import matplotlib

    if len(labels) <= len(PALETTE):
        return dict(zip(labels.tolist(), PALETTE, strict=False))
    rainbow = matplotlib.colormaps["turbo"]
    return {label: rainbow(place / (len(labels) - 1)) for place, label in enumerate(labels.tolist())}


@style()
def draw_counts(counts: np.ndarray, subjects: list, classes: list[str], title: str) -> Markup:
    """Trials of one part, subjects x classes, as shades; counts [S, K]."""
    figure, axes = panel(.8 + .14 * min(len(subjects), 40), title)
    image = axes.imshow(counts, cmap="viridis", aspect="auto", vmin=0, interpolation="nearest")
    figure.colorbar(image, ax=axes, fraction=.05)
    axes.set_yticks(range(len(subjects)), subjects) if len(subjects) <= 40 else axes.set_ylabel("subjects")
    axes.set_xlabel(f"{len(classes)} classes, in their order")
    return svg(figure, title, f"{counts.sum()} trials; per subject and class {counts.min()} to {counts.max()}")


@style()
def pictures(trials: "Trials") -> dict:
    """All figures of the page: {name: figure or list of figures}; "notes": sentences on what they do not show."""
    found = responses(trials)
    samples = latencies(found)
    info, rows = scalp(trials)
    order, said = draw_order(trials)
    notes = {"maps": "" if info is not None else rows, "order": said}
    if info is not None and len(rows) < len(trials.ch_names):
        left = [name for row, name in enumerate(trials.ch_names) if row not in rows]
        notes["maps"] = f"Not on the maps, because their places are unknown: {listed(left, 12)}."
    legend = [(trials.group_names[label], int(count), colour) for label, count, colour in
              zip(found.labels, found.counts, PALETTE, strict=False)]
    return {"all": draw_all(trials, found, samples), "channels": draw_channels(trials, found, samples),
            "maps": draw_maps(trials, found, samples, info, rows) if info is not None else [],
            "spectrum": draw_spectrum(trials), "order": order, "legend": legend, "notes": notes,
            "classes": len(np.unique(trials.groups.numpy())), "few": info is not None and len(rows) < MIN_SMOOTH_ELECTRODES}


