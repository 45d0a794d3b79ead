"""The form of args.json, and of what records say of pretrained models."""

from typing import Literal

from runtime.schema import ABSENT, PathText, Schema, Text


class TrainingOptions(Schema):
    """The options in args.json that are read again. Earlier versions lack some of them."""

    split_num: int | None = ABSENT
    subject: int | None = ABSENT
    time_low: int | None = ABSENT
    time_high: int | None = ABSENT
    loss_weight: float | None = ABSENT
    clip_model: PathText | None = ABSENT
    cache_dir: PathText | None = ABSENT
    eeg_encoder_path: PathText | None = ABSENT
    picture: Literal["sketch", "photo"] | None = ABSENT
    prompt_type: Literal["basic", "detailed", "creative"] | None = ABSENT


class ModelIdentity(Schema):
    """runtime.model_files.model_identity."""

    name: Text
    commit: Text | None
    files: dict[Text, str]
    weights: dict[Text, str]


Identity = ModelIdentity | str | None  # earlier versions wrote a text


class RunRecord(Schema):
    """args.json."""

    options: TrainingOptions | None = ABSENT
    used: TrainingOptions | None = ABSENT
    versions: dict[str, str] | None = ABSENT
    state: str | None = ABSENT
    files: dict[Text, str] = ABSENT
    warnings: list[Text] | None = ABSENT
    splits: Text | None = ABSENT
    source: dict = ABSENT
    made: dict[str, str | None] = ABSENT
    llm: Identity = ABSENT
    clip: Identity = ABSENT
