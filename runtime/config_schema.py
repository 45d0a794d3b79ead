"""The form of our own fields in config.json: those of all encoders and of a captioner (config.py).

Predecessors and earlier versions lack some of them. The limits are far above any real model; they keep a damaged number
from filling the memory.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from runtime.errors import InputError
from runtime.schema import ABSENT, PathText, Schema, Text, check

from pydantic import Field

T = TypeVar("T")
ADVICE = "it is damaged or was changed by hand, so copy the folder again or train again"
Size = Annotated[int, Field(gt=0, le=2**16)]
Length = Annotated[int, Field(gt=0, le=2**22)]  # samples
Few = Annotated[int, Field(gt=0, le=256)]
Positive = Annotated[float, Field(gt=0, le=1e6)]
Pair = Annotated[list[Annotated[int, Field(gt=0, le=4096)]], Field(min_length=2, max_length=2)]
Share = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(ge=0, le=1)]
ClassNames = dict[Annotated[str, Field(pattern="^[0-9]{1,9}$")], Text]


class Confidence(Schema):
    """encoders/confidence.py."""

    above: Rate | None
    rate: Rate
    trials: Annotated[int, Field(gt=0)]
    answered: Rate
    noise: Rate


class EncoderConfig(Schema):
    """What every encoder's config.json may say."""

    sfreq: Positive = ABSENT
    ch_names: list[Text] | None = ABSENT
    num_classes: Annotated[int, Field(ge=0, le=2**16)] = ABSENT
    several_classes: bool = ABSENT
    embedding_size: Size = ABSENT
    class_temperature: Positive = ABSENT
    id2label: ClassNames | None = ABSENT
    confidence: Confidence | None = ABSENT
    preprocessing: dict | None = ABSENT  # eegdata/preprocessing_schema.py, where it is used


class BranchShare(Schema):
    """How much of an encoder's outputs a branch carries."""

    logits: Annotated[float, Field(ge=0, le=1)]
    embedding: Annotated[float, Field(ge=0, le=1)]


class Branches(Schema):
    """encoders/branches.py."""

    transformer: BranchShare
    linear: BranchShare
    tangent: BranchShare


class TransformerConfig(EncoderConfig):
    """encoders/transformer.py."""

    n_chans: Size = ABSENT
    n_times: Length = ABSENT
    d_model: Annotated[int, Field(gt=0, le=2**13)] = ABSENT
    attn_heads: Few = ABSENT
    layers: Few = ABSENT
    dropout: Share = ABSENT
    spatial_filters: Size = ABSENT
    patch_size: Length | None = ABSENT
    branches: Branches | None = ABSENT
    centre: Literal["none", "subject"] = ABSENT
    unseen_scale: Positive | None = ABSENT


class ChannelNetConfig(EncoderConfig):
    """encoders/channelnet.py."""

    in_channels: Few = ABSENT
    temp_channels: Few = ABSENT
    out_channels: Few = ABSENT
    input_width: Length = ABSENT
    input_height: Size = ABSENT
    temporal_dilation_list: Annotated[list[Pair], Field(min_length=1, max_length=64)] | None = ABSENT
    temporal_kernel: Pair = ABSENT
    temporal_stride: Pair = ABSENT
    num_temp_layers: Few = ABSENT
    num_spatial_layers: Few = ABSENT
    spatial_stride: Pair = ABSENT
    num_residual_blocks: Annotated[int, Field(ge=0, le=256)] = ABSENT
    down_kernel: Few = ABSENT
    down_stride: Few = ABSENT


class NICEConfig(EncoderConfig):
    """encoders/nice.py."""

    n_chans: Size
    n_times: Length
    filters: Size
    features: Size | None = ABSENT
    channel_attention: bool = ABSENT


class BraindecodeConfig(EncoderConfig):
    """encoders/braindecode_encoder.py."""

    network: Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_]{0,63}$")]
    features: Size
    n_chans: Size
    n_times: Length


class CaptionerConfig(Schema):
    """model.py."""

    llm: PathText
    llm_hidden_size: Annotated[int, Field(gt=0, le=2**17)]
    embedding_size: Size = ABSENT
    projector: Literal["mlp", "linear"] = ABSENT
    soft_tokens: Annotated[int, Field(ge=0, le=4096)] = ABSENT
    prompt_template: Literal["auto", "chat", "plain", "thought2text"] = ABSENT
    lora: bool = ABSENT
    llm_loading: Literal["8bit", "4bit"] | None = ABSENT
    clip_model: PathText | None = ABSENT
    picture: Literal["sketch", "photo"] | None = ABSENT
    uncounted_token: Annotated[int, Field(ge=0, le=2**31)] | None = ABSENT
    label: Literal["class", "words", "none"] = ABSENT
    exemplars: Annotated[int, Field(ge=0, le=100)] = ABSENT


OF_ENCODERS = {"eegencoder": TransformerConfig, "eeg_channelnet": ChannelNetConfig, "nice": NICEConfig,
               "braindecode": BraindecodeConfig}  # by model_type


def made_of(form: type, content: dict, file: str | Path, make: Callable[[], T]) -> T:
    """What `make` makes of a config.json of this form: a config, or a model whose parts may not fit each other.

    transformers adds fields of its own to the file, which it reads without a check.
    """
    check(form, content, file, ADVICE)
    try:
        return make()
    except (InputError, RuntimeError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise InputError(f"{file}: cannot be used ({reason}); {ADVICE}") from None
