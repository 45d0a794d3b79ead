"""Event codes in the trigger channels of a recording: each change to a code is an event.

Trigger lines may switch one sample apart, so that a code passes through others, and a line may hang.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputError

import numpy as np

if TYPE_CHECKING:
    import mne

COMBINED = ("STI101", "STI 014")  # channels that hold what the others hold bit by bit
SETTLE_SECONDS = .001  # lines switch within this time, or within one sample
MIN_STUCK_CHANGES = 6  # of the other lines while a line does not move: with fewer it is a code that is held
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


def read_codes(raw: "mne.io.BaseRaw", channels: list[str], mask: int | None = None,
               wanted: Callable[[str], bool] | None = None) -> tuple[list[tuple[int, int]], list[str]]:
    """[(sample from the first one, code)] in order of time, and notes on what was merged or left out.

    mask: bits to look at, None: all but those of hanging lines. wanted: whether a code, as text, is one that the user
    names: a bit that such a code needs is no hanging line.
    """
    events, notes = [], []
    for channel in channels:
        values = np.rint(raw.get_data(picks=[channel])[0]).astype(np.int64)
        found, more = codes_of(values, raw.info["sfreq"], mask, wanted)
        events += found
        notes += [f"{channel}: {note}" for note in more]
    return sorted(events), notes


def codes_of(values: np.ndarray, sfreq: float, mask: int | None = None,
             wanted: Callable[[str], bool] | None = None) -> tuple[list[tuple[int, int]], list[str]]:
    """`read_codes` of one channel's values [samples]."""
    notes = []
    if mask is not None:
        values = values & mask
    starts, codes = _runs(values)
    starts, codes, merged = _settled(starts, codes, len(values), max(1, round(SETTLE_SECONDS * sfreq)))
    if merged:
        notes.append(f"{merged} steps between codes, as lines do not switch in the same sample, are no events of their own")
    rest = 0
    if mask is None and (bits := _stuck(codes)):
        said, keep = _judge(bits, starts, codes, sfreq, wanted)
        notes += [said] if said else []
        if not keep:
            changed = np.flatnonzero(np.diff(codes & ~bits, prepend=~codes[0]))
            starts, codes = starts[changed], codes[changed] & ~bits
        elif (codes & bits == bits).all():
            rest = bits
    if (codes[1:] == rest).sum() < MIN_PAUSES * len(codes) and len(codes) > 2:
        notes.append("codes are held until the next one, so that a code that follows itself cannot be seen")
    if codes[0] != rest:
        notes.append(f"code {codes[0]} is on from the first sample, so that its start is not known: no event")
    return [(int(start), int(code)) for start, code in zip(starts[1:], codes[1:], strict=True) if code != rest], notes


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
    """The bits that move twice at most, and not while the others change often: lines that hang, perhaps."""
    bits = 0
    for bit in (1 << k for k in range(int(max(codes.max(), 0)).bit_length())):
        on = codes & bit != 0
        moves = int((on[1:] != on[:-1]).sum())
        if on.any() and moves <= 2 and on.sum() >= MIN_STUCK_CHANGES:
            bits |= bit
    return bits if len(codes) >= MIN_STUCK_CHANGES else 0


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
