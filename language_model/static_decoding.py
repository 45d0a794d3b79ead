"""Greedy captions on a GPU, with the step from one token to the next captured as a CUDA graph.

A step runs about a thousand small kernels. On an H100 the host needed 44 ms to start them one by one, more than twice what
the GPU needed to run them; a graph starts all at once. So all that a step reads and writes has a fixed place: keys and
values are in layers of transformers' StaticCache. Every STEPS tokens they move to where as many more have room, without
rows that have ended.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import Cache, DynamicCache, RepetitionPenaltyLogitsProcessor
from transformers.cache_utils import DynamicLayer, StaticLayer

STEPS = 32  # tokens between two captures, each of which takes the host as long as two steps without a graph
CHECKED = 8  # tokens between two looks at whether all rows have ended, for which the host waits for the GPU


class StaticDecoder:
    """Writes greedy captions by steps in fixed places.

    llm: a causal LM, maybe with a LoRA adapter; base: the same without peft's wrapper; names: the arguments of its forward;
    argument: that for its cache.
    """

    devices = ("cuda",)

    def __init__(self, llm: nn.Module, base: nn.Module, names: set[str], argument: str):
        self.llm, self.base, self.argument, self.named = llm, base, argument, {"position_ids", argument} <= names
        self.last = {"logits_to_keep": 1} if "logits_to_keep" in names else {}
        self.suited = None  # whether a step is the same as without fixed places; not known yet

    def suits(self, cache: Cache | None, device: torch.device, do_sample: bool = False, guidance: float = 1.0,
              draw: object = None, min_new_tokens: int = 0, **options: object) -> bool:
        """Whether the captions of a batch are written this way. cache: that of their prefix, or None without one.

        8 bit is left out, as its products wait for the GPU, and so are tokens that are drawn, guidance and a least length.
        """
        quantised = getattr(self.base.config, "quantization_config", None) is not None
        return (self.suited is not False and self.named and device.type in self.devices and not quantised and not do_sample
                and guidance == 1 and draw is None and not min_new_tokens
                and (cache is None or all(type(layer) is DynamicLayer for layer in cache.layers)))

    def write(self, inputs: torch.Tensor, mask: torch.Tensor, cache: DynamicCache | None, *, penalty: float,
              max_new_tokens: int, eos_token_id: int | list[int], pad_token_id: int,
              **options: object) -> torch.Tensor | None:
        """Token ids [B, up to max_new_tokens] after left-padded prompts: inputs [B, L, H] embeddings, mask [B, P + L].

        cache: keys and values of the P columns before the inputs, which it loses; penalty: that on repetition. None where
        this family of LLMs is not suited.
        """
        cache = DynamicCache() if cache is None else cache
        penalise, ends = RepetitionPenaltyLogitsProcessor(penalty), torch.as_tensor(eos_token_id, device=inputs.device)
        positions = (mask.cumsum(1) - 1).clamp_min(0)[:, -inputs.shape[1]:]
        logits = self.forward(cache, mask, positions, inputs_embeds=inputs)
        if not all(type(layer) is DynamicLayer for layer in cache.layers):
            self.suited = False
            return None
        layers, step = [(layer.keys, layer.values) for layer in cache.layers], None
        cache.layers.clear()
        ids = torch.full((len(inputs), max_new_tokens), pad_token_id, device=inputs.device)
        rows, ended = torch.arange(len(inputs), device=inputs.device), torch.zeros_like(ids[:, 0], dtype=torch.bool)
        for count in range(max_new_tokens):
            token = penalise(ids[rows, :count], logits).argmax(1).masked_fill(ended[rows], pad_token_id)
            ids[rows, count] = token
            ended[rows] |= torch.isin(token, ends)
            if count + 1 == max_new_tokens or (count % CHECKED == 0 and ended.all()):
                break
            if count % STEPS == 0:
                if step is not None:
                    layers, mask = step.content()
                    step = None  # its graph holds memory
                left = ~ended[rows]
                rows, token, mask = rows[left], token[left], mask[left]
                if not count and not self._checked(layers, left, mask, token):
                    return None
                step = _Step(self, layers, left, mask, min(STEPS, max_new_tokens - count - 1))
            logits = step(token)
        is_end = torch.isin(ids, ends)
        lengths = torch.where(is_end.any(1), is_end.long().argmax(1), count) + 1
        return ids[:, :lengths.max()]

    def forward(self, cache: Cache, mask: torch.Tensor, positions: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
        """The logits [B, vocabulary] after the last token, in float32."""
        output = self.llm(**inputs, attention_mask=mask, position_ids=positions, use_cache=True, **self.last,
                          **{self.argument: cache})
        return output.logits[:, -1].float()

    def _checked(self, layers, left, mask, token):
        """Whether a step in fixed places gives what one without them gives; tried once, on the first rows."""
        if self.suited is None:
            few = left.nonzero().flatten()[:2]
            mask, token = mask[:2], token[:2]
            plain = self.forward(DynamicCache([(keys[few], values[few]) for keys, values in layers]),
                                 F.pad(mask, (0, 1), value=1), mask.sum(1, keepdim=True), input_ids=token[:, None])
            try:
                found = _Step(self, list(layers), few, mask, 1)(token)
            except torch.OutOfMemoryError:
                raise
            except (TypeError, ValueError, IndexError, RuntimeError, AttributeError):  # a family without such a cache
                self.suited = False
                return False
            rounded = self.base.dtype != torch.float32
            self.suited = bool((found - plain).abs().max() <= (.2 if rounded else 1e-3) * plain.std())
        return self.suited


class _Step:
    """The step from a token [B] to the logits [B, vocabulary] after it, up to `room` times.

    layers: keys and values [N, heads, columns, size] of all rows, which it takes out of the list; left: an index of the B
    rows among them; mask [B, columns].
    """

    def __init__(self, decoder, layers, left, mask, room):
        self.decoder, self.mask, self.taken = decoder, mask, 0
        columns, length = mask.shape[1], -8 * (-(mask.shape[1] + room) // 8)  # attention wants multiples of 8
        self.layers = []
        while layers:  # freed one by one: both copies of all would not fit
            keys, values = (tensor[left] for tensor in layers.pop(0))
            layer = StaticLayer(length)
            layer.lazy_initialization(keys, values)
            layer.keys[:, :, :columns], layer.values[:, :, :columns] = keys, values
            self.layers.append(layer)
        self.cache = Cache(layers=self.layers)
        self.bias = torch.zeros(len(mask), 1, 1, length, device=mask.device, dtype=decoder.base.dtype)
        self.token, self.graph = mask.new_zeros(len(mask)), None
        self.position, self.place = mask.sum(1), mask.new_zeros(1)
        self._rewind()
        if mask.device.type == "cuda":
            self._capture()

    def _rewind(self):
        """Set all to the state before the first token."""
        columns = self.mask.shape[1]
        for layer in self.layers:
            layer.cumulative_length.fill_(columns)
        self.place.fill_(columns)
        self.position.copy_(self.mask.sum(1))
        self.bias.fill_(torch.finfo(self.bias.dtype).min)
        self.bias[:, 0, 0, :columns].masked_fill_(self.mask.bool(), 0)

    def _run(self):
        self.bias.index_fill_(3, self.place, 0)
        logits = self.decoder.forward(self.cache, self.bias, self.position[:, None], input_ids=self.token[:, None])
        self.place.add_(1)
        self.position.add_(1)
        return logits

    def _capture(self):
        beside, now = torch.cuda.Stream(), torch.cuda.current_stream()
        beside.wait_stream(now)
        with torch.cuda.stream(beside):
            self._run()  # libraries take their memory in a first run, which a graph cannot hold
        now.wait_stream(beside)
        self._rewind()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.logits = self._run()

    def __call__(self, token):
        self.token.copy_(token)
        self.taken += 1
        if self.graph is None:
            return self._run()
        self.graph.replay()
        return self.logits

    def content(self):
        """Keys and values of all layers, and the mask, of the columns up to now."""
        mask = F.pad(self.mask, (0, self.taken), value=1)
        return [(layer.keys[:, :, :mask.shape[1]], layer.values[:, :, :mask.shape[1]]) for layer in self.layers], mask
