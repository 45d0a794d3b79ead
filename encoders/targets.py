"""Picture embeddings as an encoder learns them: centred, and divided by their overall scale.

CLIP models differ in the scale and the mean of their embeddings. An optimizer's steps do not follow them, so raw targets
of small variance would ask for steps that destroy the encoder. After training, the encoder's last layers take over scale
and mean, and it then predicts the embeddings as the CLIP model gives them.
"""

import torch
from torch import nn

FLAT = 1e-6  # a spread below this share of what it is compared with is rounding


def mean_and_scale(embeddings: torch.Tensor) -> tuple[torch.Tensor, float]:
    """The mean [E] of embeddings [n, E], and their standard deviation over all dimensions.

    The scale is never 0: embeddings that do not vary have their root mean square, or 1 where they are all 0.
    """
    values = embeddings.double()
    mean, size = values.mean(0), values.square().mean().sqrt().item()
    spread = (values - mean).square().mean().sqrt().item()
    return mean.to(embeddings.dtype), spread if spread > FLAT * size else size or 1.0


@torch.no_grad()
def rescale_embedding(encoder: nn.Module, mean: torch.Tensor, scale: float) -> None:
    """Change the last layers of an encoder so that its embedding e becomes scale * e + mean [E]; its logits stay."""
    projector, classifier, mean = encoder.projector, encoder.classifier, mean.to(encoder.projector.bias)
    projector.weight.mul_(scale)
    projector.bias.mul_(scale).add_(mean)
    if encoder.classifies_embedding:
        classifier.weight.div_(scale)
        classifier.bias.sub_(classifier.weight @ mean)
