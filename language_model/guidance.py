"""Classifier-free guidance: captions that lean on the embedding more than the LLM would by itself."""

import torch
from transformers import LogitsProcessor


class Guidance(LogitsProcessor):
    """Scores of the second half of the rows are those of the same prompts without the embedding; both halves get

        without + scale * (with - without)

    in log-probabilities, so both write the same text. A scale of 1 is the LLM's own; above it, tokens that the embedding
    made more likely gain over those that the LLM would write anyway. After Ho & Salimans (2022, arXiv 2207.12598), for
    language models Sanchez et al. (2023, arXiv 2306.17806). transformers' processors of this name want token ids as
    prompts, or give one half only.
    """

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """scores [2B, vocabulary] -> [2B, vocabulary]"""
        given, without = scores.float().log_softmax(-1).chunk(2)
        return torch.lerp(without, given, self.scale).repeat(2, 1)
