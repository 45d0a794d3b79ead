"""CSVs of a Muse headband (2016), as EEG-ExPy and muselsl write them: columns timestamps (s), TP9 AF7 AF8 TP10 (microvolts,
256 Hz) and, last, perhaps the marker, a number that is 0 where there is none."""

from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputError

import numpy as np

from .clock import Clock, keep_clock

if TYPE_CHECKING:
    import mne

CHANNELS = ("TP9", "AF7", "AF8", "TP10")
SFREQ = 256.0
MAX_MICROVOLTS = 1e5  # a Muse's converter ends at 1682
MAX_JITTER = 0.1  # s; packets are stamped on arrival, up to 0.06 s off an even clock; a larger step means lost data


def read_csv(path: Path | str) -> tuple[np.ndarray, np.ndarray, np.ndarray, str | None]:
    """Timestamps [samples] in s, signal [4, samples] in microvolts, marker [samples] and the name of its column, which is
    None where there is none."""
    import pandas

    try:
        table = pandas.read_csv(path, index_col=False)
    except (pandas.errors.ParserError, pandas.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as CSV ({error}); get the file again") from None
    missing = [name for name in ("timestamps", *CHANNELS) if name not in table]
    if missing:
        raise InputError(f"{path}: column {', '.join(missing)} is missing (found "
                         f"{', '.join(table.columns)[:300]}); a CSV with a recording has the columns of a Muse; tables go "
                         "to --events, --picture_map or --picture_list")
    last = table.columns[-1]
    column = None if last in ("timestamps", "Right AUX", *CHANNELS) else last
    names = ["timestamps", *CHANNELS, *([column] if column else [])]
    numbers = np.stack([_numbers(table[name]) for name in names], axis=1)
    wrong = np.argwhere(~np.isfinite(numbers))
    if wrong.size:
        row, place = wrong[0]
        raise InputError(f"{path}, line {row + 2}: {names[place]} is '{table[names[place]].iloc[row]}', expected a finite "
                         "number; the file is damaged or cut short")
    signal = numbers[:, 1:1 + len(CHANNELS)]
    damaged = np.argwhere(np.abs(signal) > MAX_MICROVOLTS)
    if damaged.size:
        row, place = damaged[0]
        raise InputError(f"{path}, line {row + 2}: {CHANNELS[place]} is {signal[row, place]:g}, expected microvolts of at "
                         f"most {MAX_MICROVOLTS:g}; the file is damaged")
    return numbers[:, 0], signal.T, numbers[:, -1] if column else np.zeros(len(numbers)), column


def _numbers(column):
    """The values of a column; NaN for what is no number. pandas.to_numeric fails on integers beyond floats."""
    def number(value):
        try:
            return float(value)
        except (ValueError, TypeError, OverflowError):
            return np.nan

    return column.to_numpy(float) if column.dtype.kind in "iufb" else np.array([number(value) for value in column], float)


def check_clock(times: np.ndarray, path: Path | str) -> tuple[np.ndarray, int]:
    """Positions after which samples are missing, and how many timestamps step back within the packets' jitter.

    The rows are taken as evenly sampled between gaps. Raises InputError where time runs back further than `MAX_JITTER`
    or the rate is not that of a Muse 2016.
    """
    steps = np.diff(times)
    behind = np.maximum.accumulate(times) - times
    if (behind > MAX_JITTER).any():
        row = int(np.argmax(behind > MAX_JITTER))
        raise InputError(f"{path}, line {row + 2}: the timestamp is {behind[row]:.3f} s before an earlier one; "
                         "expected the rows of one recording in order of time")
    even = steps[steps <= MAX_JITTER]
    rate = len(even) / even.sum() if even.sum() > 0 else 0.0
    if abs(rate - SFREQ) > 0.02 * SFREQ:
        raise InputError(f"{path}: the timestamps say {rate:.1f} samples/s, expected {SFREQ:g} (Muse 2016)")
    return np.flatnonzero(steps > MAX_JITTER), int((steps < 0).sum())


def read_raw_muse(path: Path | str) -> "mne.io.BaseRaw":
    """A CSV as mne Raw, with its markers as annotations; gaps are marked BAD_ACQ_SKIP, as sources/n170.py has them."""
    import mne

    times, signal, marker, _ = read_csv(path)
    gaps, _ = check_clock(times, path)
    raw = mne.io.RawArray(signal * 1e-6, mne.create_info(list(CHANNELS), SFREQ, "eeg"), verbose="error")
    onsets = np.flatnonzero(marker)
    raw.set_annotations(mne.Annotations(onsets / SFREQ, 0, [f"{marker[row]:g}" for row in onsets])
                        + mne.Annotations(gaps / SFREQ, 1 / SFREQ, "BAD_ACQ_SKIP"))
    first = np.append(0, gaps + 1)
    keep_clock(raw, Clock(times[first] - times[0], first / SFREQ, len(times) / SFREQ))
    return raw
