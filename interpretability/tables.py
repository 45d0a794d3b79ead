"""The numbers of when and where: accuracies with a part of the input hidden or alone, and shares of the attribution.

Hiding a part and using it alone answer different questions. An encoder may need channels without information about the
picture, to subtract noise that they share with others (Haufe et al., NeuroImage 87, 2014). Hiding them costs accuracy, but
alone they leave the encoder at chance.
"""

import numpy as np

from metrics.classification import balanced_accuracy
from metrics.statistics import bootstrap_interval, codes_of, holm, known_ends, paired_permutation

EVOKED = (100., 400.)  # ms after the picture: the visual responses that differ between pictures
TOO_EARLY = 50.  # ms after the picture: before, nothing of it has reached the cortex
PERMUTATIONS = 4999


def occlusion_tables(labels: np.ndarray, predicted: np.ndarray, clusters: np.ndarray | None,
                     windows: list[tuple[float, float]], regions: dict[str, int]) -> dict:
    """Accuracy with each part of the input hidden, and with it alone.

    labels [N]; predicted [1 + 2P, N]: classes from the whole input, with each of P parts hidden, with each alone; clusters
    [N] or None; windows: (from, to) in ms and regions: {name: channels}, together the P parts. Returns n, pictures, chance,
    balanced_accuracy with its 95% interval, windows and regions: rows with hidden, kept (the accuracies), drop (whole minus
    hidden) and their intervals, p of the drop (sign flip by picture), kept_p (of no more than chance when alone), and both
    corrected over the windows or the regions: p_holm, kept_p_holm.
    """
    parts = (len(predicted) - 1) // 2

    def statistic(labels, predicted):
        accuracy = balanced_accuracy(labels, predicted)
        return np.concatenate([accuracy, accuracy[0] - accuracy[1:1 + parts]])

    values = statistic(labels, predicted.T)
    interval = np.stack(bootstrap_interval(statistic, labels, predicted.T, clusters=clusters), 1)
    # Trials weighted by their class's size: the mean of these is the balanced accuracy, so its drop can be tested by trial.
    weighted = (predicted == labels).T * _weights(labels)[:, None]
    whole = np.repeat(weighted[:, :1], parts, 1)
    p = np.atleast_1d(paired_permutation(whole, weighted[:, 1:1 + parts], clusters))
    kept_p = chance_p(labels, predicted[1 + parts:], clusters)
    p_holm, kept_p_holm = (np.concatenate([holm(own[:len(windows)]), holm(own[len(windows):])]) for own in (p, kept_p))

    def row(i):
        columns = {"hidden": 1 + i, "kept": 1 + parts + i, "drop": 1 + 2 * parts + i}
        return {key: value for name, column in columns.items() for key, value in
                ((name, float(values[column])), (f"{name}_95", known_ends(interval[column])))} | {
                    "p": float(p[i]), "p_holm": float(p_holm[i]), "kept_p": float(kept_p[i]),
                    "kept_p_holm": float(kept_p_holm[i])}

    classes = len(np.unique(labels))
    return {"n": len(labels), "pictures": None if clusters is None else len(np.unique(clusters)), "n_classes": classes,
            "chance": 1 / classes, "balanced_accuracy": float(values[0]), "balanced_accuracy_95": known_ends(interval[0]),
            "windows": [{"from_ms": low, "to_ms": high, **row(i)} for i, (low, high) in enumerate(windows)],
            "regions": [{"region": name, "channels": count, **row(len(windows) + i)}
                        for i, (name, count) in enumerate(regions.items())]}


def chance_p(labels: np.ndarray, predicted: np.ndarray, clusters: np.ndarray | None, seed: int = 0) -> np.ndarray:
    """One-sided p [P] of the balanced accuracy of predicted [P, N] against chance: the classes of the pictures are
    permuted."""
    pictures = np.arange(len(labels)) if clusters is None else codes_of(clusters)
    of_picture = labels[np.unique(pictures, return_index=True)[1]]
    observed = balanced_accuracy(labels, predicted.T) - 1e-10
    rng, count = np.random.default_rng(seed), np.ones(len(predicted))
    for _ in range(PERMUTATIONS):
        dealt = rng.permutation(of_picture)[pictures]
        count += balanced_accuracy(dealt, predicted.T) >= observed
    return count / (PERMUTATIONS + 1)


def _weights(labels):
    """Weights [N] of mean 1 that make the mean over trials the mean over classes."""
    _, of, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return len(labels) / (len(counts) * counts[of.reshape(-1)])


def attribution_table(share: np.ndarray, times: np.ndarray, known: bool, windows: list[tuple[int, int]],
                      groups: dict[str, list[int]], visual: tuple[str, ...], names: list[str]) -> dict:
    """Sums of an attribution map's shares.

    share [C, T] (sums to 1); times [T] in ms; known: whether 0 is the picture's onset; windows: (first sample, end);
    groups: {region: channel numbers}; visual: regions of visual responses; names [C]. Returns peak; by_region and by_window
    with each one's share and `uniform`, which an even map would have; evoked: the share within EVOKED over `visual`
    regions, and early: before TOO_EARLY, both None where they are not defined; map: {channel: share in each window}.
    """
    channel, sample = np.unravel_index(share.argmax(), share.shape)
    own = [c for region in visual for c in groups.get(region, ())]
    within, early = (times >= EVOKED[0]) & (times < EVOKED[1]), times < TOO_EARLY
    even = np.full(share.shape, 1 / share.size)

    def both(rows, samples):
        return {"share": float(share[rows][:, samples].sum()), "uniform": float(even[rows][:, samples].sum())}

    every, always = np.arange(len(share)), np.ones(len(times), bool)
    binned = np.stack([share[:, low:high].sum(1) for low, high in windows], 1)
    return {"peak": {"channel": names[channel], "ms": float(times[sample]), "share": float(share[channel, sample])},
            "evoked": both(own, within) if known and own and within.any() else None,
            "evoked_regions": [region for region in visual if region in groups],
            "early": both(every, early) if known and early.any() else None,
            "by_region": [{"region": name, **both(channels, always)} for name, channels in groups.items()],
            "by_window": [{"from_ms": float(times[low]), **both(every, slice(low, high))} for low, high in windows],
            "map": {name: [round(float(value), 6) for value in row] for name, row in zip(names, binned, strict=True)}}
