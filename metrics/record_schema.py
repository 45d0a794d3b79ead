"""The form of the record of captions, `<file>.json`. Earlier versions lack some of the fields."""

from typing import Literal

from runtime.run_schema import Identity
from runtime.schema import ABSENT, Count, PathText, Schema, Text


class Source(Schema):
    """Where the EEG comes from (eegdata.source)."""

    name: Text | None = ABSENT
    simulated: bool | None = ABSENT
    channels: Count | None = ABSENT
    recorded: list[Text] | None = ABSENT


class CaptionRecord(Schema):
    """How inference.py made a CSV of captions, and from what."""

    condition: Text = ABSENT
    model: Text = ABSENT
    model_path: PathText = ABSENT
    split: Text = ABSENT
    split_num: int = ABSENT
    subject: int = ABSENT
    abstain_below: float | None = ABSENT
    data: Text = ABSENT
    splits: Text | None = ABSENT
    sha256: Text | None = ABSENT
    eeg_dataset: PathText = ABSENT
    splits_path: PathText | None = ABSENT
    image_dir: PathText | None = ABSENT
    options: dict = ABSENT
    used: dict | None = ABSENT
    versions: dict = ABSENT
    source: Source = ABSENT
    trained_on: list[Text] | None = ABSENT
    selected_on: list[Text] | None = ABSENT
    repeated: Count | None = ABSENT
    same_split: bool | None = ABSENT
    machine_made: Count | None = ABSENT
    pictures: Count | None = ABSENT
    classes: Literal["one", "several", "none"] = ABSENT
    label: Literal["class", "words", "none"] = ABSENT
    llm_bits: Count | None = ABSENT
    training_warnings: list[Text] | None = ABSENT
    llm: Identity = ABSENT
    clip: Identity = ABSENT
    other_llm: list[Text] = ABSENT
