"""Loss functions of the EEG encoder: pure functions of tensors.

In a batch, `embedding` [B, E] comes from EEG, `target` [B, E] is the embedding of the picture seen, and `image` [B]
says which picture that was. Trials of one picture are never each other's negatives.
"""

import torch
from torch.nn import functional as F


def mse(embedding, target, image=None):
    """Mean squared error over trials and dimensions; the picture ids play no part."""
    return F.mse_loss(embedding, target)


def infonce(embedding, target, image, temperature=0.07):
    """Symmetric InfoNCE on cosines, as in CLIP (Radford et al. 2021, arXiv 2103.00020).

    Another trial of the same picture is left out of the softmax: it is neither the match nor a negative.
    """
    cosines = F.normalize(embedding, dim=1) @ F.normalize(target, dim=1).T / temperature
    repeated = _same_picture(image) & ~torch.eye(len(image), dtype=torch.bool, device=image.device)
    cosines = cosines.masked_fill(repeated, float("-inf"))
    match = torch.arange(len(image), device=image.device)
    return (F.cross_entropy(cosines, match) + F.cross_entropy(cosines.T, match)) / 2


def siglip(embedding, target, image, scale=10.0, bias=-10.0):
    """Pairwise sigmoid loss (Zhai et al. 2023, arXiv 2303.15343), at the paper's initial scale and bias.

    Each pair is its own yes/no question, so every trial of the same picture is a match.
    """
    logits = F.normalize(embedding, dim=1) @ F.normalize(target, dim=1).T * scale + bias
    sign = _same_picture(image).to(logits.dtype) * 2 - 1
    return -F.logsigmoid(sign * logits).sum() / len(image)


def margin(embedding, target, image, distance=1.0):
    """Margin contrastive loss (Hadsell, Chopra & LeCun 2006) on unit-length embeddings.

    Pairs of the same picture are pulled together, others pushed to at least `distance` (0..2); the two kinds of pairs
    weigh the same, however few matches a batch has.
    """
    gap = torch.cdist(F.normalize(embedding, dim=1), F.normalize(target, dim=1))
    same = _same_picture(image)
    loss = gap[same].square().mean()
    if not same.all():
        loss = loss + F.relu(distance - gap[~same]).square().mean()
    return loss


EMBEDDING_LOSSES = {"mse": mse, "infonce": infonce, "siglip": siglip, "margin": margin}


def embedding_loss(name, embedding, target, image):
    """The embedding loss called `name` in EMBEDDING_LOSSES; embedding, target [B, E], image [B] -> scalar."""
    return EMBEDDING_LOSSES[name](embedding, target, image)


def classification_loss(logits, labels, smoothing=0.0):
    """Cross-entropy of logits [B, K] and labels [B]; `smoothing` (0..1) spreads that share over all classes."""
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


def _same_picture(image):
    return image[:, None] == image[None, :]
