"""What a run's captions show beyond the class name: paired differences, the claim drawn from them, and examples."""

from dataclasses import dataclass

from errors import InputError
from metrics.caption_files import MODEL_CONDITION, paired_rows

METRIC = "ROUGE-1"  # fixed here, so that no report can choose the metric that suits it
WITHIN_CLASS = "shuffled_within_class"
ANY_CLASS = "shuffled"
ALPHA = 0.05
EXAMPLE_GROUPS = ("good", "median", "bad")


@dataclass
class Difference:
    """Mean of METRIC under eeg+label minus its mean under a control, on the trials that both hold."""

    control: str
    mean: float
    low: float
    high: float
    p: float
    trials: int
    pictures: int

    @property
    def direction(self):
        """1 or -1 where the interval excludes 0 and p < ALPHA, else 0."""
        if self.p < ALPHA and (self.low > 0 or self.high < 0):
            return 1 if self.low > 0 else -1
        return 0  # also where the interval is unknown: one picture alone says nothing

    @property
    def interval(self):
        known = self.low == self.low  # NaN with fewer than two pictures
        return f"[{self.low:.3f}, {self.high:.3f}]" if known else "[no interval from one picture]"

    def __str__(self):
        return (f"{self.mean:+.3f} {METRIC} {self.interval} ({MODEL_CONDITION} minus {self.control}, permutation "
                f"p = {self.p:.4f}, N = {self.trials} trials of {self.pictures} pictures)")


def score_rows(captions):
    """METRIC of each row of one caption file: [n]."""
    from metrics.text import caption_scores

    generated, true = (captions.table[column].tolist() for column in ("Generated Caption", "Expected Caption"))
    try:
        return caption_scores(generated, true, metrics=(METRIC,))[METRIC]
    except InputError as error:
        raise InputError(f"{captions.path}: {error}") from None


def p_of_own_captions(model):
    """p that the captions fit their own trials no better than others of the same predicted class, over many shuffles.

    The control file holds one shuffle; how lucky that one was is not in a paired test against it.
    """
    import numpy as np

    from metrics.statistics import permutation_within
    from metrics.text import caption_scores

    generated, true, classes = (model.table[column].to_numpy() for column in
                                ("Generated Caption", "Expected Caption", "Predicted object"))
    rows, columns = np.nonzero(classes[:, None] == classes[None, :])
    scores = np.zeros((len(classes), len(classes)))
    scores[rows, columns] = caption_scores(generated[rows].tolist(), true[columns].tolist(), metrics=(METRIC,))[METRIC]
    return permutation_within(scores, classes)


def difference(model, control, scores):
    """Paired Difference of two caption files, clustered by picture. scores: {condition: [n] of `score_rows`}."""
    from metrics.statistics import bootstrap_interval, paired_permutation

    theirs, ours = paired_rows(control, model)
    a, b = scores[model.condition][ours], scores[control.condition][theirs]
    pictures = model.clusters[ours]
    low, high = bootstrap_interval(lambda rows: rows.mean(), a - b, clusters=pictures)
    p = float(paired_permutation(a, b, clusters=pictures))
    if control.condition == WITHIN_CLASS:
        p = max(p, p_of_own_captions(model))
    return Difference(control.condition, float((a - b).mean()), float(low), float(high), p, len(ours), len(set(pictures)))


def claim(differences):
    """One sentence on what the EEG adds, from {control: Difference}; it says so where the numbers allow no claim."""
    within = differences.get(WITHIN_CLASS)
    if within is None:
        return (f"No claim: what the EEG adds beyond the class name needs captions under {MODEL_CONDITION} and "
                f"{WITHIN_CLASS}, and this run does not hold both.")
    if within.direction > 0:
        return f"Beyond the class name the EEG adds {within}."
    if within.direction < 0:
        return f"The trial's own EEG makes the captions worse than that of another trial of the class: {within}."
    beyond = f"beyond the class no evidence was found: {within}."
    any_class = differences.get(ANY_CLASS)
    if any_class is None:
        return beyond[0].upper() + beyond[1:]
    if any_class.direction > 0:
        return f"The captions carry the class; {beyond}"
    return (f"No evidence was found that the captions carry the class ({any_class.mean:+.3f} {METRIC} "
            f"{any_class.interval}, {MODEL_CONDITION} minus {ANY_CLASS}, p = {any_class.p:.4f}); {beyond}")


def choose_examples(scores, pictures, count):
    """Rows for the page by their score: {"good" | "median" | "bad": row numbers}, count in all.

    A group shows a picture once, as long as others are left, and no row stands in two groups.
    """
    order = sorted(range(len(scores)), key=lambda row: -scores[row])
    middle = (len(order) - 1) / 2
    walks = {"good": order, "bad": order[::-1],
             "median": [row for _, row in sorted(enumerate(order), key=lambda place: abs(place[0] - middle))]}
    sizes = {group: len(range(i, count, len(walks))) for i, group in enumerate(walks)}
    chosen, taken = {}, set()
    for group, walk in walks.items():
        rows, seen = [], set()
        for may_repeat in (False, True):
            for row in walk:
                if len(rows) < sizes[group] and row not in taken and (may_repeat or pictures[row] not in seen):
                    rows.append(row)
                    seen.add(pictures[row])
                    taken.add(row)
        chosen[group] = sorted(rows, key=lambda row: -scores[row])
    return {group: chosen[group] for group in EXAMPLE_GROUPS}
