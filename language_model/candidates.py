"""Several captions for one prompt, of which the best is kept: noise that draws them, the same for each prompt."""

from dataclasses import dataclass

from runtime.draws import seed_of

import torch
from transformers import LogitsProcessor


@dataclass(frozen=True)
class Draw:
    """One candidate: its number, from 1 on, the seed of all, and the temperature."""

    number: int
    seed: int
    temperature: float


class GumbelNoise(LogitsProcessor):
    """Adds Gumbel noise to log-probabilities divided by the temperature, so that the largest is a draw from them (Gumbel
    1954; Maddison et al., A* Sampling, NeurIPS 2014).

    The noise depends on the draw and the token's place alone. All prompts share it, so a prompt's candidates do not depend
    on the batch that it is in. first: tokens that were written before this call of `generate`.
    """

    def __init__(self, draw: Draw, first: int) -> None:
        self.draw, self.first = draw, first

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        place = seed_of(self.draw.seed, self.draw.number, self.first + input_ids.shape[1])
        uniform = torch.rand(scores.shape[1], generator=torch.Generator().manual_seed(place), dtype=torch.float64)
        noise = -(-uniform.clamp_min(torch.finfo(torch.float64).tiny).log()).log()
        return scores.float() / self.draw.temperature + noise.float().to(scores.device)
