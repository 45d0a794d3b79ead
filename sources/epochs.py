"""Trials cut out of a continuous recording with MNE: band-pass, window around each onset, rejection by amplitude."""

from runtime.errors import InputError

CUT_OFF = "cut off or across a gap"


def add_arguments(parser, *, band, window, reject):
    """The options of `cut_trials`; band in Hz, window in s from onset, reject in microvolts."""
    parser.add_argument("--band_low", type=float, default=band[0], help="lower edge of the band-pass filter in Hz")
    parser.add_argument("--band_high", type=float, default=band[1], help="upper edge of the band-pass filter in Hz")
    parser.add_argument("--tmin", type=float, default=window[0], help="start of a trial in s from the picture's onset; "
                        "the stages read from the onset on")
    parser.add_argument("--tmax", type=float, default=window[1], help="end of a trial in s from the picture's onset")
    parser.add_argument("--reject", type=float, default=reject,
                        help="leave out trials with a channel whose peak-to-peak amplitude in microvolts is above "
                             "this; 0 keeps all")


def check_arguments(args, sfreq):
    if not 0 < args.band_low < args.band_high < sfreq / 2:
        raise InputError(f"--band_low {args.band_low} --band_high {args.band_high}: expected 0 < low < high < "
                         f"{sfreq / 2:g} Hz")
    if not -60 <= args.tmin < args.tmax <= 60 or args.tmax <= 0:
        raise InputError(f"--tmin {args.tmin} --tmax {args.tmax}: expected seconds from the onset, -60 <= tmin < tmax "
                         "<= 60, and tmax above 0")
    if not args.reject >= 0:
        raise InputError(f"--reject {args.reject}: expected microvolts above 0, or 0 to keep all")


def window_samples(args, sfreq):
    """First and last sample of a trial, counted from the onset, as MNE rounds them."""
    return round(args.tmin * sfreq), round(args.tmax * sfreq)


def check_length(n_samples, sfreq, args, path):
    shortest = 3.3 / args.band_low  # s, the length of MNE's filter for that edge
    if n_samples < shortest * sfreq:
        raise InputError(f"{path}: {n_samples / sfreq:.1f} s long, but the filter from {args.band_low:g} Hz needs "
                         f"{shortest:.1f} s; the file is cut short, or take it out")


def cut_trials(signal, sfreq, ch_names, onsets, gaps, args):
    """Filter a recording and cut it at its onsets.

    signal [channels, samples] microvolts; onsets [events]: samples, rising; gaps: positions of the last samples before
    missing ones, across which neither the filter nor a trial reaches. Returns eeg [trials, channels, samples] in
    microvolts, the numbers of the events that gave them [trials], and {reason: events that gave none}.
    """
    import mne
    import numpy as np

    raw = mne.io.RawArray(signal * 1e-6, mne.create_info(list(ch_names), sfreq, "eeg"), verbose="error")
    raw.set_annotations(mne.Annotations(np.asarray(gaps) / sfreq, 1 / sfreq, "BAD_ACQ_SKIP"))
    raw.filter(args.band_low, args.band_high, verbose="error")
    events = np.stack([onsets, np.zeros_like(onsets), np.ones_like(onsets)], axis=1)
    epochs = mne.Epochs(raw, events, None, args.tmin, args.tmax, baseline=None, preload=True, verbose="error",
                        reject={"eeg": args.reject * 1e-6} if args.reject else None)
    large = sum(any(reason in ch_names for reason in reasons) for reasons in epochs.drop_log)
    dropped = {f"amplitude above {args.reject:g} uV": large, CUT_OFF: len(onsets) - len(epochs) - large}
    return (epochs.get_data(verbose="error") * 1e6, epochs.selection,
            {reason: count for reason, count in dropped.items() if count})


def steps(args):
    """Sentences on what `cut_trials` did."""
    done = [f"band-pass {args.band_low:g} to {args.band_high:g} Hz (MNE's zero-phase FIR filter), not across lost samples",
            f"trials from {args.tmin:g} to {args.tmax:g} s around each onset, no baseline subtracted"]
    if args.reject:
        done.append(f"trials with a peak-to-peak amplitude above {args.reject:g} uV on any channel left out")
    return done
