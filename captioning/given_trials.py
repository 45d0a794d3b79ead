"""Trials that a user has cut already, an array or mne.Epochs, brought to what an encoder takes.

Filters need the continuous recording, so they are the user's. Channels, reference, baseline, window and scale are settled
here, as the model keeps them.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from runtime.errors import InputError

import numpy as np

from eegdata.dataset_writer import channel_scale, divided
from eegdata.montage import match_channels, require_channels
from eegdata.preprocessing_schema import Preprocessing
from sources import new_recording, preprocessing

if TYPE_CHECKING:
    import mne

MICROVOLTS = {"uV": 1., "V": 1e6}  # in one of the unit
UNITS = (*MICROVOLTS, "standardised")
MAX_TOLERANCE = .26  # Hz by which a filter of the epochs may differ from the model's


@dataclass
class GivenTrials:
    """Trials [n, C, T] of channels ch_names at sfreq Hz, the first sample tmin s from the onset (None: not known).

    units: one of UNITS; baseline: start and end in s of the one that was subtracted, None without; bads, places: as
    sources.preprocessing has them; rows: columns that describe the trials; notes: sentences on them.
    """

    eeg: np.ndarray
    sfreq: float
    ch_names: list[str]
    tmin: float | None
    units: str
    baseline: tuple[float, float] | None
    bads: dict
    places: dict
    rows: dict
    notes: list


def of_array(eeg: object, sfreq: float | None, ch_names: list[str] | None, tmin: float | None, units: str) -> GivenTrials:
    """Trials of an array [n, C, T]."""
    try:
        eeg = np.asarray(eeg, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"eeg: a {type(eeg).__name__}, not readable as numbers ({error}); expected mne.Epochs, an array "
                         "[trials, channels, samples], or a data set folder") from None
    if eeg.ndim != 3 or not eeg.size:
        raise InputError(f"eeg: shape {eeg.shape}, expected [trials, channels, samples]; of one trial give eeg[None]")
    if sfreq is None or ch_names is None:
        raise InputError("sfreq, ch_names: an array does not tell them; give the sampling rate in Hz and the names of the "
                         "channels")
    if isinstance(ch_names, str) or not isinstance(ch_names, Collection):
        raise InputError(f"ch_names: {ch_names!r}, expected a list of names, one for each channel")
    if len(ch_names) != eeg.shape[1]:
        raise InputError(f"ch_names: {len(ch_names)} names for {eeg.shape[1]} channels; expected one for each")
    if units not in UNITS:
        raise InputError(f"units: {units!r}, expected one of {', '.join(UNITS)}")
    sfreq, tmin = _number("sfreq", sfreq), None if tmin is None else _number("tmin", tmin)
    return GivenTrials(eeg, sfreq, list(map(str, ch_names)), tmin, units, None, {}, {},
                       {"trial": list(range(len(eeg)))}, [])


def _number(name, value):
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{name}: {value!r}, expected a finite number")
    return number


def of_epochs(epochs: "mne.BaseEpochs", kept: Preprocessing | None) -> GivenTrials:
    """Trials of mne.Epochs, with notes on filters that differ from the model's."""
    import mne

    picks = mne.pick_types(epochs.info, eeg=True, exclude=[])
    if not len(picks):
        raise InputError(f"epochs: no channel of type EEG among {len(epochs.ch_names)}; set the types of the channels "
                         "(epochs.set_channel_types)")
    names = [epochs.ch_names[i] for i in picks]
    kinds = {number: name for name, number in epochs.event_id.items()}
    recorded = getattr(epochs, "_raw_sfreq", epochs.info["sfreq"])  # resample and decimate leave the events as they were
    rows = {"trial": epochs.selection.tolist(), "time": (epochs.events[:, 0] / recorded).tolist(),
            "event": [kinds.get(number, str(number)) for number in epochs.events[:, 2].tolist()]}
    places, notes = preprocessing.places_of(epochs, names)
    bads = {name: "is marked bad in the epochs" for name in epochs.info["bads"] if name in names}
    eeg = epochs.get_data(picks=picks, verbose="error")
    if not len(eeg):
        raise InputError("epochs: none is left; see epochs.drop_log for why")
    return GivenTrials(eeg, epochs.info["sfreq"], names, epochs.tmin, "V", epochs.baseline, bads, places, rows,
                       [*notes, *(_filter_notes(epochs.info, kept) if kept else [])])


def _filter_notes(info, kept):
    """Sentences on edges of the pass band that differ. Half the sampling rate, as MNE has it, is no low-pass."""
    high = info["lowpass"] if info["lowpass"] < info["sfreq"] / 2 else 0.
    return [f"the epochs were {word}-passed at {found:g} Hz, the model's data at {wanted:g} Hz (0 is not at all): filter "
            "the recording as the model's data were before you cut it" for word, found, wanted in
            (("high", info["highpass"], kept.l_freq), ("low", high, kept.h_freq)) if abs(found - wanted) > MAX_TOLERANCE]


def fitted(given: GivenTrials, config: object, kept: Preprocessing | None, interpolate: bool) -> np.ndarray:
    """The trials as the encoder of `config` takes them: [n, C, T] float32. Adds to the notes of `given`.

    kept: how the model's own data were made, None where it does not say. InputError where rate, channels, units or window
    do not fit.
    """
    if given.sfreq != config.sfreq:
        raise InputError(f"sfreq: {given.sfreq:g} Hz, but the model takes {config.sfreq:g} Hz; resample the trials first "
                         f"(epochs.resample({config.sfreq:g}))")
    if not np.isfinite(given.eeg).all():
        trial, channel = np.argwhere(~np.isfinite(given.eeg).all(2))[0]
        raise InputError(f"eeg: trial {trial}, channel {given.ch_names[channel]} holds NaN or infinite values; mend or "
                         "drop that trial")
    if kept is None:
        return _by_shape(given, config, interpolate)
    eeg = _channels(given, kept, interpolate)
    standardised = given.units == "standardised"
    if not standardised:
        _check_units(eeg)
    tmin = _start(given, config, kept)
    if kept.baseline and tmin is not None:
        eeg = _without_baseline(eeg, given, kept, tmin)
    if not standardised and (kept.scale == "recording" or kept.standardised):
        eeg = divided(eeg, channel_scale(eeg if tmin is None else eeg[:, :, _overlap(eeg, kept, tmin)]))
        given.notes += new_recording.note_on_scale(len(eeg))
    low = 0 if tmin is None else kept.start - round(tmin * kept.sfreq)
    return np.ascontiguousarray(eeg[:, :, low:low + config.n_times], np.float32)


def _by_shape(given, config, interpolate):
    """Trials for a model that does not say how its data were made: channels by name, and the very window."""
    if config.ch_names:
        if not interpolate:
            require_channels(given.ch_names, config.ch_names, "eeg", "interpolate=True")
        matrix, notes = match_channels(given.ch_names, config.ch_names, given.places or None)
        given.eeg, given.notes = matrix @ given.eeg, [*given.notes, *notes]
    if given.eeg.shape[1:] != (config.n_chans, config.n_times):
        raise InputError(f"eeg: {given.eeg.shape[1]} channels x {given.eeg.shape[2]} samples, but the model takes "
                         f"{config.n_chans} x {config.n_times} and does not say how its data were made; give that window")
    given.notes.append("the model does not say how its data were made, so nothing was done to these trials; they must have "
                       "the unit, filters and reference of its own")
    return given.eeg.astype(np.float32)


def _channels(given, kept, interpolate):
    """Trials of the model's channels and reference, in microvolts or standardised."""
    settings, bads = preprocessing.settings_of(kept), given.bads
    if not interpolate:
        require_channels(given.ch_names, settings.ch_names, "eeg", "interpolate=True")
    if given.units == "standardised":  # each channel has a scale of its own: channels can no longer be subtracted
        settings = replace(settings, bads="none", reference="keep")
    elif isinstance(settings.bads, list):  # as caption.py does
        bads = bads | preprocessing.find_bads(None, given.ch_names, [], settings)[0]
    if isinstance(settings.reference, list) and not set(settings.reference) <= set(given.ch_names):
        given.notes.append(f"the model's data are referenced to {', '.join(settings.reference)}, which is not among the "
                           "channels: these trials must be, too")
        settings = replace(settings, reference="keep")
    matrix, notes = preprocessing.channel_matrix(given.ch_names, given.ch_names, bads, given.places, settings)
    given.notes += notes
    return matrix @ given.eeg * MICROVOLTS.get(given.units, 1.)


def _check_units(eeg):
    median, (low, high) = float(np.median(eeg.std(2))), preprocessing.PLAUSIBLE_MICROVOLTS
    if not low <= median <= high:
        raise InputError(f"eeg: the median channel has a standard deviation of {median:.3g} uV, expected {low:g} to "
                         f"{high:g} for EEG; say the unit with units='uV' or 'V', or 'standardised' if the trials are "
                         "scaled as the model's data")


def _start(given, config, kept):
    """Seconds from the onset to the first sample, None where the trials are the very window that the encoder takes."""
    n, whole = given.eeg.shape[2], kept.last - kept.first
    tmin = given.tmin
    if tmin is None and n not in (config.n_times, whole):
        raise InputError(f"tmin: trials of {n} samples, and it is not known when they begin; give tmin, the seconds from "
                         "the onset to the first sample")
    if tmin is None and n == config.n_times != whole:
        given.notes.append("the trials are taken as the window that the model reads"
                           + ", with the baseline subtracted" * bool(kept.baseline))
        return None
    if tmin is None:
        return kept.first / kept.sfreq
    first, start = kept.start, round(tmin * kept.sfreq)
    if not start <= first <= first + config.n_times <= start + n:
        raise InputError(f"eeg: from {tmin:g} to {tmin + n / kept.sfreq:g} s around the onset, but the model takes "
                         f"{first / kept.sfreq:g} to {(first + config.n_times) / kept.sfreq:g} s; cut longer trials")
    return tmin


def _overlap(eeg, kept, tmin):
    """The samples of the trials that the model's own trials have."""
    start = kept.first - round(tmin * kept.sfreq)
    return slice(max(0, start), min(eeg.shape[2], start + kept.last - kept.first))


def _without_baseline(eeg, given, kept, tmin):
    first, last = (round((edge - tmin) * kept.sfreq) for edge in kept.baseline)
    if first >= 0 and last < eeg.shape[2]:
        return eeg - eeg[:, :, first:last + 1].mean(2, keepdims=True)
    if given.baseline:
        if np.abs(np.subtract(given.baseline, kept.baseline)).max() > 1 / kept.sfreq:
            own, wanted = (f"from {start:g} to {end:g} s" for start, end in (given.baseline, kept.baseline))
            given.notes.append(f"the epochs have the mean {own} subtracted, the model's data that {wanted}: cut trials "
                               "that hold this baseline")
        return eeg
    raise InputError(f"eeg: begins {tmin:g} s from the onset, but the model's data have the mean from {kept.baseline[0]:g} "
                     f"to {kept.baseline[1]:g} s subtracted; cut trials that hold this baseline, or subtract it before. An "
                     "array cannot say that this was done: give exactly the samples that the model takes, from "
                     f"{kept.start / kept.sfreq:g} s on, and leave tmin out")
