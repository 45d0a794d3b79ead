"""Whether the time of a trial tells its class: blocks by class, classes that keep to a recording.

In such designs slow changes of the recording name the class without any response of the brain (Li et al. 2021, IEEE TPAMI
43:316, on EEGCVPR40).
"""

from runtime.wording import p_value, percent

from .data import ALPHA
from .findings import Finding

CHECK = "Class against time of recording"
# Share of neighbours of one class beyond what a random order gives, and in its deviations: from here on a block design.
EXCESS, FAR = .1, 4.
PURE = .9  # share of trials that stand in the only run of their class: each class is one block
TIED = .5  # Cramer's V of class and recording


def tied_to_time(numbers):
    """Whether class and time of recording hang together, as far as the order is known."""
    return numbers.get("p", 1.) <= ALPHA or numbers.get("p_recording", 1.) <= ALPHA


def is_eegcvpr40(material):
    """Whether a .pth file is EEGCVPR40's as published: its classes, and no sampling rate of its own."""
    from config import EEGCVPR40_LABELS

    trials = material.trials
    return not trials.record and trials.tmin is not None and set(trials.class_names.values()) == set(EEGCVPR40_LABELS)


def shown_in_blocks(material):
    """What the source says on a presentation in blocks by class, "" where it says nothing of the kind."""
    presentation = str(material.about.get("presentation", ""))
    if presentation.lower().startswith("block"):
        return presentation
    if is_eegcvpr40(material):
        return "blocks: EEGCVPR40 showed each class in one block (Spampinato et al. 2017; Li et al. 2021)"
    return ""


def check_order(material):
    """Is each class one block, or does it keep to certain recordings?"""
    numbers = dict(material.order)
    said = shown_in_blocks(material)
    if said:
        numbers["presentation"] = said
    if not material.timed:
        return _untimed(material, numbers, said)
    sentences = [sentence for sentence in (_blocks(material, numbers), _sessions(material, numbers)) if sentence]
    if sentences:
        severity = "severe" if "severe" in [s for s, _ in sentences] else "warning"
        return Finding(CHECK, severity, " ".join(text for _, text in sentences), numbers)
    if "p" not in numbers:
        return Finding(CHECK, "not checked", "No recording holds two trials of different classes.", numbers)
    text = (f"{percent(numbers['same'])} of the neighbours in time are of one class, a random order gives "
            f"{percent(numbers['expected'])} ({p_value(numbers['p'])})")
    if numbers["p_less"] <= ALPHA:
        return Finding(CHECK, "note", f"A class follows itself less often than by chance: {text}; what lasts of the "
                       "response to the picture before tells a little about the class.", numbers)
    return Finding(CHECK, "passed", f"The order of classes is as good as random: {text}.", numbers)


def _blocks(material, numbers):
    if numbers.get("p", 1.) > ALPHA:
        return None
    text = (f"{percent(numbers['same'])} of the neighbours in time are of one class where a random order gives "
            f"{percent(numbers['expected'])} ({p_value(numbers['p'])})")
    if numbers["pure"] >= PURE:
        text = f"Each class was shown in one block: {text}"
    else:
        text = f"Trials near each other in time are of one class: {text}"
    excess = numbers["same"] - numbers["expected"]
    strong = numbers["pure"] >= PURE or (excess >= EXCESS and excess >= FAR * numbers["deviation"])
    if strong and numbers["exposed"] > .05:
        return "severe", (f"{text}, and {percent(numbers['exposed'])} of the test trials come from a run of their class "
                          "that training saw: slow changes of the recording name the class, so accuracies on this split "
                          "say nothing about what the EEG holds.")
    if not len(material.shared_recordings):
        return "warning", (f"{text}; this split tests on other recordings, so slow changes carry the class over only where "
                           "all were recorded in the same order.")
    return "warning", f"{text}; slow changes of the recording may add to an accuracy."


def _sessions(material, numbers):
    if numbers.get("p_recording", 1.) > ALPHA:
        return None
    text = (f"Within a subject classes keep to recordings (Cramer's V {numbers['cramer_v']:.2f}, "
            f"{p_value(numbers['p_recording'])})")
    if not len(material.shared_recordings):
        return "warning", f"{text}; this split tests on other recordings, so knowing the recording does not help."
    severity = "severe" if numbers["cramer_v"] >= TIED else "warning"
    return severity, f"{text}: what tells recordings apart, such as the fit of the cap, tells the class."


def _untimed(material, numbers, said):
    if said:
        if not len(material.shared_recordings):
            return Finding(CHECK, "warning", f"The source says: {said}. This split tests on other recordings, so slow "
                           "changes carry the class over only where all were recorded in the same order.", numbers)
        return Finding(CHECK, "severe", f"The source says: {said}. Slow changes of the recording then name the class, and "
                       "training and test share recordings, so accuracies on this split say nothing about what the EEG "
                       "holds.", numbers)
    presentation = material.about.get("presentation")
    if presentation:
        return Finding(CHECK, "not checked", f"The file names no times of presentation; its source says: {presentation}.",
                       numbers)
    if numbers.get("p", 1.) <= ALPHA:
        return Finding(CHECK, "warning", "The file names no times of presentation, and in its order "
                       f"{percent(numbers['same'])} of the neighbours are of one class ({percent(numbers['expected'])} by "
                       "chance): either it is sorted, or classes were shown in blocks and slow changes of the recording "
                       "name them; ask whoever recorded it.", numbers)
    return Finding(CHECK, "not "
                          "checked", "The file names no times of presentation; its own order shows no blocks, which says "
                   "little where trials were shuffled before.", numbers)
