"""Weights of people's own in the linear branch: deviations from those of all people, shrunk to them (Evgeniou and Pontil,
Regularized multi-task learning, KDD 2004).

People's responses differ, so those who are trained together can hurt each other. A person whose trials are in training gets
weights between those of all people and those of the own trials alone. How far between is chosen on held-out trials, and may
be not at all. All others get the weights of all people.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from eegdata.trials import Trials

from .linear_branch import SHRINKAGES, DiscriminantAnalysis, Folds
from .log_loss import best_log_loss

LEAST = 50  # trials of a person in training, below which they have no weights of their own
SHARES = (.25, .5, .75, 1.)  # of the own weights


class Subjects(NamedTuple):
    """Whose trials are whose: the subject number of each [N], and the fingerprint of the data set that numbers them."""

    numbers: torch.Tensor
    data: str


@dataclass(frozen=True)
class OwnShare:
    """What was chosen: the share of the own weights, the shrinkage of their covariance, and the factor that brings their
    logits to the spread of all people's."""

    share: float
    strength: float
    scale: float

    def mix(self, of_all: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        """Of logits, weights or biases by all people and by one's own."""
        return (1 - self.share) * of_all + self.share * self.scale * own


def own_models(features: torch.Tensor, labels: torch.Tensor, classes: int,
               person: torch.Tensor) -> dict[int, DiscriminantAnalysis]:
    """A discriminant analysis of the trials of each person [N] who has enough of them, of two classes or more."""
    rows = {number: person == number for number in person.unique().tolist()}
    return {number: DiscriminantAnalysis(features[own], labels[own], classes) for number, own in rows.items()
            if own.sum() >= LEAST and len(labels[own].unique()) > 1}


def own_logits(models: dict[int, DiscriminantAnalysis], features: torch.Tensor, person: torch.Tensor, of_all: torch.Tensor,
               strengths: Sequence[float]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [S, M, K] of features [M, D] by each person's own model at each strength, and whether there is one [M].

    Where there is none, they are those of_all [M, K].
    """
    logits, known = of_all.repeat(len(strengths), 1, 1), torch.zeros(len(features), dtype=torch.bool)
    for number, model in models.items():
        rows = person == number
        logits[:, rows] = model.logits(features[rows], strengths)
        known |= rows
    return logits, known


def choose_share(features: torch.Tensor, labels: torch.Tensor, classes: int, person: torch.Tensor, folds: Folds,
                 of_all: torch.Tensor) -> OwnShare | None:
    """The share and the strength of the lowest log-loss on held-out folds, None where that of all people's weights is the
    lowest; of_all [M, K]: the folds' logits by these."""
    parts, start = [], 0
    for fit, held in folds:
        models = own_models(features[fit], labels[fit], classes, person[fit])
        parts.append(own_logits(models, features[held], person[held], of_all[start:start + len(held)], SHRINKAGES))
        start += len(held)
    own, known = torch.cat([logits for logits, _ in parts], 1), torch.cat([known for _, known in parts])
    truth = labels[torch.cat([held for _, held in folds])]
    losses = {None: best_log_loss(of_all, truth)}
    for strength, logits in zip(SHRINKAGES, own, strict=True) if known.any() else ():
        scale = float(of_all[known].std() / logits[known].std())
        for share in SHARES:
            choice = OwnShare(share, strength, scale)
            losses[choice] = best_log_loss(torch.where(known[:, None], choice.mix(of_all, logits), of_all), truth)
    return min(losses, key=losses.get)


def tell_people(trials: Trials, subjects: Sequence[int]) -> None:
    """Let `trials.eeg` tell whose its trials are, by their place among an encoder's subjects; replaces it."""
    place = {subject: number for number, subject in enumerate(subjects)}
    trials.eeg = trials.eeg.of_people(torch.tensor([place.get(subject, -1) for subject in trials.subject.tolist()]))
