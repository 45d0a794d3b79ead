"""Loss functions of the EEG encoder: pure functions of tensors.

In a batch, `embedding` [B, E] is predicted from EEG, `target` [B, E] is the embedding of the picture that was seen, and
`image` [B] is the number of that picture. Two trials of the same picture are never each other's negatives. Each loss is a
scalar. Cosines are taken in float32, also where autocast computes the encoder in 16 bit: divided by a temperature, their
rounding would be as large as their differences.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def mse(embedding: Tensor, target: Tensor, image: Tensor | None = None) -> Tensor:
    """Mean squared error over trials and dimensions; `image` is not used."""
    return F.mse_loss(embedding, target)


def infonce(embedding: Tensor, target: Tensor, image: Tensor, temperature: float = 0.07, softness: float = 0.0) -> Tensor:
    """Symmetric InfoNCE on cosines, as in CLIP (Radford et al. 2021, arXiv 2103.00020).

    Another trial of the same picture is left out of the softmax: it is neither the match nor a negative. softness (0..1):
    share of the match that is spread over the batch by how near the pictures are to each other, so that a picture much like
    the one that was seen is less of a negative.
    """
    shown = F.normalize(target, dim=1)
    cosines = F.normalize(embedding, dim=1) @ shown.T / temperature
    match = torch.eye(len(image), device=image.device)
    repeated = _same_picture(image) & ~match.bool()
    cosines = cosines.masked_fill(repeated, float("-inf"))
    if softness:
        near = (shown @ shown.T / temperature).masked_fill(repeated, float("-inf")).softmax(1)
        match = (1 - softness) * match + softness * near
    log_p = (each.log_softmax(1).masked_fill(repeated, 0.0) for each in (cosines, cosines.T))
    return sum(-(match * each).sum(1).mean() for each in log_p) / 2


def siglip(embedding: Tensor, target: Tensor, image: Tensor, scale: float = 10.0, bias: float = -10.0) -> Tensor:
    """Pairwise sigmoid loss (Zhai et al. 2023, arXiv 2303.15343), with the paper's initial scale and bias.

    Each pair is classified on its own, so all trials of the same picture are matches.
    """
    logits = F.normalize(embedding, dim=1) @ F.normalize(target, dim=1).T * scale + bias
    sign = _same_picture(image).to(logits.dtype) * 2 - 1
    return -F.logsigmoid(sign * logits).sum() / len(image)


def margin(embedding: Tensor, target: Tensor, image: Tensor, distance: float = 1.0) -> Tensor:
    """Margin contrastive loss (Hadsell, Chopra & LeCun 2006) on embeddings of unit length.

    Pairs of the same picture are pulled together; other pairs are pushed apart to at least `distance` (0..2). Both kinds of
    pairs have the same weight, however few matches a batch has.
    """
    gap = torch.cdist(F.normalize(embedding, dim=1), F.normalize(target, dim=1))
    same = _same_picture(image)
    loss = gap[same].square().mean()
    if not same.all():
        loss = loss + F.relu(distance - gap[~same]).square().mean()
    return loss


EMBEDDING_LOSSES = {"mse": mse, "infonce": infonce, "siglip": siglip, "margin": margin}


def embedding_loss(name: str, embedding: Tensor, target: Tensor, image: Tensor, softness: float = 0.0) -> Tensor:
    """The loss called `name` in EMBEDDING_LOSSES; softness: of infonce."""
    more = {"softness": softness} if name == "infonce" else {}
    with torch.autocast(embedding.device.type, enabled=False):
        return EMBEDDING_LOSSES[name](embedding.float(), target.float(), image, **more)


def classification_loss(logits: Tensor, labels: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of logits [B, K] and labels [B]; `smoothing` (0..1) is the share that is spread over all classes.
    weights [K]: of the trials of each class in the mean; None: all count alike.

    Where pictures have any number of classes, labels are [B, K] float, and it is the mean of K binary cross-entropies, each
    with the share spread over yes and no. Without classes (K = 0) it is 0.
    """
    if labels.ndim == 1:
        return F.cross_entropy(logits, labels, weights, label_smoothing=smoothing)
    if not labels.shape[1]:
        return logits.sum()
    return F.binary_cross_entropy_with_logits(logits, labels * (1 - smoothing) + smoothing / 2)


def _same_picture(image):
    return image[:, None] == image[None, :]
