"""How well classifiers do on EEG that cannot hold a response to the picture, or with the labels of time-neighbours."""

from functools import cached_property

from runtime.wording import p_value, percent

import numpy as np

from metrics.classification import balanced_accuracy

from .classifier import Model, fit, p_of_fixed, predict
from .data import ALPHA, Material
from .features import Features
from .findings import Finding
from .order import in_blocks, shown_in_blocks, tied_to_time

MAX_TRAIN, MAX_TEST = 4000, 2000  # trials that the classifiers use
MIN_TRAIN, MIN_TEST = 20, 10
REFIT_OPERATIONS = 6e11  # for all permutations of a check that trains a classifier for each
LARGE_KAPPA, LARGE_RATIO = .05, 1.5  # a leak is large from this kappa, or this accuracy over chance, on
SLOW_FEATURES = {"before": "offset and power of each channel before any response",
                 "residual": "power and covariance of the channel mixtures that hold the least of the response"}


class Leaks:
    """The checks that train classifiers, on the classes that the training and the test part share."""

    def __init__(self, material):
        self.material = material
        train, test = material.split["train"], material.split["test"]
        self.classes = np.intersect1d(material.label[train], material.label[test])
        self.train, self.test = (
            material.drawn(rows[np.isin(material.label[rows], self.classes)], most, number)
            for rows, most, number in ((train, MAX_TRAIN, 4), (test, MAX_TEST, 5)))
        self.own = bool(np.isin(material.subject[self.test], material.subject[self.train]).all())

    @property
    def why_not(self) -> str:
        """Why no classifier can be trained, "" where one can."""
        if len(self.classes) < 2:
            if self.material.trials.classes != "one":
                return "Pictures have no one class that could leak."
            return "The training and the test part have fewer than two classes in common."
        if len(self.train) < MIN_TRAIN or len(self.test) < MIN_TEST:
            return (f"{len(self.train)} training and {len(self.test)} test trials are too few for a classifier "
                    f"({MIN_TRAIN} and {MIN_TEST} are needed).")
        return ""

    @cached_property
    def features(self) -> Features:
        return Features(self.material, self.train, self.own)

    @cached_property
    def blocks(self) -> tuple[dict, dict]:
        """Features of the training and of the test trials, read once for all checks."""
        return self.features.read(self.train), self.features.read(self.test)

    @cached_property
    def random_order(self) -> bool:
        """Whether the classes are known to come in random order, so that slow changes cannot give them away."""
        material = self.material
        if not material.timed:
            return str(material.about.get("presentation", "")).lower().startswith("random")
        return not tied_to_time(material.order) and not shown_in_blocks(material)

    def models(self, kind: str) -> list[Model]:
        train, test = self.blocks
        subject, label = self.material.subject, self.material.label
        return fit(train[kind], test[kind], subject[self.train], subject[self.test], label[self.train])

    def decode(self, kind: str) -> dict:
        """Train on the training part and test on the test part of one kind of features; a dict of numbers."""
        material, label = self.material, self.material.label[self.test]
        predicted = predict(self.models(kind), material.label[self.train], self.classes, len(self.test))
        picture = material.image[self.test] if material.picture_known else None
        p, mean, dealt = p_of_fixed(label, predicted, material.subject[self.test], picture, material.permutations,
                                    material.rng(6))
        return {"accuracy": balanced_accuracy(label, predicted), "chance": 1 / len(self.classes), "by_chance": mean, "p": p,
                "dealt": dealt, **self._sizes(kind)}

    def _sizes(self, kind):
        return {"train_trials": len(self.train), "test_trials": len(self.test),
                "features": sum(block.shape[1] for block in self.blocks[0][kind])}

    def check_prestimulus(self) -> Finding:
        """How well a classifier does on the EEG before the picture alone."""
        check = "Before the picture"
        if self.why_not:
            return Finding(check, "not checked", self.why_not)
        if "prestimulus" not in self.features.kinds:
            return Finding(check, "not checked", "The picture's onset within a trial is unknown."
                           if self.material.trials.tmin is None else "The trials hold no EEG from before the picture.")
        numbers = self.decode("prestimulus")
        if not fires(numbers):
            return Finding(check, "passed", "From the EEG before the picture a classifier predicts the class of "
                           f"{accuracy_text(numbers)}, which is not above chance.", numbers)
        text = ("From the EEG before the picture, which holds no response, a classifier predicts the class of "
                f"{accuracy_text(numbers)}")
        if self.random_order:
            return Finding(check, "warning", f"{text}. The order of classes is random, so either a zero-phase filter "
                           "smeared the response back in time, or the preceding picture predicts the class. Part of an "
                           "accuracy may come from this.", numbers)
        text += (". Slow changes of the recording or the order of presentation give the class away, or a zero-phase filter "
                 "smeared the response back in time")
        if large(numbers):
            return Finding(check, "severe", f"{text}. An accuracy on this split does not show what the response holds.",
                           numbers)
        return Finding(check, "warning", f"{text}. The effect is small, but it adds to an accuracy.", numbers)

    def check_drift(self) -> Finding:
        """How well a classifier does on the slow state of the recording alone.

        Two kinds of features hold that state: the EEG before any response, and, over the whole trial, the covariance of the
        channel mixtures that hold the least of what is phase-locked to the picture. An induced response, such as a change
        of alpha power, can be in the second. So the second is left out where the order is known to be random, and alone it
        does not prove drift where nothing is known of the order. Classes that stand in blocks in the file are enough for
        it: such data cannot be told from drift.
        """
        check = "Slow drift"
        if self.why_not:
            return Finding(check, "not checked", self.why_not)
        kinds = [kind for kind in SLOW_FEATURES if kind in self.features.kinds
                 and not (kind == "residual" and self.random_order)]
        if not kinds:
            return Finding(check, "not checked", "The order of classes is random, so slow changes cannot give them away. "
                           "The trials hold no EEG from before a response to confirm this.")
        numbers = {kind: self.decode(kind) for kind in kinds}
        fired = [kind for kind in kinds if fires(numbers[kind])]
        if not fired:
            text = "; ".join(f"{accuracy_text(numbers[kind])} from the {SLOW_FEATURES[kind]}" for kind in kinds)
            return Finding(check, "passed", "Slow changes of the recording do not predict the class. A classifier is right "
                           f"for {text}.", numbers)
        best = max(fired, key=lambda kind: numbers[kind]["accuracy"])
        text = (f"Without any evoked response, from the recording's slow state alone ({SLOW_FEATURES[best]}), a classifier "
                f"predicts the class of {accuracy_text(numbers[best])}")
        if self.random_order:
            return Finding(check, "warning", f"{text}. The order of classes is random, so the cause is not drift: a "
                           "zero-phase filter smeared the response back in time, or the preceding picture predicts the "
                           "class.", numbers)
        tied = self.material.timed or shown_in_blocks(self.material)
        blocks = not tied and in_blocks(self.material.order)
        if "before" not in fired and not (tied or blocks):
            return Finding(check, "warning", f"{text}. Either the class depends on the time of recording, or the classes "
                           "differ in responses that are not phase-locked to the picture. The times of presentation would "
                           "decide which.", numbers)
        if blocks:
            text += ". The classes stand in blocks in the file, and nothing shows that they were not recorded so"
        else:
            text += ". The class depends on the time of recording"
            text += "" if tied else ", or what preceded a picture predicts its class"
        if large(numbers[best]):
            return Finding(check, "severe", f"{text}, so accuracies on this split say nothing about what the EEG holds.",
                           numbers)
        return Finding(check, "warning", f"{text}. The effect is small, but it adds to an accuracy.", numbers)

    def check_neighbours(self) -> Finding:
        """How well a classifier does when trained with the label of each trial's neighbour in time (Li et al. 2021)."""
        check, material = "Labels of time-neighbours", self.material
        if self.why_not:
            return Finding(check, "not checked", self.why_not)
        if not material.timed and (shown_in_blocks(material) or material.about.get("presentation")
                                   or material.order.get("p", 1.) <= ALPHA):
            return Finding(check, "not checked", "The times of presentation are unknown, and the order of the file may "
                           "differ from that of the recording.")
        slots, neighbour = neighbours(material)
        if not len(slots):
            return Finding(check, "not checked", "No recording holds training trials of two pictures.")
        numbers = self._neighbour_accuracy(slots, neighbour)
        text = ("a classifier trained with the label of each trial's neighbour in time predicts the true class of "
                f"{accuracy_text(numbers)}")
        if not material.timed:
            text += " (assuming that the file is in the order of the recording)"
        if not fires(numbers):
            return Finding(check, "passed", f"Time does not predict the class: {text}.", numbers)
        if not len(material.shared_recordings):
            return Finding(check, "warning", f"The class depends on time: {text}. This split tests on other recordings, so "
                           "slow changes predict the class only if all recordings have the same order.", numbers)
        if large(numbers) and not self.random_order:
            return Finding(check, "severe", f"The class depends on time: {text}. The labels of other trials suffice, so an "
                           "accuracy on this split does not show what the response holds.", numbers)
        return Finding(check, "warning", f"The class depends on time a little: {text}.", numbers)

    def _neighbour_accuracy(self, slots, neighbour):
        """Accuracy with neighbours' labels, and its p over random orders of the training trials within each subject.

        The classifier is trained again for each order. With fixed predictions the test would be wrong: a real response
        makes the predictions follow the class in a way that chance decides, and every second data set would be significant.
        """
        material, models = self.material, self.models("whole")
        label, true = material.label, material.label[self.test]
        members = [np.flatnonzero(material.subject[slots] == s) for s in np.unique(material.subject[slots])]

        def accuracy(order):
            given = label.copy()
            given[order] = label[order[neighbour]]
            return balanced_accuracy(true, predict(models, given[self.train], self.classes, len(self.test)))

        observed = accuracy(slots)
        cost = 2 * len(self.classes) * sum(model.matrix.size for model in models)
        permutations = int(np.clip(REFIT_OPERATIONS / cost, min(199, material.permutations), material.permutations))
        rng, values = material.rng(7), np.empty(permutations)
        for number in range(permutations):
            order = slots.copy()
            for rows in members:
                order[rows] = slots[rng.permutation(rows)]
            values[number] = accuracy(order)
        return {"accuracy": observed, "chance": 1 / len(self.classes), "by_chance": float(values.mean()),
                "p": float((1 + (values >= observed - 1e-12).sum()) / (1 + permutations)), "permutations": permutations,
                "order": "onsets" if material.timed else "file",
                "same_class": float((label[slots] == label[slots[neighbour]]).mean()), **self._sizes("whole")}


def fires(numbers: dict) -> bool:
    return numbers["p"] <= ALPHA


def large(numbers: dict) -> bool:
    chance = max(numbers["chance"], numbers["by_chance"])
    return (numbers["accuracy"] - chance) / (1 - chance) >= LARGE_KAPPA or numbers["accuracy"] >= LARGE_RATIO * chance


def accuracy_text(numbers: dict) -> str:
    """61% of the test trials, each class counting alike (chance 50%, p = .003)."""
    p, chance = p_value(numbers["p"]), percent(numbers["chance"])
    return f"{percent(numbers['accuracy'])} of the test trials, each class counting alike (chance {chance}, {p})"


def neighbours(material: Material) -> tuple[np.ndarray, np.ndarray]:
    """Training trials whose recording holds a training trial of another picture, and, as positions in that list, the
    nearest such trial in time."""
    slots, neighbour, start = [], [], 0
    for rows in material.sequences:
        rows = rows[material.part[rows] == "train"]
        image = material.image[rows] if material.picture_known else np.arange(len(rows))
        run = np.cumsum(np.diff(image, prepend=-1) != 0) - 1  # immediate repetitions of a picture count as one
        if not len(rows) or run[-1] == 0:
            continue
        first = np.append(np.flatnonzero(np.diff(run, prepend=-1)), len(rows))
        before, after = first[run] - 1, first[run + 1]
        time = material.trials.onset[rows] if material.timed else np.arange(len(rows), dtype=float)
        gap_before = np.where(before < 0, np.inf, time - time[np.maximum(before, 0)])
        gap_after = np.where(after == len(rows), np.inf, time[np.minimum(after, len(rows) - 1)] - time)
        slots.append(rows)
        neighbour.append(start + np.where(gap_before < gap_after, before, after))
        start += len(rows)
    return (np.concatenate(slots), np.concatenate(neighbour)) if slots else (np.empty(0, int), np.empty(0, int))
