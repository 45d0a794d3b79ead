"""The beginning that all prompts share, run once for a batch instead of once for each row.

All prompts of a data set begin with the same tokens (datautils.CaptionDataset.prefix). A causal LLM's keys and values for
them are the same in each row, so one row of them serves the batch. While the LLM does not change they are kept.
"""

import contextlib
import inspect
import math
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional as F
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer


class PrefixCache:
    """Makes the caches of keys and values with which an LLM goes on after a prefix.

    llm: a causal LM, maybe with a LoRA adapter; base: the same without peft's wrapper.

    Nothing tells reliably that weights have changed (fused and bitsandbytes optimizers do not raise Parameter._version). So
    keys and values are kept only where no weight of the LLM is trained, or within `evaluation`, in which none changes.
    """

    def __init__(self, llm: nn.Module, base: nn.Module):
        self.llm, self.base = llm, base
        self.names = set(inspect.signature(type(base).forward).parameters)
        self.argument = "cache" if "cache" in self.names else "past_key_values"  # its name since transformers 5.24
        # Rows are padded between prefix and rest: a family must be told the positions, not count columns itself (MPT).
        self.suited = {"position_ids", self.argument} <= self.names
        self.kept, self._evaluating = None, False

    def forget(self) -> None:
        """Drop what is kept, as the weights have changed."""
        self.kept = None

    @contextlib.contextmanager
    def evaluation(self) -> Iterator[None]:
        """A context in which no weight changes, so that a prefix is run once, also where the LLM is trained."""
        self.forget()
        self._evaluating = True
        try:
            yield
        finally:
            self._evaluating = False
            self.forget()

    def cache(self, prefix_ids: torch.Tensor, attention_mask: torch.Tensor, new_tokens: int = 0) -> DynamicCache | None:
        """The cache of the prefix [P] for the rows of attention_mask [B, L], or None: run whole prompts.

        new_tokens: how many will be written after the batch. None where the LLM is being trained, where its family has
        other caches than plain keys and values, and where a window of attention is shorter than the text with its padding.
        """
        rows, length = attention_mask.shape
        config = self.base.config.get_text_config()
        window = min(getattr(config, name, None) or math.inf for name in ("sliding_window", "attention_chunk_size"))
        trained = any(weight.requires_grad for weight in self.llm.parameters())
        checkpointing = self.llm.training and self.base.is_gradient_checkpointing
        if (not self.suited or checkpointing or (trained and torch.is_grad_enabled())
                or len(prefix_ids) + length + new_tokens > window):
            return None
        layers = self._layers(prefix_ids, keep=self._evaluating or not trained)
        if layers is None:
            return None
        return DynamicCache([(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1)) for keys, values in layers])

    def _layers(self, prefix_ids, keep):
        """Keys and values of the prefix without dropout, which in training would be frozen into them."""
        device = prefix_ids.device.type
        autocast = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device)
        key = (prefix_ids.tolist(), prefix_ids.device, self.base.dtype, autocast)
        if self.kept is not None and self.kept[0] == key:
            return self.kept[1]
        training = self.llm.training
        with torch.no_grad():
            layers = self.llm.eval() and self._run(prefix_ids)
        self.llm.train(training)
        self.kept = (key, layers) if keep else None
        return layers

    def _run(self, prefix_ids):
        """[(keys, values)] [1, heads, P, size] of each layer; None, from then on, where the family's cache is another."""
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


def whole_prompts(prefix_ids: torch.Tensor, input_ids: torch.Tensor, attention_mask: torch.Tensor,
                  soft_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A left-padded batch [B, L] with the prefix [P] before each row's first token: three tensors [B, P + L]."""
    n = len(prefix_ids)
    place = torch.arange(n + input_ids.shape[1], device=input_ids.device) - (attention_mask == 0).sum(1, keepdim=True)
    ids = torch.where(place.lt(n) & place.ge(0), prefix_ids[place.clamp(0, n - 1)], F.pad(input_ids, (n, 0)))
    return ids, place.ge(0).long(), F.pad(soft_mask, (n, 0))
