"""Two linear branches beside the default encoder's transformer, and how much of each is used.

What a branch is worth is measured on trials that it was not fitted to: the linear branches by cross-validation within the
training and validation parts, the transformer, which is trained once, on the validation part. The weights of the classes'
logits minimise the log-loss, those of the picture embeddings the squared error. A branch that does not help gets 0. Then
the linear branches are fitted again to both parts. The weights go into the branches' last layers, so the encoder's outputs
are the sums of its branches' outputs, and its class temperature is 1.
"""

import warnings
from functools import partial

from runtime import profiler

import numpy as np
import torch
from torch import nn

from eegdata.dataset_folder import MappedEEG
from eegdata.trials import Trials

from . import encode
from .linear_branch import (
    DiscriminantAnalysis,
    Features,
    Ridge,
    all_window_means,
    choose,
    class_losses,
    embedding_losses,
    held_out,
    held_out_embeddings,
    window_samples,
)
from .log_loss import best_log_loss, fit_weights, gain_beyond_error, log_losses, spread
from .tangent_branch import (
    STRENGTHS,
    all_components,
    fit_regression,
    fit_space,
    fit_tangent,
    principal_components,
    samples_per_mean,
    tangent_logits,
    vectors_of,
)
from .targets import mean_and_scale
from .transformer import mean_and_covariance

FOLDS = 5
MOST_TRIALS = 20_000  # that a branch is fitted to, drawn at random: more would fill the memory
MOST_FOR_CHOICES = 2000  # of them, for cross-validation
LEAST_SHARE = .05  # of a transformer's logits where nothing helps


def independent_groups(trials: Trials, train: torch.Tensor, val: torch.Tensor) -> np.ndarray:
    """The group of each trial of train and val (positions), [n]: its subject where the two parts share none, else its
    recording, else its picture, else the trial itself."""
    both = torch.cat([train, val])
    for values in (trials.subject, trials.recording, trials.image if trials.has_pictures else None):
        if values is not None and not np.intersect1d(values[train], values[val]).size and len(values[both].unique()) > 2:
            return values[both].numpy()
    return both.numpy()


class BranchFitting:
    """Fits the linear branches to the trials of the training and validation parts together.

    eeg [N, C, T]; labels [N], or None where pictures have no one class: the logits are then the transformer's; targets
    [N, E] standardised, or None where only classes are learned; rows: {"train", "val"} positions; groups [N]: trials of one
    group are never both fitted and held out. `whitening` is the shrinkage of the channels' whitening that suits the linear
    branch; it is known before the transformer is trained.
    """

    def __init__(self, eeg: torch.Tensor | MappedEEG, labels: torch.Tensor | None, targets: torch.Tensor | None,
                 classes: int, rows: dict[str, torch.Tensor], groups: np.ndarray, sfreq: float, seed: int) -> None:
        from sklearn.model_selection import StratifiedGroupKFold

        rng = np.random.default_rng(seed)
        self.kept = torch.from_numpy(np.sort(rng.permutation(len(eeg))[:MOST_TRIALS]))  # positions in eeg
        self.labels = None if labels is None else labels[self.kept]
        self.groups, self.classes = groups[self.kept.numpy()], classes
        self.targets = None if targets is None else targets[self.kept].double()
        self.train, self.val = (torch.isin(self.kept, rows[part]).nonzero()[:, 0] for part in ("train", "val"))
        self.means = all_window_means(eeg, window_samples(sfreq, eeg.shape[2]), self.kept)
        self.covariance = mean_and_covariance(eeg, self.kept)[1]
        chosen = np.sort(rng.permutation(len(self.kept))[:MOST_FOR_CHOICES])
        strata = torch.zeros(len(chosen), dtype=torch.long) if labels is None else self.labels[chosen]
        most = int(torch.bincount(strata).max())
        alike = strata if most > 1 else torch.zeros_like(strata)  # classes of one trial each cannot be spread over folds
        count = min(FOLDS, len(np.unique(self.groups[chosen])), int(torch.bincount(alike).max()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a class with fewer trials than folds
            splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
            among = [tuple(map(torch.from_numpy, parts))
                     for parts in splitter.split(chosen, alike, self.groups[chosen])]
        chosen = torch.from_numpy(chosen)
        if labels is None:
            losses = partial(embedding_losses, targets=self.targets[chosen], folds=among)
        else:
            losses = partial(class_losses, labels=strata, classes=classes, folds=among)
        self.choice = choose(self.means[chosen], self.covariance, losses)
        self.folds = [(chosen[fit], chosen[held]) for fit, held in among]
        self.held = torch.cat([held for _, held in self.folds])
        self.features = Features(self.means, self.covariance, self.choice.whitening, self.choice.length)
        self.spatial, self.step = principal_components(self.covariance), samples_per_mean(eeg.shape[2])
        self.signals = all_components(eeg, self.spatial, self.step, self.kept)
        self.val_logits = None

    @property
    def val_rows(self) -> torch.Tensor:
        """Positions in eeg of the validation trials that are used."""
        return self.kept[self.val]

    @property
    def whitening(self) -> float:
        return self.choice.whitening

    def _linear_logits(self, fit, asked):
        model = DiscriminantAnalysis(self.features.values[fit], self.labels[fit], self.classes)
        return model.logits(self.features.values[asked], [self.choice.strength])[0]

    def _tangent_logits(self, fit, asked, strength):
        return tangent_logits(self.signals[asked], fit_tangent(self.signals[fit], self.labels[fit], self.classes, strength))

    def _ridge(self, fit, asked, penalty):
        return Ridge(self.features.values[fit], self.targets[fit]).predict(self.features.values[asked], penalty)

    def _choose_strength(self):
        """C of the tangent branch's regression, and its held-out logits."""
        found = {strength: [] for strength in STRENGTHS}
        for fit, held in self.folds:
            space = fit_space(self.signals[fit], self.labels[fit], self.classes)
            known, asked = (vectors_of(self.signals[part], space) for part in (fit, held))
            for strength, logits in found.items():
                fitted = fit_regression(known, self.labels[fit], self.classes, strength)
                logits.append(asked @ fitted["weight"].T + fitted["bias"])
        found = {strength: torch.cat(logits) for strength, logits in found.items()}
        best = min(found, key=lambda strength: best_log_loss(found[strength], self.labels[self.held]))
        return best, found[best]

    def _choose_penalty(self):
        """The ridge regression's penalty, and its held-out predictions."""
        truth = self.targets[self.held]
        return min(held_out_embeddings(self.features.values, self.targets, self.folds),
                   key=lambda found: (found[1] - truth).square().mean().item())

    def add_to(self, encoder: nn.Module, eeg: torch.Tensor | MappedEEG, device: str, scale: float) -> None:
        """Add the branches to a trained encoder whose embedding is standardised; rescale_embedding must follow, with the
        same scale.

        Afterwards encoder.config.branches tells the share of each branch in the logits and in the embedding, and val_logits
        [n, K] are what the branches say of the validation trials `val_rows` [n] when they are fitted to the training part
        alone; None where pictures have no one class. The spread of such embeddings is kept as encoder.config.unseen_scale.
        """
        profiler.stage("branches")
        embedding, logits = (part.double() for part in encode(encoder, eeg, self.val_rows, device=device))
        strength, shares = (self._combine_logits(encoder, logits) if self.labels is not None
                            else (None, {"transformer": float(self.classes > 0), "linear": 0., "tangent": 0.}))
        penalty, of_embedding = (self._combine_embeddings(encoder, embedding, scale) if self.targets is not None
                                 else (None, {}))
        encoder.config.branches = {name: {"logits": shares.get(name, 0.), "embedding": of_embedding.get(name, 0.)}
                                   for name in shares}
        encoder.add_branches()
        self._fit_linear(encoder.linear, penalty, scale)
        if encoder.tangent is not None:
            self._fit_tangent(encoder.tangent, strength)

    def _combine_logits(self, encoder, neural):
        strength, tangent = self._choose_strength()
        linear = held_out(self._linear_logits, self.folds)
        self.linear_weight, self.tangent_weight = fit_weights([linear, tangent], self.labels[self.held])
        train, val = self.train, self.val
        both = (self.linear_weight * self._linear_logits(train, val)
                + self.tangent_weight * self._tangent_logits(train, val, strength))
        labels, groups = self.labels[val], self.groups[val.numpy()]
        neural_weight, scale = fit_weights([neural, both], labels)
        before, after = (log_losses(logits, labels) for logits in (both, neural_weight * neural + scale * both))
        if not both.any():
            neural_weight, scale = max(neural_weight, LEAST_SHARE), 1.
        elif not gain_beyond_error(before, after, groups):
            neural_weight, scale = 0., 1.
        self.linear_weight, self.tangent_weight = self.linear_weight * scale, self.tangent_weight * scale
        self.val_logits = neural_weight * neural + scale * both
        with torch.no_grad():
            for part in (encoder.classifier.weight, encoder.classifier.bias):
                part.mul_(neural_weight)
        known = self.labels.unique()  # that a branch rules out the other classes is no share in telling these apart
        return strength, _shares({"transformer": neural_weight * neural[:, known],
                                  "linear": self.linear_weight * linear[:, known],
                                  "tangent": self.tangent_weight * tangent[:, known]})

    def _combine_embeddings(self, encoder, neural, target_scale):
        from scipy.optimize import nnls

        penalty, linear = self._choose_penalty()
        truth = self.targets
        power = linear.square().sum().item()
        self.ridge_weight = max((linear * truth[self.held]).sum().item() / power, 0.) if power else 0.
        val = self.val
        both = self.ridge_weight * self._ridge(self.train, val, penalty)
        parts = torch.stack([neural.flatten(), both.flatten()])
        weight, scale = nnls((parts @ parts.T).numpy(), (parts @ truth[val].flatten()).numpy())[0]
        before, after = ((predicted - truth[val]).square().mean(1) for predicted in (both, weight * neural + scale * both))
        if not both.any():
            weight, scale = max(weight, LEAST_SHARE), 1.
        elif not gain_beyond_error(before, after, self.groups[val.numpy()]):
            weight, scale = 0., 1.
        self.ridge_weight *= scale
        encoder.config.unseen_scale = target_scale * mean_and_scale(weight * neural + scale * both)[1]
        with torch.no_grad():
            for part in (encoder.projector.weight, encoder.projector.bias):
                part.mul_(weight)
        return penalty, _shares({"transformer": weight * neural, "linear": self.ridge_weight * linear})

    @torch.no_grad()
    def _fit_linear(self, branch, penalty, scale):
        if self.labels is not None:
            model = DiscriminantAnalysis(self.features.values, self.labels, self.classes)
            weight, bias = model.weights(self.choice.strength)
            branch.classes_weight.copy_(self.linear_weight * self.features.on_means(weight))
            branch.classes_bias.copy_(self.linear_weight * bias)
        if penalty is not None:
            weight, bias = Ridge(self.features.values, self.targets).weights(penalty)
            branch.embedding_weight.copy_(scale * self.ridge_weight * self.features.on_means(weight))
            branch.embedding_bias.copy_(scale * self.ridge_weight * bias)

    def _fit_tangent(self, branch, strength):
        fitted = fit_tangent(self.signals, self.labels, self.classes, strength)
        for name in ("weight", "bias"):
            fitted[name] = self.tangent_weight * fitted[name]
        branch.load_state_dict({"spatial": self.spatial, **fitted})


def class_weights(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Weights [K] of the classes in a loss, of mean 1 over the trials, by which all classes count alike. A class without
    trials has 1: label smoothing gives it a share of each trial, too, times its weight."""
    counts = torch.bincount(labels, minlength=classes)
    return torch.where(counts > 0, len(labels) / ((counts > 0).sum() * counts.clamp_min(1)), 1.)


def _shares(outputs):
    """The standard deviation of each branch's outputs [N, D] in that of all, {name: share}; logits count without their
    mean over the classes, which has no effect."""
    sizes = {name: spread(values - values.mean(1, keepdim=True)) for name, values in outputs.items()}
    total = sum(sizes.values()) or 1.
    return {name: round(value / total, 3) for name, value in sizes.items()}


def shares_text(branches: dict[str, dict[str, float]]) -> str:
    """Which branch carries how much, as a sentence; of outputs that were not learned nothing is said."""
    said = [f"in {what}: " + ", ".join(f"{name} {100 * share[key]:.0f}%" for name, share in branches.items())
            for key, what in (("logits", "the class logits"), ("embedding", "the picture embedding"))
            if any(share[key] for share in branches.values())]
    return "share of each branch " + "; ".join(said)
