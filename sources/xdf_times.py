"""When the samples of an XDF stream were taken: its time stamps without jitter, and where samples are lost.

pyxdf fits one line to all stamps between breaks of 1 s and 500 samples or more. A smaller loss moves every sample before
and behind it, so here each stretch between losses has a line of its own.
"""

import numpy as np

SECONDS = 5  # on each side of a step between two stamps: after a loss it stays, after a late stamp it does not
EARLY = .1  # quantile of the stamps there, as stamps come late and never early
MIN_LOSS, NOISE_FACTOR = 2, 6  # samples; standard deviations of the level over SECONDS
CERTAIN = 1.  # s
MAX_DRIFT = .02  # of the rate
MIN_LINE_SECONDS = 10.  # of a stretch whose own rate can be told


def straighten(stamps: np.ndarray, rate: float) -> tuple[np.ndarray, list[int], float]:
    """Times of all samples, the first samples of the stretches without a loss, and the samples per second in them.

    stamps: of the samples, in s, with jitter; rate: nominal, in Hz.
    """
    first = _losses(stamps - stamps[0] - np.arange(len(stamps)) / rate, rate)
    parts = [slice(*each) for each in zip(first, [*first[1:], len(stamps)], strict=True)]
    lengths = np.array([part.stop - part.start for part in parts])
    steps = np.array([np.polyfit(np.arange(length), stamps[part] - stamps[0], 1)[0] if length > 1 else 1 / rate
                      for part, length in zip(parts, lengths, strict=True)])
    long = lengths >= MIN_LINE_SECONDS * rate
    step = np.average(steps[long], weights=lengths[long]) if long.any() else steps[0] if len(first) == 1 else 1 / rate
    times = np.empty(len(stamps))
    for part, own, is_long in zip(parts, steps, long, strict=True):
        index = np.arange(part.stop - part.start) * (own if is_long else step)
        times[part] = index + np.mean(stamps[part] - index)
    return times, first, float(1 / step)


def _losses(late, rate):
    """First samples of the stretches; late: s by which each stamp is behind the nominal rate [samples]."""
    size, first = round(SECONDS * rate), [0]
    drift, least, may_be = _levels(late, rate)
    late = late - drift * np.arange(len(late))
    steps = np.diff(late)
    found = 1 + np.flatnonzero((steps >= least / 2) & (may_be | (steps >= CERTAIN)))
    for at in found[np.argsort(-steps[found - 1], kind="stable")].tolist():
        before = max(each for each in first if each <= at)
        after = min((each for each in first if each > at), default=len(late))
        sides = late[max(at - size, before):at], late[at:min(at + size, after)]
        if before < at and (steps[at - 1] >= CERTAIN or min(map(len, sides)) >= rate):
            stays = np.subtract(*(np.quantile(side, EARLY) for side in sides[::-1]))
            if stays > max(steps[at - 1] / 2, least):
                first.append(at)
    return sorted(first)


def _levels(late, rate):
    """(s per sample that the rate is off, least loss in s that is told from jitter, whether one may be at each step), by
    the early stamps of each second."""
    size = max(round(rate), 1)
    levels = np.array([np.quantile(late[at:at + size], EARLY) for at in range(0, len(late), size)])
    drift = np.clip(np.median(np.diff(levels)) / size, -MAX_DRIFT / rate, MAX_DRIFT / rate) if len(levels) > 1 else 0.
    levels = levels - drift * size * np.arange(len(levels))
    up = np.array([np.median(levels[i + 1:i + 1 + SECONDS] if i + 1 < len(levels) else levels[i:]) - np.median(
        levels[max(i - SECONDS, 0):i] if i else levels[:1]) for i in range(len(levels))])
    noise = np.median(np.abs(up)) / .6745 if len(levels) > 2 * SECONDS else 0.
    least = max((MIN_LOSS - .5) / rate, NOISE_FACTOR * noise)
    return drift, least, np.repeat(up > least / 2, size)[1:len(late)]
