"""How recordings became the trials of a data set, as dataset.json keeps it and, from stage 1 on, each model's config.json.

With it a new recording is treated as those that the model was trained on (sources/new_recording.py).
"""

from pathlib import Path
from typing import Annotated, Literal

from runtime.errors import InputError
from runtime.schema import Schema, check

from pydantic import Field, model_validator

from eegdata.record_schema import Names

Amount = Annotated[float, Field(ge=0)]  # 0 is off
Pair = Field(min_length=2, max_length=2)
SINCE = "write the data set again with prepare_data.py ... --overwrite, or give another one"


class Preprocessing(Schema):
    """The steps from a continuous recording to what an encoder takes, in their order.

    unit_scale: factor of all values; l_freq, h_freq, notch: filters in Hz, 0 is off; standardised: each channel was brought
    to mean 0 and standard deviation 1 over the recording; bads: "auto", "none" or names; reference: "keep", "average" or
    names; ch_names: of the trials; sfreq in Hz; first, last: samples of a trial from the onset, last exclusive; baseline:
    start and end in s, or None; reject, flat: microvolts peak to peak, 0 is off; scale: "recording" where each channel was
    divided by its standard deviation over the recording's trials; window: the samples of a trial that the encoder takes,
    end exclusive, None for all.
    """

    unit_scale: Annotated[float, Field(gt=0)]
    l_freq: Amount
    h_freq: Amount
    notch: Amount
    standardised: bool
    bads: Literal["auto", "none"] | Names
    reference: Literal["keep", "average"] | Annotated[Names, Field(min_length=1)]
    ch_names: Annotated[Names, Field(min_length=1)]
    sfreq: Annotated[float, Field(gt=0, le=1e6)]
    first: Annotated[int, Field(gt=-2**31)]
    last: Annotated[int, Field(lt=2**31)]
    baseline: Annotated[list[float], Pair] | None
    reject: Amount
    flat: Amount
    scale: Literal["recording", "none"]
    window: Annotated[list[int], Pair] | None = None

    @model_validator(mode="after")
    def _consistent(self):
        low, high = self.window or (0, self.last - self.first)
        if not 0 <= low < high <= self.last - self.first:
            raise ValueError(f"first {self.first}, last {self.last} and window {self.window} leave no samples")
        return self

    @property
    def taken(self) -> slice:
        """The samples of a trial that the encoder takes."""
        return slice(*(self.window or (0, self.last - self.first)))

    @property
    def start(self) -> int:
        """The first sample that the encoder takes, counted from the onset."""
        return self.first + self.taken.start


def read_preprocessing(content: object, where: Path | str) -> Preprocessing:
    """The Preprocessing that a JSON file holds. where: the file, for messages. InputError where it has another form."""
    advice = "it was changed by hand or is damaged, so get the file again"
    return Preprocessing.model_validate(check(Preprocessing, content, f"{where}: preprocessing", advice))


def preprocessing_of_folder(folder: Path | str, record: dict, flag: str) -> Preprocessing:
    """The Preprocessing of a data set folder with this dataset.json. flag: the option that named it, for messages."""
    if not record.get("preprocessing"):
        raise InputError(f"{flag} {folder}: dataset.json does not say how recordings became trials (source "
                         f"{record['source']}): it is of an earlier version, or the source gives trials that others cut; "
                         f"{SINCE}")
    return read_preprocessing(record["preprocessing"], Path(folder) / "dataset.json")
