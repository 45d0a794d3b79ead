"""Features of trials for the linear classifiers of the audit: lists of blocks [n, F] of equal weight."""

from itertools import pairwise

import numpy as np

from .data import Material

RESPONSE_STARTS = .04  # s after the onset; the first visual response, C1, begins at about 50 ms
MIN_SAMPLES = 3
BIN_SECONDS, MAX_BINS = .02, 20
MAX_MIXTURES = 32  # of channels
SHRINKAGE = .2  # of a trial's covariance, which is estimated from few samples


def before_onset(material: Material) -> int:
    """Number of samples before the picture's onset."""
    return 0 if material.times is None else int((material.times < -1e-9).sum())


def before_response(material: Material) -> int:
    """Number of samples before any response: those before the onset, else the first ones after it."""
    before = before_onset(material)
    if before >= MIN_SAMPLES or material.times is None:
        return before
    return int((material.times < RESPONSE_STARTS - 1e-9).sum())


class Features:
    """Features of trials by kind; `kinds`: those that the data set allows.

    prestimulus: time courses, power and covariance before the onset. before: offset and log power of each channel before
    any response. residual: log covariance, over the whole trial, of the half of the channel mixtures that hold the least of
    the response. whole: time courses and log covariance of the whole trial.

    The mixtures are fitted on the training trials (positions `train`), separately for each subject if `own`, else for all
    together. Those of `residual` are the last of xDAWN's (Rivet et al. 2009), which orders mixtures by the power of the
    class averages over that of single trials: what differs between classes there is not phase-locked to the picture.
    """

    def __init__(self, material, train, own):
        self.material, self.own = material, own
        self.before, self.early = before_onset(material), before_response(material)
        self.kinds = ["residual", "whole"] + (["prestimulus"] if self.before >= MIN_SAMPLES else []) + (
            ["before"] if self.early >= MIN_SAMPLES else [])
        group = self._group(train)
        self.mixtures = {g: self._fit(train[group == g]) for g in np.unique(group)}

    def _group(self, rows):
        return self.material.subject[rows] if self.own else np.zeros(len(rows), dtype=np.int64)

    def _fit(self, rows):
        """Mixtures [k, C] that hold the most of the EEG, and those that hold the least of the response."""
        label = np.unique(self.material.label[rows], return_inverse=True)[1]
        n_chans, n_times = self.material.trials.eeg.shape[1:]
        total = np.zeros((n_chans, n_chans))
        average = np.zeros((label.max() + 1, n_chans, n_times))
        for part, eeg in self.material.chunks(rows):
            eeg = _centred(eeg)
            flat = eeg.transpose(1, 0, 2).reshape(n_chans, -1)
            total += flat @ flat.T
            member = (label[part] == np.arange(len(average))[:, None]).astype(np.float32)
            average += (member @ eeg.reshape(len(eeg), -1)).reshape(average.shape)
        total /= len(rows) * n_times
        average /= np.bincount(label)[:, None, None]
        value, vector = np.linalg.eigh(total)
        kept = value > 1e-6 * value[-1]
        white = vector[:, kept] / np.sqrt(value[kept])
        response = (white.T @ average).transpose(1, 0, 2).reshape(white.shape[1], -1)
        order = np.linalg.eigh(response @ response.T)[1]  # rising: the least of the response first
        quiet = min(MAX_MIXTURES, max(1, white.shape[1] // 2))
        return white[:, ::-1][:, :MAX_MIXTURES].T.astype(np.float32), (white @ order[:, :quiet]).T.astype(np.float32)

    def read(self, rows: np.ndarray) -> dict[str, list[np.ndarray]]:
        """{kind: blocks [len(rows), F] float32}."""
        sfreq, group, found = self.material.trials.sfreq, self._group(rows), {}
        for part, eeg in self.material.chunks(rows):
            parts = {"whole": [binned(eeg, sfreq)]}
            if "prestimulus" in self.kinds:
                parts["prestimulus"] = [binned(eeg[:, :, :self.before], sfreq), log_power(eeg[:, :, :self.before])]
            if "before" in self.kinds:
                parts["before"] = [eeg[:, :, :self.early].mean(2), log_power(eeg[:, :, :self.early])]
            parts["whole"].append(self._log_covariance(eeg, group[part], 0))
            parts["residual"] = [self._log_covariance(eeg, group[part], 1)]
            if "prestimulus" in self.kinds:
                parts["prestimulus"].append(self._log_covariance(eeg[:, :, :self.before], group[part], 0))
            for kind, blocks in parts.items():
                found.setdefault(kind, []).append(blocks)
        return {kind: [np.concatenate(block) for block in zip(*chunks, strict=True)] for kind, chunks in found.items()}

    def _log_covariance(self, eeg, group, which):
        size = min(len(mixtures[which]) for mixtures in self.mixtures.values())
        features = np.empty((len(eeg), size * (size + 1) // 2), np.float32)
        for g in np.unique(group):
            own = group == g
            mixed = np.einsum("kc,nct->nkt", self.mixtures[g][which][:size], eeg[own], optimize=True)
            features[own] = log_covariance(mixed)
        return features


def _centred(eeg):
    return eeg - eeg.mean(2, keepdims=True)


def binned(eeg: np.ndarray, sfreq: float) -> np.ndarray:
    """Means of each channel in up to 20 windows of 20 ms or more: [n, C * windows]."""
    n_times = eeg.shape[2]
    bins = int(np.clip(n_times / (BIN_SECONDS * sfreq), 1, MAX_BINS))
    edges = np.linspace(0, n_times, bins + 1).round().astype(int)
    return np.stack([eeg[:, :, a:b].mean(2) for a, b in pairwise(edges)], axis=2).reshape(len(eeg), -1)


def log_power(eeg: np.ndarray) -> np.ndarray:
    """Log variance of each channel and of its differences from sample to sample: [n, 2 C]."""
    return np.concatenate([_log(eeg.var(2)), _log(np.diff(eeg, axis=2).var(2))], axis=1)


def _log(power):
    return np.log(power + 1e-9 * power.mean() + 1e-30)


def log_covariance(signal: np.ndarray) -> np.ndarray:
    """Upper triangle of the matrix logarithm of each trial's covariance, [n, k, T] -> [n, k (k + 1) / 2].

    With it a linear classifier can use the amplitude of any mixture of channels (Arsigny et al. 2006; Barachant et al.
    2012).
    """
    signal = _centred(signal)
    covariance = signal @ signal.transpose(0, 2, 1) / signal.shape[2]
    size = covariance.shape[1]
    mean = np.trace(covariance, axis1=1, axis2=2)[:, None, None] / size
    covariance = (1 - SHRINKAGE) * covariance + (SHRINKAGE * mean + 1e-9 * mean.mean() + 1e-30) * np.eye(size)
    value, vector = np.linalg.eigh(covariance)
    logarithm = (vector * np.log(np.maximum(value, 1e-30))[:, None]) @ vector.transpose(0, 2, 1)
    upper = np.triu_indices(size)
    return logarithm[:, upper[0], upper[1]]
