"""From files to batches: trials, splits, captions, picture embeddings, token ids."""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import takewhile
from pathlib import Path

from runtime import processes, profiler
from runtime.atomic_files import atomic_path
from runtime.draws import seed_of
from runtime.errors import InputError
from runtime.model_files import model_key
from runtime.runs import cache_dir, file_hash
from runtime.text_files import parse_json

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerBase

from eegdata.pictures import picture_path
from encoders.clip import clip_identity, embed_layers
from encoders.picture_models import FINAL
from language_model.prompts import caption_ids, prompt_ids
from language_model.special_tokens import check_ids, end_id


def image_embeddings(names: list[str], image_dir: str | Path, clip_model: str, picture: str = "sketch", device: str = "cpu",
                     cache: str | Path | None = None, blur: float = 0.0) -> torch.Tensor:
    """Embeddings of pictures by name by a picture model or target: [n, E] float32, not normalised. blur: of
    embed_layers."""
    return picture_features(names, image_dir, clip_model, picture, device, cache, blur=blur)[FINAL]


def picture_features(names: list[str], image_dir: str | Path, clip_model: str, picture: str = "sketch",
                     device: str = "cpu", cache: str | Path | None = None, layers: Sequence[str] = (FINAL,), grid: int = 0,
                     blur: float = 0.0) -> dict[str, torch.Tensor]:
    """Features of pictures by name, {layer: [n, D] float32} (encoders.clip.embed_layers).

    Each picture is embedded once per model, layer and blur. The cache folder has one file for each of these, in which an
    embedding is found by the hash of the picture's bytes.
    """
    paths = [picture_path(image_dir, name, picture) for name in names]
    for path in paths:
        if not path.is_file():
            other = "photo" if picture == "sketch" else "sketch"
            raise InputError(f"{path}: picture not found under --image_dir {image_dir} (--picture {picture}); copy it "
                             f"there or try --picture {other}")
    folder, key = cache_dir(cache) / "picture_embeddings", model_key(clip_identity(clip_model))
    files = {layer: folder / f"{key}{_variant(layer, grid, blur)}.safetensors" for layer in layers}
    hashes = [file_hash(path) for path in paths]
    with profiler.part("picture embeddings"), processes.main_first():
        known = {layer: _read_rows(file) for layer, file in files.items()}
        missing = {h: path for h, path in zip(hashes, paths, strict=True) if any(h not in rows for rows in known.values())}
        if missing:
            found = embed_layers(list(missing.values()), clip_model, device, layers, grid, blur)
            for layer, file in files.items():
                known[layer].update(zip(missing, found[layer], strict=True))
                _write_rows(file, known[layer])
    return {layer: torch.stack([rows[h] for h in hashes]) for layer, rows in known.items()}


def _variant(layer, grid, blur):
    parts = [f"layer{layer}" * (layer != FINAL), f"grid{grid}" * bool(grid), f"blur{blur:g}" * bool(blur)]
    return "".join(f"-{part}" for part in parts if part)


def _write_rows(file, known):
    with atomic_path(file) as temporary:
        rows, pictures = torch.stack(list(known.values())), json.dumps(list(known))
        save_file({"embeddings": rows}, temporary, metadata={"pictures": pictures, "sha256": _hash(pictures, rows)})


def _read_rows(file):
    if not file.is_file():
        return {}
    try:
        with safe_open(file, "pt") as cache:
            facts, rows = cache.metadata(), cache.get_tensor("embeddings")
        if facts.get("sha256", (found := _hash(facts["pictures"], rows))) != found:  # an earlier version wrote none
            raise ValueError("its hash differs from the one that was written with it")
        return dict(zip(parse_json(facts["pictures"]), rows, strict=True))
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: damaged cache of picture embeddings ({error}); delete it and run again") from None


def _hash(pictures, rows):
    return hashlib.sha256(pictures.encode() + rows.numpy().tobytes()).hexdigest()


class CaptionDataset(torch.utils.data.Dataset):
    """Prompt, embedding and caption of each example, as token ids that are made once.

    embeddings [n, E]; labels: class names, words in their place or None; exemplars: captions of other pictures for each
    example, which stand in its prompt as long as the embedding does; captions: a text for each example, a list of texts
    from which one is drawn each time, or None if captions are to be generated. In training, the class name or the embedding
    is sometimes left out of the prompt (label_dropout, embedding_dropout), so that the model knows the prompts of the
    conditions `eeg` and `label`.

    uncounted: of prompts.prompt_ids.
    epoch: if set, what is drawn depends on seed, epoch and example only, not on which examples were read before.
    token_count: the number of the LLM's token embeddings; a text with another token is an InputError. None: not checked.
    cut: how many of the captions, each counted once, are longer than max_caption_tokens.
    """

    epoch: int | None = None

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: str, instruction: str, embeddings: torch.Tensor,
                 labels: list[str | None], captions: list[str | list[str]] | None = None, max_caption_tokens: int = 64,
                 label_dropout: float = 0.0, embedding_dropout: float = 0.0, seed: int = 0, uncounted: int | None = None,
                 token_count: int | None = None, exemplars: list[tuple[str, ...]] | None = None):
        self.embeddings, self.labels, self.seed = embeddings, labels, seed
        self.exemplars = exemplars or [()] * len(labels)
        self.label_dropout, self.embedding_dropout = label_dropout, embedding_dropout

        def known(ids, what):
            return ids if token_count is None else check_ids(tokenizer, ids, token_count, what)

        texts = dict.fromkeys(text for given in captions or () for text in ([given] if isinstance(given, str) else given))
        ids = {text: known(caption_ids(tokenizer, template, text, max_caption_tokens), "a caption") for text in texts}
        self.cut = sum(caption[-1] != end_id(tokenizer, template) for caption in ids.values())
        self.captions = captions and [[ids[text] for text in ([given] if isinstance(given, str) else given)]
                                      for given in captions]
        self._prompt = lru_cache(None)(lambda label, image, similar=(): tuple(known(part, "the prompt") for part in (
            prompt_ids(tokenizer, template, instruction, label, image, uncounted, similar))))

    @cached_property
    def prefix(self) -> list[int]:
        """Token ids that every prompt begins with, whatever is left out of it. At least one token or soft token follows."""
        beginnings = [begin for label in {None, *self.labels}
                      for begin in (self._prompt(label, True)[0], self._prompt(label, False)[0][:-1])]
        pairs = zip(min(beginnings), max(beginnings), strict=False)  # what these two share all share
        return [token for token, other in takewhile(lambda pair: pair[0] == pair[1], pairs)]

    @cached_property
    def lengths(self) -> list[int]:
        """The number of tokens of each example: whole prompt and longest caption, without the soft tokens."""
        captions = self.captions or [[[]]] * len(self)
        return [sum(map(len, self._prompt(label, True, similar))) + max(map(len, texts))
                for label, similar, texts in zip(self.labels, self.exemplars, captions, strict=True)]

    @cached_property
    def caption_tokens(self) -> int:
        """The number of tokens of all captions with their end tokens; of several captions the first counts."""
        return sum(len(texts[0]) for texts in self.captions)

    def __len__(self):
        return len(self.embeddings)

    def __getitem__(self, i):
        draws = None  # the generator that all share
        if self.epoch is not None:
            draws = torch.Generator().manual_seed(seed_of(self.seed, self.epoch, i))
        drop_label, drop_embedding = torch.rand(2, generator=draws).tolist()
        label = None if drop_label < self.label_dropout else self.labels[i]
        return self.example(i, label, drop_embedding >= self.embedding_dropout, draws)

    def example(self, i: int, label: str | None, with_embedding: bool, draws: torch.Generator | None = None) -> dict:
        """One example with this class name (None: no class name), with or without its embedding.

        draws: what its caption is drawn with where it has several (None: torch's own generator).
        """
        before, after = self._prompt(label, with_embedding, self.exemplars[i] if with_embedding else ())
        captions = self.captions[i] if self.captions else [[]]
        caption = captions[int(torch.randint(len(captions), (), generator=draws))] if len(captions) > 1 else captions[0]
        return {"before": before, "after": after, "soft": with_embedding, "embedding": self.embeddings[i],
                "caption": caption}


def collate(examples: list[dict], soft_tokens: int, pad_id: int, prefix: Sequence[int] = ()) -> dict[str, torch.Tensor]:
    """Left-padded batch: input_ids, attention_mask, labels [B, L] long; soft_mask [B, L] bool; embeddings [B, E].

    Masks come from lengths, never from token values. Labels cover only the caption and its end token. prefix: tokens that
    all examples begin with (CaptionDataset.prefix); they are left out of the rows and given once, as prefix_ids [P].
    """
    rows = {"input_ids": [], "attention_mask": [], "labels": [], "soft_mask": []}
    for example in examples:
        soft, caption = soft_tokens if example["soft"] else 0, example["caption"]
        before = example["before"][len(prefix):]
        ids = before + [pad_id] * soft + example["after"] + caption
        rows["input_ids"].append(ids)
        rows["attention_mask"].append([1] * len(ids))
        rows["labels"].append([-100] * (len(ids) - len(caption)) + caption)
        rows["soft_mask"].append([False] * len(before) + [True] * soft + [False] * (len(ids) - len(before) - soft))
    length, filler = max(map(len, rows["input_ids"])), {"input_ids": pad_id, "labels": -100, "soft_mask": False}
    batch = {name: torch.tensor([[filler.get(name, 0)] * (length - len(row)) + row for row in values])
             for name, values in rows.items()}
    batch["embeddings"] = torch.stack([example["embedding"] for example in examples])
    return batch | ({"prefix_ids": torch.tensor(prefix)} if prefix else {})
