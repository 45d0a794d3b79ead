"""From files to batches: trials, splits, captions, picture embeddings, token ids."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from config import CLASS_NAMES
from dataset_folder import MappedEEG, open_folder
from encoders.clip import clip_identity, embed_pictures
from errors import InputError
from pictures import picture_path
from prompts import caption_ids, prompt_ids
from runs import atomic_path, cache_dir, content_key, file_hash
from sources.eegcvpr40 import read_pth

EEGCVPR40_WINDOW = (20, 460)  # samples at 1 kHz, and the record lengths that the field keeps
EEGCVPR40_LENGTHS = (450, 600)


@dataclass
class Trials:
    """Trials of one data set.

    eeg [N, C, T] float32, a tensor of a .pth file, or MappedEEG of a folder, which is read from disk when it is indexed;
    label, subject, image (into `images`), trial (record number in the data set), session (-1 where unknown) LongTensor
    [N]; class_names by label; sfreq in Hz; chosen_subject (0: all); record_images and record_subjects: picture and subject
    of every record in the data set, which splits are checked against. tmin: seconds from the picture's onset to the first
    sample; onset [N]: seconds from the start of the recording to the picture; recording LongTensor [N]: number of the
    recording; all three None where unknown. record: the folder's dataset.json, {} of a file.
    """

    eeg: torch.Tensor | MappedEEG
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
    record: dict

    def __len__(self):
        return len(self.label)

    def names(self, positions):
        """Picture names of trials."""
        return [self.images[i] for i in self.image[positions].tolist()]


def load_trials(path, time_low=None, time_high=None, subject=0):
    """Read a data set folder or .pth file; keep one subject's trials (0: all) and the window [time_low, time_high).

    The window is in samples. Without one: of a folder, from the picture's onset to the trial's end; of a .pth file, 20..460
    and records of 450..600 samples where it names no sampling rate (EEGCVPR40), else the whole trial. Trials too short for
    the window are dropped with a printed count.
    """
    if Path(path).is_dir():
        return _from_folder(path, time_low, time_high, subject)
    content = read_pth(path)
    records, published = content["dataset"], "sfreq" not in content
    low = int(time_low) if time_low is not None else (EEGCVPR40_WINDOW[0] if published else 0)
    longest = max(record["eeg"].shape[1] for record in records)
    high = int(time_high) if time_high is not None else (EEGCVPR40_WINDOW[1] if published else longest)
    if not 0 <= low < high:
        raise InputError(f"--time_low {low} --time_high {high}: expected 0 <= time_low < time_high, in samples")
    subjects = sorted({int(record["subject"]) for record in records})
    chosen = [i for i, record in enumerate(records) if subject in (0, int(record["subject"]))]
    if not chosen:
        raise InputError(f"--subject {subject}: not in {path}, which holds subjects {subjects}")
    shortest, longest = EEGCVPR40_LENGTHS if published else (0, longest)
    kept = [i for i in chosen if max(high, shortest) <= records[i]["eeg"].shape[1] <= longest]
    if len(kept) < len(chosen):
        print(f"{path}: {len(chosen) - len(kept)} of {len(chosen)} trials dropped (length outside "
              f"{max(high, shortest)}..{longest} samples)")
    if not kept:
        raise InputError(f"{path}: no trial has the {high} samples that --time_high asks for; set -tl and -th")
    fields = {key: torch.tensor([int(records[i].get(key, -1)) for i in kept])
              for key in ("label", "subject", "image", "session")}
    trials = Trials(
        eeg=_stack(records, kept, low, high, path), **fields, trial=torch.tensor(kept), images=list(content["images"]),
        class_names=_class_names(content, path), sfreq=float(content.get("sfreq", 1000.0)),
        ch_names=list(content["ch_names"]) if content.get("ch_names") else None, fingerprint=file_hash(path),
        path=str(path), chosen_subject=subject, record_images=[int(record["image"]) for record in records],
        record_subjects=[int(record["subject"]) for record in records], tmin=low / 1000 if published else None, onset=None,
        recording=None, record={})
    return trials


def _from_folder(folder, time_low, time_high, subject):
    record, blocks, columns = open_folder(folder)
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
    image = np.array([number[name] for name in columns["picture"]])
    fields = {key: torch.from_numpy(columns[key][rows].astype(np.int64)) for key in ("label", "subject", "session")}
    return Trials(
        eeg=MappedEEG(blocks, low, high, rows), **fields, image=torch.from_numpy(image[rows]), trial=torch.from_numpy(rows),
        images=images, class_names=dict(enumerate(record["class_names"])), sfreq=record["sfreq"],
        ch_names=record["ch_names"], fingerprint=record["fingerprint"], path=str(folder), chosen_subject=subject,
        record_images=image.tolist(), record_subjects=columns["subject"].tolist(),
        tmin=None if record["tmin"] is None else record["tmin"] + low / record["sfreq"], onset=columns["onset"][rows],
        recording=torch.from_numpy(columns["recording"][rows].astype(np.int64)), record=record)


def _stack(records, kept, low, high, path):
    """The windows of the kept records as one [N, C, T] float32 tensor, freeing each record on the way."""
    n_chans = records[kept[0]]["eeg"].shape[0]
    eeg = torch.empty(len(kept), n_chans, high - low)
    for row, number in enumerate(kept):
        signal = records[number].pop("eeg")
        if signal.shape[0] != n_chans:
            raise InputError(f"{path}: record {number} has {signal.shape[0]} channels, others have {n_chans}")
        eeg[row] = signal[:, low:high]
        if not torch.isfinite(eeg[row]).all():
            raise InputError(f"{path}: record {number} holds NaN or infinite EEG values in samples {low}..{high}; "
                             "drop or repair that trial")
    return eeg


def _class_names(content, path):
    """Class name by label id, from the file itself or, for EEGCVPR40, by the synset of the label's pictures."""
    if content.get("class_names"):
        if len(content["class_names"]) != len(content["labels"]):
            raise InputError(f"{path}: 'class_names' has {len(content['class_names'])} entries, 'labels' has "
                             f"{len(content['labels'])}; expected one name a label")
        return dict(enumerate(content["class_names"]))
    names = {}
    for record in content["dataset"]:
        synset = content["images"][int(record["image"])].split("_")[0]
        if names.setdefault(int(record["label"]), synset) != synset:
            raise InputError(f"{path}: label {int(record['label'])} has pictures of {names[int(record['label'])]} and "
                             f"of {synset}; expected one class a label")
    for label, synset in enumerate(content["labels"]):
        names.setdefault(label, synset)
    return {label: CLASS_NAMES.get(synset, synset) for label, synset in sorted(names.items())}


def image_embeddings(names, image_dir, clip_model, picture="sketch", device="cpu", cache=None):
    """CLIP embeddings of pictures by name: [n, E] float32, not normalised.

    Each picture is embedded once per CLIP model: rows are kept under the cache folder by the hash of the picture's
    bytes, in a file whose key is the hash of the model.
    """
    paths = [picture_path(image_dir, name, picture) for name in names]
    for path in paths:
        if not path.is_file():
            other = "photo" if picture == "sketch" else "sketch"
            raise InputError(f"{path}: picture not found under --image_dir {image_dir} (--picture {picture}); copy it "
                             f"there or try --picture {other}")
    file = cache_dir(cache) / "picture_embeddings" / f"{content_key(clip_identity(clip_model))}.safetensors"
    known = _read_rows(file)
    hashes = [file_hash(path) for path in paths]
    missing = {h: path for h, path in zip(hashes, paths, strict=True) if h not in known}
    if missing:
        known.update(zip(missing, embed_pictures(list(missing.values()), clip_model, device), strict=True))
        with atomic_path(file) as temporary:
            save_file({"embeddings": torch.stack(list(known.values()))}, temporary,
                      metadata={"pictures": json.dumps(list(known))})
    return torch.stack([known[h] for h in hashes])


def _read_rows(file):
    if not file.is_file():
        return {}
    try:
        with safe_open(file, "pt") as cache:
            return dict(zip(json.loads(cache.metadata()["pictures"]), cache.get_tensor("embeddings"), strict=True))
    except (SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{file}: damaged cache of picture embeddings ({error}); delete it and run again") from None


class CaptionDataset(torch.utils.data.Dataset):
    """Prompt, embedding and caption of each example, as token ids that are made once.

    embeddings [n, E]; labels: class names; captions: texts, or None when captions are to be generated. In training the
    class name or the embedding is left out of a prompt now and then (label_dropout, embedding_dropout), so that the
    conditions `eeg` and `label` of inference.py are prompts that the model knows.
    """

    def __init__(self, tokenizer, template, instruction, embeddings, labels, captions=None, max_caption_tokens=64,
                 label_dropout=0.0, embedding_dropout=0.0):
        self.embeddings, self.labels = embeddings, labels
        self.label_dropout, self.embedding_dropout = label_dropout, embedding_dropout
        self.captions = captions and [caption_ids(tokenizer, template, text, max_caption_tokens) for text in captions]
        self._prompt = lru_cache(None)(lambda label, image: prompt_ids(tokenizer, template, instruction, label, image))

    def __len__(self):
        return len(self.embeddings)

    def __getitem__(self, i):
        drop_label, drop_embedding = torch.rand(2).tolist() if self.label_dropout + self.embedding_dropout else (1, 1)
        label = None if drop_label < self.label_dropout else self.labels[i]
        return self.example(i, label, drop_embedding >= self.embedding_dropout)

    def example(self, i, label, with_embedding):
        """One example with this class name (None: without one), with or without its embedding."""
        before, after = self._prompt(label, with_embedding)
        return {"before": before, "after": after, "soft": with_embedding, "embedding": self.embeddings[i],
                "caption": self.captions[i] if self.captions else []}


def collate(examples, soft_tokens, pad_id):
    """Left-padded batch: input_ids, attention_mask, labels [B, L] long; soft_mask [B, L] bool; embeddings [B, E].

    Masks come from lengths, never from token values; labels cover the caption and its end token only.
    """
    rows = []
    for example in examples:
        soft = soft_tokens if example["soft"] else 0
        rows.append((example["before"] + [pad_id] * soft + example["after"] + example["caption"],
                     len(example["before"]), soft))
    length = max(len(ids) for ids, _, _ in rows)
    batch = {"input_ids": torch.full((len(rows), length), pad_id), "attention_mask": torch.zeros(len(rows), length).long(),
             "labels": torch.full((len(rows), length), -100), "soft_mask": torch.zeros(len(rows), length).bool(),
             "embeddings": torch.stack([example["embedding"] for example in examples])}
    for row, (ids, before, soft) in enumerate(rows):
        start = length - len(ids)
        batch["input_ids"][row, start:] = torch.tensor(ids)
        batch["attention_mask"][row, start:] = 1
        batch["soft_mask"][row, start + before:start + before + soft] = True
        caption = examples[row]["caption"]
        if caption:
            batch["labels"][row, -len(caption):] = torch.tensor(caption)
    return batch
