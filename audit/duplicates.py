"""Duplicate trials, and trials whose windows overlap in time."""

import hashlib
from itertools import combinations

from runtime.wording import counted, listed, percent

import numpy as np

from .data import ALPHA, Material
from .findings import Finding

CHECK = "Duplicate trials"
MAX_CHANNELS, MAX_COMPONENTS = 32, 12  # that the search uses
LAGS = (0., .008, .016, .032, .064)  # s
MIN_SIMILARITY = .7  # of two fingerprints whose trials are then correlated
MAX_CANDIDATES, CANDIDATES_PER_TRIAL = 3000, 3  # pairs that are correlated
COPY_CORRELATION = .95  # |r| from which on a trial is a copy
HIGH_CORRELATION, STRICT_CORRELATION = .9, .999  # where unrelated trials reach the first, a copy must reach the second
MAX_SHIFT = .25  # of a copy, as a share of the window
SEVERE_OVERLAP = .5  # share of the window


def check_duplicates(material: Material) -> Finding:
    """Copies of trials across parts: identical, or scaled, with added noise or shifted by a few samples."""
    rows = np.flatnonzero(material.part != "")
    hashes, prints, window = _prints(material, rows)
    exact = _exact(material, rows, hashes)
    known = {pair for pairs in exact.values() for pair in pairs}
    near, threshold, looks = _near(material, rows, prints, window, known)
    numbers = {"trials": len(rows), "threshold": threshold, "candidates": looks, "unrelated": window["unrelated"],
               "exact": {name: len(pairs) for name, pairs in exact.items()},
               "near": {name: len(pairs) for name, pairs in near.items()},
               "pairs": [{"parts": name, "trials": [int(material.trials.trial[i]) for i in pair[:2]],
                          "r": round(float(pair[2]), 4) if len(pair) > 2 else 1.}
                         for found in (exact, near) for name, pairs in found.items() for pair in pairs[:20]]}
    if not exact and not near:
        return Finding(CHECK, "passed", f"None of {counted(len(rows), 'trial')} is a copy of a trial of another part, be "
                       "it identical, scaled, noisy or shifted by a few samples.", numbers)
    told = [f"{counted(len(pairs), 'pair')} {name} {kind}" for kind, found in (("identical", exact), ("nearly "
                                                                                                      "identical", near))
            for name, pairs in found.items()]
    first = numbers["pairs"][0]
    text = (f"The same EEG appears more than once: {listed(told, 8)} (for example trials {first['trials'][0]} and "
            f"{first['trials'][1]})")
    if "train-test" in exact or "train-test" in near:
        return Finding(CHECK, "severe", f"{text}. Test trials that are also in the training part inflate every "
                                        "score.", numbers)
    across = any("-" in name for name in (*exact, *near))
    return Finding(CHECK, "warning" if across or "within test" in exact else "note", f"{text}. "
                   + ("The parts are then not independent." if across else "They count more than once."), numbers)


def _name(material, i, j):
    parts = sorted({str(material.part[i]), str(material.part[j])}, key=("train", "val", "test").index)
    return "-".join(parts) if len(parts) > 1 else f"within {parts[0]}"


def _exact(material, rows, hashes):
    """Pairs of trials with the same bytes, {"train-test", ..., "within train": pairs of positions}."""
    groups, found = {}, {}
    for row, digest in zip(rows, hashes, strict=True):
        groups.setdefault(digest, []).append(int(row))
    for group in groups.values():
        for pair in combinations(group[:50], 2):  # some pairs are enough where very many trials are all zero
            found.setdefault(_name(material, *pair), []).append(pair)
    return found


def _prints(material, rows):
    """One pass over the EEG: a hash of each trial's bytes, and a fingerprint that scale, noise and a shift change little.

    Returns hashes, fingerprints [n, F] float32 of unit length, and what `_clean` needs.
    """
    n_chans, n_times = material.trials.eeg.shape[1:]
    sfreq = material.trials.sfreq
    chosen = np.unique(np.linspace(0, n_chans - 1, min(MAX_CHANNELS, n_chans)).round().astype(int))
    window = {"chosen": chosen, "nuisance": _nuisance(n_times, sfreq), "unrelated": None}
    sample = _clean(material.trials.eeg[np.sort(material.drawn(rows, 300, 1))].numpy(), window)
    flat = sample.transpose(1, 0, 2).reshape(len(chosen), -1)
    space = np.linalg.eigh(flat @ flat.T)[1][:, ::-1][:, :MAX_COMPONENTS].T  # the components of most variance
    deviation = np.sqrt(((space @ flat) ** 2).mean(1))
    space = space / np.maximum(deviation, 1e-6 * deviation[0])[:, None]
    lags = np.unique([min(round(lag * sfreq), n_times // 4) for lag in LAGS])
    hashes, prints = [], []
    for _, eeg in material.chunks(rows):
        hashes += [hashlib.blake2b(trial.tobytes(), digest_size=16).digest() for trial in np.ascontiguousarray(eeg)]
        source = np.einsum("kc,nct->nkt", space, _clean(eeg, window), optimize=True)
        prints.append(_lagged(source, lags))
    prints = np.concatenate(prints)
    prints -= prints.mean(0)
    prints /= np.maximum(prints.std(0), 1e-12)
    prints /= np.maximum(np.linalg.norm(prints, axis=1, keepdims=True), 1e-12)
    return hashes, prints.astype(np.float32), window


def _nuisance(n_times, sfreq):
    """Orthonormal [T, k] basis of what unrelated trials share: a linear trend, and 50 and 60 Hz with their harmonics."""
    time = np.arange(n_times) / sfreq
    columns = [np.ones(n_times), time - time.mean()]
    for frequency in (50., 60., 100., 120.):
        if frequency < sfreq / 2 and n_times > 40:
            columns += [np.sin(2 * np.pi * frequency * time), np.cos(2 * np.pi * frequency * time)]
    return np.linalg.qr(np.stack(columns, axis=1))[0].astype(np.float32)


def _clean(eeg, window):
    """Some channels without trend and line noise, each of unit variance in each trial; a flat one is 0."""
    eeg = eeg[:, window["chosen"]]
    eeg = eeg - (eeg @ window["nuisance"]) @ window["nuisance"].T
    deviation = eeg.std(2, keepdims=True)
    return np.divide(eeg, deviation, out=np.zeros_like(eeg), where=deviation > 1e-9)


def _lagged(source, lags):
    """Products of all pairs of components at some lags: the same in a copy of any sign and shift."""
    n_times, parts = source.shape[2], []
    for lag in lags:
        product = np.matmul(source[:, :, :n_times - lag], source[:, :, lag:].transpose(0, 2, 1)) / (n_times - lag)
        if lag == 0:
            upper = np.triu_indices(product.shape[1])
            product = product[:, upper[0], upper[1]]
        parts.append(product.reshape(len(source), -1))
    return np.concatenate(parts, axis=1)


def _near(material, rows, prints, window, exact):
    """Near copies across parts, {"train-test": [(position, position, r)], ...}, the threshold and the pairs correlated."""
    part, candidates = material.part[rows], []
    for query, others in (("test", ("train", "val")), ("val", ("train",))):
        mine, theirs = np.flatnonzero(part == query), np.flatnonzero(np.isin(part, others))
        if not len(theirs):
            continue
        each = min(CANDIDATES_PER_TRIAL, len(theirs))
        for start in range(0, len(mine), 1000):
            block = mine[start:start + 1000]
            similar = prints[block] @ prints[theirs].T
            best = np.argpartition(-similar, each - 1, axis=1)[:, :each]
            value = np.take_along_axis(similar, best, axis=1)
            for i, k in zip(*np.nonzero(value >= MIN_SIMILARITY), strict=True):
                candidates.append((value[i, k], int(rows[theirs[best[i, k]]]), int(rows[block[i]])))
    candidates = [(i, j) for _, i, j in sorted(candidates, reverse=True) if tuple(sorted((i, j))) not in exact
                  and not _overlap(material, i, j)][:MAX_CANDIDATES]
    train, test, rng = rows[part == "train"], rows[part == "test"], material.rng(2)
    unrelated = [(int(rng.choice(train)), int(rng.choice(test))) for _ in range(200 if len(train) and len(test) else 0)]
    unrelated = [pair for pair in unrelated if not _overlap(material, *pair) and tuple(sorted(pair)) not in exact]
    known = _correlations(material, unrelated, window)
    window["unrelated"] = round(float(np.quantile(known, .99)), 3) if len(known) else None
    threshold = STRICT_CORRELATION if len(known) and window["unrelated"] >= HIGH_CORRELATION else COPY_CORRELATION
    found = {}
    for (i, j), r in zip(candidates, _correlations(material, candidates, window), strict=True):
        if r >= threshold:
            found.setdefault(_name(material, i, j), []).append((i, j, r))
    return found, threshold, len(candidates)


def _overlap(material, i, j):
    """Whether two trials overlap in time, which check_overlap reports."""
    if not material.timed or material.recording[i] != material.recording[j]:
        return False
    return abs(material.trials.onset[i] - material.trials.onset[j]) < material.window


def _correlations(material, pairs, window):
    """Largest |r| of each pair over all channels and shifts up to a quarter of the window."""
    values = []
    for start in range(0, len(pairs), 100):
        block = np.array(pairs[start:start + 100])
        first, second = (_clean(material.trials.eeg[block[:, k]].numpy(), window) for k in (0, 1))
        values += [_shifted_correlation(a, b) for a, b in zip(first, second, strict=True)]
    return np.array(values)


def _shifted_correlation(a, b):
    """Largest |r| of a [C, T] and b over shifts; r over all channels of the samples that both then have."""
    from scipy.fft import irfft, next_fast_len, rfft

    n_times = a.shape[1]
    most, length = int(MAX_SHIFT * n_times), next_fast_len(2 * n_times, real=True)
    product = irfft((np.conj(rfft(a, length)) * rfft(b, length)).sum(0), length)
    product = np.concatenate([product[-most:], product[:most + 1]]) if most else product[:1]
    shift = np.arange(-most, most + 1)  # b[t + shift] fits a[t]
    energy = [np.concatenate([[0.], np.cumsum((x ** 2).sum(0))]) for x in (a, b)]
    low, high = np.maximum(0, -shift), n_times - np.maximum(0, shift)
    norm = np.sqrt((energy[0][high] - energy[0][low]) * (energy[1][high + shift] - energy[1][low + shift]))
    best = int(np.argmax(np.abs(product) / np.maximum(norm, 1e-9)))
    a, b = a[:, low[best]:high[best]], b[:, low[best] + shift[best]:high[best] + shift[best]]
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    return float(abs((a * b).sum()) / max(1e-9, np.sqrt((a ** 2).sum() * (b ** 2).sum())))


def check_overlap(material: Material) -> Finding:
    """Trials of different parts whose windows overlap in time."""
    check = "Overlapping trials"
    if not material.timed:
        return Finding(check, "not checked", "The times of presentation are unknown, so overlapping trials cannot be "
                       "found.")
    share, pairs = np.zeros(len(material.part)), {}
    for rows in material.sequences:
        onset = material.trials.onset[rows]
        for step in range(1, len(rows)):
            gap = onset[step:] - onset[:-step]
            hit = np.flatnonzero(gap < material.window - .5 / material.trials.sfreq)
            if not len(hit):
                break
            for k in hit:
                i, j = rows[k], rows[k + step]
                if material.part[i] != material.part[j] and material.part[i] and material.part[j]:
                    name = _name(material, i, j)
                    pairs[name] = pairs.get(name, 0) + 1
                    if name == "train-test":
                        row = i if material.part[i] == "test" else j
                        share[row] = max(share[row], 1 - gap[k] / material.window)
    hit = share[share > 0]
    numbers = {"window": material.window, "pairs": pairs, "test_trials": len(hit),
               "of_test_trials": len(material.split["test"]), "largest_share": float(share.max(initial=0))}
    if not pairs:
        return Finding(check, "passed", f"No trials of different parts overlap in time (trials last {material.window:.2f} "
                       "s).", numbers)
    if not len(hit):
        return Finding(check, "note", f"Trials of different parts overlap in time ({listed(pairs)}), but no test trial "
                       "overlaps a training trial.", numbers)
    text = (f"{len(hit)} of {len(material.split['test'])} test trials overlap a training trial of the same recording, by "
            f"up to {percent(numbers['largest_share'])} of the window")
    if numbers["largest_share"] >= SEVERE_OVERLAP or material.order.get("p", 1.) <= ALPHA:
        return Finding(check, "severe", f"{text}. The model is then tested on samples that it was trained on: split by "
                       "recording or by time, or cut shorter trials.", numbers)
    return Finding(check, "warning", f"{text}. The classes of neighbouring trials are unrelated, so the overlap says "
                   "little about the class, but the noise is shared. To be safe, split by recording or by time, or cut "
                   "shorter trials.", numbers)
