"""EEG channels matched by name, missing ones interpolated, and the places of channels on the scalp."""

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec

from runtime.errors import InputError
from runtime.wording import counted, listed

import numpy as np

NAMES_SINCE_10_10 = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}  # 10-20 names before and since the 10-10 system
MIN_SOURCES = 4  # channels to interpolate from; fewer places do not define a sphere
MAX_LISTED = 12  # names in a sentence
MIN_MAPPED = 4  # channels with a known place for a scalp map
REGIONS = ("frontal", "central", "left temporal", "right temporal", "parietal", "occipital")
REGION_OF_ROW = {row: region for region, rows in (  # of the 10-10 system
    ("frontal", "FP AF F"), ("central", "FC C"), ("temporal", "FT T TP"), ("parietal", "CP P"), ("occipital", "PO O I"))
        for row in rows.split()}
HEAD_CENTRE = np.array([0, 0, .04])  # m, in head coordinates
MIN_FITTED = 20  # with fewer places the head is fitted to the standard ones too (MNE needs more than 10)


def plain_name(name: object) -> str:
    """A channel's name as it is compared: `EEG Fp1-REF`, `FP1` and `Fp1..` are one; so are T3 and T7."""
    name = re.sub(r"[\s.]+", " ", str(name)).strip().upper()
    name = re.sub(r"^EEG[\s:_-]+", "", name)
    name = re.sub(r"[\s:_-]+(REF|LE|AR|AV|AVG|CAR)$", "", name).replace(" ", "")
    return NAMES_SINCE_10_10.get(name, name)


def match_channels(found: Sequence[str], wanted: Sequence[str],
                   positions: dict | None = None) -> tuple[np.ndarray, list[str]]:
    """Weights that turn EEG of channels `found` into channels `wanted`, by name and never by position.

    found, wanted: names; positions: name -> [x, y, z] in m (head coordinates) of found channels, None: the standard places
    by name. Returns (matrix [len(wanted), len(found)] float32, notes): EEG [..., found, T] becomes matrix @ EEG; notes are
    sentences on what differs, none where the names are equal. A missing channel is interpolated on the scalp from all found
    ones by spherical splines (Perrin et al. 1989, as MNE does). Raises InputError where names are ambiguous, a missing
    channel has no known place or fewer than 4 found ones have one.
    """
    if list(found) == list(wanted):
        return np.eye(len(wanted), dtype=np.float32), []
    here, asked = [plain_name(name) for name in found], [plain_name(name) for name in wanted]
    missing = [i for i, name in enumerate(asked) if name not in here]
    _check_unique("asked for", wanted, asked, asked)
    _check_unique("found", found, here, here if missing else asked)
    matrix = np.zeros((len(wanted), len(found)), np.float32)
    matched = {i: here.index(name) for i, name in enumerate(asked) if name in here}
    matrix[list(matched), list(matched.values())] = 1
    notes = []
    other = [f"{found[j]} as {wanted[i]}" for i, j in matched.items() if found[j] != wanted[i]]
    if other:
        notes.append(f"channels known by other names: {listed(other, MAX_LISTED)}")
    if list(matched.values()) != sorted(matched.values()):
        notes.append(f"{len(matched)} channels put in the order asked for, by name")
    if missing:
        weights, sources = _interpolated(found, here, [wanted[i] for i in missing], [asked[i] for i in missing], positions,
                                         notes)
        matrix[np.ix_(missing, sources)] = weights
    left = [name for j, name in enumerate(found) if j not in matched.values()]
    if left:
        notes.append(f"{len(left)} channels not asked for left out: {listed(left, MAX_LISTED)}")
    return matrix, notes


def require_channels(found: Sequence[str], wanted: Sequence[str], where: object, advice: str) -> None:
    """Raise InputError where channels `wanted` by a model are not among those `found`, by name.

    where: what has the found ones; advice: how missing ones are accepted, for the message.
    """
    here = {plain_name(name) for name in found}
    missing = [name for name in wanted if plain_name(name) not in here]
    if missing:
        raise InputError(f"{where}: lacks {counted(len(missing), 'channel')} of the {len(wanted)} that the model takes: "
                         f"{listed(missing, MAX_LISTED)}; it has {listed(found, MAX_LISTED)}; rename the channels that are "
                         f"meant, or give {advice} to make them from the others")


def _check_unique(what, names, plain, relevant):
    twice = [name for name, count in Counter(plain).items() if count > 1 and name in relevant]
    if twice:
        alike = [name for name, short in zip(names, plain, strict=True) if short == twice[0]]
        raise InputError(f"channels {', '.join(map(str, alike))} ({what}): are the same by name; expected each channel "
                         "once, rename or drop the others")


def standard_places() -> dict[str, np.ndarray]:
    """Place [x, y, z] in m, in head coordinates, of each channel of the 10-05 system by its plain name."""
    import mne

    own = mne.channels.get_builtin_montages()
    montage = mne.channels.make_standard_montage("colin27_1005" if "colin27_1005" in own else "standard_1005")
    info = mne.create_info(montage.ch_names, 1.0, "eeg", verbose="error").set_montage(montage)  # moves it to the head frame
    places = info.get_montage().get_positions()["ch_pos"]
    # A1 and A2 are the ears there and electrodes of the cap in BioSemi's names: no place without a given one.
    return {plain_name(name): place for name, place in places.items() if name not in ("A1", "A2")}


def _places(needed, positions):
    """The place of each name of `needed` that has one, and all standard places.

    Given places and standard ones are mixed only where neither knows all, because two heads differ.
    """
    standard = standard_places()
    given = {plain_name(name): np.asarray(place, float) for name, place in (positions or {}).items()}
    given = {name: place for name, place in given.items()  # a place at 0 is an unset one
             if place.shape == (3,) and np.isfinite(place).all() and place.any()}
    known = [name for name in needed if name in given or name in standard]
    first, second = (standard, given) if any(name not in given for name in known) else (given, standard)
    return {name: first.get(name, second.get(name)) for name in known}, standard


def _interpolated(found, here, missing_names, missing, positions, notes):
    """Weights [missing, sources] of the missing channels, and the numbers of the found channels that they are made from."""
    places, standard = _places([*here, *missing], positions)
    unplaced = [name for name, plain in zip(missing_names, missing, strict=True) if plain not in places]
    if unplaced:
        raise InputError(f"channels {listed(unplaced, MAX_LISTED)}: not among the {len(found)} channels found "
                         f"({listed(found, MAX_LISTED)}), and their places on the scalp are not known, so they cannot be "
                         "interpolated; rename the channels that are meant, drop these, or use an encoder without them")
    sources = [j for j, name in enumerate(here) if name in places]
    if len(sources) < MIN_SOURCES:
        raise InputError(f"channels {listed(missing_names, MAX_LISTED)}: missing, and only {len(sources)} of the "
                         f"{len(found)} channels found ({listed(found, MAX_LISTED)}) have a known place on the scalp, "
                         f"expected {MIN_SOURCES} or more to interpolate from; rename the channels by the 10-20 system, or "
                         "use another encoder")
    weights, warned = _spline_weights([here[j] for j in sources], missing, places, standard)
    notes.append(f"{len(missing)} channels missing, interpolated on the scalp from {len(sources)} found: "
                 f"{listed(missing_names, MAX_LISTED)}")
    notes += warned
    return weights, sources


def _spline_weights(sources, missing, places, standard):
    """MNE's interpolation of the missing channels from the sources, [missing, sources], and what MNE warned of."""
    import mne

    names = [*sources, *missing]
    info = mne.create_info(names, 1.0, "eeg", verbose="error")
    shape = np.array(list(standard.values())) if len(names) < MIN_FITTED else None
    info.set_montage(mne.channels.make_dig_montage({name: places[name] for name in names}, coord_frame="head", hsp=shape))
    info["bads"] = list(missing)
    one_each = mne.EvokedArray(np.eye(len(names), len(sources)), info, verbose="error")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        one_each.interpolate_bads(verbose="warning")
    return one_each.data[len(sources):], [f"MNE on the places: {warning.message}" for warning in caught]


def require_mne(flag: str) -> None:
    """Raise InputError where MNE, which knows the places of channels, is not installed."""
    if find_spec("mne") is None:
        raise InputError(f"{flag}: needs the package mne for the places of channels and scalp maps; pip install -r "
                         "requirements-data.txt")


def scalp_places(ch_names: list[str], positions: dict | None = None) -> list[np.ndarray | None]:
    """The place [x, y, z] in m of each channel, in head coordinates, None where it is not known.

    positions: name -> [x, y, z] of the recording, or None. Standard places where all names have one, so that two caps are
    cut alike; else the recording's, and what those lack from the standard ones.
    """
    standard = standard_places()
    plain = [plain_name(name) for name in ch_names]
    given = {plain_name(name): np.asarray(place, float) for name, place in (positions or {}).items()}
    given = {name: place for name, place in given.items()
             if place.shape == (3,) and np.isfinite(place).all() and place.any()}
    if all(name in standard for name in plain):
        given = {}
    return [given.get(name, standard.get(name)) for name in plain]


def scalp_regions(ch_names: list[str], positions: dict | None = None) -> list[str | None]:
    """The region of each channel, one of REGIONS, or None where its place is not known.

    A channel belongs to the region of the nearest place of the 10-10 system, in direction from the centre of the head; left
    and right are made alike. Those of the 10-10 system go by their row: Fp, AF, F frontal; FC, C central; FT, T, TP and P7
    to P10 temporal; CP, P parietal; PO, O, I occipital.
    """
    standard = standard_places()
    names = [name for name in standard if (match := re.fullmatch(r"([A-Z]+)(Z|\d+)", name)) and match[1] in REGION_OF_ROW]
    directions = np.stack([_direction(_even(name, standard)) for name in names])
    found = []
    for name, place in zip(map(plain_name, ch_names), scalp_places(ch_names, positions), strict=True):
        if place is None:
            found.append(None)
            continue
        same = name in standard and np.array_equal(place, standard[name])
        nearest = names[int((directions @ _direction(_even(name, standard) if same else place)).argmax())]
        row, number = re.fullmatch(r"([A-Z]+)(Z|\d+)", nearest).groups()
        region = "temporal" if row == "P" and number in ("7", "8", "9", "10") else REGION_OF_ROW[row]
        found.append(f"{'left' if place[0] < 0 else 'right'} temporal" if region == "temporal" else region)
    return found


def _even(name, places):
    """A standard place averaged with its twin's on the other side, as the template's head is a little askew."""
    twin = re.sub(r"\d+", lambda number: str(int(number[0]) + (1 if int(number[0]) % 2 else -1)), name)
    return (places[name] + places.get(twin, places[name]) * [-1, 1, 1]) / 2


def _direction(place):
    return (place - HEAD_CENTRE) / np.linalg.norm(place - HEAD_CENTRE)


def scalp_info(ch_names: list[str], sfreq: float, positions: dict | None = None) -> tuple:
    """(mne.Info of the channels with a place of their own, their rows), or (None, why no scalp map can be drawn)."""
    import mne

    rows, used = [], set()
    places = scalp_places(ch_names, positions)
    for row, place in enumerate(places):
        if place is not None and tuple(place) not in used:
            used.add(tuple(place))
            rows.append(row)
    if len(rows) < MIN_MAPPED:
        return None, (f"the places on the scalp are known of {len(rows)} of {len(ch_names)} channels "
                      f"({listed(ch_names, 3)}), a map needs {MIN_MAPPED}")
    flat = np.stack([places[row][:2] for row in rows])
    if np.linalg.svd(flat - flat.mean(0), compute_uv=False)[1] < .01:  # m; a map between channels in a line is invention
        return None, f"the {len(rows)} channels with a known place lie in a line"
    names = [ch_names[row] for row in rows]
    info = mne.create_info(names, sfreq, "eeg", verbose="error")
    info.set_montage(mne.channels.make_dig_montage(dict(zip(names, (places[row] for row in rows), strict=True)),
                                                   coord_frame="head"))
    return info, rows
