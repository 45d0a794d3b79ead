"""The linear branch of an encoder: class and picture embedding from the mean EEG of short windows, in closed form.

The classes come from linear discriminant analysis with a shrunk covariance and equal priors, as scikit-learn's
LinearDiscriminantAnalysis(solver="lsqr", shrinkage=...) (Blankertz et al., NeuroImage 2011, for EEG), the embedding from
ridge regression. One eigendecomposition serves all strengths of shrinkage.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from eegdata.dataset_folder import MappedEEG

from .batches import row_batches
from .log_loss import best_log_loss

WINDOW_SECONDS = .02  # of the shortest window; longer ones are several of these
LENGTHS = (1, 2, 4)  # of a window in shortest windows
WHITENINGS = (.01, .1, .3, .6, 1.)  # shrinkage of the channel covariance; at 1 the channels are not whitened
SHRINKAGES = (.01, .03, .1, .2, .3, .5, .7, .9, .99)  # of the covariance of the features
PENALTIES = (.01, .1, 1., 10., 100., 1000.)  # of the ridge regression, in mean eigenvalues of the covariance
FLAT = 1e-9  # eigenvalues below this share of the largest are rounding
TINY = 1e-12  # the least power of features, which may not vary at all

Folds = list[tuple[torch.Tensor, torch.Tensor]]  # rows to fit to, and rows that are held out


@dataclass(frozen=True)
class LinearChoice:
    """What cross-validation chose: shrinkage of the channels' whitening, windows, and the strength of the regularisation:
    shrinkage of the features' covariance, or penalty where only embeddings are learned."""

    whitening: float
    length: int
    strength: float


class LinearBranch(nn.Module):
    """eeg [B, C, T] -> embedding [B, E], logits [B, K], both linear in the window means; buffers only."""

    def __init__(self, n_chans: int, n_times: int, window: int, num_classes: int, embedding_size: int) -> None:
        super().__init__()
        self.window = window
        size = n_chans * (n_times // window)
        for name, outputs in (("classes", num_classes), ("embedding", embedding_size)):
            self.register_buffer(f"{name}_weight", torch.zeros(outputs, size))
            self.register_buffer(f"{name}_bias", torch.zeros(outputs))

    def forward(self, eeg: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        means = window_means(eeg, self.window).flatten(1)
        return (nn.functional.linear(means, self.embedding_weight, self.embedding_bias),
                nn.functional.linear(means, self.classes_weight, self.classes_bias))


def window_samples(sfreq: float, n_times: int, seconds: float = WINDOW_SECONDS) -> int:
    """Samples in a window of trials of n_times samples."""
    return min(max(1, round(seconds * sfreq)), n_times)


def window_means(eeg: torch.Tensor, window: int) -> torch.Tensor:
    """eeg [B, C, T] -> [B, C, T // window]; samples after the last full window are not used."""
    return eeg[..., :eeg.shape[-1] // window * window].unflatten(-1, (-1, window)).mean(-1)


def all_window_means(eeg: torch.Tensor | MappedEEG, window: int, rows: torch.Tensor | None = None) -> torch.Tensor:
    """The window means of the trials `rows` (None: all), [n, C, W] on the CPU; a batch is read at a time."""
    return torch.cat([window_means(eeg[part], window).cpu() for part in row_batches(eeg, rows)])


class Features:
    """Window means [N, C, W] with the channels whitened, in windows of `length` shortest ones: values [N, D] float64.

    At a whitening of 1 each feature has unit variance, else all have one scale, so that the whitened space keeps its form.
    """

    def __init__(self, means: torch.Tensor, covariance: torch.Tensor, whitening: float, length: int) -> None:
        self.length = min(length, means.shape[2])
        self.shape = means.shape[1], means.shape[2]
        power = covariance.diagonal().mean()
        values, vectors = torch.linalg.eigh((1 - whitening) * covariance + whitening * power * torch.eye(len(covariance)))
        self.matrix = vectors * values.rsqrt() @ vectors.T
        features = torch.einsum("cd,ndw->ncw", self.matrix, window_means(means.double(), self.length)).flatten(1)
        scale = features.std(0) if whitening == 1 else features.std(0).square().mean().sqrt().expand(features.shape[1])
        self.scale = torch.where(scale > FLAT * scale.max(), scale, 1.)
        self.values = features / self.scale

    def on_means(self, weight: torch.Tensor) -> torch.Tensor:
        """Weights of the features [K, D] as weights of the shortest windows [K, C * W]."""
        weight = torch.einsum("cd,kcw->kdw", self.matrix, (weight / self.scale).unflatten(1, (self.shape[0], -1)))
        full = torch.zeros(len(weight), *self.shape, dtype=weight.dtype)
        spread = (weight / self.length).repeat_interleave(self.length, 2)
        full[:, :, :spread.shape[2]] = spread
        return full.flatten(1)


def spectrum(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Eigenvalues [R] and eigenvectors [D, R] of rows.T @ rows for rows [N, D], without those that are 0."""
    wide = rows.shape[0] < rows.shape[1]
    values, vectors = torch.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    kept = values > FLAT * values.max()
    values, vectors = values[kept], vectors[:, kept]
    return values, (rows.T @ vectors) / values.sqrt() if wide else vectors


class DiscriminantAnalysis:
    """Linear discriminant analysis of features [N, D] with equal priors, at any shrinkage of its covariance.

    A class without trials has the mean logit of the others, so that it is never the most likely. With a mean of its own at
    the centre it would be: all others have logits below 0 where a trial is near no mean.
    """

    def __init__(self, features: torch.Tensor, labels: torch.Tensor, classes: int) -> None:
        counts = torch.bincount(labels, minlength=classes).double()
        sums = torch.zeros(classes, features.shape[1], dtype=torch.float64).index_add_(0, labels, features)
        present = counts > 0
        means = sums / counts.clamp_min(1)[:, None]
        self.centre, self.present = means[present].mean(0), present
        self.means = torch.where(present[:, None], means - self.centre, 0.)
        weight = (1 / (counts.clamp_min(1) * present.sum())).sqrt()[labels]
        self.values, self.vectors = spectrum((features - means[labels]) * weight[:, None])
        self.power = self.values.sum().clamp_min(TINY) / features.shape[1]

    def _inverse(self, shrinkage):
        """What the directions of the spectrum, and all others, are divided by."""
        return (1 - shrinkage) * self.values + shrinkage * self.power, shrinkage * self.power

    def _norms(self, norms):
        """Squared lengths [K] of the means; of a class without trials the mean of the others, whose logits' mean is then
        its own, as their means are centred."""
        return torch.where(self.present, norms, norms[self.present].mean())

    def weights(self, shrinkage: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights [K, D] and bias [K] of the logits."""
        along, across = self._inverse(shrinkage)
        parts = self.means @ self.vectors
        weight = (parts / along) @ self.vectors.T + (self.means - parts @ self.vectors.T) / across
        return weight, self._norms((weight * self.means).sum(1)) / -2 - weight @ self.centre

    def logits(self, features: torch.Tensor, shrinkages: Sequence[float]) -> torch.Tensor:
        """features [M, D] -> logits [S, M, K] at each shrinkage."""
        features, parts, found = features - self.centre, self.means @ self.vectors, []
        inner, projected = features @ self.means.T, features @ self.vectors
        squares = self.means.square().sum(1)
        for shrinkage in shrinkages:
            along, across = self._inverse(shrinkage)
            linear = (projected / along) @ parts.T + (inner - projected @ parts.T) / across
            norms = (parts.square() / along).sum(1) + (squares - parts.square().sum(1)) / across
            found.append(linear - self._norms(norms) / 2)
        return torch.stack(found)


class Ridge:
    """Ridge regression of targets [N, E] on features [N, D], at any penalty."""

    def __init__(self, features: torch.Tensor, targets: torch.Tensor) -> None:
        self.centre, self.mean = features.mean(0), targets.mean(0)
        centred = features - self.centre
        self.values, self.vectors = spectrum(centred / len(features) ** .5)
        self.power = self.values.sum().clamp_min(TINY) / features.shape[1]
        self.covariance = self.vectors.T @ (centred.T @ (targets - self.mean)) / len(features)  # [R, E]

    def weights(self, penalty: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights [E, D] and bias [E]."""
        weight = (self.vectors @ (self.covariance / (self.values + penalty * self.power)[:, None])).T
        return weight, self.mean - weight @ self.centre

    def predict(self, features: torch.Tensor, penalty: float) -> torch.Tensor:
        """features [M, D] -> [M, E]."""
        projected = (features - self.centre) @ self.vectors
        return projected / (self.values + penalty * self.power) @ self.covariance + self.mean


def choose(means: torch.Tensor, covariance: torch.Tensor,
           losses: Callable[[torch.Tensor], dict[float, float]]) -> LinearChoice:
    """The whitening, then the length of the windows, each with the best strength.

    losses: features [N, D] -> {strength: loss on held-out folds} (class_losses, embedding_losses)
    """
    def search(whitenings, lengths):
        found = {LinearChoice(whitening, length, strength): loss for whitening in whitenings for length in lengths
                 for strength, loss in losses(Features(means, covariance, whitening, length).values).items()}
        return min(found, key=found.get)

    lengths = [length for length in LENGTHS if length <= means.shape[2]]
    whitening = search(WHITENINGS, lengths[1:2] or lengths).whitening
    return search([whitening], lengths)


def class_losses(features: torch.Tensor, labels: torch.Tensor, classes: int, folds: Folds) -> dict[float, float]:
    """The log-loss of linear discriminant analysis at each shrinkage, at its best temperature."""
    logits = held_out(lambda fit, held: DiscriminantAnalysis(features[fit], labels[fit], classes)
                      .logits(features[held], SHRINKAGES).transpose(0, 1), folds).transpose(0, 1)
    labels = labels[torch.cat([held for _, held in folds])]
    return {shrinkage: best_log_loss(scored, labels) for shrinkage, scored in zip(SHRINKAGES, logits, strict=True)}


def embedding_losses(features: torch.Tensor, targets: torch.Tensor, folds: Folds) -> dict[float, float]:
    """The mean squared error of ridge regression at each penalty."""
    truth = targets[torch.cat([held for _, held in folds])]
    return {penalty: (predicted - truth).square().mean().item()
            for penalty, predicted in held_out_embeddings(features, targets, folds)}


def held_out_embeddings(features: torch.Tensor, targets: torch.Tensor,
                        folds: Folds) -> Iterator[tuple[float, torch.Tensor]]:
    """Each penalty with what ridge regression predicts of the held-out trials, of all folds in their order."""
    models = [Ridge(features[fit], targets[fit]) for fit, _ in folds]
    for penalty in PENALTIES:
        yield penalty, torch.cat([model.predict(features[held], penalty)
                                  for model, (_, held) in zip(models, folds, strict=True)])


def held_out(predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], folds: Folds) -> torch.Tensor:
    """What predict(fit, held) says of the held-out trials, of all folds in their order."""
    return torch.cat([predict(fit, held) for fit, held in folds])
