"""Blurred pictures as the target of training trials, more blurred where the EEG fits less (UBP, Wu et al., CVPR 2025).

EEG holds less detail of a picture than the picture has, and differs from trial to trial. In UBP the blur of a picture rises
where its similarity with the decoded EEG is below a 95% interval of the batch, and falls where it is above. There the blur
grows with the distance from the centre of gaze; here it is the same everywhere.
"""

from runtime import processes

import torch
from torch import nn
from torch.nn import functional as F

SMOOTHING = .3  # share of the newest similarity, as in UBP
BOUND = 1.96  # standard deviations of the batch
UNSEEN = -2.0  # no cosine


class BlurredTargets(nn.Module):
    """Chooses the target of each trial among those of its picture at several strengths of blur.

    targets [levels, pictures, E], from the sharpest on; mean [E]: where the targets' origin is (EncoderObjective). All
    pictures begin in the middle. Levels and similarities are part of the checkpoint, so that a training can be resumed.
    """

    def __init__(self, targets: torch.Tensor, mean: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("targets", targets, persistent=False)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("level", torch.full((targets.shape[1],), len(targets) // 2))
        self.register_buffer("similarity", torch.full((targets.shape[1],), UNSEEN))

    @torch.no_grad()
    def forward(self, embedding: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """embedding [B, E], image [B] -> targets [B, E]; the levels are then adapted for the next time."""
        target = self.targets[self.level[image], image]
        found = F.cosine_similarity(embedding.float() + self.mean, target + self.mean)
        image, found = processes.join(image), processes.join(found)  # else all would go on with those of process 0 alone
        before = self.similarity[image]
        smooth = torch.where(before == UNSEEN, found, SMOOTHING * found + (1 - SMOOTHING) * before)
        mean, spread = smooth.mean(), smooth.std(correction=0)
        step = (found < mean - BOUND * spread).long() - (found > mean + BOUND * spread).long()
        middle, last = len(self.targets) // 2, len(self.targets) - 1
        self.level[image] = (middle + step * middle).clamp(0, last)
        self.similarity[image] = smooth
        return target
