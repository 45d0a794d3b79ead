"""Trials by class, subject and part, and the smallest effect that so many trials can show."""

from runtime.wording import counted, listed, percent

import numpy as np

from eegdata.parts import PARTS
from eegdata.splits import check_split

from .data import Material
from .findings import Finding

MIN_TRIALS_PER_CLASS = 10  # in the training part
MAX_CLASS_RATIO = 3.  # the largest class over the smallest
MAX_SHARE_DROPPED = .3  # of a recording's events
MIN_TEST_PICTURES = 20


def check_counts(material: Material) -> Finding:
    """Trials by class, subject and part: what is missing, few or uneven."""
    trials, label = material.trials, material.label
    classes = sorted(trials.group_names)
    count = {part: np.bincount(label[rows], minlength=max(classes) + 1) for part, rows in material.split.items()}
    numbers = {
        "parts": {part: len(rows) for part, rows in material.split.items()},
        "classes": {part: {trials.group_names[c]: int(count[part][c]) for c in classes} for part in PARTS},
        "subjects": {str(s): {part: int((material.subject[rows] == s).sum()) for part, rows in material.split.items()}
                     for s in np.unique(material.subject)},
        "dropped": {recording["name"]: recording["dropped"] for recording in trials.own_recordings
                    if recording["dropped"]}}
    if not all(len(material.split[part]) for part in ("train", "test")):
        return Finding("Counts", "severe", "The training or the test part is empty, so nothing can be learned or tested.",
                       numbers)
    found = [(severity, finding["sentence"]) for finding in check_split(trials, _as_tensors(material))
             if (severity := _severity(finding, count["train"], count["test"]))]
    absent = [trials.group_names[c] for c in classes if not (label == c).any()]
    if absent:
        found.append(("warning", f"{counted(len(absent), 'class')} without any trial ({listed(absent)})"))
    present = count["train"][count["train"] > 0]
    few = [trials.group_names[c] for c in classes if 0 < count["train"][c] < MIN_TRIALS_PER_CLASS]
    if few:
        found.append(("warning", f"{counted(len(few), 'class')} with fewer than {MIN_TRIALS_PER_CLASS} training trials "
                                 f"({listed(few)})"))
    if present.max() > MAX_CLASS_RATIO * present.min():
        found.append(("warning", f"the training classes are unbalanced ({present.min()} to {present.max()} trials): a "
                                 "model that always predicts the largest class looks good, so read the balanced accuracy"))
    sparse = [name for name, share in _shares_dropped(trials.own_recordings).items() if share > MAX_SHARE_DROPPED]
    if sparse:
        found.append(("warning", f"in {counted(len(sparse), 'recording')} more than {percent(MAX_SHARE_DROPPED)} of the "
                                 f"events gave no trial ({listed(sparse)}): the remaining trials may not be "
                                 "representative"))
    severity = next((s for s in ("severe", "warning", "note") if s in {s for s, _ in found}), "passed")
    parts = ", ".join(f"{name} {number:,}" for name, number in numbers["parts"].items())
    known = f"{len(classes)} classes" if trials.classes == "one" else (
        f"pictures with any of {len(trials.class_names)} classes" if trials.class_names else "pictures without classes")
    text = f"{known}, {counted(len(numbers['subjects']), 'subject')}, trials: {parts}"
    numbers["findings"] = [sentence for _, sentence in found]
    if not found:
        text += "; every class and subject is in the training and the test part"
    sentences = (text, *numbers["findings"])
    return Finding("Counts", severity, " ".join(f"{each[0].upper()}{each[1:]}." for each in sentences), numbers)


def _as_tensors(material):
    import torch

    return {part: torch.from_numpy(rows) for part, rows in material.split.items()}


def _severity(finding, train, test):
    """How bad a finding of check_split is; None where another check reports it."""
    if finding["check"] == "pictures":
        return None
    if finding["check"] in ("class", "absent") and not ((train > 0) & (test > 0)).any():
        return "note"  # zero-shot, by design
    if finding["check"] == "class" and finding["part"] == "test":
        return "severe"
    if finding["check"] == "empty":
        return "warning"
    return "note" if finding["check"] == "subject" else "warning" if finding["part"] == "test" else "note"


def _shares_dropped(recordings):
    """Recording -> share of its events that gave no trial."""
    share = {}
    for recording in recordings:
        dropped, kept = sum(recording["dropped"].values()), sum(shard["trials"] for shard in recording["shards"])
        share[recording["name"]] = dropped / max(1, dropped + kept)
    return share


def _pictures_in_test(material, test):
    pictures = len(np.unique(material.image[test]))
    severity = "severe" if pictures < 2 else "warning" if pictures < MIN_TEST_PICTURES else "passed"
    text = f"The {counted(len(test), 'test trial')} show {counted(pictures, 'picture')}"
    if severity != "passed":
        text += ", so claims about captions rest on these few"
    return Finding("Size of the test part", severity, f"{text}.", {"trials": len(test), "pictures": pictures})


def _critical(n, chance):
    """The share of n independent trials that must be right for a one-sided binomial p of .05; above 1 where none is."""
    from scipy.stats import binom

    return float((binom.ppf(.95, n, chance) + 1) / n)  # P(at least so many right by chance) <= .05


def check_test_size(material: Material) -> Finding:
    """The smallest accuracy above chance that the test part could show, by a binomial test.

    Chance is the share of the largest class, which whoever always names that class reaches. The test takes trials as
    independent. Those of one picture need not be: where pictures repeat, the same is told for a trial of each, which holds
    if all trials of a picture are answered alike.
    Without one class a picture there is no accuracy, and the number of pictures counts.
    """
    from scipy.stats import binom

    test = material.split["test"]
    if material.trials.classes != "one":
        return _pictures_in_test(material, test)
    classes = len(np.unique(material.label[test]))
    if not len(test) or classes < 2:
        return Finding("Size of the test part", "severe", f"The test part holds {counted(len(test), 'trial')} of "
                       f"{counted(classes, 'class')}, so no accuracy can be distinguished from chance.",
                       {"trials": len(test), "classes": classes})
    n = len(test)
    chance = int(np.bincount(material.label[test]).max()) / n
    said = percent(chance) + ", the share of the largest class" * bool(chance > 1 / classes)
    critical = _critical(n, chance)
    grid = np.linspace(chance, 1, 2001)
    power = binom.sf(np.ceil(critical * n - 1e-9) - 1, n, grid)
    pictures = len(np.unique(material.image[test])) if material.picture_known else None
    if critical > 1:
        return Finding("Size of the test part", "warning", f"With {counted(n, 'test trial')} of {classes} classes, not "
                       f"even an accuracy of 100% is significantly above chance ({said}; binomial test, "
                       "one-sided, 5%).", {"trials": n, "pictures": pictures, "classes": classes, "chance": chance,
                                           "significant_from": None, "detectable": None})
    detectable = float(grid[np.argmax(power >= .8)])
    by_picture = _critical(pictures, chance) if pictures is not None and pictures < n else None
    numbers = {"trials": n, "pictures": pictures, "classes": classes, "chance": chance, "significant_from": critical,
               "significant_from_by_picture": by_picture, "detectable": detectable}
    text = (f"With {n:,} test trials of {classes} classes, an accuracy is significantly above chance ({said}) "
            f"from {percent(critical)} on (binomial test, one-sided, 5%); a decoder whose true accuracy is "
            f"{percent(detectable)} reaches that in 80% of such tests")
    if by_picture is not None:
        text += (". Trials of one picture count as independent here; were they all answered alike, "
                 + ("no accuracy would be" if by_picture > 1 else f"it would be from {percent(by_picture)} on"))
    if detectable > chance + .5 * (1 - chance):
        return Finding("Size of the test part", "warning", f"{text}. Only a very strong effect can be shown with so few "
                                                           "trials.", numbers)
    if pictures is not None and pictures < MIN_TEST_PICTURES:
        return Finding("Size of the test part", "warning", f"{text}. The trials show only "
                       f"{counted(pictures, 'picture')}, so claims about captions rest on these few.", numbers)
    return Finding("Size of the test part", "passed", f"{text}.", numbers)
