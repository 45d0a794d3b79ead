"""A study: one model's captions with the controls and baselines that they are judged by."""

from dataclasses import dataclass, field

import numpy as np

from metrics.caption_files import Captions
from metrics.conditions import COMPARED


@dataclass
class Study:
    """files: by condition, in the order of metrics.conditions.ORDER. model: the file that claims are made of, None without
    one. members: all files, also further ones of a condition.

    probability: of the predicted class in every trial, before abstained trials are left out. correct: whether that class is
    right. Both are None where unknown. doubts: [{"severity", "text"}], as evaluation.caveats makes them. audit: as
    evaluation.data_audit.add_audit sets it. ledger: as count_scorings returns it. eeg: as evaluation.data_source.eeg_of
    returns it.
    """

    name: str
    files: dict[str, Captions]
    model: Captions | None
    members: list[Captions]
    abstained: int = 0
    probability: np.ndarray | None = None
    correct: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)
    doubts: list[dict[str, str]] = field(default_factory=list)
    ledger: dict | None = None
    eeg: dict = field(default_factory=dict)
    audit: dict = field(default_factory=lambda: {"findings": [], "note": ""})

    @property
    def missing(self) -> list[str]:
        """Conditions that the model is to be compared with and that have no file."""
        return [condition for condition in COMPARED if condition not in self.files]

    @property
    def record(self) -> dict:
        """How the model's captions were made; {} where unknown."""
        return (self.model.record if self.model else None) or {}
