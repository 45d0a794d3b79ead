"""The common form of all sources: the recordings of a data set, read one by one into trials, and its pictures."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

MAX_NUMBER = 2**31 - 1  # of subjects and sessions, which the shards hold in 32 bits


@dataclass
class Block:
    """Trials cut from one recording, in the order of presentation.

    eeg [trials, channels, samples] float32 in the data set's units; label [trials]: number of the class, -1 where pictures
    have no class or several; picture: names in DataSet.pictures; onset [trials]: seconds from the recording's start to the
    picture, NaN where unknown; part: "train", "val" or "test" of each trial where the source's publishers say so, else
    None. dropped: reason -> number of events that gave no trial; notes: sentences on what was done to this recording alone.
    """

    eeg: np.ndarray
    label: np.ndarray
    picture: list
    onset: np.ndarray
    part: list | None = None
    dropped: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)


@dataclass
class Recording:
    """A recording that is read later.

    name: unique, for people; key: JSON-like, all that its trials depend on (file hashes, options), no paths; read(): the
    trials as one or more Blocks, several where they would not fit into memory at once.
    """

    name: str
    subject: int
    session: int
    key: object
    read: Callable[[], Iterator[Block]]


@dataclass
class Picture:
    """A picture: photo is a file or a function that draws it; captions may be empty; sketch: a file, or None."""

    photo: Path | Callable
    captions: tuple = ()
    sketch: Path | None = None


@dataclass
class DataSet:
    """A data set as a source finds it, before the EEG is read.

    A picture has one class, or none (class_ids is empty), or any number of them: objects then holds the numbers of its
    classes by its name. Names of pictures without one class begin with any other word in place of the class id.

    sfreq in Hz; tmin: seconds from the picture's onset to a trial's first sample, None where unknown; units "uV" or
    "standardised"; positions: channel name -> [x, y, z] in m (head coordinates), None: standard places by name;
    pictures: name `<class id>_<...>` -> Picture, where class ids hold no "_"; pictures_known: "yes", "class" (a picture
    of the right class was assigned, which of them was seen is unknown) or "no" (no picture files: names are
    `<class id>_unknown`, or real names where those are known). split_by: how splits are made where the user does not say
    ("given": by Block.part). preprocessing: what eegdata/preprocessing_schema.py keeps, but scale and window; None where
    the source did not cut the trials from continuous recordings. about: JSON-like facts for the record, among them what
    was done to the EEG under "steps" (a list of sentences), and, of public data, "licence" and "published" (where).
    captions_by: the model that wrote the captions, None where people did.
    """

    recordings: list
    sfreq: float
    ch_names: list
    n_times: int
    tmin: float | None
    units: str
    class_ids: list
    class_names: list
    pictures: dict
    pictures_known: str = "yes"
    positions: dict | None = None
    split_by: str = "picture"
    preprocessing: dict | None = None
    about: dict = field(default_factory=dict)
    objects: dict | None = None
    captions_by: str | None = None
