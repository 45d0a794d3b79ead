"""A study: one model's captions with the controls and baselines that they are judged by."""

from dataclasses import dataclass, field

import numpy as np

from metrics.caption_files import COLUMNS, Captions
from metrics.conditions import BY_NAME, COMPARED
from metrics.statistics import Clusters


@dataclass
class Study:
    """files: by condition, in the order of metrics.conditions.ORDER. model: the file that claims are made of, None without
    one. members: all files, also further ones of a condition.

    probability: of the predicted class in every trial, before abstained trials are left out. correct: whether that class is
    right. factors: Captions.factors of all these trials. The three are None where the probability is unknown. shown: number
    of the pictures of all these trials, of which the record speaks. doubts:
    [{"severity", "text"}], as evaluation.caveats makes them. audit: as evaluation.data_audit.add_audit sets it. ledger: as
    count_scorings returns it. eeg: as evaluation.data_source.eeg_of returns it.
    """

    name: str
    files: dict[str, Captions]
    model: Captions | None
    members: list[Captions]
    abstained: int = 0
    probability: np.ndarray | None = None
    correct: np.ndarray | None = None
    factors: Clusters = None
    shown: int = 0
    notes: list[str] = field(default_factory=list)
    doubts: list[dict[str, str]] = field(default_factory=list)
    ledger: dict | None = None
    eeg: dict = field(default_factory=dict)
    audit: dict = field(default_factory=lambda: {"findings": [], "note": ""})

    @property
    def missing(self) -> list[str]:
        """Conditions that the model is to be compared with and that have no file."""
        return [condition for condition in COMPARED if condition not in self.files and self.is_apt(condition)]

    def is_apt(self, condition: str) -> bool:
        """Whether the condition says anything: some differ from others by a class name or words only."""
        classes = self.model is None or not self.model.without_classes
        label = self.record.get("label", "class" if classes else "none")  # earlier records do not tell
        return BY_NAME[condition].is_apt(classes, label != "none")

    @property
    def classes(self) -> str:
        """How many classes a picture has: "one", "several" or "none"."""
        named = self.model is not None and any(name.strip() for name in self.model.texts(COLUMNS[1]))
        return self.record.get("classes", "one") if named else "none"

    @property
    def record(self) -> dict:
        """How the model's captions were made; {} where unknown."""
        return (self.model.record if self.model else None) or {}
