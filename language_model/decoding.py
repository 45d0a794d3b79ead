"""Greedy captions of a batch by Hugging Face's `generate`, without going on with the rows that are at their end.

`generate` computes every row until the longest is done. Here it stops whenever half of the rows are, and goes on with the
others from the keys and values that are there.
"""

import torch
from torch import nn
from transformers import (
    DynamicCache,
    LogitsProcessor,
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    StoppingCriteria,
    StoppingCriteriaList,
)


class RepetitionPenalty(LogitsProcessor):
    """The repetition penalty of what was generated, in this call and before it (`before` [B, n]), not of the prompt.

    A processor of our own, since with the option of transformers 5.23 and 5.24 a batch of left-padded embeddings writes
    other captions than its rows alone.
    """

    def __init__(self, penalty, before):
        self.penalty, self.before = RepetitionPenaltyLogitsProcessor(penalty), before

    def __call__(self, input_ids, scores):
        return self.penalty(torch.cat([self.before, input_ids], 1), scores)


class StopAtHalf(StoppingCriteria):
    """Stops all rows when half of them have written one of the end tokens."""

    def __init__(self, ends):
        self.ends = ends

    def __call__(self, input_ids, scores, **kwargs):
        done = torch.isin(input_ids, self.ends).any(1)
        return (2 * done.sum() >= len(done)).expand(len(done))


def decode(llm: nn.Module, inputs: torch.Tensor, mask: torch.Tensor, cache: dict[str, DynamicCache], *, penalty: float,
           max_new_tokens: int, eos_token_id: int | list[int], pad_token_id: int, **options: object) -> torch.Tensor:
    """Token ids [B, up to max_new_tokens] after left-padded prompts: inputs [B, L, H] embeddings, mask [B, L].

    cache: {argument of the LLM: DynamicCache of the prompts' first columns}, or {} where there is none; options go to
    `generate`. Rows are dropped on a CPU, where each costs its time; a step on a GPU takes as long with fewer.
    """
    dropping = bool(cache) and inputs.device.type == "cpu" and not options.get("do_sample")
    rows, ids = torch.arange(len(inputs), device=inputs.device), inputs.new_empty(len(inputs), 0, dtype=torch.long)
    ends = torch.as_tensor(eos_token_id, device=inputs.device)  # one or several
    texts = ids.new_full((len(inputs), max_new_tokens), pad_token_id)
    while True:
        new = llm.generate(
            inputs_embeds=inputs, attention_mask=mask, max_new_tokens=max_new_tokens - ids.shape[1],
            repetition_penalty=1.0,
            logits_processor=LogitsProcessorList([RepetitionPenalty(penalty, ids)] if penalty != 1 else []),
            stopping_criteria=StoppingCriteriaList([StopAtHalf(ends)] if dropping else []),
            eos_token_id=eos_token_id, pad_token_id=pad_token_id, **cache, **options)
        ids = torch.cat([ids, new], 1)
        texts[rows, :ids.shape[1]] = ids
        left = (~torch.isin(ids, ends).any(1)).nonzero().flatten()
        if not dropping or not len(left) or ids.shape[1] == max_new_tokens:
            return texts[:, :ids.shape[1]]
        next(iter(cache.values())).batch_select_indices(left)
        inputs = torch.cat([inputs, llm.get_input_embeddings()(new)], 1)[left]
        mask = torch.nn.functional.pad(mask, (0, new.shape[1]), value=1)[left]
        rows, ids = rows[left], ids[left]
