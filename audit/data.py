"""The data that every check of the audit works on: columns as arrays, the order of presentation, EEG in chunks."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from eegdata.parts import PARTS

from .classifier import can_be_divided

ALPHA = .01  # a check fires at a permutation p-value of this or less
MAX_PEAK_RATIO = 1e4  # a trial whose peak is more times the median of its recording holds damaged values
CHUNK_BYTES = 64 * 2**20  # of EEG read at once


class Material:
    """Trials and a split, prepared for the checks.

    label, subject, image, recording [N] int; part [N]: "train", "val", "test" or "" of each trial; picture_known: whether
    each trial names the picture that was seen; broken, still [N] bool: trials with damaged values, and trials that are
    constant. The checks leave both out: they are in no part and not among `sampled`.
    """

    def __init__(self, trials, split, image_dir=None, permutations=1000, seed=0):
        self.trials, self.image_dir, self.permutations, self.seed = trials, image_dir, permutations, seed
        self.label, self.subject, self.image = (getattr(trials, name).numpy() for name in ("groups", "subject", "image"))
        if trials.recording is not None:
            self.recording = trials.recording.numpy()
        else:  # a .pth file names no recordings, at best sessions
            sessions = np.stack([self.subject, trials.session.numpy()])
            self.recording = np.unique(sessions, axis=1, return_inverse=True)[1].ravel()
        self.broken, self.still = self._unusable()
        self.usable = ~(self.broken | self.still)
        self.split = {part: np.asarray(split[part], dtype=np.int64) for part in PARTS}
        self.split = {part: rows[self.usable[rows]] for part, rows in self.split.items()}
        self.part = np.full(len(trials), "", dtype="U5")
        for part, rows in self.split.items():
            self.part[rows] = part
        self.picture_known = trials.knows_pictures
        self.about = trials.about or trials.record.get("about") or {}

    def _unusable(self):
        peak, still = np.empty(len(self.label)), np.empty(len(self.label), bool)
        for part, eeg in self.chunks(np.arange(len(self.label))):
            highest, lowest = eeg.max(2), eeg.min(2)
            peak[part] = np.maximum(highest, -lowest).max(1).astype(np.float64)
            still[part] = (highest == lowest).all(1)
        good = np.isfinite(peak) & ~still
        median = np.median(peak[good]) if good.any() else 0.
        usual = np.full(len(peak), MAX_PEAK_RATIO * median)  # generous, as recordings may be in different units
        for number in np.unique(self.recording[good]):
            own = self.recording == number
            usual[own] = min(np.median(peak[own & good]), usual[own][0])
        return ~np.isfinite(peak) | (good & (peak > MAX_PEAK_RATIO * usual)), still

    def rng(self, *more: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, *more))

    @property
    def window(self) -> float:
        """Length of a trial in s."""
        return self.trials.eeg.shape[2] / self.trials.sfreq

    @property
    def times(self) -> np.ndarray | None:
        """Seconds of each sample from the picture's onset, None where unknown."""
        if self.trials.tmin is None:
            return None
        return self.trials.tmin + np.arange(self.trials.eeg.shape[2]) / self.trials.sfreq

    @cached_property
    def timed(self) -> bool:
        """Whether the time of every trial in its recording is known."""
        return self.trials.onset is not None and bool(np.isfinite(self.trials.onset).all())

    @cached_property
    def sequences(self) -> list[np.ndarray]:
        """Positions of each recording's trials in the order of presentation; in file order where onsets are unknown."""
        rows = np.argsort(self.recording, kind="stable")
        if self.timed:
            rows = np.lexsort((self.trials.onset, self.recording))
        return np.split(rows, np.flatnonzero(np.diff(self.recording[rows])) + 1)

    @cached_property
    def shared_recordings(self) -> np.ndarray:
        """Recordings that have trials in the training and in the test part."""
        return np.intersect1d(self.recording[self.split["train"]], self.recording[self.split["test"]])

    @cached_property
    def order(self) -> dict:
        """How class depends on time: the numbers of class_in_time."""
        return class_in_time(self)

    def recording_name(self, number: int) -> str:
        """What no other recording is called; of a .pth file its person and session."""
        recordings = self.trials.record.get("recordings")
        if recordings:
            return recordings[number]["name"]
        row = np.flatnonzero(self.recording == number)[0]
        session = int(self.trials.session[row])
        return f"subject {self.subject[row]}" + (f" session {session}" if session >= 0 else "")

    def chunks(self, rows: np.ndarray, low: int = 0, high: int | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield (slice into rows, EEG [n, C, samples low..high] float32 array), CHUNK_BYTES at a time."""
        _, n_chans, n_times = self.trials.eeg.shape
        step = max(1, CHUNK_BYTES // (4 * n_chans * n_times))
        for start in range(0, len(rows), step):
            part = slice(start, min(start + step, len(rows)))
            yield part, self.trials.eeg[rows[part]].numpy()[:, :, low:high]

    def drawn(self, rows: np.ndarray, most: int, number: int) -> np.ndarray:
        """At most `most` of rows, drawn at random, in their order; `number` makes the draws of the checks independent."""
        if len(rows) <= most:
            return rows
        return rows[np.sort(self.rng(number).choice(len(rows), most, replace=False))]

    @cached_property
    def sampled(self) -> dict[int, np.ndarray]:
        """Recording number -> at most 60 of its trials, about 3,000 in all, for the checks of the signal."""
        each = int(np.clip(3000 // len(self.sequences), 2, 60))
        usable = [rows[self.usable[rows]] for rows in self.sequences]
        return {int(self.recording[rows[0]]): self.drawn(rows, each, 9) for rows in usable if len(rows)}

    @property
    def microvolt_scale(self) -> dict | None:
        """Recording number -> factors [C] from its EEG to microvolts; None for EEG in other units."""
        if self.trials.record.get("units") != "uV":
            return None
        return {number: 1. if recording["scale"] is None else np.asarray(recording["scale"])
                for number, recording in enumerate(self.trials.record["recordings"])}


def class_in_time(material: Material) -> dict:
    """How class depends on time; a dict.

    same: share of neighbours in time (same recording, another picture) that have the same class; expected, deviation, p:
    its mean, standard deviation and one-sided p over random orders within each recording; p_less: p of the other side;
    pure: share of trials that stand in the only run of their class in the recording; exposed: share of test trials whose
    run of one class also holds training trials; cramer_v, p_recording: class against recording within each subject.
    """
    rng = material.rng(3)
    same = pairs = alone = total = 0
    dealt = np.zeros(material.permutations)
    for rows in material.sequences:
        rows = rows[_first_of_picture(material, rows)]
        label = material.label[rows]
        if len(rows) < 2 or len(np.unique(label)) < 2:
            continue
        same, pairs = same + (label[1:] == label[:-1]).sum(), pairs + len(label) - 1
        for start in range(0, len(dealt), 100):  # all orders at once would fill the memory
            orders = rng.permuted(np.tile(label, (min(100, len(dealt) - start), 1)), axis=1)
            dealt[start:start + 100] += (orders[:, 1:] == orders[:, :-1]).sum(1)
        first = np.flatnonzero(np.diff(label, prepend=label[0] - 1))
        runs = np.bincount(np.unique(label, return_inverse=True)[1][first])
        alone += np.isin(label, np.unique(label)[runs == 1]).sum()
        total += len(label)
    result = {"order": "onsets" if material.timed else "file", "trials": int(total), "pairs": int(pairs),
              "exposed": _exposed(material), **_recordings(material, rng)}
    if pairs:
        result.update(same=float(same / pairs), expected=float(dealt.mean() / pairs), pure=float(alone / total),
                      deviation=float(dealt.std() / pairs),
                      p=float((1 + (dealt >= same).sum()) / (1 + len(dealt))),
                      p_less=float((1 + (dealt <= same).sum()) / (1 + len(dealt))))
    return result


def _first_of_picture(material, rows):
    """Where the picture changes: an immediate repetition says nothing about the order of classes."""
    if not material.picture_known:
        return np.ones(len(rows), bool)
    return np.diff(material.image[rows], prepend=-1) != 0


def _exposed(material):
    exposed, test = 0, 0
    for rows in material.sequences:
        run = np.cumsum(np.diff(material.label[rows], prepend=-1) != 0)
        part = material.part[rows]
        exposed += np.isin(run[part == "test"], run[part == "train"]).sum()
        test += (part == "test").sum()
    return float(exposed / max(1, test))


def _recordings(material, rng):
    """Chi-square of class against recording within the subjects that have several, and its permutation p.

    Classes are permuted among the trials of each subject, and where pictures repeat and are enough, also among whole
    pictures: one that is repeated in a recording ties its class to it, which says nothing of other pictures. The larger p
    counts.
    """
    label, members, most = np.unique(material.label, return_inverse=True)[1], [], 0
    for subject in np.unique(material.subject):
        rows = np.flatnonzero(material.subject == subject)
        recording = np.unique(material.recording[rows], return_inverse=True)[1]
        classes = len(np.unique(label[rows]))
        if recording.max() == 0 or classes == 1 or len(rows) == recording.max() + 1:
            continue
        members.append((rows, recording))
        most += len(rows) * (min(recording.max() + 1, classes) - 1)
    if not most:
        return {}

    def statistic(label):
        return sum(_chi_square(recording, label[rows]) for rows, recording in members)

    def p_of(deal):
        dealt = np.array([statistic(deal()) for _ in range(material.permutations)])
        return float((1 + (dealt >= chi - 1e-9).sum()) / (1 + len(dealt)))

    def among_trials():
        dealt = label.copy()
        for rows, _ in members:
            dealt[rows] = rng.permutation(label[rows])
        return dealt

    chi = statistic(label)
    p, used = p_of(among_trials), np.concatenate([rows for rows, _ in members])
    _, first, picture = np.unique(material.image[used], return_index=True, return_inverse=True)
    if material.picture_known and len(first) < len(used) and can_be_divided(label[used][first]):
        dealt, of_picture = label.copy(), label[used][first]

        def among_pictures():
            dealt[used] = rng.permutation(of_picture)[picture]
            return dealt

        p = max(p, p_of(among_pictures))
    return {"cramer_v": float(np.sqrt(chi / most)), "p_recording": p}


def _chi_square(recording, label):
    shape = recording.max() + 1, label.max() + 1
    table = np.bincount(recording * shape[1] + label, minlength=shape[0] * shape[1]).reshape(shape)
    expected = np.outer(table.sum(1), table.sum(0)) / len(label)
    return float(((table - expected) ** 2 / np.where(expected > 0, expected, 1)).sum())
