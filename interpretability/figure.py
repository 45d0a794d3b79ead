"""The figure of when and where: accuracy over time, by region, and the attribution on the scalp."""

from pathlib import Path

from runtime.figures import INK, PALETTE, SOFT, style

import numpy as np

from eegdata.montage import scalp_info

from .tables import EVOKED

MAX_MAPS = 6  # scalp maps, each of about the same length of time
MIN_ELECTRODES = 8  # of a smooth map; with fewer, each point of the scalp takes the value of the nearest electrode
HIDDEN, KEPT = PALETTE[4], PALETTE[0]  # told apart without colour vision, too


def draw(result: dict, path: Path, positions: dict[str, list[float]] | None = None) -> None:
    """Draw a when_where() result to a PNG file; positions: electrode positions by channel name, [x, y, z] in m."""
    from matplotlib.figure import Figure

    maps = _maps(result, positions)
    with style(font__size=9, axes__titlesize=10, text__parse_math=False):  # a channel's name may hold dollar signs
        figure = Figure(figsize=(10, 6.4 if result["attribution"] else 4.2), layout="constrained")
        if (result.get("source") or {}).get("simulated"):
            figure.suptitle("Simulated EEG", x=.01, ha="left", fontsize=10)
        parts = figure.subfigures(2, 1, height_ratios=(1.7, 1)) if result["attribution"] else [figure]
        time, place = parts[0].subplots(1, 2, width_ratios=(1.7, 1), sharey=True)
        _draw_time(time, result)
        _draw_regions(place, result)
        parts[0].legend(*time.get_legend_handles_labels(), loc="outside lower left", ncols=5, frameon=False)
        if result["attribution"] and isinstance(maps, str):
            _draw_image(parts[1], result, maps)
        elif result["attribution"]:
            _draw_maps(parts[1], result, *maps)
        figure.savefig(path, dpi=130, format="png")


def _maps(result, positions):
    """(info, rows) for scalp maps, or a text on why there are none."""
    info, rows = scalp_info(result["channels"], result["sfreq"], positions)
    return rows if info is None else (info, rows)


def _onset_axis(axes, result):
    rows = result["windows"]
    axes.set_xlim(rows[0]["from_ms"], rows[-1]["to_ms"])
    axes.set_xlabel("ms after picture onset" if result["tmin"] is not None else "ms from the start of the trial")


def _draw_time(axes, result):
    """Accuracy with each window hidden and with it alone, as steps over time, with 95% intervals."""
    rows = result["windows"]
    edges = np.array([*(row["from_ms"] for row in rows), rows[-1]["to_ms"]])
    if result["tmin"] is not None:
        axes.axvspan(*EVOKED, color=SOFT, alpha=.12, lw=0, label=f"{EVOKED[0]:.0f}-{EVOKED[1]:.0f} ms")
    for key, colour, name in (("hidden", HIDDEN, "window or region hidden"), ("kept", KEPT, "alone")):
        axes.stairs([row[key] for row in rows], edges, baseline=None, color=colour, lw=1.8, label=name)
        low, high = np.array([row[f"{key}_95"] for row in rows], float).T
        axes.stairs(high, edges, baseline=low, fill=True, color=colour, alpha=.18, lw=0)
    _levels(axes, result)
    _onset_axis(axes, result)
    axes.set_ylabel("balanced accuracy")
    axes.set_title("When")


def _draw_regions(axes, result):
    """Bars of the accuracy with each region hidden and with it alone, with 95% intervals."""
    rows = result["regions"]
    axes.set_title("Where")
    if not rows:
        axes.set_axis_off()
        axes.text(.5, .5, "no channel has a known position", ha="center", transform=axes.transAxes, color=SOFT)
        return
    for offset, key, colour in ((-.2, "hidden", HIDDEN), (.2, "kept", KEPT)):
        values = np.array([row[key] for row in rows])
        low, high = np.array([row[f"{key}_95"] for row in rows], float).T
        axes.bar(np.arange(len(rows)) + offset, values, .38, color=colour, alpha=.85)
        axes.errorbar(np.arange(len(rows)) + offset, values, np.clip([values - low, high - values], 0, None), fmt="none",
                      ecolor=INK, elinewidth=.8)
    _levels(axes, result)
    axes.set_xticks(range(len(rows)), [f"{row['region']} ({row['channels']})" for row in rows], rotation=30, ha="right")


def _levels(axes, result):
    axes.set_ylim(0, 1.02)
    axes.axhline(result["balanced_accuracy"], color=INK, lw=1, label="whole input")
    axes.axhline(result["chance"], color=SOFT, lw=1, ls="--", label="chance")


def _intervals(windows):
    """Window numbers in up to MAX_MAPS intervals of about equal length."""
    return np.array_split(np.arange(len(windows)), min(MAX_MAPS, len(windows)))


def _draw_maps(figure, result, info, rows):
    """Scalp maps of the attribution in each interval of time, on one colour scale, in percent of the whole."""
    from mne.viz import plot_topomap

    binned = np.array([*result["attribution"]["map"].values()])
    intervals = _intervals(result["windows"])
    values = np.stack([100 * binned[:, own].sum(1) for own in intervals])
    options = {"contours": 4}
    if len(rows) < MIN_ELECTRODES:
        options = {"image_interp": "nearest", "extrapolate": "local", "contours": 0}
    figure.suptitle("When and where: attribution (gradient x input), % of the whole at each channel", x=.01, ha="left",
                    fontsize=10, fontweight="bold")
    axes = figure.subplots(1, len(intervals) + 1, width_ratios=[*[1] * len(intervals), .07])
    for place, own, percent in zip(axes, intervals, values, strict=False):
        image, _ = plot_topomap(percent[rows], info, axes=place, show=False, vlim=(0, values[:, rows].max() or 1), res=96,
                                cmap="viridis", sensors=True, **options)
        first, last = result["windows"][own[0]], result["windows"][own[-1]]
        place.set_title(f"{first['from_ms']:.0f} to {last['to_ms']:.0f} ms\n{percent.sum():.0f}% of all", loc="center",
                        fontweight="normal", fontsize=9)
    figure.colorbar(image, cax=axes[-1])


def _draw_image(figure, result, why):
    """The attribution as an image of channels x windows, where no scalp map can be drawn."""
    binned = 100 * np.array([*result["attribution"]["map"].values()])
    axes = figure.subplots()
    edges = np.array([*(row["from_ms"] for row in result["windows"]), result["windows"][-1]["to_ms"]])
    image = axes.pcolormesh(edges, np.arange(len(binned) + 1), binned, cmap="viridis", vmin=0)
    axes.invert_yaxis()
    if len(binned) <= 20:
        axes.set_yticks(np.arange(len(binned)) + .5, result["channels"])
    else:
        axes.set_ylabel("channels")
    _onset_axis(axes, result)
    axes.set_title(f"When and where: attribution (gradient x input), % of the whole\n(no scalp maps: {why})", fontsize=9)
    figure.colorbar(image, ax=axes)
