"""XDF files of the Lab Streaming Layer, read with pyxdf into mne Raw (MNE has no reader of its own)."""

import logging
import warnings
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputError

from .clock import Clock, keep_clock
from .xdf_times import straighten

if TYPE_CHECKING:
    import mne

PREFIXES = {"": 1e6, "m": 1e3, "milli": 1e3, "u": 1., "µ": 1., "μ": 1., "micro": 1., "n": 1e-3, "nano": 1e-3}
MICROVOLTS = {prefix + volt: factor for prefix, factor in PREFIXES.items() for volt in ("v", "volt", "volts")}
MARKER_TYPES = ("markers", "marker", "events", "event", "stim", "triggers", "trigger")  # types of streams
CODE_TYPES = ("stim", "trigger", "trig", "marker", "markers", "event")  # types of channels
MAX_RATE_ERROR = .02  # of the nominal rate; a clock that is off by more is another rate


def read_raw_xdf(path: Path | str, name: str | None = None, cut_short: bool = False) -> "mne.io.BaseRaw":
    """The EEG stream as mne Raw, with the marker streams as annotations; gaps are marked BAD_ACQ_SKIP.

    name: of the stream, where several are of type EEG. Raises InputError for none or several, and, unless `cut_short`,
    where the file is damaged or has no end.
    """
    import mne
    import numpy as np

    streams = _load(path, cut_short)
    eeg = _choose(path, streams, name)
    if _of(eeg, "channel_format") == "string":
        raise InputError(f"{path}: the stream {_of(eeg, 'name')} holds texts, expected EEG; give the EEG stream's name as "
                         f"--stream (there are {_listed(streams)})")
    stamps, signal = eeg["time_stamps"], np.asarray(eeg["time_series"], float).T
    if len(stamps) < 2:
        raise InputError(f"{path}: the stream {_of(eeg, 'name')} holds {len(stamps)} samples; leave the file out")
    if not np.isfinite(stamps).all():
        raise InputError(f"{path}: the stream {_of(eeg, 'name')} has {np.sum(~np.isfinite(stamps))} time stamps that are "
                         "no numbers; the recording is damaged: get it again or leave it out")
    if "footer" not in eeg and not cut_short:
        raise InputError(f"{path}: the stream {_of(eeg, 'name')} has no end (footer): the file is cut short; get it again, "
                         "or give --cut_short to take what is there")
    rate = float(_of(eeg, "nominal_srate") or 0)
    times, first, measured = straighten(stamps, rate) if rate > 0 else (stamps, [0], (len(stamps) - 1) / np.ptp(stamps))
    if rate <= 0 or abs(measured / rate - 1) > MAX_RATE_ERROR:
        raise InputError(f"{path}: the stream {_of(eeg, 'name')} states {rate:g} samples per second, but its time stamps "
                         f"give {measured:.2f}; the recording is damaged or lost samples")
    if (np.diff(times) <= 0).any():
        raise InputError(f"{path}: the stream {_of(eeg, 'name')} has time stamps that go back, behind sample "
                         f"{np.flatnonzero(np.diff(times) <= 0)[0]}; the recording is damaged")
    names, scale, kinds = _channels(path, eeg, len(signal))
    raw = mne.io.RawArray(signal * scale[:, None] * 1e-6, mne.create_info(names, rate, kinds), verbose="error")
    marks = [(_sample(times, stamp, rate) / rate, 0., _text(row[0])) for stream in streams if _holds_marks(stream)
             for stamp, row in zip(stream["time_stamps"], stream["time_series"], strict=True)]
    kept = [mark for mark in marks if 0 <= mark[0] < len(times) / rate]
    if len(kept) < len(marks):
        warnings.warn(f"{len(marks) - len(kept)} of {len(marks)} marks lie before, after or in gaps of the EEG",
                      RuntimeWarning, stacklevel=2)
    kept += [(start / rate, 1 / rate, "BAD_ACQ_SKIP") for start in first[1:]]
    if kept:
        raw.set_annotations(mne.Annotations(*(list(each) for each in zip(*sorted(kept), strict=True))))
    clock = Clock(times[first] - times[0], np.array(first) / rate, len(times) / rate, rate / measured)
    if len(first) > 1:
        warnings.warn(f"{len(first) - 1} gaps in the time stamps, {clock.lost:.3f} s in all: neither filters nor trials "
                      "reach across them", RuntimeWarning, stacklevel=2)
    keep_clock(raw, clock)
    return raw


def _load(path, cut_short):
    """The streams; pyxdf reports damage to its log and goes on, which is an InputError here."""
    import pyxdf

    faults = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: faults.append(record.getMessage())
    log = logging.getLogger("pyxdf.pyxdf")
    log.addHandler(handler)
    propagate, log.propagate = log.propagate, False
    try:
        streams, _ = pyxdf.load_xdf(str(path), dejitter_timestamps=False)  # straighten() does it
    finally:
        log.removeHandler(handler)
        log.propagate = propagate
    if faults and not cut_short:
        raise InputError(f"{path}: damaged or cut short ({faults[0][:200]}); get it again, or give --cut_short to take "
                         "what is there")
    return streams


def _holds_marks(stream):
    """Whether a stream holds events: by its type, or as texts at no regular rate."""
    return _of(stream, "type").lower() in MARKER_TYPES or (
        _of(stream, "channel_format") == "string" and float(_of(stream, "nominal_srate") or 0) == 0)


def _text(value):
    """A mark's name; numbers, which LSL holds as floats, as people write them."""
    return f"{value:.15g}" if isinstance(value, Real) else str(value)


def _of(stream, key):
    return (stream["info"].get(key) or [""])[0] or ""


def _listed(streams):
    return "; ".join(f"{_of(s, 'name')} ({_of(s, 'type')}, {_of(s, 'channel_count')} channels)" for s in streams
                     ) or "no stream"


def _choose(path, streams, name):
    eeg = [s for s in streams if (_of(s, "name") == name if name else _of(s, "type").upper() == "EEG")]
    if len(eeg) != 1:
        what = f"{len(eeg)} streams named {name}" if name else f"{len(eeg)} streams of type EEG"
        raise InputError(f"{path}: {what}, expected one; it holds {_listed(streams)}: give --stream NAME")
    return eeg[0]


def _channels(path, eeg, count):
    """Names, factors to microvolts and MNE types from the stream's description; numbers as names where it has none, or one
    for several."""
    import numpy as np

    described = (eeg["info"].get("desc") or [None])[0] or {}
    described = ((described.get("channels") or [None])[0] or {}).get("channel") or []
    if len(described) != count:
        described = [{}] * count
    names = [((channel.get("label") or [None])[0] or "").strip() for channel in described]
    unnamed = [i for i, name in enumerate(names) if not name or names.count(name) > 1]
    for i in unnamed:  # its unit and type hold all the same
        names[i] = f"EEG {i + 1:03d}"
    if unnamed:
        warnings.warn(f"the stream {_of(eeg, 'name')} gives {len(unnamed)} of its {count} channels no name of their own: "
                      "they have numbers", RuntimeWarning, stacklevel=2)
    units = [((channel.get("unit") or [None])[0] or "").strip().lower() for channel in described]
    types = [((channel.get("type") or [None])[0] or "EEG").strip().lower() for channel in described]
    kinds = ["eeg" if kind == "eeg" and unit in ("", *MICROVOLTS) else "stim" if kind in CODE_TYPES else "misc"
             for kind, unit in zip(types, units, strict=True)]
    if "eeg" in types and "eeg" not in kinds:
        raise InputError(f"{path}: the EEG of the stream {_of(eeg, 'name')} is in '{units[types.index('eeg')]}', expected "
                         "microvolts, or another unit of volts; correct the unit in the file's header")
    factors = [1e6 if kind == "stim" else MICROVOLTS.get(unit, 1. if kind == "eeg" else 1e6)  # codes have no unit
               for unit, kind in zip(units, kinds, strict=True)]
    return names, np.array(factors), kinds


def _sample(times, stamp, rate):
    """Position of a time stamp among the samples', in samples; NaN more than a sample from any."""
    import numpy as np

    after = int(np.clip(np.searchsorted(times, stamp), 1, len(times) - 1))
    nearest = after if abs(times[after] - stamp) < abs(times[after - 1] - stamp) else after - 1
    away = float(stamp - times[nearest]) * rate
    return nearest + away if abs(away) <= 1 else np.nan
