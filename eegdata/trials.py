"""Trials of a data set folder or an EEGCVPR40 .pth file, as every stage reads them."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from runtime.errors import InputError

import numpy as np
import torch

from eegdata.dataset_folder import MappedEEG, open_folder
from eegdata.pth_file import LENGTHS, WINDOW, class_ids, names_of, read_pth
from eegdata.source import source_of, source_of_record

IN_NUMPY = (torch.float32, torch.float64, torch.float16)  # numpy has no bfloat16


@dataclass
class Trials:
    """Trials of one data set.

    eeg [N, C, T] float32, which is read from disk when it is indexed;
    label, subject, image (into `images`), trial (record number in the data set), session (-1 where unknown) LongTensor
    [N]; label is -1 where pictures have no class or several; class_names by label; objects [P, K] bool: which classes each
    of `images` has, None unless they have several; sfreq in Hz; chosen_subject (0: all); record_images and record_subjects:
    picture and subject of every record in the data set, which splits are checked against. tmin: seconds from the picture's
    onset to the first sample; onset [N]: seconds from the start of the recording to the picture; recording LongTensor [N]:
    number of the recording; part [N]: the publishers' part of each trial, "" where they name none; all four None where
    unknown. record: the folder's dataset.json, {} of a file. about: what folder or file says of how it was made.
    """

    eeg: MappedEEG
    label: torch.Tensor
    subject: torch.Tensor
    image: torch.Tensor
    trial: torch.Tensor
    session: torch.Tensor
    images: list
    class_names: dict
    sfreq: float
    ch_names: list | None
    fingerprint: str
    path: str
    chosen_subject: int
    record_images: list
    record_subjects: list
    tmin: float | None
    onset: np.ndarray | None
    recording: torch.Tensor | None
    part: np.ndarray | None
    record: dict
    about: dict = field(default_factory=dict)
    objects: torch.Tensor | None = None

    def __len__(self):
        return len(self.label)

    @property
    def class_ids(self) -> set[str]:
        """Class ids, by which the pictures' names begin."""
        return {name.split("_")[0] for name in self.images}

    @property
    def source(self) -> dict:
        """{"name", "simulated", "channels", "recorded"} of the data set (eegdata.source)."""
        if self.record:
            return source_of_record(self.record)
        return source_of(None, self.about, self.class_ids) | {"channels": self.eeg.shape[1]}

    @property
    def own_recordings(self) -> list[dict]:
        """The entries of dataset.json on the recordings of the chosen subject; [] of a file, which names none."""
        return [one for one in self.record.get("recordings", ()) if not self.chosen_subject
                or one["subject"] == self.chosen_subject]

    @property
    def preprocessing(self) -> dict | None:
        """How recordings became these trials (eegdata/preprocessing_schema.py), None where the data set does not say."""
        kept = self.record.get("preprocessing")
        return kept and {**kept, "window": [self.eeg.low, self.eeg.high]}

    def without_classes(self) -> "Trials":
        """The same trials, as if no picture had a class: for an encoder that names none."""
        return replace(self, class_names={}, objects=None)

    def names(self, positions: torch.Tensor | slice) -> list[str]:
        """Picture names of trials."""
        return [self.images[i] for i in self.image[positions].tolist()]

    @property
    def classes(self) -> str:
        """How many classes a picture has: "one", "several" (any number, objects) or "none"."""
        return "several" if self.objects is not None else "one" if self.class_names else "none"

    @property
    def groups(self) -> torch.Tensor:
        """The classes [N] by which trials are dealt out and compared; where pictures have no one class, a single group."""
        return self.label if self.classes == "one" else torch.zeros_like(self.label)

    @property
    def group_names(self) -> dict[int, str]:
        """Names of `groups`, for people."""
        return self.class_names if self.classes == "one" else {0: "any picture"}

    def class_targets(self, positions: torch.Tensor) -> torch.Tensor:
        """What a classifier learns of trials: numbers of classes [n]; of several classes or none, which of them each has,
        [n, K] float."""
        if self.classes == "one":
            return self.label[positions]
        if self.classes == "none":
            return torch.zeros(len(self.label[positions]), 0)
        return self.objects[self.image[positions]].float()

    def words(self, positions: torch.Tensor | slice) -> list[str]:
        """What stands for the true class of trials in prompts and tables: its name, the names of several, or ""."""
        if self.classes == "one":
            return [self.class_names[label] for label in self.label[positions].tolist()]
        if self.classes == "none":
            return [""] * len(self.label[positions])
        return [joined_names(self.class_names, row) for row in self.objects[self.image[positions]]]

    @property
    def has_pictures(self) -> bool:
        """Whether the data set has pictures; without them only classes can be learned."""
        return self.record.get("pictures_known") != "no"

    @property
    def knows_pictures(self) -> bool:
        """Whether each trial names the picture that was seen, be the pictures there or not."""
        known = self.record.get("pictures_known", "yes")
        return known == "yes" or (known == "no" and not any(name.endswith("_unknown") for name in self.images))

    def require_pictures(self) -> None:
        if not self.has_pictures:
            raise InputError(f"--eeg_dataset {self.path}: has no pictures and so no captions, only classes; train and test "
                             "an encoder on it (train_eeg_classifier.py --loss_weight 0), or prepare it with its pictures")


def joined_names(class_names: dict[int, str], present: torch.Tensor) -> str:
    """"dog, person": the names of the classes that are `present` [K] bool, in order of their numbers; "" for none."""
    return ", ".join(class_names[number] for number in torch.nonzero(present).flatten().tolist())


def load_trials(path: Path | str, time_low: int | None = None, time_high: int | None = None, subject: int = 0,
                damaged: bool = False) -> Trials:
    """Read a data set folder or .pth file; keep one subject's trials (0: all) and the window [time_low, time_high).

    The window is in samples. Without one: of a folder, from the picture's onset to the trial's end; of a .pth file, 20..460
    and records of 450..600 samples where it names no sampling rate (EEGCVPR40), else the whole trial. Trials too short for
    the window are dropped with a printed count. damaged: also read a folder whose files have changed since they were
    written, which the audit then says.
    """
    if Path(path).is_dir():
        return _from_folder(path, time_low, time_high, subject, damaged)
    content, fingerprint = read_pth(path)
    records, published = content["dataset"], "sfreq" not in content
    low = int(time_low) if time_low is not None else (WINDOW[0] if published else 0)
    longest = max(record["eeg"].shape[1] for record in records)
    high = int(time_high) if time_high is not None else (WINDOW[1] if published else longest)
    if not 0 <= low < high:
        raise InputError(f"--time_low {low} --time_high {high}: expected 0 <= time_low < time_high, in samples")
    subjects = sorted({int(record["subject"]) for record in records})
    chosen = [i for i, record in enumerate(records) if subject in (0, int(record["subject"]))]
    if not chosen:
        raise InputError(f"--subject {subject}: not in {path}, which holds subjects {subjects}")
    shortest, longest = LENGTHS if published else (0, longest)
    kept = [i for i in chosen if max(high, shortest) <= records[i]["eeg"].shape[1] <= longest]
    if len(kept) < len(chosen):
        print(f"{path}: {len(chosen) - len(kept)} of {len(chosen)} trials dropped (length outside "
              f"{max(high, shortest)}..{longest} samples)")
    if not kept and published:
        raise InputError(f"{path}: no record has {max(high, shortest)} to {longest} samples, as EEGCVPR40's have; a file "
                         "of other EEG names its sampling rate as 'sfreq', so that whole trials are read")
    if not kept:
        raise InputError(f"{path}: no trial has the {high} samples that --time_high asks for; set -tl and -th")
    fields = {key: torch.tensor([int(records[i].get(key, -1)) for i in kept])
              for key in ("label", "subject", "image", "session")}
    trials = Trials(
        eeg=MappedEEG(_blocks(records, kept, low, high, path), low, high), **fields, trial=torch.tensor(kept),
        images=list(content["images"]), class_names=_class_names(content, path), sfreq=float(content.get("sfreq", 1000.0)),
        ch_names=list(content["ch_names"]) if content.get("ch_names") else None, fingerprint=fingerprint,
        path=str(path), chosen_subject=subject, record_images=[int(record["image"]) for record in records],
        record_subjects=[int(record["subject"]) for record in records], tmin=low / 1000 if published else None, onset=None,
        recording=None, part=None, record={}, about=about if isinstance(about := content.get("about"), dict) else {})
    return trials


def _from_folder(folder, time_low, time_high, subject, damaged):
    record, blocks, columns = open_folder(folder, damaged)
    onset = max(0, round(-(record["tmin"] or 0) * record["sfreq"]))
    low = int(time_low) if time_low is not None else onset
    high = int(time_high) if time_high is not None else record["n_times"]
    if not 0 <= low < high <= record["n_times"]:
        raise InputError(f"--time_low {low} --time_high {high}: expected 0 <= time_low < time_high <= {record['n_times']}, "
                         f"the samples of a trial in {folder}")
    subjects = sorted(set(columns["subject"].tolist()))
    rows = np.flatnonzero((columns["subject"] == subject) | (subject == 0))
    if not len(rows):
        raise InputError(f"--subject {subject}: not in {folder}, which holds subjects {subjects}")
    images = record["pictures"] or sorted(set(columns["picture"]))
    number = {name: i for i, name in enumerate(images)}
    strangers = sorted(set(columns["picture"].tolist()) - set(number))
    objects, one_class = record.get("objects"), bool(record["class_names"]) and record.get("objects") is None
    if strangers or columns["label"].max() >= len(record["class_names"]) or ((columns["label"] < 0) == one_class).any():
        raise InputError(f"{folder}: trials show picture {strangers[0] if strangers else ''} or a class that dataset.json "
                         "does not list; shards of two data sets are mixed, prepare it again")
    image = np.array([number[name] for name in columns["picture"]])
    fields = {key: torch.from_numpy(columns[key][rows].astype(np.int64)) for key in ("label", "subject", "session")}
    return Trials(
        eeg=MappedEEG(blocks, low, high, rows), **fields, image=torch.from_numpy(image[rows]), trial=torch.from_numpy(rows),
        images=images, class_names=dict(enumerate(record["class_names"])), sfreq=record["sfreq"],
        ch_names=record["ch_names"], fingerprint=record["fingerprint"], path=str(folder), chosen_subject=subject,
        record_images=image.tolist(), record_subjects=columns["subject"].tolist(),
        tmin=None if record["tmin"] is None else record["tmin"] + low / record["sfreq"], onset=columns["onset"][rows],
        recording=torch.from_numpy(columns["recording"][rows].astype(np.int64)), part=columns["part"][rows], record=record,
        about=record["about"] or {}, objects=objects and _indicators(images, objects, len(record["class_names"])))


def _indicators(images, objects, count):
    """Which of `count` classes each picture has: bool [P, count]."""
    present = torch.zeros(len(images), count, dtype=torch.bool)
    for row, name in enumerate(images):
        present[row, objects[name]] = True
    return present


def _blocks(records, kept, low, high, path):
    """The kept records as arrays [1, C, samples] that share their memory; what their windows hold is checked."""
    n_chans, blocks = records[kept[0]]["eeg"].shape[0], []
    for number in kept:
        signal = records[number]["eeg"].detach()
        if signal.shape[0] != n_chans:
            raise InputError(f"{path}: record {number} has {signal.shape[0]} channels, others have {n_chans}")
        block = (signal if signal.dtype in IN_NUMPY else signal.float()).numpy()[None]
        if not np.isfinite(block[:, :, low:high].astype(np.float32, copy=False)).all():
            raise InputError(f"{path}: record {number} holds NaN or infinite EEG values in samples {low}..{high}; "
                             "drop or repair that trial")
        blocks.append(block)
    return blocks


def _class_names(content, path):
    """Class name by label id, from the file itself or, for EEGCVPR40, by the synset of the label's pictures."""
    if content.get("class_names"):
        if len(content["class_names"]) != len(content["labels"]):
            raise InputError(f"{path}: 'class_names' has {len(content['class_names'])} entries, 'labels' has "
                             f"{len(content['labels'])}; expected one name a label")
        return dict(enumerate(content["class_names"]))
    return dict(enumerate(names_of(class_ids(content, path))))
