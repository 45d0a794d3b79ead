"""The claim once more in plain words, each term explained where it first stands."""

from runtime.wording import counted

from .tables import is_doubted

BEYOND = {
    True: "They also fit them better than other pictures {alike}, so the EEG told more than what kind of thing was shown.",
    False: "But it was not shown that they fit them better than other pictures {alike}, and so not shown that they tell "
           "more than the kind of thing.",
    None: "Whether they tell more than the kind of thing that was shown could not be tested."}
ALIKE = {"several": "with the same objects"}  # by how many classes a picture has
BETTER = {
    True: "They are also better than every control, where the same language model is given noise, another trial's EEG or "
          "the class name alone, and than every baseline, which makes sentences without a language model.",
    False: "They were not shown to be better than every control (the same language model given noise, another trial's EEG "
           "or the class name alone) and every baseline (sentences made without a language model).",
    None: "Whether they are better than sentences made without the EEG could not be tested: {why}."}


def plain_words(study: dict, metric: str) -> list[str]:
    """Sentences for a reader who knows EEG but not the scores; none where there is nothing of a model to explain."""
    verdicts = study["verdicts"]
    if not {"anything", "beyond_class", "better_than_nothing"} <= set(verdicts):  # results of an earlier version lack some
        return []
    said = [f"{_what_it_is(study.get('eeg') or {})} Each sentence was compared with one that describes the picture: "
            f"{metric} says how many words the two share, from 0 (none) to 1 (all)."]
    anything, beyond, better = (verdicts[key]["holds"] for key in ("anything", "beyond_class", "better_than_nothing"))
    alike = ALIKE.get(study.get("classes_a_picture"), "of the same class")
    if anything is None:
        said.append("Whether the sentences depend on what was shown could not be tested.")
    elif anything:
        said.append("The sentences fit their own pictures better than other pictures, so they tell something of what was "
                    f"shown. {BEYOND[beyond].format(alike=alike)}")
    elif beyond:  # a test of its own, without the differences between classes, in which the other can miss a gain
        said.append(f"Among pictures {alike} the sentences fit their own better than the others, so the EEG told more than "
                    "what kind of thing was shown. Among all pictures together this was not shown.")
    else:
        said.append("It was not shown that the sentences fit their own pictures better than other pictures, and so not "
                    "shown that they tell anything of what was shown.")
    said += [BETTER[better].format(why=verdicts["better_than_nothing"].get("text")),
             "Brackets hold the 95% interval, in which the true difference plausibly lies. p is the probability of a "
             "difference as large as this if the EEG told nothing; below 0.05 it counts as shown."]
    if is_doubted(study):
        said.append("But there are reasons to doubt these numbers. The claim begins with them.")
    return said


def _what_it_is(eeg):
    if eeg.get("simulated"):
        return ("This EEG was computed with a model of the head. Nobody was recorded, so nothing follows for real brains. "
                "A language model turned it into sentences without seeing the pictures.")
    who = f" of {counted(eeg['people'], 'person')}" if eeg.get("people") else ""
    return (f"A language model turned the EEG{who}, recorded while pictures were shown, into sentences without seeing the "
            "pictures.")
