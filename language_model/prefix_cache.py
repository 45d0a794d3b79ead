"""The prompts' common beginning, run once instead of once a row.

All prompts of a data set begin with the same tokens (datautils.CaptionDataset.prefix): a causal LLM's keys and values of
them are the same in each row, so one row of them serves the batch. Where the LLM does not change they are kept.
"""

import inspect
import math

import torch
from torch.nn import functional as F
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer


class PrefixCache:
    """Makes the caches of keys and values with which an LLM goes on after a prefix.

    llm: a causal LM, maybe with a LoRA adapter; base: the same without peft's wrapper.
    """

    def __init__(self, llm, base):
        self.llm, self.base = llm, base
        self.names = set(inspect.signature(type(base).forward).parameters)
        self.argument = "cache" if "cache" in self.names else "past_key_values"  # its name since transformers 5.24
        # Rows are padded between prefix and rest: a family must be told the positions, not count columns itself (MPT).
        self.suited = {"position_ids", self.argument} <= self.names
        self.kept = None

    def cache(self, prefix_ids, attention_mask, room=0):
        """A DynamicCache of the prefix [P] for the rows of attention_mask [B, L], or None: run whole prompts.

        room: tokens that will be written after the batch. None where the LLM's family cannot (other caches than plain
        keys and values), where a window of attention is shorter than the text, which counts padding, where gradient
        checkpointing forbids caches, and where training an adapter would gain less than a third of the tokens for a
        second pass through the layers.
        """
        rows, length = attention_mask.shape
        config = self.base.config.get_text_config()
        window = min(getattr(config, name, None) or math.inf for name in ("sliding_window", "attention_chunk_size"))
        trained = torch.is_grad_enabled() and any(p.requires_grad for p in self.llm.parameters())
        checkpointing = self.llm.training and self.base.is_gradient_checkpointing
        if (not self.suited or checkpointing or len(prefix_ids) + length + room > window
                or (trained and 2 * len(prefix_ids) < length)):
            return None
        layers = self._run(prefix_ids) if trained else self._keep(prefix_ids)
        if layers is None:
            return None
        layers = [(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1)) for keys, values in layers]
        if not room:
            return DynamicCache(layers)
        cache = DynamicCache()
        cache.layers = [RoomyLayer(*layer, length + room) for layer in layers]
        return cache

    def _keep(self, prefix_ids):
        """Keys and values that no gradient needs, made again only for another prefix or when weights, device or dtype have
        changed; without dropout, which in training would be frozen into them."""
        device = prefix_ids.device.type
        autocast = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device)
        key = (prefix_ids.tolist(), prefix_ids.device, self.base.dtype, autocast,
               sum(p._version for p in self.llm.parameters()))
        if self.kept is None or self.kept[0] != key:
            training = self.llm.training
            with torch.no_grad():
                self.kept = key, self.llm.eval() and self._run(prefix_ids)
            self.llm.train(training)
        return self.kept[1]

    def _run(self, prefix_ids):
        """[(keys, values)] [1, heads, P, size] of each layer; None, from then on, where the family's cache is another.

        LoRA's dropout draws one mask for the prefix of all rows of a batch, where whole prompts draw one a row.
        """
        arguments = {"inputs_embeds": self.llm.get_input_embeddings()(prefix_ids)[None],
                     "attention_mask": torch.ones_like(prefix_ids)[None],
                     "position_ids": torch.arange(len(prefix_ids), device=prefix_ids.device)[None], "use_cache": True}
        if "logits_to_keep" in self.names:
            arguments["logits_to_keep"] = 1
        cache = getattr(self.llm(**arguments), self.argument)
        layers = cache.layers if type(cache) is DynamicCache else []
        plain = all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
        self.suited = plain and len(layers) == self.base.config.get_text_config().num_hidden_layers
        return [(layer.keys, layer.values) for layer in layers] if self.suited else None


class RoomyLayer(DynamicLayer):
    """A DynamicLayer with room for `room` tokens more, so that a decoding step writes its own keys and values only, where
    DynamicLayer copies those of all steps before it."""

    def __init__(self, keys, values, room):
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values
        self.capacity, self.buffers, self.shown = keys.shape[-2] + room, None, None

    def update(self, key_states, value_states, *args, **kwargs):
        start, end = self.keys.shape[-2], self.keys.shape[-2] + key_states.shape[-2]
        if self.keys is not self.shown:  # the first call, or rows were selected since the last one
            self.buffers = [self._buffer(old) for old in (self.keys, self.values)]
        for buffer, new in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[..., start:end, :] = new
        self.keys, self.values = (buffer[..., :end, :] for buffer in self.buffers)
        self.shown = self.keys
        return self.keys, self.values

    def _buffer(self, old):
        buffer = old.new_empty(*old.shape[:-2], self.capacity, old.shape[-1])
        buffer[..., :old.shape[-2], :] = old
        return buffer


def whole_prompts(prefix_ids, input_ids, attention_mask, soft_mask):
    """A left-padded batch [B, L] with the prefix [P] before each row's first token: three tensors [B, P + L]."""
    n = len(prefix_ids)
    place = torch.arange(n + input_ids.shape[1], device=input_ids.device) - (attention_mask == 0).sum(1, keepdim=True)
    ids = torch.where(place.lt(n) & place.ge(0), prefix_ids[place.clamp(0, n - 1)], F.pad(input_ids, (n, 0)))
    return ids, place.ge(0).long(), F.pad(soft_mask, (n, 0))
