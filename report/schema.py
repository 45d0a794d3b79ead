"""The form of what a report reads again: the encoder's scores and training logs, and results to show beside."""

from typing import Annotated, Literal

from runtime.config_schema import Branches
from runtime.schema import ABSENT, Count, Schema, Text

from pydantic import Field

ScoredOn = dict[Text, Text | int | None]
Interval = Annotated[list[float | None], Field(min_length=2, max_length=2)] | None


class Scores(Schema):
    """Scores of a classifier with their intervals."""

    top1: float | None = ABSENT
    top5: float | None = ABSENT
    balanced_accuracy: float | None = ABSENT
    top1_95: Interval = ABSENT
    top5_95: Interval = ABSENT
    balanced_accuracy_95: Interval = ABSENT
    n: Count | None = ABSENT
    name: Text | None = ABSENT
    ours_minus_best: float | None = ABSENT
    ours_minus_best_95: Interval = ABSENT


class EncoderScores(Scores):
    """scores.json of test_eeg_classifier.py. encoder: key of the weights that were scored; scored_on: which trials."""

    encoder: Text = ABSENT
    scored_on: ScoredOn = ABSENT
    top1: float = ABSENT
    average_precision: float | None = ABSENT
    average_precision_95: Interval = ABSENT
    n_classes: Count | None = ABSENT
    source: dict = ABSENT
    chance: float | None = ABSENT
    retrieval: Scores | None = ABSENT
    classical_baseline: Scores | None = ABSENT
    embedding_baseline: dict[Text, Scores] | None = ABSENT
    branches: Branches | None = ABSENT
    split: Text | None = ABSENT
    training_warnings: list[Text] | None = ABSENT


class WhenWhere(Schema):
    """when_where.json. encoder: key of the weights that it is of; scored_on: which trials."""

    encoder: Text = ABSENT
    scored_on: ScoredOn = ABSENT
    sentence: Text


class LogEntry(Schema):
    """Of the Trainer's log. Losses that are not finite become a note of the report."""

    epoch: Annotated[float, Field(ge=0)]
    loss: Annotated[float, Field(allow_inf_nan=True)] = ABSENT
    eval_loss: Annotated[float, Field(allow_inf_nan=True)] = ABSENT


class OneScore(Schema):
    """Of a condition, by one metric."""

    mean: float | None = ABSENT
    low: float | None = ABSENT
    high: float | None = ABSENT


class ConditionResults(Schema):
    condition: Text
    kind: Text
    n: Count | None = ABSENT
    cleaning: Text | None = ABSENT
    scores: dict[Text, OneScore]


class Doubt(Schema):
    text: Text


class StudyEEG(Schema):
    """Where the EEG of a study is from."""

    simulated: bool | None = ABSENT
    text: Text | None = ABSENT


class StudyResults(Schema):
    name: Text
    claim: Text
    conditions: list[ConditionResults]
    doubts: list[Doubt] | None = ABSENT
    eeg: StudyEEG | None = ABSENT


class Results(Schema):
    """results.json of evaluate.py, as far as it is shown beside another."""

    format: Literal["eeg-to-text results 1"]
    protocol: Text = ABSENT
    options: dict | None = ABSENT
    studies: Annotated[list[StudyResults], Field(min_length=1)]
