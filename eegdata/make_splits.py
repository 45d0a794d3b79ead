"""Splits made from the trials of a data set; equal trials, options and seed give equal splits.

What each --split_by keeps within one part:

    picture    pictures; each part has a share of the pictures of each class, the same for all subjects
    subject    subjects: one split for each subject, which is its test (leave one out). With three or more subjects,
               validation is on further subjects, else on a share of the remaining one; the test subject chooses nothing
    class      classes, two or more in each part (zero-shot)
    session, recording   sessions or recordings; of each subject with three or more, the last are the test and those before
               them validation. If no subject has three, they are assigned across subjects
    time       stretches of each recording, in the order train, val, test, with a gap at both borders
    given      the publishers' parts

Where pictures are to be unseen as well, each keeps the part that the publishers gave it, if they gave one to all of them.
"""

from typing import TYPE_CHECKING

from runtime.errors import InputError
from runtime.wording import listed

import numpy as np

from eegdata.parts import PARTS, parts_in_order

if TYPE_CHECKING:
    from eegdata.trials import Trials

SHARING_PICTURES = ("subject", "session", "recording", "time")  # these splits may share pictures between parts
MAX_DRAWS = 100  # of sessions or recordings across subjects, to have all classes in all parts


def make_splits(trials: "Trials", by: str, val_fraction: float = .15, test_fraction: float = .15, seed: int = 0,
                gap: float = 5., unseen_pictures: bool = False) -> list[dict]:
    """Splits of `trials` (datautils.Trials), a list of {"train", "val", "test": record numbers, "name": str}.

    val_fraction, test_fraction: shares, each at least one unit; gap: seconds without EEG between the parts of by "time";
    unseen_pictures: the parts share no pictures either; trials that would are in no part. Raises InputError where the data
    set does not allow such a split, or a part would be empty or lack a class.
    """
    maker = _Maker(trials, by, val_fraction, test_fraction, seed, gap)
    if unseen_pictures and by == "given":
        raise InputError("--unseen_pictures: --split_by given keeps the publishers' parts as they are; leave it out")
    if unseen_pictures and by in SHARING_PICTURES:
        maker.pictures = maker.parts_of_pictures()
    made = getattr(maker, f"by_{by}")()
    if maker.pictures is not None:
        made = [(f"{name}, pictures unseen", np.where(part == maker.pictures, part, "")) for name, part in made]
    for name, part in made:
        for each in PARTS:
            missing = np.setdiff1d(maker.label, maker.label[part == each])
            if not (part == each).any():
                raise InputError(f"--split_by {by}: the {each} part of the split '{name}' is empty; {maker.advice()}")
            if len(missing) and by in ("session", "recording", "time"):
                raise InputError(f"--split_by {by}: the {each} part would have no trial of "
                                 f"{listed(trials.group_names[c] for c in missing)}; {maker.advice()}")
    numbers = trials.trial.numpy()
    return [{**{each: numbers[part == each].tolist() for each in PARTS}, "name": name} for name, part in made]


class _Maker:
    """Makes splits as a list of (name, part); part [trials]: "train", "val", "test", or "" for none."""

    def __init__(self, trials, by, val_fraction, test_fraction, seed, gap):
        self.trials, self.by, self.val, self.test, self.seed, self.gap = trials, by, val_fraction, test_fraction, seed, gap
        self.label, self.subject, self.session, self.image = (
            getattr(trials, name).numpy() for name in ("groups", "subject", "session", "image"))
        self.known = trials.knows_pictures
        self.rows = np.arange(len(self.label))
        self.pictures = None  # the parts of the pictures, where they are to be unseen

    @property
    def timed(self):
        """Whether the data set says when each trial began."""
        return self.trials.onset is not None and not np.isnan(self.trials.onset).any()

    @property
    def recording(self):
        if self.trials.recording is None:
            raise InputError(f"--split_by {self.by}: {self.trials.path} does not say which recording a trial is from; "
                             f"{self.advice()}")
        return self.trials.recording.numpy()

    def by_picture(self):
        if not self.known:
            raise InputError(f"--split_by {self.by}: {self.trials.path} does not know which picture was seen, only its "
                             f"class; {self.advice('' if self.by == 'picture' else 'leave out --unseen_pictures')}")
        return [(f"by picture, seed {self.seed}", self.deal_pictures(self.rows, self.val, self.test))]

    def parts_of_pictures(self):
        """The part of each trial's picture: the publishers', or one dealt by picture."""
        given = self.trials.part
        if self.known and given is not None:
            given = given.astype(str)
            pictures = {part: set(self.image[given == part].tolist()) for part in np.unique(given).tolist()}
            if pictures.keys() == set(PARTS) and sum(map(len, pictures.values())) == len(np.unique(self.image)):
                return given
        return self.by_picture()[0][1]

    def by_subject(self):
        subjects = np.unique(self.subject)
        if len(subjects) < 2:
            raise InputError(f"--split_by subject: {self.trials.path} holds one subject; {self.advice()}")
        order, made = np.random.default_rng(self.seed).permutation(subjects).tolist(), []
        n_val = min(len(subjects) - 2, max(1, round((len(subjects) - 1) * self.val)))  # one remains for training
        for subject in subjects.tolist():
            after = order.index(subject) + 1
            chosen = sorted((order + order)[after:after + n_val])  # those who follow, so that all validate equally often
            part = np.where(np.isin(self.subject, chosen), "val", "train")
            how = f"validation on subject {', '.join(map(str, chosen))}"
            if not chosen:
                rows = self.rows[self.subject != subject]
                part, how = self.take_out(rows, self.val, None) if self.pictures is None else (
                    np.where(self.pictures == "test", "", self.pictures), "by picture")
                how = f"validation {how} within the other subject"
            part[self.subject == subject] = "test"
            made.append((f"subject {subject} left out, {how}", part))
        return made

    def by_class(self):
        if self.trials.classes != "one":
            raise InputError(f"--split_by class: pictures of {self.trials.path} have no one class; {self.advice()}")
        classes = np.random.default_rng(self.seed).permutation(np.unique(self.label))
        n_val, n_test = (max(2, round(len(classes) * share)) for share in (self.val, self.test))
        if n_val + n_test + 2 > len(classes):
            first = "lower the fractions" if len(classes) >= 6 else ""
            raise InputError(f"--split_by class: {len(classes)} classes do not give {n_val} to validation, {n_test} to "
                             f"testing and two or more to training; {self.advice(first)}")
        part = np.full(len(self.rows), "train")
        part[np.isin(self.label, classes[:n_test])] = "test"
        part[np.isin(self.label, classes[n_test:n_test + n_val])] = "val"
        return [(f"by class, seed {self.seed}", part)]

    def by_session(self):
        if (self.session < 0).any():
            raise InputError(f"--split_by session: {self.trials.path} names no sessions; {self.advice()}")
        unit = np.unique(np.stack([self.subject, self.session]), axis=1, return_inverse=True)[1].reshape(-1)
        return [self.deal_units(unit, self.rows, self.val, self.test, "session")]

    def by_recording(self):
        return [self.deal_units(self.recording, self.rows, self.val, self.test, "recording")]

    def by_time(self):
        return [(f"by time, gap {self.gap:g} s", self.deal_time(self.recording, self.rows, self.val, self.test))]

    def by_given(self):
        given = self.trials.part
        part = np.full(len(self.rows), "", "<U5") if given is None else given.astype(str)
        strange = sorted(set(part.tolist()) - {*PARTS, ""})
        if strange:
            raise InputError(f"--split_by given: {self.trials.path} has a part '{strange[0]}', expected train, val or "
                             "test; prepare the data set again")
        if not (part == "train").any():
            raise InputError(f"--split_by given: {self.trials.path} names no trials as its publishers' training part; "
                             f"{self.advice()}")
        missing = [each for each in ("val", "test") if not (part == each).any()]
        if not missing:
            return [("as the publishers give it", part)]
        rows = self.rows[part == "train"]
        taken, how = self.take_out(rows, *(getattr(self, each) if each in missing else None for each in ("val", "test")))
        part[rows] = taken[rows]
        return [(f"as the publishers give it, {' and '.join(missing)} taken {how} out of their training part", part)]

    def take_out(self, rows, val, test):
        """Parts of some rows and how they were made: by picture where possible, else by recording, else by time."""
        most = max(len(np.unique(self.image[rows[self.label[rows] == c]])) for c in np.unique(self.label[rows]))
        wanted = 1 + sum(share is not None for share in (val, test))
        if self.known and most >= wanted:
            return self.deal_pictures(rows, val, test), "by picture"
        if len(np.unique(self.recording[rows])) >= wanted:
            return self.deal_units(self.recording, rows, val, test, "recording")[1], "by recording"
        return self.deal_time(self.recording, rows, val, test), "by time"

    def deal_pictures(self, rows, val, test):
        rng, part = np.random.default_rng(self.seed), np.full(len(self.rows), "", "<U5")
        images, first = np.unique(self.image[rows], return_index=True)
        kind = self.label[rows][first]
        of_image = np.full(self.image.max() + 1, "", "<U5")
        for label in np.unique(kind):
            pictures = rng.permutation(images[kind == label])
            of_image[pictures] = parts_in_order(len(pictures), val, test)
        part[rows] = of_image[self.image[rows]]
        return part

    def deal_units(self, unit, rows, val, test, what):
        """Sessions or recordings, numbered in order of time: (name of the split, part)."""
        part, subjects = np.full(len(self.rows), "", "<U5"), np.unique(self.subject[rows])
        part[rows] = "train"
        wanted = 1 + sum(share is not None for share in (val, test))
        every = len(np.unique(self.label[rows]))
        units = {s: np.unique(unit[rows[self.subject[rows] == s]]) for s in subjects}
        whole = {s: np.array([u for u in own if len(np.unique(self.label[rows[unit[rows] == u]])) == every])
                 for s, own in units.items()}
        for candidates in (whole.values(), units.values()):  # first those with trials of all classes
            if max(map(len, candidates)) >= wanted:
                for own in candidates:
                    part[rows] = _dealt(unit[rows], own, part[rows], val, test)
                return f"by {what}, the last ones of each subject", part
        rng = np.random.default_rng(self.seed)
        for _ in range(MAX_DRAWS):
            part[rows] = _dealt(unit[rows], rng.permutation(np.unique(unit[rows])), part[rows], val, test)
            if all(len(np.unique(self.label[part == each])) in (0, every) for each in PARTS):
                break
        return f"by {what} across subjects, seed {self.seed}", part

    def deal_time(self, recording, rows, val, test):
        part, onset = np.full(len(self.rows), "", "<U5"), self.trials.onset
        if self.gap > 0 and (onset is None or np.isnan(onset[rows]).any()):
            raise InputError(f"--split_gap {self.gap:g}: {self.trials.path} does not say when its trials began; give "
                             "--split_gap 0 to cut between trials in their order")
        length = self.trials.record["n_times"] / self.trials.sfreq
        for number in np.unique(recording[rows]):
            own = rows[recording[rows] == number]
            timed = onset is not None and not np.isnan(onset[own]).any()
            own = own[np.argsort(onset[own], kind="stable")] if timed else own
            dealt = parts_in_order(len(own), val, test)
            for border in np.flatnonzero(dealt[1:] != dealt[:-1]) if timed else ():
                middle = (onset[own[border]] + onset[own[border + 1]]) / 2
                dealt[np.abs(onset[own] - middle) < (self.gap + length) / 2] = ""
            part[own] = dealt
        return part

    def advice(self, first=""):
        """What the user may do instead."""
        recordings = 0 if self.trials.recording is None else len(np.unique(self.recording))
        possible = {"picture": self.known, "recording": recordings > 2,
                    "session": self.session.min() >= 0 and len(np.unique(self.session)) > 2,
                    "subject": len(np.unique(self.subject)) > 1, "time": recordings > 0}
        if not self.timed:
            possible = {("time --split_gap 0" if name == "time" else name): good for name, good in possible.items()}
        names = [name for name, good in possible.items() if good and name.split()[0] != self.by]
        if self.by == "picture" and possible["picture"]:
            first = "bring three pictures or more of a class"
        elif self.by == "time" and not first and self.gap > 0:
            first = "lower --split_gap"
        return (first and f"{first}, or ") + (f"choose --split_by {' or '.join(names)}" if names else "bring more trials")


def _dealt(unit, order, part, val, test):
    """`part`, with the trials of the units in `order` assigned by their place in it."""
    for number, each in zip(order, parts_in_order(len(order), val, test), strict=True):
        part = np.where(unit == number, each, part)
    return part
