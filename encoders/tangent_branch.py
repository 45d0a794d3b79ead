"""The tangent-space branch of an encoder: how the EEG varies with each class's mean response, and over the scalp.

A trial becomes the covariance matrix of its signals and of the classes' mean responses (ERP covariances, Barachant and
Congedo 2014; pyriemann's ERPCovariances), which is mapped to the tangent space at the mean matrix (Barachant et al. 2013)
and classified by a logistic regression. It is fitted with pyriemann and scikit-learn and applied with torch.
"""

import numpy as np
import torch
from torch import nn

from eegdata.dataset_folder import MappedEEG

from .batches import row_batches

COMPONENTS = 10  # spatial components, of the largest variance
PROTOTYPES = 6  # rows that the classes' mean responses are reduced to
MAX_SAMPLES = 64  # longer trials are averaged down to at most this number
SHRINKAGE = 0.05  # of each covariance matrix
ROUNDING = 1e-5  # a standard deviation below this share of the largest is that of rounding errors
SAME = 1e-9  # relative difference of two eigenvalues that count as equal
UNKNOWN = 10.0  # how far the logit of a class without trials lies below the others
STRENGTHS = (.001, .01, .1)  # C of the logistic regression


class TangentBranch(nn.Module):
    """eeg [B, C, T] -> logits [B, K]; buffers only."""

    def __init__(self, n_chans: int, n_times: int, num_classes: int) -> None:
        super().__init__()
        self.step = samples_per_mean(n_times)
        components, samples = min(COMPONENTS, n_chans), n_times // self.step
        size = components + min(PROTOTYPES, num_classes * components, samples)
        for name, shape in (("spatial", (components, n_chans)), ("prototypes", (size - components, samples)),
                            ("whitening", (size, size)), ("weight", (num_classes, size * (size + 1) // 2)),
                            ("bias", (num_classes,))):
            self.register_buffer(name, torch.zeros(shape))

    def forward(self, eeg: torch.Tensor) -> torch.Tensor:
        fitted = {name: buffer.double() for name, buffer in self.named_buffers()}
        return tangent_logits(components_of(eeg, fitted["spatial"], self.step), fitted).float()


def samples_per_mean(n_times: int) -> int:
    """How many samples are averaged into one."""
    return -(-n_times // MAX_SAMPLES)


def components_of(eeg: torch.Tensor, spatial: torch.Tensor, step: int) -> torch.Tensor:
    """eeg [B, C, T] -> spatial components [B, F, T // step] float64."""
    kept = eeg[..., :eeg.shape[-1] // step * step].unflatten(-1, (-1, step)).mean(-1)
    return spatial @ kept.double()


def all_components(eeg: torch.Tensor | MappedEEG, spatial: torch.Tensor, step: int,
                   rows: torch.Tensor | None = None) -> torch.Tensor:
    """The components of the trials `rows` (None: all), [n, F, T // step] on the CPU; a batch is read at a time."""
    return torch.cat([components_of(eeg[part].cpu(), spatial, step) for part in row_batches(eeg, rows)])


def principal_components(covariance: torch.Tensor) -> torch.Tensor:
    """The spatial filters [F, C] of the largest variance for a channel covariance [C, C]."""
    return torch.linalg.eigh(covariance.double()).eigenvectors[:, -COMPONENTS:].T.contiguous()


def class_prototypes(signals: torch.Tensor, labels: torch.Tensor, classes: int) -> torch.Tensor:
    """The courses in time [P, S] that the classes' mean responses in signals [N, F, S] are made of (their first right
    singular vectors), as strong as the signals."""
    mean = signals.mean(0)
    means = torch.cat([signals[labels == k].mean(0) if (labels == k).any() else mean for k in range(classes)])
    return torch.linalg.svd(means, full_matrices=False).Vh[:PROTOTYPES] * signals.std()


def erp_covariances(signals: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
    """signals [B, F, S], prototypes [P, S] -> shrunk covariances [B, P + F, P + F] about 0."""
    both = torch.cat([prototypes.expand(len(signals), -1, -1), signals], 1)
    covariances = both @ both.transpose(1, 2) / both.shape[2]
    power = covariances.diagonal(dim1=1, dim2=2).mean(1)
    identity = torch.eye(covariances.shape[1], dtype=covariances.dtype, device=covariances.device)
    return (1 - SHRINKAGE) * covariances + SHRINKAGE * power[:, None, None] * identity


def tangent_vectors(covariances: torch.Tensor, whitening: torch.Tensor) -> torch.Tensor:
    """Covariances [B, M, M] -> their tangent vectors [B, M (M + 1) / 2] at the matrix whose inverse root is `whitening`."""
    logs = matrix_logarithms(whitening @ covariances @ whitening)
    row, column = torch.triu_indices(*whitening.shape, device=logs.device)
    return logs[:, row, column] * torch.where(row == column, 1., 2 ** .5)


def matrix_logarithms(matrices: torch.Tensor) -> torch.Tensor:
    """Logarithms of symmetric positive matrices [B, M, M].

    The gradient is by divided differences (Daleckii and Krein; Higham, Functions of Matrices, 2008, theorem 3.11). That of
    torch.linalg.eigh divides by the differences of eigenvalues, which are 0 where channels are flat or copies of others.
    """
    values, vectors = torch.linalg.eigh(matrices.detach())
    values = values.clamp_min(torch.finfo(values.dtype).tiny)
    logs = vectors * values.log()[:, None] @ vectors.transpose(1, 2)
    if not matrices.requires_grad:
        return logs
    ratio = values[:, :, None] / values[:, None] - 1
    slopes = torch.where(ratio.abs() < SAME, 1., ratio.log1p() / ratio) / values[:, None]
    change = vectors.transpose(1, 2) @ (matrices - matrices.detach()) @ vectors  # 0: only its gradient counts
    return logs + vectors @ (slopes * change) @ vectors.transpose(1, 2)


def fit_space(signals: torch.Tensor, labels: torch.Tensor, classes: int) -> dict[str, torch.Tensor]:
    """The buffers `prototypes` and `whitening` of a TangentBranch for signals [N, F, S] of labels [N]: the classes' mean
    responses, and the inverse root of the Riemannian mean of the covariances."""
    from pyriemann.tangentspace import TangentSpace

    prototypes = class_prototypes(signals, labels, classes)
    mean = TangentSpace().fit(erp_covariances(signals, prototypes).numpy()).reference_
    values, vectors = torch.linalg.eigh(torch.from_numpy(mean))
    return {"prototypes": prototypes, "whitening": vectors * values.rsqrt() @ vectors.T}


def vectors_of(signals: torch.Tensor, space: dict[str, torch.Tensor]) -> torch.Tensor:
    """The tangent vectors [N, D] of signals [N, F, S]."""
    return tangent_vectors(erp_covariances(signals, space["prototypes"]), space["whitening"])


def fit_regression(vectors: torch.Tensor, labels: torch.Tensor, classes: int, strength: float) -> dict[str, torch.Tensor]:
    """The buffers `weight` and `bias` of a TangentBranch, fitted to tangent vectors [N, D] of labels [N].

    A class without trials gets a probability of about 0. Where channels are flat, copies or mixtures of others, as with an
    average reference, some coordinates hold rounding errors only, and have no weight.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    weight, bias = np.zeros((classes, vectors.shape[1])), np.zeros(classes)
    if len(labels.unique()) > 1:
        scaler = StandardScaler().fit(vectors.numpy())
        deviations = np.sqrt(scaler.var_)
        scaler.scale_[deviations <= ROUNDING * deviations.max()] = np.inf  # such a coordinate gets the weight 0
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=300)
        model.fit(scaler.transform(vectors.numpy()), labels.numpy())
        coefficients, intercepts = model.coef_, model.intercept_
        if len(model.classes_) == 2:  # scikit-learn keeps the difference of the two
            coefficients, intercepts = (np.stack([-each / 2, each / 2]) for each in (coefficients[0], intercepts[0]))
        coefficients = coefficients / scaler.scale_
        intercepts = intercepts - coefficients @ scaler.mean_
        bias += intercepts.min() - UNKNOWN
        weight[model.classes_], bias[model.classes_] = coefficients, intercepts
    return {"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)}


def fit_tangent(signals: torch.Tensor, labels: torch.Tensor, classes: int, strength: float) -> dict[str, torch.Tensor]:
    """The buffers of a TangentBranch, without `spatial`, fitted to signals [N, F, S] of labels [N]."""
    space = fit_space(signals, labels, classes)
    return space | fit_regression(vectors_of(signals, space), labels, classes, strength)


def tangent_logits(signals: torch.Tensor, fitted: dict[str, torch.Tensor]) -> torch.Tensor:
    """The logits [N, K] of signals [N, F, S]."""
    return vectors_of(signals, fitted) @ fitted["weight"].T + fitted["bias"]
