"""From a raw recording to trials, with MNE: channels, filters, bad channels, reference, sampling rate, windows.

Bad channels, missing channels and the reference are weights on channels: one matrix, applied to the cut trials.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputError

import numpy as np

from . import epochs
from .channel_kinds import MIN_ELECTRODES, electrode_names
from .readers import mne_reads

if TYPE_CHECKING:
    import mne

    from eegdata.preprocessing_schema import Preprocessing

PLAUSIBLE_MICROVOLTS = (.05, 5000.)  # microvolts: standard deviation of the median electrode
FLAT_MICROVOLTS = .05  # microvolts: standard deviation; an amplifier alone has more
MIN_LOF_CHANNELS, MIN_LOF_SECONDS = 32, 30.  # with less, MNE's LOF takes good channels for outliers


@dataclass
class Settings(epochs.Epoching):
    """What is done to each recording, beyond its Epoching.

    bads: "auto", "none" or names; reference: "keep", "average" or names; unit_scale: factor of all values; ch_names: of the
    trials.
    """

    bads: str | list[str]
    reference: str | list[str]
    unit_scale: float
    ch_names: list[str]


def kept(settings: epochs.Epoching, ch_names: Sequence[str], standardised: bool = False) -> dict:
    """What a data set keeps of its Settings, or of its Epoching alone: a Preprocessing (eegdata/preprocessing_schema.py)
    without scale and window. standardised: whether `epochs.standardise` follows the filters."""
    alone = {"bads": "none", "reference": "keep", "unit_scale": 1., "ch_names": list(ch_names)}
    given = settings.key()
    return {**alone, **given, "baseline": given["baseline"] and list(given["baseline"]), "standardised": standardised}


def settings_of(kept: "Preprocessing") -> Settings:
    """The Settings that a data set or a model keeps."""
    return Settings(**{field.name: getattr(kept, field.name) for field in fields(Settings)})


def places_of(raw: "mne.io.BaseRaw", names: list[str]) -> tuple[dict, list[str]]:
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


def process(path: Path | str, raw: "mne.io.BaseRaw", names: list[str], places: dict, file_bads: list[str],
            onset: np.ndarray, settings: Settings,
            standardised: bool = False) -> tuple[epochs.Trials, dict[str, int], list[str]]:
    """Process a recording (mne Raw, not loaded) and cut it at `onset` [events] in s.

    names: its EEG channels; places: name -> [x, y, z]; file_bads: channels that the file calls bad. Returns an iterator of
    (eeg [n, channels, samples] float32 in microvolts, or `standardised` over the recording, numbers of their events),
    {reason: events that gave no trial}, which is complete when the iterator is done, and notes.
    """
    with mne_reads(path) as notes:
        raw.pick(with_references(names, settings)).load_data(verbose="warning")
    kinds = dict.fromkeys(raw.ch_names, "eeg")  # MNE subtracts no baseline from a reference of type misc
    raw.set_channel_types(kinds, on_unit_change="ignore", verbose="error")
    check_finite(raw, path)
    if settings.unit_scale != 1:
        raw.apply_function(lambda data: data * settings.unit_scale, picks="all", verbose="error")
    with mne_reads(path) as warned:
        epochs.filter_recording(raw, settings)
    check_units(raw, names, path, settings)
    bads, doubts = find_bads(raw, names, file_bads, settings)
    if standardised:
        epochs.standardise(raw)
    matrix, more = channel_matrix(raw.ch_names, names, bads, places, settings)
    with mne_reads(path) as warned_too:
        causes = Counter()
        trials, dropped = epochs.cut_trials(raw, onset, settings, matrix * (1 if standardised else 1e6), causes)
    notes = [*notes, *warned, *doubts, *more, *warned_too]
    return _with_causes(trials, causes, settings, notes), dropped, notes


def _with_causes(trials, causes, settings, notes):
    """The trials; when they are done, `notes` also tell which channels were the reason that others were rejected."""
    yield from trials
    if causes:
        notes.append("trials rejected for their amplitude, by channel: " + ", ".join(
            f"{settings.ch_names[channel]} {count}" for channel, count in causes.most_common()))


def check_finite(raw: "mne.io.BaseRaw", path: Path | str) -> None:
    import numpy as np

    for name in raw.ch_names:
        wrong = np.flatnonzero(~np.isfinite(raw.get_data(picks=[name])[0]))
        if len(wrong):
            raise InputError(f"{path}: channel {name} holds {len(wrong)} values that are NaN or infinite, the first at "
                             f"{wrong[0] / raw.info['sfreq']:.3f} s; mend the file, or give --exclude {name}")


def deviations(raw: "mne.io.BaseRaw", names: list[str]) -> np.ndarray:
    """Standard deviation of each channel in microvolts."""
    import numpy as np

    return np.array([raw.get_data(picks=[name])[0].std() * 1e6 for name in names])


def _usual_deviation(raw, name):
    """Median over its seconds of a channel's standard deviation in microvolts, so that steps at gaps count little."""
    signal, size = raw.get_data(picks=[name])[0] * 1e6, max(round(raw.info["sfreq"]), 1)
    whole = signal[:len(signal) // size * size].reshape(-1, size)
    return float(np.median(whole.std(1)) if len(whole) else signal.std())


def check_units(raw: "mne.io.BaseRaw", names: list[str], path: Path | str, settings: Settings) -> None:
    import numpy as np

    electrodes = electrode_names(names)
    median = float(np.median(deviations(raw, electrodes if len(electrodes) >= MIN_ELECTRODES else names)))
    low, high = PLAUSIBLE_MICROVOLTS
    if low <= median <= high:
        return
    factor = next((f for f in (1e-3, 1e-6, 1e-9, 1e3, 1e6, 1e9) if median and 1 <= median * f <= 300), None)
    unit = {1e-3: "nanovolts as microvolts", 1e-6: "microvolts as volts", 1e-9: "nanovolts as volts", 1e3: "millivolts as "
            "microvolts", 1e6: "volts as microvolts", 1e9: "volts as nanovolts"}.get(factor)
    cause = (f"its header probably takes {unit}: if so, give --unit_scale {settings.unit_scale * factor:g}" if factor else
             "most channels are not connected or its header is damaged; look at the recording, or give --unit_scale")
    raise InputError(f"{path}: the median channel has a standard deviation of {median:.3g} uV, expected {low:g} to "
                     f"{high:g} for EEG; {cause}")


def with_references(names: list[str], settings: Settings) -> list[str]:
    """EEG channels and, after them, those of the named reference that are no EEG."""
    references = settings.reference if isinstance(settings.reference, list) else []
    return [*names, *(name for name in references if name not in names)]


def find_bads(raw: "mne.io.BaseRaw | None", names: list[str], file_bads: list[str],
              settings: Settings) -> tuple[dict[str, str], list[str]]:
    """{channel: what is wrong with it} of a filtered recording, by --bads, and notes. A channel that --bads names counts in
    whatever spelling the recording has, as it is matched with those of others (eegdata/montage.py)."""
    from eegdata.montage import plain_name

    if isinstance(settings.bads, list):
        named = set(map(plain_name, settings.bads))
        return {name: "was named by --bads" for name in names if plain_name(name) in named}, []
    if settings.bads == "none":
        return {}, []
    bads = {name: "is marked bad in the file" for name in file_bads if name in names}
    for name in names:
        if _usual_deviation(raw, name) < FLAT_MICROVOLTS:
            bads[name] = "was flat"
    rest = [name for name in names if name not in bads]
    if len(rest) >= MIN_LOF_CHANNELS and raw.times[-1] >= MIN_LOF_SECONDS:
        import mne

        odd = mne.preprocessing.find_bad_channels_lof(raw, picks=rest, verbose="error")
        if len(odd) > len(rest) / 4:
            return bads, [f"MNE's LOF calls {len(odd)} of {len(rest)} channels outliers, too many to be: none of them is "
                          "taken for bad"]
        bads |= dict.fromkeys(odd, "was unlike the others (LOF)")
    return bads, []


def without_reference(wanted: list[str], reference: list[str], encoder: str | None) -> list[str]:
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


def channel_matrix(recorded: list[str], names: list[str], bads: dict[str, str], places: dict,
                   settings: Settings) -> tuple[np.ndarray, list[str]]:
    """Weights [settings.ch_names, recorded] that mend bad channels, match channels by name and re-reference; and notes."""
    import numpy as np

    from eegdata.montage import MIN_SOURCES, match_channels, plain_name, standard_places

    known = {plain_name(name) for name in places} | (set(standard_places()) if bads else set())
    good = [name for name in names if name not in bads]
    enough = sum(plain_name(name) in known for name in good) >= MIN_SOURCES
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


def steps(settings: Settings, rates: list[float]) -> list[str]:
    """What is done to the recordings, as sentences for the record; rates: the recordings' sampling rates in Hz."""
    reference = {"keep": "reference kept as recorded", "average": f"average reference of {len(settings.ch_names)} channels"}
    bads = {"auto": "bad channels (marked in the file; flat; outliers by MNE's LOF from 32 channels and 30 s on) "
                    "interpolated by spherical splines where places are known", "none": "bad channels not looked for"}
    return [
        *([f"all values multiplied by {settings.unit_scale:g}"] if settings.unit_scale != 1 else []),
        f"notch filter at {settings.notch:g} Hz and its multiples" if settings.notch else "no notch filter",
        epochs.band_step(settings),
        bads.get(str(settings.bads), f"channels {settings.bads} interpolated by spherical splines"),
        reference.get(str(settings.reference), f"reference: mean of {settings.reference}"),
        *epochs.trial_steps(settings, rates)]
