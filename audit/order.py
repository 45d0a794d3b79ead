"""Whether the time of a trial gives its class away: classes in blocks, classes in certain recordings only.

In such designs slow changes of the recording predict the class without any response of the brain (Li et al. 2021, IEEE
TPAMI 43:316, on EEGCVPR40).
"""

from runtime.wording import p_value, percent

from eegdata.eegcvpr40 import has_its_classes

from .data import ALPHA, Material
from .findings import Finding

CHECK = "Class against time of recording"
# A block design: more neighbours of one class than in a random order, as a share and in standard deviations.
MIN_EXCESS, MIN_DEVIATIONS = .1, 4.
MIN_SHARE_IN_ONE_RUN = .9  # of trials that stand in the only run of their class: each class is one block
MIN_CRAMER_V = .5  # Cramer's V of class and recording


def tied_to_time(numbers: dict) -> bool:
    """Whether the class depends on the time of recording, as far as the order is known."""
    return numbers.get("p", 1.) <= ALPHA or numbers.get("p_recording", 1.) <= ALPHA


def in_blocks(numbers: dict) -> bool:
    """Whether neighbours have the same class so much more often than in a random order that classes stand in blocks."""
    if numbers.get("p", 1.) > ALPHA:
        return False
    excess = numbers["same"] - numbers["expected"]
    return numbers["pure"] >= MIN_SHARE_IN_ONE_RUN or (
        excess >= MIN_EXCESS and excess >= MIN_DEVIATIONS * numbers["deviation"])


def shown_in_blocks(material: Material) -> str:
    """What is known about a presentation in blocks by class, "" where nothing is.

    EEGCVPR40 is known by its classes, unless the data have times of their own or say how the pictures were shown: others
    recorded the same pictures in random order.
    """
    presentation = str(material.about.get("presentation", ""))
    if presentation.lower().startswith("block"):
        return presentation
    if not presentation and not material.timed and has_its_classes(material.trials.class_ids):
        return "blocks: EEGCVPR40 showed each class in one block (Spampinato et al. 2017; Li et al. 2021)"
    return ""


def check_order(material: Material) -> Finding:
    """Is each class one block, or shown in certain recordings only?"""
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
    less = numbers["p_less"] <= ALPHA
    text = (f"{percent(numbers['same'])} of the neighbours in time have the same class, against "
            f"{percent(numbers['expected'])} in a random order ({p_value(numbers['p_less' if less else 'p'])})")
    if less:
        return Finding(CHECK, "note", f"A class follows itself less often than by chance: {text}. The end of the "
                       "response to the preceding picture then says a little about the class.", numbers)
    return Finding(CHECK, "passed", f"The order of classes does not differ from a random one: {text}.", numbers)


def _blocks(material, numbers):
    if numbers.get("p", 1.) > ALPHA:
        return None
    text = (f"{percent(numbers['same'])} of the neighbours in time have the same class, against "
            f"{percent(numbers['expected'])} in a random order ({p_value(numbers['p'])})")
    if numbers["pure"] >= MIN_SHARE_IN_ONE_RUN:
        text = f"Each class was shown in one block: {text}"
    else:
        text = f"Trials that are near in time tend to have the same class: {text}"
    if in_blocks(numbers) and numbers["exposed"] > .05:
        return "severe", (f"{text}. {percent(numbers['exposed'])} of the test trials come from a run of their class that "
                          "also holds training trials. Slow changes of the recording predict the class, so accuracies on "
                          "this split say nothing about what the EEG holds.")
    if not len(material.shared_recordings):
        return "warning", (f"{text}. This split tests on other recordings, so slow changes predict the class only if all "
                           "recordings have the same order.")
    return "warning", f"{text}. Slow changes of the recording may add to an accuracy."


def _sessions(material, numbers):
    if numbers.get("p_recording", 1.) > ALPHA:
        return None
    text = (f"Within a subject the classes differ between recordings (Cramer's V {numbers['cramer_v']:.2f}, "
            f"{p_value(numbers['p_recording'])})")
    if not len(material.shared_recordings):
        return "warning", f"{text}. This split tests on other recordings, so knowing the recording does not help."
    severity = "severe" if numbers["cramer_v"] >= MIN_CRAMER_V else "warning"
    return severity, f"{text}. Whatever differs between recordings, such as the fit of the cap, gives the class away."


def _untimed(material, numbers, said):
    if said:
        if not len(material.shared_recordings):
            return Finding(CHECK, "warning", f"The source says: {said}. This split tests on other recordings, so slow "
                           "changes predict the class only if all recordings have the same order.", numbers)
        return Finding(CHECK, "severe", f"The source says: {said}. Slow changes of the recording then predict the class, "
                       "and training and test share recordings, so accuracies on this split say nothing about what the EEG "
                       "holds.", numbers)
    presentation = material.about.get("presentation")
    if presentation:
        return Finding(CHECK, "not checked", f"The times of presentation are unknown. The source says: "
                                             f"{presentation}.", numbers)
    if numbers.get("p", 1.) <= ALPHA:
        return Finding(CHECK, "warning", "The times of presentation are unknown. In the order of the file "
                       f"{percent(numbers['same'])} of the neighbours have the same class ({percent(numbers['expected'])} "
                       "by chance). Either the file is sorted, or the classes were shown in blocks and slow changes of the "
                       "recording give them away. Ask the people who recorded it.", numbers)
    return Finding(CHECK, "not checked", "The times of presentation are unknown. The file's order shows no blocks, but the "
                   "trials may have been shuffled.", numbers)
