"""Captions of a batch by Hugging Face's `generate`, which leaves out the rows that have ended.

`generate` computes every row until the longest has ended. Here it stops whenever half of the rows have ended, and continues
with the others from the cached keys and values.
"""

import torch
from torch import nn
from transformers import (
    DynamicCache,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    MinNewTokensLengthLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    StoppingCriteria,
    StoppingCriteriaList,
)

from language_model.candidates import Draw, GumbelNoise
from language_model.guidance import Guidance


class RepetitionPenalty(LogitsProcessor):
    """The repetition penalty for generated tokens, of this call and before it (`before` [B, n]), not for the prompt.

    It replaces the option of `generate`: in transformers 5.23 and 5.24 that option makes a batch of left-padded embeddings
    write other captions than its rows alone.
    """

    def __init__(self, penalty, before):
        self.penalty, self.before = RepetitionPenaltyLogitsProcessor(penalty), before

    def __call__(self, input_ids, scores):
        return self.penalty(torch.cat([self.before, input_ids], 1), scores)


class StopAtHalf(StoppingCriteria):
    """Stops all rows once half of them have written an end token."""

    def __init__(self, ends):
        self.ends = ends

    def __call__(self, input_ids, scores, **kwargs):
        done = torch.isin(input_ids, self.ends).any(1)
        return (2 * done.sum() >= len(done)).expand(len(done))


def decode(llm: nn.Module, inputs: torch.Tensor, mask: torch.Tensor, cache: dict[str, DynamicCache], *, penalty: float,
           max_new_tokens: int, eos_token_id: int | list[int], pad_token_id: int, guidance: float = 1.0,
           draw: Draw | None = None, min_new_tokens: int = 0, **options: object) -> torch.Tensor:
    """Token ids [B, up to max_new_tokens] after left-padded prompts: inputs [B, L, H] embeddings, mask [B, L].

    guidance: other than 1, the second half of the rows are the prompts of the first without the embedding (Guidance).
    draw: write this candidate in place of the likeliest text. min_new_tokens: no text ends before. cache: {argument of the
    LLM: DynamicCache of the first columns of the prompts}, or {} without one; options go to `generate`.
    """
    guiding = [Guidance(guidance)] if guidance != 1 else []
    dropping = bool(cache) and not options.get("do_sample")
    rows, ids = torch.arange(len(inputs), device=inputs.device), inputs.new_empty(len(inputs), 0, dtype=torch.long)
    ends = torch.as_tensor(eos_token_id, device=inputs.device)  # one or several
    texts = ids.new_full((len(inputs), max_new_tokens), pad_token_id)
    while True:
        settings = GenerationConfig(max_new_tokens=max_new_tokens - ids.shape[1], eos_token_id=eos_token_id,
                                    pad_token_id=pad_token_id, **options)
        processors = guiding + [RepetitionPenalty(penalty, ids)] * (penalty != 1)
        if draw is not None:
            processors = [*processors, GumbelNoise(draw, ids.shape[1])]
        if ids.shape[1] < min_new_tokens:
            processors = [*processors, MinNewTokensLengthLogitsProcessor(0, min_new_tokens - ids.shape[1], ends)]
        new = llm.generate(
            inputs_embeds=inputs, attention_mask=mask, generation_config=settings,
            logits_processor=LogitsProcessorList(processors),
            stopping_criteria=StoppingCriteriaList([StopAtHalf(ends)] if dropping else []), **cache)
        ids = torch.cat([ids, new], 1)
        texts[rows, :ids.shape[1]] = ids
        left = (~torch.isin(ids, ends).any(1)).nonzero().flatten()
        if not dropping or not len(left) or ids.shape[1] == max_new_tokens:
            return texts[:len(texts) // 2 if guiding else None, :ids.shape[1]]
        next(iter(cache.values())).batch_select_indices(left)
        inputs = torch.cat([inputs, llm.get_input_embeddings()(new)], 1)[left]
        mask = torch.nn.functional.pad(mask, (0, new.shape[1]), value=1)[left]
        rows, ids = rows[left], ids[left]
