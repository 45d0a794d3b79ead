"""The conditions that captions are written and judged under. This table is the one place where a condition is declared.

A condition with an LLM says which embedding and which class name stand in the prompt (captioning/conditions.py makes them);
a baseline is fitted on the training captions without an LLM (metrics/text_baselines.py).
"""

from dataclasses import dataclass

KINDS = {  # in the order of tables: the heading of each kind of condition
    "model": "Model",
    "variant": "Variants of the model",
    "control": "Controls",
    "baseline": "Baselines, fitted on the training captions",
    "knows": "Know the answer",
}


@dataclass(frozen=True)
class Condition:
    """What the LLM is shown, or how a baseline makes its caption.

    kind: one of KINDS. embedding: "eeg" (the trial's own), "shuffled" (another trial's), "shuffled_within_class" (another
    trial's of the same predicted class), "noise" (matched to the EEG embeddings), "image" (the picture's own) or None.
    label: the class name in the prompt, "predicted", "true" or None. meaning: what the report says of it.
    needs_clip: whether pictures must be embedded. by_class: whether a known class makes it what it is. by_told: whether
    what stands in the prompt for the class makes it what it is. Without these it would repeat another condition, or have
    nothing to be fitted on.
    """

    name: str
    kind: str
    embedding: str | None
    label: str | None
    meaning: str
    needs_clip: bool = False
    by_class: bool = False
    by_told: bool = False

    def is_apt(self, classes: bool, told: bool) -> bool:
        """Whether it says anything. classes: whether the encoder names classes; told: whether prompts hold a class name or
        words."""
        return (classes or not self.by_class) and (told or not self.by_told)

    @property
    def one_trial(self) -> bool:
        """Whether a single trial without its true class is enough to write the caption."""
        return self.kind != "baseline" and self.embedding in ("eeg", None) and self.label in ("predicted", None)

    @property
    def exchanged(self) -> bool:
        """Whether embedding and predicted class are those of another trial."""
        return self.embedding in ("shuffled", "shuffled_within_class")

    @property
    def exchanges_captions(self) -> bool:
        """Whether the model's own captions, exchanged among the trials, are its captions: the prompt is that of another
        trial as a whole."""
        return self.exchanged and self.label == "predicted"


TABLE = (
    Condition("eeg+label", "model", "eeg", "predicted",
              "The EEG embedding of the trial and the class that the encoder predicts from it. This is the model as it is "
              "used."),
    Condition("eeg", "variant", "eeg", None, "The EEG embedding alone, without a class name.", by_told=True),
    Condition("label", "control", None, "predicted", "The predicted class name alone, without an EEG embedding.",
              by_told=True),
    Condition("noise+label", "control", "noise", "predicted",
              "The predicted class name with Gaussian noise in place of the embedding. The noise has the mean and "
              "covariance of the EEG embeddings.", by_told=True),
    Condition("noise", "control", "noise", None, "The same noise alone, without a class name."),
    Condition("shuffled", "control", "shuffled", "predicted",
              "The embedding and predicted class of another trial, in which another picture of any class was seen."),
    Condition("shuffled_within_class", "control", "shuffled_within_class", "predicted",
              "The embedding of another trial with the same predicted class, in which another picture was seen. The loss "
              "against eeg+label is what the EEG tells beyond the class name.", by_class=True),
    Condition("oracle_label", "knows", "eeg", "true", "The EEG embedding with the true class name: part of the answer is "
              "given.", by_class=True, by_told=True),
    Condition("image", "knows", "image", "true",
              "The embedding of the picture itself with the true class name, or with the picture's own words where the LLM "
              "is told words: the ceiling for this LLM.", needs_clip=True),
    Condition("nothing", "control", None, None,
              "Neither embedding nor class name: what the LLM writes about no trial at all."),
    Condition("constant", "baseline", None, None,
              "One training caption for every trial, the one most like all training captions. No LLM and no EEG."),
    Condition("template", "baseline", None, "predicted",
              "One sentence fitted on the training captions, with the predicted class name put in. No LLM.", by_class=True),
    Condition("class_medoid", "baseline", None, "predicted",
              "The training caption of the predicted class that is most like the others of its class. No LLM.",
              by_class=True),
    Condition("nearest_picture", "baseline", "eeg", None,
              "The caption of the training picture whose CLIP embedding is nearest to the EEG embedding. No LLM.",
              needs_clip=True),
)
BY_NAME = {condition.name: condition for condition in TABLE}
NAMES = tuple(BY_NAME)
MODEL_CONDITION = next(condition.name for condition in TABLE if condition.kind == "model")
BASELINES = tuple(condition.name for condition in TABLE if condition.kind == "baseline")
TEXT_BASELINES = tuple(condition.name for condition in TABLE if condition.kind == "baseline" and not condition.needs_clip)
OF_UNKNOWN = tuple(condition.name for condition in TABLE  # controls that need no other trial and no picture
                   if condition.kind == "control" and not condition.exchanged)
ORDER = tuple(condition.name for kind in KINDS for condition in TABLE if condition.kind == kind)  # of tables
COMPARED = tuple(name for name in ORDER if BY_NAME[name].kind not in ("model", "variant"))  # what a model is judged beside
