"""Which channels of a recording are EEG: by type, name, unit and behaviour, as many files call everything EEG."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .readers import mne_reads

if TYPE_CHECKING:
    import mne

EYES_AND_BODY = (r".*(EOG|E[CK]G|EMG|EYE|GAZE|PUPIL).*|[HV]EO|[LIS]O[12]|[LR]OC(?=-|$)|E[12](?=-[AM][12])|"
                 r"[LR]-(AREA|VEL)|[XY]POS|BLINK|CHIN|TIB|[LR]?LEG|PLM|OSAT|GSR|EDA|SCR|RESP(IRATION)?|BREATH(ING)?|"
                 r"THERM(ISTOR)?|THOR(AX)?|ABDO?(MEN)?|(AIR)?FLOW|NASAL|SNOR(E|ING)|PLETH?(YSMOGRA(M|PH))?|PPG|BVP|"
                 r"(PULSE|HEART)[ _]?(RATE)?|HR|BPM|IBI|S[PA]O2|(ET)?CO2|TEMP(ERATURE)?|BIP")
DEVICES = (r"STIM?|TRI?G(GER)?S?|TRIGGER[ _]?IN|TTL|STATUS|EVENTS?|MARK(ER)?S?|(EDF[ _]|BDF[ _])?ANNOTATIONS?|DIN|BUTTON|"
           r"KEY|RESPONSE|LABEL|EXG[AB]?(?![ _]?CHANNEL)|EXT|(RIGHT|LEFT)?[ _]?AUX|MISC|OTHER|(NOT[ _]|UN)USED|"
           r"REF(ERENCE)?|GND|GROUND|PHO(TIC)?|PHOTO(DIODE|CELL|SENSOR)?|OPTO(SENSOR)?|LIGHT([ _]?SENSOR)?|AUDIO|"
           r"SOUND|MIC(ROPHONE)?|ERGO?|ACC(EL(EROMETER)?)?|GYR(O(SCOPE)?)?|MAG(NETOMETER)?|ROT|QUAT|[XYZ][ _]DIR|POSITION|"
           r"BAT(T(ERY)?)?|DIG(ITAL)?([ _-]?IN)?|ANA(LOG(UE)?)?|X?\d*[ _]?DC\d?|IMPEDANCE|BURSTS|SUPPR|OPTICS|F?NIRS")
BOOKKEEPING = (r"(PACK(ET|AGE)|SAMPLE|FRAME)[ _]?NUM(BER)?|(PACKET|SAMPLE|FRAME)?[ _]?(COUNTER|COUNT|INDEX)|CNT|"
               r"TIME[ _]?STAMPS?([ _]M?S)?|TIME|UNIX([ _]?TIME)?|SAMPLES?|(OR_)?CLOCK|SYNC([ _]?IN)?|INTERPOLATED?|"
               r"VALID(ATION)?|RAW_?CQ|HARDWARE_?MARKER|(CQ|EQ|HSI|MOT|POW|PM)(?=[_. ])|CMS|DRL|HEADBANDON|ELEMENTS|"
               r"JAW[ _]CLENCH|(DELTA|THETA|ALPHA|BETA|GAMMA)(?=_)|CONCENTRATION|ATTENTION|MEDITATION")
PREFIX = r"((EEG|POL)[ _:.-]*)?"  # POL is Nihon Kohden's, as in POL DC01
# OpenBCI calls its electrodes EXG Channel 0 and so on; BioSemi's EXG1 to EXG8 are beside the cap.
NEW_WORD = r"(?-i:(?<=[a-z])[A-Z].*)"  # as in BatteryLevel
NO_EEG = re.compile(rf"{PREFIX}({EYES_AND_BODY}|{DEVICES}|{BOOKKEEPING})([^A-Z].*|[A-Z]|{NEW_WORD})?", re.I)
REFERENCE = re.compile(r"VREF|Vertex Reference|E65|E129|E257", re.I)  # of EGI: zero where the reference is as recorded
CODES = re.compile(rf"{PREFIX}(STIM?|TRI?G(GER)?S?|TTL|STATUS|EVENTS?|MARK(ER)?S?|DIN)"
                   rf"([^A-Z].*|[A-Z]|{NEW_WORD})?", re.I)
VOLTS = re.compile(r"[nuµμm]?V", re.I)
LOOKED_AT = 60.  # s of a recording
MIN_ELECTRODES = 4  # channels with the names of electrodes; with fewer, no channel is told from them by behaviour
MOSTLY = .9  # share of the steps from sample to sample
MAX_LEVELS = 64


def eeg_channels(raw: "mne.io.BaseRaw", exclude: Sequence[str] = (),
                 path: Path | str = "") -> tuple[list[str], dict[str, list[str]]]:
    """Names of the EEG channels, and {why: names} of those left out.

    Channels with the names of electrodes are EEG. Of the others, those go that are no EEG by name or unit, and, beside
    electrodes, those that behave as a clock, a counter or a few levels.
    """
    names, left = [], {}
    units = getattr(raw, "_orig_units", {})
    electrodes = electrode_names(raw.ch_names)
    in_volts = any(VOLTS.fullmatch(units.get(name) or "") for name in electrodes)
    unclear = [name for name, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True) if kind == "eeg"
               and name not in electrodes and not _is_other(name)]
    behaves = _behaviour(path, raw, unclear if len(electrodes) >= MIN_ELECTRODES else
                         [name for name in unclear if REFERENCE.fullmatch(name)])
    for name, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True):
        unit = units.get(name) or ""
        why = ("--exclude" if name in exclude else kind if kind != "eeg" else "no EEG by name" if _is_other(name) else
               f"unit {unit}, electrodes have volts" if in_volts and unit and name not in electrodes
               and not VOLTS.fullmatch(unit) else behaves.get(name))
        left.setdefault(why, []).append(name) if why else names.append(name)
    return names, left


def electrode_names(names: Sequence[str]) -> list[str]:
    """Those of `names` that are electrodes of the 10-05 system."""
    from eegdata.montage import plain_name, standard_places

    places = standard_places()
    return [name for name in names if plain_name(name) in places]


def may_hold_codes(names: Sequence[str]) -> list[str]:
    """Those of `names` that a trigger channel may have."""
    return [name for name in names if CODES.fullmatch(name.strip())]


def _is_other(name):
    return bool(NO_EEG.fullmatch(name.strip()))


def _behaviour(path, raw, names):
    """{name: why it is no EEG} of channels that are a clock, a counter or a few levels in the first minute."""
    if not names:
        return {}
    with mne_reads(path):
        signals = raw.get_data(picks=names, stop=min(raw.n_times, round(LOOKED_AT * raw.info["sfreq"])))
    return {name: why for name, signal in zip(names, signals, strict=True) if (why := (
        "zero throughout, as the reference is" if REFERENCE.fullmatch(name) and not signal.any() else _what_it_is(signal)))}


def _what_it_is(signal):
    if len(signal) < 3 or not np.isfinite(signal).all() or not np.ptp(signal):
        return None
    step = np.diff(signal)
    tolerance = 1e-3 * np.abs(step).max()
    if (step >= 0).all() or (step <= 0).all():
        return "only ever rises or falls, as a clock does"
    typical = np.median(step)
    if abs(typical) > tolerance and (np.abs(step - typical) <= .05 * abs(typical)).mean() > MOSTLY:
        return "counts in equal steps"
    if (step == 0).mean() > MOSTLY and len(np.unique(signal)) <= MAX_LEVELS:
        return "has a few levels only, as a digital line or a quality has"
    return None
