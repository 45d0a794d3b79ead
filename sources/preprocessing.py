"""From a raw recording to trials, with MNE: channels, filters, bad channels, reference, sampling rate, windows.

Bad channels, missing channels and the reference are weights on channels: one matrix, applied to the cut trials.
"""

import re
from dataclasses import asdict, dataclass

from runtime.errors import InputError

from .raw_files import mne_reads

# Channels that are no scalp electrodes, where a file calls everything EEG.
NO_EEG = re.compile(r"(EEG[ _:-]*)?([A-Z]{0,2}EOG|E[CK]G|EMG|GSR|EDA|RESP|PLETH|SPO2|STIM?|TRIG(GER)?|STATUS|EVENTS?|"
                    r"MARKERS?|EXG|EXT|AUX|MISC|PHOTIC|ERGO|TEMP|ACC|GYRO|BATT(ERY)?|COUNTER|TIME ?STAMPS?|SAMPLES?|DC\d)"
                    r"([^A-Z].*|[A-Z])?", re.I)
PLAUSIBLE = (.05, 5000.)  # microvolts: standard deviation of the median channel
FLAT = .05  # microvolts: standard deviation; an amplifier alone has more
LOF_CHANNELS, LOF_SECONDS = 32, 30.  # with less, MNE's LOF takes good channels for outliers
LOWEST_NOTCH = 10.  # Hz; railways have 16.7
BLOCK_BYTES = 1 << 28  # of trials in memory at a time


@dataclass
class Settings:
    """What is done to each recording; sfreq: of the trials, in Hz; first, last: samples from the onset, last exclusive;
    baseline: (start, end) in s or None; reference: "keep", "average" or names; bads: "auto", "none" or names."""

    l_freq: float
    h_freq: float
    notch: float
    bads: object
    reference: object
    sfreq: float
    first: int
    last: int
    baseline: tuple | None
    reject: float
    flat: float
    unit_scale: float
    ch_names: list

    def key(self):
        return asdict(self)


def eeg_channels(raw, exclude=()):
    """Names of the EEG channels, and {why: names} of those left out."""
    names, left = [], {}
    for name, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True):
        why = ("--exclude" if name in exclude else kind if kind != "eeg" else
               "no EEG by name" if NO_EEG.fullmatch(name.strip()) else None)
        left.setdefault(why, []).append(name) if why else names.append(name)
    return names, left


def places_of(raw, names):
    """{name: [x, y, z] in m, head coordinates} of the electrodes whose places the file gives, and notes."""
    import numpy as np
    from mne.io.constants import FIFF

    places = {ch["ch_name"]: ch["loc"][:3].tolist() for ch in raw.info["chs"] if ch["ch_name"] in names
              and ch["coord_frame"] == FIFF.FIFFV_COORD_HEAD and np.isfinite(ch["loc"][:3]).all() and ch["loc"][:3].any()}
    radius = [float(np.linalg.norm(place)) for place in places.values()]
    if radius and not .05 < np.median(radius) < .2:
        return {}, [f"the file's electrode places are ignored: the median one is {np.median(radius):.3g} m from the centre "
                    "of the head"]
    return places, []


def filter_seconds(settings):
    """Length in s of the longest of MNE's FIR filters (its automatic transition bandwidths, Hamming window)."""
    widths = [min(max(.25 * settings.l_freq, 2), settings.l_freq)] if settings.l_freq else []
    widths += [max(.25 * settings.h_freq, 2)] if settings.h_freq else []
    return max([3.3 / width for width in widths] + ([6.6] if settings.notch else []), default=0.)


def notches(notch, sfreq):
    """The mains frequency and its multiples in Hz, as far as MNE's filters reach: f / 200 wide, and edges of .5 Hz."""
    return [each for k in range(1, int(sfreq / 2 / notch) + 1) if (each := k * notch) * (1 + 1 / 400) + .5 < sfreq / 2]


def check_filters(settings, path, sfreq, seconds):
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
        raise InputError(f"{path}: lasts {seconds:.2f} s, but the filters of --l_freq {settings.l_freq:g} --h_freq "
                         f"{settings.h_freq:g} --notch {settings.notch:g} are {needed:.2f} s long; give a higher --l_freq, "
                         "or 0 to leave a filter out, or leave the recording out")


def cut_trials(path, raw, names, places, file_bads, onset, settings):
    """Process a recording (mne Raw, not loaded) and cut it at `onset` [events] in s.

    names: its EEG channels; places: name -> [x, y, z]; file_bads: channels that the file calls bad. Returns an iterator of
    (eeg [n, channels, samples] float32 in microvolts, numbers of their events), {reason: events that gave no trial}, which
    is complete when the iterator is done, and notes.
    """
    import mne
    import numpy as np

    with mne_reads(path) as notes:
        raw.pick(with_references(names, settings)).load_data(verbose="warning")
    check_finite(raw, path)
    if settings.unit_scale != 1:
        raw.apply_function(lambda data: data * settings.unit_scale, picks="all", verbose="error")
    with mne_reads(path) as warned:
        _filter(raw, settings)
    check_units(raw, names, path, settings)
    bads, doubts = find_bads(raw, names, file_bads, settings)
    matrix, more = channel_matrix(raw.ch_names, names, bads, places, settings)
    with mne_reads(path) as warned_too:
        if raw.info["sfreq"] != settings.sfreq:
            raw.resample(settings.sfreq, verbose="warning")
    samples = np.round(np.asarray(onset) * settings.sfreq).astype(int) + raw.first_samp
    events = np.stack([samples, np.zeros_like(samples), np.ones_like(samples)], axis=1)
    with mne_reads(path) as warned_last:
        epochs = mne.Epochs(raw, events, None, settings.first / settings.sfreq, (settings.last - 1) / settings.sfreq,
                            baseline=settings.baseline, picks="all", proj=False, preload=False, verbose="error")
        epochs.drop_bad(verbose="error")
    dropped = {}
    for reason in (reasons[0] for reasons in epochs.drop_log if reasons):
        reason = "outside the recording" if reason in ("NO_DATA", "TOO_SHORT") else f"across '{reason}'"
        dropped[reason] = dropped.get(reason, 0) + 1
    return _trials(epochs, matrix, settings, dropped), dropped, [
        *notes, *warned, *doubts, *more, *warned_too, *warned_last]


def _filter(raw, settings):
    skip = ("edge", "bad_acq_skip", "bad boundary")
    if settings.notch:
        raw.notch_filter(notches(settings.notch, raw.info["sfreq"]), picks="all", skip_by_annotation=skip,
                         verbose="warning")
    if settings.l_freq or settings.h_freq:
        raw.filter(settings.l_freq or None, settings.h_freq or None, picks="all", skip_by_annotation=skip,
                   verbose="warning")


def _trials(epochs, matrix, settings, dropped):
    import numpy as np

    size = max(1, BLOCK_BYTES // (8 * len(epochs.ch_names) * len(epochs.times)))
    for start in range(0, len(epochs.selection), size):
        eeg = epochs.get_data(item=slice(start, start + size), verbose="error")
        eeg = np.matmul(matrix * 1e6, eeg).astype(np.float32)
        size_of = np.ptp(eeg, axis=2)
        large = size_of.max(1) > settings.reject if settings.reject else np.zeros(len(eeg), bool)
        small = (size_of.min(1) < settings.flat) & ~large
        for reason, which in ((f"more than {settings.reject:g} uV peak to peak", large),
                              (f"less than {settings.flat:g} uV peak to peak", small)):
            if which.any():
                dropped[reason] = dropped.get(reason, 0) + int(which.sum())
        yield eeg[~(large | small)], epochs.selection[start:start + size][~(large | small)]


def check_finite(raw, path):
    import numpy as np

    for name in raw.ch_names:
        wrong = np.flatnonzero(~np.isfinite(raw.get_data(picks=[name])[0]))
        if len(wrong):
            raise InputError(f"{path}: channel {name} holds {len(wrong)} values that are NaN or infinite, the first at "
                             f"{wrong[0] / raw.info['sfreq']:.3f} s; mend the file, or give --exclude {name}")


def deviations(raw, names):
    """Standard deviation of each channel in microvolts."""
    import numpy as np

    return np.array([raw.get_data(picks=[name])[0].std() * 1e6 for name in names])


def check_units(raw, names, path, settings):
    import numpy as np

    median = float(np.median(deviations(raw, names)))
    if PLAUSIBLE[0] <= median <= PLAUSIBLE[1]:
        return
    factor = next((f for f in (1e-3, 1e-6, 1e-9, 1e3, 1e6, 1e9) if median and 1 <= median * f <= 300), None)
    unit = {1e-3: "nanovolts as microvolts", 1e-6: "microvolts as volts", 1e-9: "nanovolts as volts", 1e3: "millivolts as "
            "microvolts", 1e6: "volts as microvolts", 1e9: "volts as nanovolts"}.get(factor)
    cause = (f"its header probably takes {unit}: if so, give --unit_scale {settings.unit_scale * factor:g}" if factor else
             "most channels are not connected or its header is damaged; look at the recording, or give --unit_scale")
    raise InputError(f"{path}: the median channel has a standard deviation of {median:.3g} uV, expected {PLAUSIBLE[0]:g} "
                     f"to {PLAUSIBLE[1]:g} for EEG; {cause}")


def with_references(names, settings):
    """EEG channels and, after them, those of the named reference that are no EEG."""
    references = settings.reference if isinstance(settings.reference, list) else []
    return [*names, *(name for name in references if name not in names)]


def find_bads(raw, names, file_bads, settings):
    """{channel: what is wrong with it} of a filtered recording, by --bads, and notes."""
    if isinstance(settings.bads, list):
        return {name: "was named by --bads" for name in settings.bads if name in names}, []
    if settings.bads == "none":
        return {}, []
    bads = {name: "is marked bad in the file" for name in file_bads if name in names}
    for name, deviation in zip(names, deviations(raw, names), strict=True):
        if deviation < FLAT:
            bads[name] = "was flat"
    rest = [name for name in names if name not in bads]
    if len(rest) >= LOF_CHANNELS and raw.times[-1] >= LOF_SECONDS:
        import mne

        odd = mne.preprocessing.find_bad_channels_lof(raw, picks=rest, verbose="error")
        if len(odd) > len(rest) / 4:
            return bads, [f"MNE's LOF calls {len(odd)} of {len(rest)} channels outliers, too many to be: none of them is "
                          "taken for bad"]
        bads |= dict.fromkeys(odd, "was unlike the others (LOF)")
    return bads, []


def without_reference(wanted, reference, encoder):
    """The channels `wanted` but the one that all are referenced to, which is zero after that."""
    from eegdata.montage import plain_name

    kept = [name for name in wanted if len(reference) > 1 or plain_name(name) != plain_name(reference[0])]
    if len(kept) == len(wanted):
        return wanted
    if encoder:
        raise InputError(f"--reference {reference[0]}: would make that channel zero, and the encoder {encoder} takes it; "
                         "choose the reference of the encoder's own data")
    print(f"{reference[0]} is left out: it is the reference, so that it would be zero")
    return kept


def channel_matrix(recorded, names, bads, places, settings):
    """Weights [settings.ch_names, recorded] that mend bad channels, match channels by name and re-reference; and notes."""
    import numpy as np

    from eegdata.montage import FEWEST, match_channels, plain_name, standard_places

    known = {plain_name(name) for name in places} | (set(standard_places()) if bads else set())
    good = [name for name in names if name not in bads]
    enough = sum(plain_name(name) in known for name in good) >= FEWEST
    left = [name for name in bads if not enough or plain_name(name) not in known]
    if left and isinstance(settings.bads, list):
        raise InputError(f"--bads {','.join(left)}: cannot be interpolated, as the places of electrodes are not known; "
                         "give --exclude instead")
    notes = [f"{name} {why}: {'left as it is, its place is not known' if name in left else 'interpolated'}"
             for name, why in bads.items()]
    sources = [name for name in names if name not in bads or name in left]
    column = {name: i for i, name in enumerate(recorded)}
    matrix = np.zeros((len(settings.ch_names), len(recorded)))
    matrix[:, [column[name] for name in sources]] = match_channels(sources, settings.ch_names, places or None)[0]
    if isinstance(settings.reference, list):
        bad = [name for name in settings.reference if name in bads]
        if bad:
            raise InputError(f"--reference {','.join(settings.reference)}: {bad[0]} {bads[bad[0]]} in this recording; "
                             "choose another reference, or --bads none")
        minus = np.zeros((len(recorded), len(recorded)))
        minus[:, [column[name] for name in settings.reference]] = 1 / len(settings.reference)
        matrix = matrix @ (np.eye(len(recorded)) - minus)
    elif settings.reference == "average":
        plain = {plain_name(name) for name in left}
        counts = np.array([plain_name(name) not in plain for name in settings.ch_names])
        matrix = matrix - matrix[counts].mean(0)
    return matrix, notes


def steps(settings, rates):
    """Sentences on what `cut_trials` does; rates: the recordings' sampling rates."""
    low, high = settings.l_freq, settings.h_freq
    band = (f"band-pass {low:g} to {high:g} Hz" if low and high else f"high-pass {low:g} Hz" if low else
            f"low-pass {high:g} Hz" if high else "no band-pass filter")
    notch = f"notch filter at {settings.notch:g} Hz and its multiples" if settings.notch else "no notch filter"
    reference = {"keep": "reference kept as recorded", "average": f"average reference of {len(settings.ch_names)} channels"}
    bads = {"auto": "bad channels (marked in the file; flat; outliers by MNE's LOF from 32 channels and 30 s on) "
                    "interpolated by spherical splines where places are known", "none": "bad channels not looked for"}
    window = (settings.first / settings.sfreq, settings.last / settings.sfreq)
    changed = [rate for rate in rates if rate != settings.sfreq]
    return [
        *([f"all values multiplied by {settings.unit_scale:g}"] if settings.unit_scale != 1 else []), notch,
        f"{band} (MNE's zero-phase FIR filter) over the continuous recording" if low or high else band,
        bads.get(str(settings.bads), f"channels {settings.bads} interpolated by spherical splines"),
        reference.get(str(settings.reference), f"reference: mean of {settings.reference}"),
        f"resampled from {', '.join(f'{rate:g}' for rate in changed)} to {settings.sfreq:g} Hz" if changed else
        f"sampling rate kept at {settings.sfreq:g} Hz",
        f"trials from {window[0]:g} to {window[1]:g} s around each onset",
        f"mean from {settings.baseline[0]:g} to {settings.baseline[1]:g} s subtracted" if settings.baseline else
        "no baseline subtracted",
        f"trials with more than {settings.reject:g} uV peak to peak on any channel left out" if settings.reject else
        "no trial left out for its amplitude"]
