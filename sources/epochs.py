"""From a continuous recording to trials, the same way in every source: filter, resample, cut, baseline, rejection.

A trial holds the samples of [tmin, tmax): 1 s at 250 Hz is 250 samples.
"""

import argparse
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import options
from runtime.errors import InputError

import numpy as np

if TYPE_CHECKING:
    import mne

LOWEST_NOTCH = 10.  # Hz; railways have 16.7
BLOCK_BYTES = 1 << 28  # of trials in memory at a time; docs/data.md names it
GAP_ANNOTATIONS = ("edge", "bad_acq_skip", "bad boundary")  # annotations that neither a filter nor a trial reaches across
OPTIONS = ("l_freq", "h_freq", "resample", "tmin", "tmax", "baseline", "reject", "flat")
MAX_SECONDS = 60.  # s before and after the onset

Baseline = tuple[float, float] | None
Unset = Callable[[float, float], Baseline]  # start of a trial in s, sampling rate in Hz -> the baseline without --baseline
Trials = Iterator[tuple[np.ndarray, np.ndarray]]


@dataclass
class Epoching:
    """How a recording becomes trials.

    l_freq, h_freq, notch: Hz, 0 is off; sfreq: of the trials, in Hz; first, last: samples from the onset, last exclusive;
    baseline: start and end in s, both included, or None; reject, flat: microvolts peak to peak, 0 is off.
    """

    l_freq: float
    h_freq: float
    notch: float
    sfreq: float
    first: int
    last: int
    baseline: Baseline
    reject: float
    flat: float

    @property
    def n_times(self) -> int:
        return self.last - self.first

    @property
    def tmin(self) -> float:
        """Time of the first sample in s from the onset."""
        return self.first / self.sfreq

    def key(self) -> dict:
        return asdict(self)


def filter_options(group: argparse._ActionsContainer, l_freq: float, h_freq: float, where: str = "") -> None:
    """--l_freq and --h_freq with the defaults of a source, in Hz; where: words on what is filtered."""
    frequency = options.bounded(float, 0)
    for flag, earlier, default, edge in (("--l_freq", "--band_low", l_freq, "lower"),
                                         ("--h_freq", "--band_high", h_freq, "upper")):
        group.add_argument(earlier, dest=flag.strip("-"), type=frequency, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        group.add_argument(flag, type=frequency, default=default, help=f"{edge} edge of the band-pass in Hz{where and ', '}"
                                                                       f"{where}; 0 is off")


def window_options(group: argparse._ActionsContainer, tmin: float, tmax: float, baseline: str,
                   rate: str = "the recording's") -> None:
    """--resample, --tmin, --tmax and --baseline; baseline, rate: what holds where the option is not given, for --help."""
    number, sfreq = options.bounded(float), options.bounded(float, 0, 20000)
    group.add_argument("--resample", type=sfreq, help=f"sampling rate of the trials in Hz; 0 keeps the recording's (unset: "
                                                      f"{rate})")
    group.add_argument("--tmin", type=number, default=tmin, help="start of a trial in s from the picture's onset; the "
                                                                 "later stages read from the onset on")
    group.add_argument("--tmax", type=number, default=tmax, help="end of a trial in s from the picture's onset, exclusive: "
                                                                 "1 s at 250 Hz is 250 samples")
    group.add_argument("--baseline", nargs="+", metavar="S", help="start and end in s of the baseline, whose mean is "
                                                                  f"subtracted, or none (unset: {baseline})")


def rejection_options(group: argparse._ActionsContainer, reject: float, flat: float, why: str = "") -> None:
    """--reject and --flat with the defaults of a source, in microvolts; why: a sentence on the default of --reject."""
    amplitude = options.bounded(float, 0)
    group.add_argument("--reject", type=amplitude, default=reject, help="leave out trials with more microvolts peak to "
                       f"peak on any channel; 0 keeps all{why and f'. {why}'}")
    group.add_argument("--flat", type=amplitude, default=flat, help="leave out trials with less microvolts peak to peak on "
                                                                    "any channel; 0 keeps all")


def check_arguments(args: argparse.Namespace) -> None:
    """Raise InputError for a window or a band that is none."""
    if not -MAX_SECONDS <= args.tmin < args.tmax <= MAX_SECONDS or args.tmax <= 0:
        raise InputError(f"--tmin {args.tmin:g} --tmax {args.tmax:g}: expected seconds from the onset, -{MAX_SECONDS:g} <= "
                         f"tmin < tmax <= {MAX_SECONDS:g}, and tmax above 0")
    check_band(args)


def check_band(args: argparse.Namespace, sfreq: float = math.inf) -> None:
    """Raise InputError where the band-pass has no band, or reaches half the sampling rate."""
    if args.l_freq and args.h_freq and args.l_freq >= args.h_freq:
        raise InputError(f"--l_freq {args.l_freq:g} --h_freq {args.h_freq:g}: expected l_freq below h_freq, or 0 for none")
    if max(args.l_freq, args.h_freq) >= sfreq / 2:
        raise InputError(f"--l_freq {args.l_freq:g} --h_freq {args.h_freq:g}: expected frequencies below {sfreq / 2:g} Hz, "
                         "half the sampling rate, or 0 for none")


def window_samples(args: argparse.Namespace, sfreq: float) -> tuple[int, int]:
    """First and last sample of a trial, counted from the onset; last exclusive."""
    first, last = round(args.tmin * sfreq), round(args.tmax * sfreq)
    if last - first < 2:
        raise InputError(f"--tmin {args.tmin:g} --tmax {args.tmax:g}: that is {last - first} samples at {sfreq:g} Hz, "
                         "expected two or more; make trials longer, or the sampling rate higher")
    if last < 1:  # later stages read from the onset on
        raise InputError(f"--tmax {args.tmax:g}: no sample of a trial lies at the onset or later at {sfreq:g} Hz; raise "
                         f"--tmax to {1 / sfreq:.3g} or more")
    return first, last


def no_baseline(start: float, sfreq: float) -> Baseline:
    """For sources that subtract no baseline unless --baseline says so."""


def before_onset(start: float, sfreq: float) -> Baseline:
    """The baseline from the trial's start to the onset; None where the trial starts at the onset or later."""
    return (start, 0.) if start < 0 else None


def settle_baseline(args: argparse.Namespace, first: int, last: int, sfreq: float,
                    unset: Unset = before_onset) -> Baseline:
    """What --baseline asks for, within the trial; unset: what it is without that option."""
    start, end = first / sfreq, (last - 1) / sfreq
    if args.baseline is None:
        return unset(start, sfreq)
    if args.baseline == ["none"]:
        return None
    try:
        low, high = map(float, args.baseline)
    except ValueError:
        raise InputError(f"--baseline {' '.join(args.baseline)}: expected START END in seconds, or none") from None
    if not args.tmin <= low < high <= args.tmax:
        raise InputError(f"--baseline {low:g} {high:g}: expected a stretch of the trial, {args.tmin:g} <= START < END <= "
                         f"{args.tmax:g}")
    times = np.arange(first, last) / sfreq
    if not ((low <= times) & (times <= high)).any():
        raise InputError(f"--baseline {low:g} {high:g}: holds no sample, of which there are {sfreq:g} in a second; make it "
                         "longer")
    return (max(low, start), min(high, end))


def settle(args: argparse.Namespace, recorded: float, unset: Unset = before_onset) -> Epoching:
    """The Epoching that a source's options ask for; recorded: sampling rate of its recordings in Hz."""
    check_arguments(args)
    sfreq = float(args.resample or recorded)
    first, last = window_samples(args, sfreq)
    return Epoching(args.l_freq, args.h_freq, 0., sfreq, first, last, settle_baseline(args, first, last, sfreq, unset),
                    getattr(args, "reject", 0.), getattr(args, "flat", 0.))


def filter_seconds(settings: Epoching) -> float:
    """Length in s of the longest of MNE's FIR filters (its automatic transition bandwidths, Hamming window)."""
    widths = [min(max(.25 * settings.l_freq, 2), settings.l_freq)] if settings.l_freq else []
    widths += [max(.25 * settings.h_freq, 2)] if settings.h_freq else []
    return max([3.3 / width for width in widths] + ([6.6] if settings.notch else []), default=0.)


def notches(notch: float, sfreq: float) -> list[float]:
    """The mains frequency and its multiples in Hz, as far as MNE's filters reach: f / 200 wide, and edges of .5 Hz."""
    return [each for k in range(1, int(sfreq / 2 / notch) + 1) if (each := k * notch) * (1 + 1 / 400) + .5 < sfreq / 2]


def check_filters(settings: Epoching, path: Path | str, sfreq: float, seconds: float) -> None:
    """Raise InputError where a recording of `sfreq` samples a second and `seconds` length is too slow or too short."""
    if settings.notch and (settings.notch < LOWEST_NOTCH or not notches(settings.notch, sfreq)):
        raise InputError(f"--notch {settings.notch:g}: {path} has {sfreq:g} samples a second; expected a mains frequency "
                         f"from {LOWEST_NOTCH:g} Hz on that with its filter lies below {sfreq / 2:g} Hz, or 0 for no notch "
                         "filter")
    highest = max(settings.l_freq, settings.h_freq)
    if highest >= sfreq / 2:
        flag = "h_freq" if highest == settings.h_freq else "l_freq"
        raise InputError(f"--{flag} {highest:g}: {path} has {sfreq:g} samples a second, so that only frequencies below "
                         f"{sfreq / 2:g} Hz are there; lower it, or give 0 to leave that filter out")
    needed = filter_seconds(settings)
    if seconds < needed:
        flags = f"--l_freq {settings.l_freq:g} --h_freq {settings.h_freq:g}" + (
            f" --notch {settings.notch:g}" if settings.notch else "")
        raise InputError(f"{path}: lasts {seconds:.2f} s, but the filters of {flags} are {needed:.2f} s long; give a "
                         "higher --l_freq, or 0 to leave a filter out, or leave the recording out")


def filter_recording(raw: "mne.io.BaseRaw", settings: Epoching) -> None:
    """Filter an mne Raw in place (zero-phase FIR), not across pauses and lost samples."""
    if settings.notch:
        raw.notch_filter(notches(settings.notch, raw.info["sfreq"]), picks="all", skip_by_annotation=GAP_ANNOTATIONS,
                         verbose="warning")
    if settings.l_freq or settings.h_freq:
        raw.filter(settings.l_freq or None, settings.h_freq or None, picks="all", skip_by_annotation=GAP_ANNOTATIONS,
                   verbose="warning")


def standardise(raw: "mne.io.BaseRaw") -> None:
    """Bring each channel of an mne Raw to mean 0 and standard deviation 1 over the recording, in place."""
    raw.apply_function(lambda signal: (signal - signal.mean()) / (signal.std() or 1.), picks="all", verbose="error")


def grid_step(sfreq: float, wanted: float) -> int:
    """Number of samples at `sfreq` after which one at `wanted` Hz falls on one again; 1 where rates are no integers."""
    if sfreq == wanted or not (float(sfreq).is_integer() and float(wanted).is_integer()):
        return 1
    return int(sfreq) // math.gcd(int(sfreq), int(wanted))


def resampled(raw: "mne.io.BaseRaw", wanted: float) -> "mne.io.BaseRaw":
    """An mne Raw at another sampling rate, all of its channels of type EEG; no sample moves in time.

    MNE rounds the length of a recording and of its padding at the new rate, which moves and stretches all by up to half a
    sample. So the last sample is repeated up to a length that is whole at both rates, and what comes of it is cut off.
    """
    import mne

    sfreq, count, marks = raw.info["sfreq"], raw.n_times, raw.annotations
    more = -count % grid_step(sfreq, wanted)
    pad, length = resampling_pad(count + more, sfreq, wanted), max(round(count * wanted / sfreq), 1)
    data = np.empty((len(raw.ch_names), length))
    for row, signal in enumerate(data):
        longer = np.pad(raw.get_data(picks=[row])[0], (0, more), "edge")
        signal[:] = mne.filter.resample(longer, wanted, sfreq, npad=pad, verbose="error")[:length]
    result = mne.io.RawArray(data, mne.create_info(raw.ch_names, wanted, "eeg"), verbose="error")
    return result.set_annotations(mne.Annotations(marks.onset - raw.first_time, marks.duration, marks.description),
                                  verbose="error")


def resampling_pad(count: int, sfreq: float, wanted: float) -> int | str:
    """What MNE's resampling of `count` samples, whole at both rates, takes as npad, so that the padding is so too.

    That is MNE's own choice, "auto", where it is so already.
    """
    step, length = grid_step(sfreq, wanted), 2 ** math.ceil(math.log2(count + 2 * min(count // 8, 100)))
    left = (length - count) // 2
    return left - left % -step if left % step or length % step else "auto"


def cut_trials(raw: "mne.io.BaseRaw", onset: np.ndarray, settings: Epoching, weights: np.ndarray,
               causes: Counter | None = None) -> tuple[Trials, dict[str, int]]:
    """Bring a filtered recording (mne Raw) to the trials' sampling rate and cut it at `onset` [events] in s.

    weights [channels, recorded]: what turns the recording's channels and unit into those of the trials. Returns an iterator
    of (eeg [n, channels, samples] float32, numbers of their events), and {reason: events that gave no trial}, which is
    complete when the iterator is done. causes: takes, by number of channel, how many trials it rejects.
    """
    import mne

    if raw.info["sfreq"] != settings.sfreq:
        raw = resampled(raw, settings.sfreq)
    samples = np.round(np.asarray(onset) * settings.sfreq).astype(int) + raw.first_samp
    if not len(samples):
        return iter(()), {}
    events = np.stack([samples, np.zeros_like(samples), np.ones_like(samples)], axis=1)
    epochs = mne.Epochs(raw, events, None, settings.first / settings.sfreq, (settings.last - 1) / settings.sfreq,
                        baseline=settings.baseline, picks="all", proj=False, preload=False, verbose="error")
    epochs.drop_bad(verbose="error")
    dropped = {}
    for reasons in epochs.drop_log:
        if reasons:
            dropped[_reason(reasons[0])] = dropped.get(_reason(reasons[0]), 0) + 1
    return _weighted(epochs, weights, settings, dropped, Counter() if causes is None else causes), dropped


def _reason(text: str) -> str:
    """What MNE's word for a dropped epoch means."""
    if text in ("NO_DATA", "TOO_SHORT"):
        return "outside the recording"
    return "across lost samples" if text == "BAD_ACQ_SKIP" else f"across '{text}'"


def _weighted(epochs, weights, settings, dropped, causes):
    size = max(1, BLOCK_BYTES // (8 * len(epochs.ch_names) * len(epochs.times)))
    for start in range(0, len(epochs.selection), size):
        eeg = epochs.get_data(item=slice(start, start + size), verbose="error")
        eeg = np.matmul(weights, eeg).astype(np.float32)
        peak_to_peak = np.ptp(eeg, axis=2)
        large = peak_to_peak.max(1) > settings.reject if settings.reject else np.zeros(len(eeg), bool)
        small = (peak_to_peak.min(1) < settings.flat) & ~large
        for reason, which in ((f"more than {settings.reject:g} uV peak to peak", large),
                              (f"less than {settings.flat:g} uV peak to peak", small)):
            if which.any():
                dropped[reason] = dropped.get(reason, 0) + int(which.sum())
        wrong = peak_to_peak[large] > settings.reject, peak_to_peak[small] < settings.flat
        causes.update(np.nonzero(np.concatenate(wrong))[1].tolist())
        yield eeg[~(large | small)], epochs.selection[start:start + size][~(large | small)]


def cut_array(signal: np.ndarray, sfreq: float, ch_names: list[str], onset: np.ndarray, settings: Epoching,
              gaps: np.ndarray = ()) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """Filter an array and cut it at `onset` [events] in s.

    signal [channels, samples] in microvolts; gaps: positions of the last samples before lost ones. Returns eeg [trials,
    channels, samples] float32 in microvolts, the numbers of the events that gave them [trials], and {reason: events that
    gave none}.
    """
    import mne

    raw = mne.io.RawArray(signal * 1e-6, mne.create_info(list(ch_names), sfreq, "eeg"), verbose="error")
    raw.set_annotations(mne.Annotations(np.asarray(gaps) / sfreq, 1 / sfreq, "BAD_ACQ_SKIP"))
    filter_recording(raw, settings)
    trials, dropped = cut_trials(raw, onset, settings, 1e6 * np.eye(len(ch_names)))
    eeg, kept = joined(trials, len(ch_names), settings)
    return eeg, kept, dropped


def joined(trials: Trials, n_chans: int, settings: Epoching) -> tuple[np.ndarray, np.ndarray]:
    """All trials of an iterator of `cut_trials`: eeg [trials, channels, samples] and the numbers of their events."""
    blocks = [(np.zeros((0, n_chans, settings.n_times), np.float32), np.zeros(0, int)), *trials]
    return np.concatenate([eeg for eeg, _ in blocks]), np.concatenate([kept for _, kept in blocks])


def band_text(settings: Epoching | argparse.Namespace) -> str:
    """band-pass 0.5 to 40 Hz, high-pass 0.5 Hz, ..."""
    low, high = settings.l_freq, settings.h_freq
    return (f"band-pass {low:g} to {high:g} Hz" if low and high else f"high-pass {low:g} Hz" if low else
            f"low-pass {high:g} Hz" if high else "no band-pass filter")


def band_step(settings: Epoching) -> str:
    """What the band-pass did, as a sentence for the record."""
    filtered = settings.l_freq or settings.h_freq
    return band_text(settings) + " (MNE's zero-phase FIR filter) over the continuous recording" * bool(filtered)


def trial_steps(settings: Epoching, rates: list[float]) -> list[str]:
    """What `cut_trials` does, as sentences for the record; rates: the recordings' sampling rates in Hz."""
    changed = [rate for rate in rates if rate != settings.sfreq]
    return [
        f"resampled from {', '.join(f'{rate:g}' for rate in changed)} to {settings.sfreq:g} Hz" if changed else
        f"sampling rate kept at {settings.sfreq:g} Hz",
        f"trials from {settings.tmin:.4g} to {settings.last / settings.sfreq:.4g} s around each onset",
        f"mean from {settings.baseline[0]:g} to {settings.baseline[1]:g} s subtracted" if settings.baseline else
        "no baseline subtracted", _amplitude_step(settings)]


def _amplitude_step(settings):
    limits = [f"{word} than {limit:g} uV" for word, limit in (("more", settings.reject), ("less", settings.flat)) if limit]
    return (f"trials with {' or '.join(limits)} peak to peak on any channel left out" if limits else
            "no trial left out for its amplitude")


def steps(settings: Epoching, rates: list[float]) -> list[str]:
    """What a source that only filters and cuts did, as sentences for the record."""
    return [f"{band_step(settings)}, not across lost samples", *trial_steps(settings, rates)]
