"""A single trial, or the mean of many, as figures: curves of a few channels, and maps of the scalp."""

from runtime.figures import WIDTH, style, svg

import numpy as np
from markupsafe import Markup

from eegdata.montage import scalp_info

from .traces import GFP, UNITS, Eeg, choose_channels, trace_chart

MAP_SECONDS = (.1, .17, .25, .4)  # from the onset
MIN_ELECTRODES = 16  # for smooth maps


def curves(signal: np.ndarray, ch_names: list[str] | None, sfreq: float, tmin: float | None, unit: str,
           title: str) -> Markup:
    """Global field power and a few channels of a signal [C, T] that begins tmin s from the onset (None: not known)."""
    signal = signal - signal.mean(1, keepdims=True)
    chosen, names = choose_channels(ch_names, len(signal))
    ms = 1000 * (np.arange(signal.shape[1]) / sfreq + (tmin or 0))
    eeg = Eeg({0: np.vstack([signal.std(0), signal[chosen]])}, [GFP, *names], ms, tmin is not None, UNITS.get(unit, unit))
    return trace_chart(eeg, 0, title)


@style(text__parse_math=False)
def scalp_maps(signal: np.ndarray, ch_names: list[str] | None, sfreq: float, tmin: float | None, positions: dict | None,
               title: str) -> Markup | str:
    """Maps of a signal [C, T] at a few moments, on one colour scale; a sentence where none can be drawn."""
    from matplotlib.figure import Figure
    from mne.viz import plot_topomap

    if not ch_names:
        return "There is no map, as the channels have no names."
    info, rows = scalp_info(list(ch_names), sfreq, positions)
    if info is None:
        return f"There is no map, as {rows}."
    start = tmin or 0
    moments = [moment for moment in MAP_SECONDS if start <= moment < start + signal.shape[1] / sfreq]
    values = np.stack([signal[:, round((moment - start) * sfreq)][rows] for moment in moments])
    limit = float(np.abs(values).max()) or 1.
    smooth = {"contours": 4} if len(rows) >= MIN_ELECTRODES else {"image_interp": "nearest", "extrapolate": "local",
                                                                  "contours": 0}
    figure = Figure(figsize=(WIDTH, 1.5), layout="constrained")
    for axes, moment, row in zip(figure.subplots(1, len(moments), squeeze=False)[0], moments, values, strict=True):
        plot_topomap(row, info, axes=axes, show=False, vlim=(-limit, limit), res=64, cmap="RdBu_r", sensors=True, **smooth)
        axes.set_title(f"{1000 * moment:.0f} ms", loc="center", fontweight="normal")
    times = ", ".join(f"{1000 * moment:.0f}" for moment in moments)
    return svg(figure, title, f"maps of the scalp at {times} ms, red above and blue below zero, up to {limit:.3g}")
