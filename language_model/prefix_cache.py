"""The beginning that all prompts share, run once for a batch instead of once for each row.

All prompts of a data set begin with the same tokens (datautils.CaptionDataset.prefix). A causal LLM's keys and values for
them are the same in each row, so one row of them serves the batch. While the LLM does not change they are kept.
"""

import contextlib
import inspect
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional as F
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

USUAL_COLUMNS = 256  # checked at once; FSDP needs as many checks in each process, whose batches differ in length


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
        self.checked = 0  # number of columns, of prefix, padding and text, up to which the LLM has been found suited
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

        new_tokens: how many will be written after the batch. None where the LLM is being trained, and where it does not
        compute the same after a cache as from a whole prompt (`_same_as_plain`).
        """
        rows, length = attention_mask.shape
        columns = len(prefix_ids) + length + new_tokens
        trained = any(weight.requires_grad for weight in self.llm.parameters())
        checkpointing = self.llm.training and _is_checkpointing(self.base)
        if checkpointing or (trained and torch.is_grad_enabled()) or (columns > self.checked and not self.suited):
            return None
        layers = self._layers(prefix_ids, keep=self._evaluating or not trained)
        if layers is not None and columns > self.checked:
            tried = max(2 * columns, USUAL_COLUMNS)
            self.suited = self._same_as_plain(prefix_ids, layers, tried)
            self.checked = tried if self.suited else self.checked
        if layers is None or columns > self.checked:
            return None
        return _cache(layers, rows)

    @torch.no_grad()
    def _same_as_plain(self, prefix_ids, layers, columns):
        """Whether the LLM gives the same logits after the cache, with `columns` of padding between, as from a whole prompt.

        This decides for any family whether the cache may be used for texts of up to `columns`. If its attention reaches
        less far, counting columns, the padding hides the whole prefix, so even one layer with a short window shows.
        """
        rest = prefix_ids[-4:]
        text, embed = torch.cat([prefix_ids, rest]), self.llm.get_input_embeddings()
        padded = torch.cat([rest.new_zeros(columns), rest])
        mask = torch.cat([torch.ones_like(prefix_ids), torch.zeros_like(padded[:-len(rest)]), torch.ones_like(rest)])
        positions = (mask.cumsum(0) - 1)[len(prefix_ids):]
        training, last = self.llm.training, {"logits_to_keep": len(rest)} if "logits_to_keep" in self.names else {}
        try:
            self.llm.eval()
            plain = self.llm(inputs_embeds=embed(text)[None], attention_mask=torch.ones_like(text)[None],
                             position_ids=torch.arange(len(text), device=text.device)[None], use_cache=False, **last).logits
            cached = self.llm(inputs_embeds=embed(padded)[None], attention_mask=mask[None], position_ids=positions[None],
                              use_cache=True, **{self.argument: _cache(layers, 1)}, **last).logits
        except torch.OutOfMemoryError:
            raise
        except (TypeError, ValueError, IndexError, RuntimeError, AttributeError):  # a family without such a cache
            return False
        finally:
            self.llm.train(training)
        plain, cached = (logits[0, -len(rest):].float() for logits in (plain, cached))
        rounded = (self.base.dtype != torch.float32 or torch.is_autocast_enabled(text.device.type)
                   or getattr(self.base.config, "quantization_config", None) is not None)
        return bool((plain - cached).abs().max() <= (.2 if rounded else 1e-3) * plain.std())

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
        cache = getattr(self.llm(**arguments), self.argument, None)  # RecurrentGemma keeps its states in itself
        layers = cache.layers if type(cache) is DynamicCache else []
        plain = all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
        plain = plain and len(layers) == self.base.config.get_text_config().num_hidden_layers
        self.suited = self.suited and plain
        return [(layer.keys, layer.values) for layer in layers] if plain else None


def _is_checkpointing(llm):
    """Whether activations are computed again in the backward pass; the name of this changes in transformers 6."""
    new = "is_activation_checkpointing"
    return getattr(llm, new if hasattr(type(llm), new) else "is_gradient_checkpointing")


def _cache(layers, rows):
    """A DynamicCache of `rows` rows from the keys and values of one."""
    return DynamicCache([(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1)) for keys, values in layers])


def whole_prompts(prefix_ids: torch.Tensor, input_ids: torch.Tensor, attention_mask: torch.Tensor,
                  soft_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A left-padded batch [B, L] with the prefix [P] before each row's first token: three tensors [B, P + L]."""
    n = len(prefix_ids)
    place = torch.arange(n + input_ids.shape[1], device=input_ids.device) - (attention_mask == 0).sum(1, keepdim=True)
    ids = torch.where(place.lt(n) & place.ge(0), prefix_ids[place.clamp(0, n - 1)], F.pad(input_ids, (n, 0)))
    return ids, place.ge(0).long(), F.pad(soft_mask, (n, 0))
