"""The schema of dataset.json: what a data set folder must say of itself before anything of it is used."""

from typing import Annotated, Literal

from runtime.names import MAX_NAME
from runtime.options import SPLITS
from runtime.schema import ABSENT, Count, Schema, Sha256, Text

from pydantic import AfterValidator, Field, model_validator

MAX_SFREQ, MAX_TMIN = 1e6, 1e6  # Hz, s: no recording has more
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]


def _unique(names):
    if len(set(names)) < len(names):
        raise ValueError("names one of them twice")
    return names


Names = Annotated[list[Name], AfterValidator(_unique)]


class Shard(Schema):
    """A file of trials."""

    file: Name
    trials: Annotated[int, Field(gt=0, lt=2**53)]
    bytes: Count
    sha256: Sha256


class RecordingEntry(Schema):
    """What became of a recording."""

    name: Name
    subject: Annotated[int, Field(ge=-2**31, lt=2**31)]
    session: Annotated[int, Field(ge=-2**31, lt=2**31)]
    shards: list[Shard]
    dropped: dict[str, Count]
    notes: list[str]
    scale: list[Annotated[float, Field(gt=0)]] | None


class DataSetRecord(Schema):
    """dataset.json, the fields of records.DataSet among it."""

    source: Name
    sfreq: Annotated[float, Field(gt=0, le=MAX_SFREQ)]
    ch_names: Annotated[Names, Field(min_length=1)]
    positions: dict[str, Annotated[list[float], Field(min_length=3, max_length=3)]] | None
    units: Literal["uV", "standardised"]
    tmin: Annotated[float, Field(ge=-MAX_TMIN, le=MAX_TMIN)] | None
    n_times: Annotated[int, Field(gt=0, lt=2**31)]
    class_ids: Names
    class_names: Names
    objects: dict[str, list[Count]] | None = ABSENT
    pictures_known: Literal["yes", "class", "no"]
    split_by: Literal[SPLITS]
    about: dict | None
    pictures: Names
    picture: Literal["photo", "sketch"]
    recordings: Annotated[list[RecordingEntry], Field(min_length=1)]
    fingerprint: Name

    @model_validator(mode="after")
    def _consistent(self):
        if len(self.class_ids) != len(self.class_names):
            raise ValueError(f"class_ids has {len(self.class_ids)} entries and class_names {len(self.class_names)}, so "
                             "there is a class that dataset.json does not list")
        if self.objects is not None:
            strange = sorted(set(self.objects) ^ set(self.pictures))
            if strange:
                raise ValueError(f"objects and pictures differ, by {strange[0]}")
            if any(number >= len(self.class_ids) for own in self.objects.values() for number in own):
                raise ValueError("objects hold a class that dataset.json does not list")
        wrong = [one.name for one in self.recordings if one.scale and len(one.scale) != len(self.ch_names)]
        if wrong:
            raise ValueError(f"recording {wrong[0]} has a scale for another number of channels than {len(self.ch_names)}")
        if not any(one.shards for one in self.recordings):
            raise ValueError("no recording has trials")
        return self


class RecordingFile(RecordingEntry):
    """trials/<number>.json, which lets an interrupted run go on."""

    key: str


class CaptionMark(Schema):
    """Of machine_captions.json: who wrote a caption, and its file then."""

    model: Text
    sha256: str
