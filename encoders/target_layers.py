"""Which layers of a picture model an encoder should predict, by a linear decoder of the EEG, before the encoder is trained.

Which layer the EEG tells most of differs from study to study, and matters more than the encoder (Shallow Alignment, SAMGA).
Here ridge regression predicts each layer from window means of the EEG. A single layer is chosen by retrieval of the
validation pictures. A mix has a weight for each layer, learned by InfoNCE on predictions of training trials whose pictures
were not fitted. A head is a linear layer on the picture's side, learned by InfoNCE together with one on the EEG's side. So
the target is fixed before the encoder is trained on it, and the test part is never read.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from eegdata.dataset_folder import MappedEEG
from metrics.retrieval import cosine, ranks_of

from .linear_branch import all_window_means, window_samples
from .picture_targets import PictureTarget
from .targets import mean_and_scale

WINDOW_SECONDS = .025
MOST_TRIALS = 3000  # of a part; more hardly change which layer is best
FOLDS = 5
PENALTIES = (1e-3, 1e-2, .1, 1., 10., 100.)  # relative to the mean eigenvalue of the kernel
TEMPERATURE = .07  # of InfoNCE at the beginning
MIX_STEPS, HEAD_STEPS, CHECK_EVERY = 200, 300, 20
EEG_COMPONENTS = 256  # that a head's other side sees


@dataclass(frozen=True)
class Decoding:
    """What the layers are compared by.

    eeg [n, F] of trials, standardised; image [n], the row of each trial's picture in features; train, val: rows of eeg;
    features {layer: [pictures, D]} standardised.
    """

    eeg: torch.Tensor
    image: torch.Tensor
    train: torch.Tensor
    val: torch.Tensor
    features: dict[str, torch.Tensor]

    @property
    def candidates(self) -> torch.Tensor:
        """The validation pictures."""
        return self.image[self.val].unique()


def some(rows: torch.Tensor, seed: int) -> torch.Tensor:
    """At most MOST_TRIALS of the rows, drawn at random, in order."""
    chosen = np.random.default_rng(seed).permutation(len(rows))[:MOST_TRIALS]
    return rows[torch.from_numpy(np.sort(chosen))]


def decoding(eeg: torch.Tensor | MappedEEG, image: torch.Tensor, train: torch.Tensor, val: torch.Tensor, sfreq: float,
             features: dict[str, torch.Tensor], seed: int) -> tuple[Decoding, torch.Tensor, torch.Tensor]:
    """The Decoding of trials train and val of eeg [N, C, T], and mean and scale [D] that standardise all features.

    image [N]: row in features. Each layer is centred and divided by its overall scale over the training pictures, and by
    the root of its dimensions, so that layers count alike side by side.
    """
    train, val = some(train, seed), some(val, seed)
    window = window_samples(sfreq, eeg.shape[2], WINDOW_SECONDS)
    means = all_window_means(eeg, window, torch.cat([train, val])).flatten(1).double()
    own = means[:len(train)]
    means = (means - own.mean(0)) / own.std(0).clamp_min(1e-12)
    pictures, mean, scale = image[train].unique(), {}, {}
    for layer, rows in features.items():
        mean[layer], spread = mean_and_scale(rows[pictures])
        scale[layer] = torch.full_like(mean[layer], 1 / spread / rows.shape[1] ** .5)
    standardised = {layer: ((rows - mean[layer]) * scale[layer]).double() for layer, rows in features.items()}
    numbers = torch.arange(len(means))
    found = Decoding(means, image[torch.cat([train, val])], numbers[:len(train)], numbers[len(train):], standardised)
    return found, torch.cat(list(mean.values())), torch.cat(list(scale.values()))


class KernelRidge:
    """Ridge regression of many targets from eeg [n, F], for all penalties from one decomposition."""

    def __init__(self, eeg: torch.Tensor) -> None:
        self.eeg = eeg
        self.values, self.vectors = torch.linalg.eigh(eeg @ eeg.T)
        self.values = self.values.clamp_min(0)

    def predict(self, eeg: torch.Tensor, targets: torch.Tensor, penalty: float) -> torch.Tensor:
        """[m, F], [n, D] -> [m, D]."""
        shrunk = self.vectors / (self.values + penalty * self.values.mean().clamp_min(1e-12))
        return (eeg @ self.eeg.T) @ (shrunk @ (self.vectors.T @ targets))


def held_out(data: Decoding) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Predictions {layer: [n_train, D]} of training trials whose pictures were not fitted, and the best penalty of each."""
    pictures = data.image[data.train]
    fold = pictures.unique(return_inverse=True)[1] % min(FOLDS, len(pictures.unique()))
    tried = {layer: {penalty: torch.empty(len(pictures), rows.shape[1], dtype=torch.float64) for penalty in PENALTIES}
             for layer, rows in data.features.items()}
    for number in fold.unique():
        fit, held = data.train[fold != number], data.train[fold == number]
        ridge = KernelRidge(data.eeg[fit])
        for layer, rows in data.features.items():
            for penalty in PENALTIES:
                tried[layer][penalty][fold == number] = ridge.predict(data.eeg[held], rows[data.image[fit]], penalty)
    best = {layer: max(PENALTIES, key=lambda p, layer=layer: F.cosine_similarity(
        tried[layer][p], data.features[layer][pictures]).mean().item()) for layer in data.features}
    return {layer: tried[layer][best[layer]] for layer in data.features}, best


def of_validation(data: Decoding, penalties: dict[str, float]) -> dict[str, torch.Tensor]:
    """Predictions {layer: [n_val, D]} of the validation trials."""
    ridge = KernelRidge(data.eeg[data.train])
    return {layer: ridge.predict(data.eeg[data.val], rows[data.image[data.train]], penalties[layer])
            for layer, rows in data.features.items()}


def reciprocal_rank(data: Decoding, predicted: torch.Tensor, pictures: torch.Tensor) -> float:
    """Mean reciprocal rank of the validation pictures; predicted [n_val, E], pictures [all, E]."""
    candidates, target = data.image[data.val].unique(return_inverse=True)
    return float((1 / (1 + ranks_of(cosine(predicted, pictures[candidates]), target))).mean())


def learned_mix(data: Decoding, predicted: dict[str, torch.Tensor]) -> dict[str, float]:
    """Weight of each layer, which sum to 1, by InfoNCE of held-out predictions among the training pictures."""
    pictures, target = data.image[data.train].unique(return_inverse=True)
    cosines = torch.stack([torch.from_numpy(cosine(predicted[layer], rows[pictures]))
                           for layer, rows in data.features.items()])
    logits, log_temperature = torch.zeros(len(cosines), dtype=torch.float64), torch.tensor(np.log(TEMPERATURE))
    optimizer = torch.optim.Adam([logits.requires_grad_(), log_temperature.requires_grad_()], lr=.05)
    for _ in range(MIX_STEPS):
        mixed = torch.einsum("l,lnm->nm", logits.softmax(0), cosines) / log_temperature.exp()
        optimizer.zero_grad()
        F.cross_entropy(mixed, target).backward()
        optimizer.step()
    return dict(zip(data.features, logits.detach().softmax(0).tolist(), strict=True))


def learned_head(data: Decoding, size: int, seed: int) -> tuple[torch.Tensor, float]:
    """A head [D, size] for the layers side by side, and the reciprocal rank of validation by the linear layers.

    It begins as the principal components of the training pictures; validation picks the step.
    """
    features = torch.cat(list(data.features.values()), 1).float()
    pictures = data.image[data.train].unique()
    values, vectors = torch.linalg.eigh(torch.cov(features[pictures].T))
    head = (vectors[:, -size:] / values[-size:].clamp_min(1e-6 * values[-1]).sqrt()).clone().requires_grad_()
    _, _, directions = torch.linalg.svd(data.eeg[data.train], full_matrices=False)
    components = (data.eeg @ directions[:min(EEG_COMPONENTS, len(data.train) // 4)].T).float()
    components /= components[data.train].std(0).clamp_min(1e-6)
    ours = torch.zeros(components.shape[1], size)
    ridge = KernelRidge(components[data.train].double())
    start = ridge.predict(torch.eye(len(ours), dtype=torch.float64), features[data.image[data.train]].double(), 1.)
    ours = (start.float() @ head.detach()).requires_grad_()
    optimizer = torch.optim.AdamW([head, ours], lr=1e-3, weight_decay=1e-2)
    draw, best = np.random.default_rng(seed), None
    for step in range(HEAD_STEPS + 1):
        if step % CHECK_EVERY == 0:
            with torch.no_grad():
                found = reciprocal_rank(data, components[data.val] @ ours, features @ head)
            if best is None or found > best[0]:
                best = found, head.detach().clone()
        rows = torch.from_numpy(draw.permutation(len(data.train))[:512])
        decoded, shown = components[rows] @ ours, features[data.image[rows]] @ head
        cosines = F.normalize(decoded, dim=1) @ F.normalize(shown, dim=1).T / TEMPERATURE
        same = data.image[rows][:, None] == data.image[rows]
        cosines = cosines.masked_fill(same & ~torch.eye(len(rows), dtype=torch.bool), float("-inf"))
        optimizer.zero_grad()
        F.cross_entropy(cosines, torch.arange(len(rows))).backward()
        optimizer.step()
    return best[1], best[0]


def make_target(data: Decoding, mean: torch.Tensor, scale: torch.Tensor, *, name: str, identity: dict, grid: int, mix: str,
                head: int | None, seed: int) -> tuple[PictureTarget, dict]:
    """The target, and a report of how it was found: reciprocal ranks of validation, and the weights of the layers.

    mix: "best" takes one layer, the one by which validation retrieves its pictures best; "learned" all, weighted. With a
    head, all layers go into it, so `mix` has no effect.
    """
    report, layers = {"candidates": len(data.candidates), "chance": _chance(len(data.candidates))}, list(data.features)
    sizes = [data.features[layer].shape[1] for layer in layers]
    mean, scale = (dict(zip(layers, each.split(sizes), strict=True)) for each in (mean, scale))
    weights, matrix = dict.fromkeys(layers, 1.), None
    if head:
        matrix, report["head"] = learned_head(data, min(head, sum(sizes)), seed)
    if not head or len(layers) > 1:
        predicted, penalties = held_out(data)
        decoded = of_validation(data, penalties)
        ranks = {layer: reciprocal_rank(data, decoded[layer], data.features[layer]) for layer in layers}
        report["layers"] = ranks
        if not head and mix == "learned" and len(layers) > 1:
            weights = learned_mix(data, predicted)
            report["weights"] = weights
            report["mix"] = reciprocal_rank(data, *(torch.cat([of[layer] * weights[layer] ** .5 for layer in layers], 1)
                                                     for of in (decoded, data.features)))
        elif not head:
            layers = [max(layers, key=ranks.get)]
    return PictureTarget(name, identity, tuple(layers), grid, torch.cat([mean[layer] for layer in layers]),
                         torch.cat([scale[layer] * weights[layer] ** .5 for layer in layers]), matrix), report


def _chance(candidates):
    """The mean reciprocal rank of a random order."""
    return float((1 / np.arange(1, candidates + 1)).mean())


def report_text(target: PictureTarget, report: dict) -> str:
    """What was chosen, for people."""
    lines = [f"target: mean reciprocal rank of {report['candidates']} validation pictures by a linear decoder (chance "
             f"{report['chance']:.3f})"]
    lines += [f"  layer {layer}: {rank:.3f}" + (f", weight {report['weights'][layer]:.2f}" if "weights" in report else "")
              for layer, rank in report.get("layers", {}).items()]
    lines += [f"  {name}: {report[key]:.3f}" for key, name in (("mix", "learned mix"), ("head", "head")) if key in report]
    chosen = f"layer {target.layers[0]}" if len(target.layers) == 1 else f"layers {' '.join(target.layers)}"
    return "\n".join([*lines, f"target: {chosen} of {target.name}"])
