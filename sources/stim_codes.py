"""Event codes in the trigger channels of a recording: each change to a code is an event.

Trigger lines may switch one sample apart, so that a code passes through others, and a line may hang.
"""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputError

import numpy as np

from .readers import EDF_OPTIONS

if TYPE_CHECKING:
    import mne

COMBINED = ("STI101", "STI 101", "STI 014")  # channels that hold what the others hold bit by bit
LINE = re.compile(r"(.*?)[ _]*0*([1-9]\d?)")  # a channel of one line, such as STI 003
PER_VOLT = {"V": 1., "mV": 1e3, "µV": 1e6, "nV": 1e9}
BIOSEMI_CODES = 0xffff  # the lines of a BDF file's Status; the others tell of the amplifier
SETTLE_SECONDS = .001  # lines switch within this time, or within one sample
MIN_STUCK_CHANGES = 6  # of the codes while a line stays on; with fewer it may be a part of them
MIN_PAUSES = .1  # share of the changes that lead to rest, unless codes are held until the next one
MIN_REST = .4  # share of the changes that lead to rest where codes are pulses


def stim_channels(path: Path | str, raw: "mne.io.BaseRaw", named: str | None = None) -> list[str]:
    """The trigger channels to read: the one named, else the combined one of an amplifier, else all of type stim."""
    if named is not None:
        if named not in raw.ch_names:
            raise InputError(f"--stim_channel {named}: not in {path} (channels {', '.join(raw.ch_names)[:300]})")
        return [named]
    found = [name for name, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True) if kind == "stim"]
    return [name for name in COMBINED if name in found][:1] or found


def read_codes(path: Path | str, raw: "mne.io.BaseRaw", channels: list[str], mask: int | None = None,
               wanted: Callable[[str], bool] | None = None) -> tuple[list[tuple[int, int]], list[str]]:
    """[(sample from the first one, code)] in order of time, and notes on what was merged or left out.

    mask: bits to look at, None: all but those of hanging lines. wanted: whether a code, as text, is one that the user
    names: a bit that such a code needs is no hanging line.
    """
    values = {channel: _values(path, raw, channel) for channel in channels}
    notes, lines = [], _lines_of_one_code(values)
    if lines:
        name = f"{channels[0]} to {channels[-1]}"
        notes.append(f"{name}: read as the {len(lines)} lines of one code")
        values = {name: sum(np.where(values[channel] > 0, bit, 0) for channel, bit in lines.items())}
    found = {}
    for channel, codes in values.items():
        if mask is None and path.suffix.lower() == ".bdf" and not any(
                wanted and wanted(str(code)) and not wanted(str(code & BIOSEMI_CODES))
                for code in np.unique(codes[codes > BIOSEMI_CODES])):
            codes = codes & BIOSEMI_CODES
        try:
            found[channel], more = codes_of(codes, raw.info["sfreq"], mask, wanted)
        except InputError as error:
            raise InputError(f"{path}, channel {channel}: {error}") from None
        notes += [f"{channel}: {note}" for note in more]
    return _joined(path, found, notes, wanted), notes


def _values(path, raw, channel):
    """The codes of a channel [samples], whatever its unit."""
    values = _held(path, raw, channel)
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        raise InputError(f"{path}, channel {channel}: holds {len(wrong)} values that are NaN or infinite, the first at "
                         f"{wrong[0] / raw.info['sfreq']:.3f} s, expected codes; give another --stim_channel, or a table "
                         "of --events")
    in_volts = 0 < np.abs(values).max(initial=0) < 1  # MNE's unit of a channel that is not of type stim
    factor = PER_VOLT.get(getattr(raw, "_orig_units", {}).get(channel), 1e6) if in_volts else 1.
    return np.rint(values * factor).astype(np.int64)


def _held(path, raw, channel):
    """The values of a channel [samples]. One of EDF or BDF with fewer samples than others is held from sample to sample:
    MNE resamples it as if it were EEG, which makes codes of the ringing around each step."""
    read = {".edf": "read_raw_edf", ".bdf": "read_raw_bdf"}.get(path.suffix.lower())
    if read is None or (read == "read_raw_bdf" and raw.get_channel_types([channel]) == ["stim"]):
        return raw.get_data(picks=[channel])[0]
    import mne

    options = EDF_OPTIONS if read == "read_raw_edf" else {"stim_channel": None}
    alone = getattr(mne.io, read)(path, include=[channel], encoding="latin1", verbose="error", **options)
    if alone.ch_names != [channel] or alone.n_times >= raw.n_times:  # numbered by MNE, as others have its name
        return raw.get_data(picks=[channel])[0]
    return alone.get_data()[0][np.arange(raw.n_times) * alone.n_times // raw.n_times]


def _lines_of_one_code(values):
    """{channel: its bit} where several channels are the numbered lines of one code, each on or off; {} where not."""
    names = {channel: LINE.fullmatch(channel) for channel in values}
    if len(values) < 2 or not all(names.values()) or len({name[1] for name in names.values()}) > 1:
        return {}
    two_levels = all(len(levels) < 2 or (len(levels) == 2 and 0 in levels) for levels in map(np.unique, values.values()))
    return {channel: 1 << int(name[2]) - 1 for channel, name in names.items()} if two_levels else {}


def _joined(path, found, notes, wanted):
    """The events of all channels, unless two of them have a code of one name."""
    having = {channel: {code for _, code in events} for channel, events in found.items() if events}
    for number, (channel, codes) in enumerate(having.items()):
        for other in list(having)[:number]:
            both = sorted(code for code in codes & having[other] if wanted is None or wanted(str(code)))
            if both:
                raise InputError(f"{path}: the trigger channels {other} and {channel} both have the code {both[0]}; choose "
                                 "one with --stim_channel")
    if len(having) > 1:
        notes.append("events are those of " + ", ".join(f"{channel} ({len(found[channel])})" for channel in having))
    return sorted(event for events in found.values() for event in events)


def codes_of(values: np.ndarray, sfreq: float, mask: int | None = None,
             wanted: Callable[[str], bool] | None = None) -> tuple[list[tuple[int, int]], list[str]]:
    """`read_codes` of one channel's values [samples]."""
    notes = []
    if values.min(initial=0) < 0 and not (wanted and any(wanted(str(code)) for code in np.unique(values[values < 0]))):
        values = values & (0xffff if values.min() >= -1 << 15 else 0xffffffff)
        notes.append("negative codes, where the file takes the highest line for a sign, are read as positive numbers")
    if mask is not None:
        values = values & mask
    starts, codes = _runs(values)
    starts, codes, merged = _settled(starts, codes, len(values), max(1, round(SETTLE_SECONDS * sfreq)))
    if merged:
        notes.append(f"{merged} steps between codes, as lines do not switch in the same sample, are no events of their own")
    rest, bits = 0, _stuck(codes) if mask is None else 0
    if mask is None:
        _check_hanging(starts, codes & ~bits, sfreq)
    if bits:
        said, keep = _judge(bits, starts, codes, sfreq, wanted)
        notes += [said] if said else []
        if not keep:
            changed = np.flatnonzero(np.diff(codes & ~bits, prepend=~codes[0]))
            starts, codes = starts[changed], codes[changed] & ~bits
        elif (codes & bits == bits).all():
            rest = bits
    rest = _rest(starts, codes, len(values), rest, wanted)
    if rest and rest != bits:
        notes.append(f"code {rest} is where the lines rest: no event")
    notes += _other_lines(codes, rest, wanted)
    if (codes[1:] == rest).sum() < MIN_PAUSES * len(codes) and len(codes) > 2:
        notes.append("codes are held until the next one, so that a code that follows itself cannot be seen")
    if codes[0] != rest:
        notes.append(f"code {codes[0]} is on from the first sample, so that its start is not known: no event")
    return [(int(start), int(code)) for start, code in zip(starts[1:], codes[1:], strict=True) if code != rest], notes


def _rest(starts, codes, end, rest, wanted):
    """The code between codes: `rest`, or another one that the lines return to and that shows nothing."""
    times = Counter(codes.tolist())
    code, count = times.most_common(1)[0]
    lengths = np.diff(np.append(starts, end))
    between = count >= MIN_REST * len(codes) and lengths[codes == code].sum() > end / 2
    shows = wanted is None or wanted(str(code))
    return int(code) if between and times[rest] < MIN_PAUSES * len(codes) and len(codes) > 4 and not shows else rest


def _other_lines(codes, rest, wanted):
    """Notes on lines that are on beside codes that the user names, as those of answers are: such codes are missed."""
    unnamed = {int(code) for code in codes.tolist() if wanted and code not in (0, rest) and not wanted(str(code))}
    for bit in _bits(codes):
        both = sorted(code for code in unnamed if code & bit and wanted(str(code & ~bit)))
        if both and not wanted(str(bit)):
            whole = (1 << max(int(codes.max()).bit_length(), 8)) - 1
            yield (f"{', '.join(map(str, both[:8]))}: a named code plus {bit}, the line of bit {bit.bit_length() - 1}, so "
                   f"not taken for that code; --stim_mask {whole & ~bit} leaves this line out")


def _runs(values):
    """First samples and values of the stretches of equal values."""
    starts = np.flatnonzero(np.diff(values, prepend=~values[0]))
    return starts, values[starts]


def _settled(starts, codes, end, settle):
    """Without steps: short codes whose every bit is that of the code before or after, on the way between the two."""
    lengths = np.diff(np.append(starts, end))
    kept, merged = [0], 0
    for i in range(1, len(codes)):
        before, code, after = codes[kept[-1]], codes[i], codes[i + 1] if i + 1 < len(codes) else None
        step = (after is not None and code and lengths[i] <= settle and not (code ^ before) & (code ^ after)
                and code not in (before, after))
        drop_out = after is not None and code and lengths[i] <= settle and before == after and code & before == code
        if step or drop_out:
            merged += 1
        elif code != before:
            kept.append(i)
    return starts[kept], codes[kept], merged


def _stuck(codes):
    """The bits that, whenever they are on, stay so while the others change often: lines that hang, perhaps."""
    return sum(bit for bit in _bits(codes) if all(len(run) >= MIN_STUCK_CHANGES for run in _on_runs(codes, bit)))


def _check_hanging(starts, codes, sfreq):
    """Raise InputError for a line that is part of codes and hangs for a while: those codes cannot be told.

    Codes are pulses elsewhere, and while the line hangs they return to its bit alone.
    """
    for bit in _bits(codes):
        run = max(_on_runs(codes, bit), key=len)
        outside = np.delete(codes, run)
        if (len(run) >= MIN_STUCK_CHANGES and len(outside) and (codes[run] == bit).mean() >= MIN_REST
                and (outside == 0).mean() >= MIN_REST):
            whole = (1 << max(int(codes.max()).bit_length(), 8)) - 1
            first, last = (starts[run[i]] / sfreq for i in (0, -1))
            raise InputError(f"the line of bit {bit.bit_length() - 1} (value {bit}) hangs at {first:.3f} to {last:.3f} s: "
                             "codes that differ by it cannot be told; give a table of --events, --stim_mask "
                             f"{whole & ~bit} to look at the other lines, or --stim_mask {whole} to take the codes as they "
                             "are")


def _bits(codes):
    """The values of the bits that are ever on."""
    return [bit for bit in (1 << k for k in range(int(max(codes.max(), 0)).bit_length())) if (codes & bit).any()]


def _on_runs(codes, bit):
    """The stretches of successive codes with a bit on, as arrays of positions."""
    on = np.flatnonzero(codes & bit)
    return np.split(on, np.flatnonzero(np.diff(on) > 1) + 1)


def _judge(bits, starts, codes, sfreq, wanted):
    """(A sentence on bits that do not move, "" where they are no lines that hang; whether they stay in the codes).

    They go where the codes that the user names have none of them, or where they joined in while the other lines worked in
    pulses.
    """
    on = (codes & bits) == bits
    always, joined = bool(on.all()), (~on).sum() >= MIN_STUCK_CHANGES
    pulses = Counter(codes[on].tolist())[bits] >= MIN_REST * on.sum()
    named, without = (sum(bool(wanted(str(code))) for code in part) if wanted else 0 for part in
                      (codes[on], codes[on] & ~bits))
    meant = named and not wanted(str(bits))  # the user names codes with these bits, and not just any code
    keep = meant or (named >= without and not (joined and pulses))
    if keep and not always and not (joined and pulses):
        return "", keep
    numbers = [k for k in range(bits.bit_length()) if bits >> k & 1]
    when = "is on in every sample" if always else (f"stays on from {starts[np.flatnonzero(on)[0]] / sfreq:.3f} s to "
                                                   f"{starts[np.flatnonzero(on)[-1]] / sfreq:.3f} s")
    whole = (1 << max(int(codes.max()).bit_length(), 8)) - 1
    return f"{bits} (bit {', '.join(map(str, numbers))}) {when}, whatever the other lines do: " + (
        f"kept in the codes; --stim_mask {whole & ~bits} leaves it out" if keep else
        f"taken for a line that hangs and left out of the codes; --stim_mask {whole} keeps it"), keep
