"""From files to batches: trials, splits, captions, picture embeddings, token ids."""

import json
from functools import lru_cache

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from encoders.clip import clip_identity, embed_pictures
from errors import InputError
from pictures import picture_path
from prompts import caption_ids, prompt_ids
from runs import atomic_path, cache_dir, content_key, file_hash


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

    embeddings [n, E]; labels: class names; captions: a text or a list of texts an example, of which one is drawn each time
    it is asked for, or None when captions are to be generated. In training the class name or the embedding is left out of a
    prompt now and then (label_dropout, embedding_dropout), so that the conditions `eeg` and `label` of inference.py are
    prompts that the model knows.
    """

    def __init__(self, tokenizer, template, instruction, embeddings, labels, captions=None, max_caption_tokens=64,
                 label_dropout=0.0, embedding_dropout=0.0):
        self.embeddings, self.labels = embeddings, labels
        self.label_dropout, self.embedding_dropout = label_dropout, embedding_dropout
        self.captions = captions and [[caption_ids(tokenizer, template, text, max_caption_tokens)
                                       for text in ([texts] if isinstance(texts, str) else texts)] for texts in captions]
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
        captions = self.captions[i] if self.captions else [[]]
        caption = captions[int(torch.randint(len(captions), ()))] if len(captions) > 1 else captions[0]
        return {"before": before, "after": after, "soft": with_embedding, "embedding": self.embeddings[i],
                "caption": caption}


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
