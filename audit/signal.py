"""Signal quality: channels, line noise, units, edges of trials, filters."""

import re

from runtime.wording import counted, listed, percent

import numpy as np

from .data import Material
from .findings import Finding

FLAT_RATIO, MIN_FLAT_TRIALS = 1e-4, .02  # times the median standard deviation; share of trials
PLATEAU_SAMPLES = 4  # in a row at the extreme value of a trial
MIN_CLIPPED = .002  # share of such samples in a channel
MIN_IDENTICAL_CORRELATION = .999
LINES = (50, 60)  # Hz, of the mains
MIN_HUM_RATIO = 5.  # power over that of the frequencies beside it
MIN_HUM_SHARE, LARGE_HUM_SHARE = .02, .2  # of all power
PLAUSIBLE_MICROVOLTS = (.5, 500.)  # median standard deviation of a channel within a trial
EDGE_SHARE, BESIDE_SHARES = .03, (.05, .25)  # of a trial
# Power at the edge over that beside it; 0.9 to 1.8 in recordings that are not filtered, or filtered before cutting.
MIN_RINGING, MAX_FADING = 2., .4


def _flat(eeg):
    """Share of trials [n, C, T] in which each channel holds no signal: [C]."""
    deviation = eeg.std(2)
    return (deviation <= FLAT_RATIO * np.median(deviation)).mean(0)


def _clipped(eeg):
    """Share of samples [C] that stand in a row at the highest or lowest value of their trial.

    0 where such runs are no more frequent at the extremes than elsewhere, as in slow signals of coarse resolution. Trials
    in which a channel is constant do not count.
    """
    still = (np.diff(eeg, axis=2) == 0) & (np.ptp(eeg, axis=2, keepdims=True) > 0)
    rows = np.lib.stride_tricks.sliding_window_view(still, min(PLATEAU_SAMPLES - 1, still.shape[2]), axis=2).all(3)
    first = eeg[:, :, :rows.shape[2]]
    extreme = rows & ((first == eeg.max(2, keepdims=True)) | (first == eeg.min(2, keepdims=True)))
    return np.where(extreme.sum((0, 2)) >= .5 * rows.sum((0, 2)), extreme.mean((0, 2)), 0.)


def _identical(eeg, good):
    """Pairs of channels that differ only in scale and sign."""
    flat = (eeg - eeg.mean(2, keepdims=True)).transpose(1, 0, 2).reshape(eeg.shape[1], -1)
    good = np.flatnonzero(good)
    if len(good) < 3:  # with an average reference, two channels mirror each other
        return []
    r = np.abs(np.corrcoef(flat[good]))
    pairs = np.argwhere(np.triu(r, 1) > MIN_IDENTICAL_CORRELATION)
    return [(int(good[i]), int(good[j]), float(r[i, j])) for i, j in pairs]


def check_channels(material: Material) -> Finding:
    """Channels that are flat, clipped or identical, by recording."""
    check, names = "Channels", _channel_names(material)
    flat, clipped, identical = {}, {}, {}
    for number, rows in material.sampled.items():
        eeg = material.trials.eeg[rows].numpy()
        recording = material.recording_name(number)
        dead = _flat(eeg)
        if (dead >= MIN_FLAT_TRIALS).any():
            flat[recording] = {names[c]: round(float(dead[c]), 3) for c in np.argsort(-dead) if dead[c] >= MIN_FLAT_TRIALS}
        share = _clipped(eeg)
        if (share > MIN_CLIPPED).any():
            clipped[recording] = {names[c]: round(float(share[c]), 4) for c in np.argsort(-share) if share[c] > MIN_CLIPPED}
        pairs = _identical(eeg, dead < .5)
        if pairs:
            identical[recording] = [[names[i], names[j], round(r, 5)] for i, j, r in pairs]
    numbers = {"recordings": len(material.sampled), "trials": sum(map(len, material.sampled.values())), "flat": flat,
               "clipped": clipped, "identical": identical}
    told = []
    for what, found, each in (
            ("flat channels", flat, lambda v: listed((f"{c} in {percent(s)} of trials" for c, s in v.items()), 3)),
            ("clipped channels", clipped, lambda v: listed((f"{c} {percent(s)} of samples" for c, s in v.items()), 3)),
            ("identical channels", identical, lambda v: listed((f"{a} and {b}" for a, b, _ in v), 3))):
        if found:
            worst = max(found, key=lambda name: len(found[name]))
            told.append(f"{what} in {counted(len(found), 'recording')} ({worst}: {each(found[worst])})")
    if told:
        return Finding(check, "warning", f"There are {'; '.join(told)}. They hold no brain signal "
                       "of their own: leave them out or interpolate them.", numbers)
    return Finding(check, "passed", "No channel is flat, clipped or identical to another in "
                   f"{counted(numbers['trials'], 'trial')} of {counted(numbers['recordings'], 'recording')}.", numbers)


def _channel_names(material):
    return material.trials.ch_names or [f"channel {c}" for c in range(material.trials.eeg.shape[1])]


def check_line_noise(material: Material) -> Finding:
    """Line noise of 50 or 60 Hz in the power spectrum."""
    from scipy.signal import welch

    check, sfreq = "Line noise", material.trials.sfreq
    n_times = material.trials.eeg.shape[2]
    width = max(1., sfreq / n_times)  # Hz on both sides of a peak
    lines = [line for line in LINES if line + width <= sfreq / 2]  # else the peak is cut off
    if n_times / sfreq < .4 or not lines:
        return Finding(check, "not checked", f"Trials of {n_times / sfreq:.2f} s at {sfreq:g} Hz cannot resolve 50 and "
                                             "60 Hz.")
    found = {}
    for number, rows in material.sampled.items():
        eeg = material.trials.eeg[rows].numpy()
        frequency, power = welch(eeg, sfreq, nperseg=n_times, detrend="linear", axis=2)
        power = power.mean((0, 1))
        found[material.recording_name(number)] = {
            f"{line} Hz": _peak(frequency, power, line, width) for line in lines}
    worst, line, peak = max(((name, line, peak) for name, lines in found.items() for line, peak in lines.items()),
                            key=lambda item: (item[2]["ratio"] >= MIN_HUM_RATIO) * item[2]["share"])
    hum = [name for name, lines in found.items()
           if any(peak["ratio"] >= MIN_HUM_RATIO and peak["share"] >= MIN_HUM_SHARE for peak in lines.values())]
    numbers = {"recordings": len(found), "with_line_noise": len(hum), "worst": {"recording": worst, "line": line, **peak},
               "found": dict(list(found.items())[:50])}
    if not hum:
        told = "Neither 50 nor 60 Hz stands out in the spectrum." if len(lines) == len(LINES) else (
            f"50 Hz does not stand out in the spectrum; trials of {n_times / sfreq:.2f} s at {sfreq:g} Hz show no 60 Hz.")
        return Finding(check, "passed", told, numbers)
    text = (f"Line noise at {line} is {peak['ratio']:.0f} times as strong as the neighbouring frequencies and makes up "
            f"{percent(peak['share'])} of the power in {worst} ({counted(len(hum), 'recording')} of {len(found)} with line "
            "noise)")
    severity = "warning" if peak["share"] >= LARGE_HUM_SHARE else "note"
    return Finding(check, severity, f"{text}. Its strength changes slowly and can give a recording away. Remove it with a "
                   "notch or a low-pass filter.", numbers)


def _peak(frequency, power, line, width):
    near = np.abs(frequency - line)
    beside = np.median(power[(near > 2 * width) & (near <= 6 * width)])
    peak = near <= width
    share = (power[peak] - beside).clip(0).sum() / max(power[frequency >= 1].sum(), 1e-30)
    return {"ratio": round(float(power[peak].max() / max(beside, 1e-30)), 2), "share": round(float(share), 5)}


def check_units(material: Material) -> Finding:
    """Whether amplitudes in microvolts look like EEG."""
    check, scales = "Units", material.microvolt_scale
    if scales is None:
        return Finding(check, "not checked", "The EEG is not in microvolts (its units are "
                       f"{material.trials.record.get('units') or 'unknown'}), so amplitudes cannot be judged.")
    found = {}
    for number, rows in material.sampled.items():
        deviation = material.trials.eeg[rows].numpy().std(2) * scales[number]
        found[material.recording_name(number)] = float(np.median(deviation))
    low, high = PLAUSIBLE_MICROVOLTS
    wrong = {name: value for name, value in found.items() if not low <= value <= high}
    numbers = {"median_microvolt": round(float(np.median(list(found.values()))), 6), "plausible": [low, high],
               "implausible": {name: float(f"{value:.4g}") for name, value in list(wrong.items())[:50]}}
    if not wrong:
        return Finding(check, "passed", "A channel's standard deviation within a trial is "
                       f"{numbers['median_microvolt']:.3g} microvolts (median), as expected of EEG.", numbers)
    name = max(wrong, key=lambda name: abs(np.log(max(wrong[name], 1e-12) / 20)))
    looks = ("volts read as microvolts" if wrong[name] < 1e-3 else "millivolts read as microvolts" if wrong[name] < low else
             "raw counts of the amplifier or nanovolts read as microvolts, or artefacts")
    return Finding(check, "warning", f"In {len(wrong)} of {counted(len(found), 'recording')} a channel's standard "
                   f"deviation is {wrong[name]:.3g} microvolts ({name}), outside the range of EEG ({low:g} to {high:g}). "
                   f"It looks like {looks}. Limits in microvolts, such as for rejecting trials, did not work as intended.",
                   numbers)


def check_edges(material: Material) -> Finding:
    """Power at the first and last samples of trials against that beside them: filters applied after cutting ring there."""
    check, n_times = "Edges of trials", material.trials.eeg.shape[2]
    width = max(2, round(EDGE_SHARE * n_times))
    if n_times < 10 * width:
        return Finding(check, "not checked", f"Trials of {n_times} samples are too short to compare their edges with the "
                                             "rest.")
    power = np.zeros(n_times)
    for rows in material.sampled.values():
        eeg = material.trials.eeg[rows].numpy()
        eeg = eeg - eeg.mean(2, keepdims=True)
        power += (eeg ** 2 / np.maximum((eeg ** 2).mean((0, 2), keepdims=True), 1e-30)).mean((0, 1))
    beside = slice(*(round(share * n_times) for share in BESIDE_SHARES))
    ratio = {name: float(p[:width].mean() / max(np.median(p[beside]), 1e-30)) for name, p in
             (("first", power), ("last", power[::-1]))}
    numbers = {"samples": width, "power_ratio": {name: round(value, 3) for name, value in ratio.items()}}
    rings = [name for name, value in ratio.items() if value >= MIN_RINGING]
    fades = [name for name, value in ratio.items() if value <= MAX_FADING]
    if rings:
        return Finding(check, "warning", f"The {' and '.join(rings)} {width} samples of trials have "
                       f"{max(ratio.values()):.1f} times the power beside them. A filter or detrending that is applied "
                       "after cutting rings at the edges: filter the recording before you cut it, or leave the edges out "
                       "(-tl, -th).", numbers)
    if fades:
        return Finding(check, "note", f"Trials fade at their {' and '.join(fades)} samples ({min(ratio.values()):.2f} "
                       "times the power beside them), as after a baseline or a taper there. A model sees less of the EEG "
                       "than the window suggests.", numbers)
    return Finding(check, "passed", f"The first and last {width} samples of trials have {ratio['first']:.2f} and "
                   f"{ratio['last']:.2f} times the power beside them: no ringing at the edges.", numbers)


def check_filters(material: Material) -> Finding:
    """The length of the high-pass filter in the record, against that of the recordings."""
    check = "Filter length"
    steps = [str(step) for step in material.about.get("steps", [])]
    found = [re.search(r"(?:band-pass|high-pass)\D*(\d*\.?\d+)", step, re.IGNORECASE) for step in steps]
    edges = [float(match[1]) for match in found if match]
    if not edges or not max(edges):
        return Finding(check, "not checked", "The record mentions no high-pass filter.", {"steps": steps})
    edge = max(edges)
    length = 3.3 / min(max(.25 * edge, 2.), edge)  # s: MNE's rule for a Hamming-windowed FIR filter
    numbers = {"high_pass": edge, "filter_seconds": round(length, 3)}
    if material.timed:
        spans = {int(material.recording[rows[0]]): float(np.ptp(material.trials.onset[rows]) + material.window)
                 for rows in material.sequences if len(rows) > 1}
        short = [material.recording_name(number) for number, span in spans.items() if span < 3 * length]
        numbers["short_recordings"] = short[:50]
        if short:
            return Finding(check, "warning", f"{counted(len(short), 'recording')} {'is' if len(short) == 1 else 'are'} "
                           f"less than three times as long as a high-pass filter of {edge:g} Hz ({length:.1f} s): "
                           f"{listed(short)}. Much of their EEG lies in the filter's transients.", numbers)
    return Finding(check, "note" if edge > .5 else "passed", f"The high-pass filter of {edge:g} Hz is about {length:.1f} s "
                   f"long. If it is zero-phase, it smears a response over about {length / 2:.1f} s before and after it"
                   + (", so apparent signal before the picture may come from it." if edge > .5 else "."), numbers)
