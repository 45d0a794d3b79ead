"""Temperature scaling, which calibrates class probabilities (Guo et al., ICML 2017)."""

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from transformers import PretrainedConfig

TEMPERATURE_BOUNDS = (0.05, 20.0)  # from almost certain to almost equal probabilities


def fit_temperature(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The temperature, within TEMPERATURE_BOUNDS, that makes the true classes of the validation part most likely.

    logits [N, K], labels [N], or [N, K] float where pictures have any number of classes; no weight was fitted to these
    trials. The logarithm of the temperature has a standard normal prior, so that a few trials that happen to be all correct
    do not lead to a temperature near 0. About a hundred trials outweigh the prior.
    """
    from scipy.optimize import minimize_scalar

    logits = logits.double()
    several = labels.ndim == 2
    entropy, labels = (binary_cross_entropy_with_logits, labels.double()) if several else (cross_entropy, labels)

    def loss(log_temperature):
        scaled = logits / torch.tensor(log_temperature).exp()
        return entropy(scaled, labels, reduction="sum").item() + log_temperature**2 / 2

    bounds = torch.tensor(TEMPERATURE_BOUNDS, dtype=torch.float64).log().tolist()
    return float(torch.tensor(minimize_scalar(loss, bounds=bounds, method="bounded").x).exp())


def class_probabilities(logits: torch.Tensor, config: PretrainedConfig) -> torch.Tensor:
    """Probabilities [N, K] of the classes from an encoder's logits [N, K], which are divided by `class_temperature` of its
    config.

    Where a picture may have several classes, each has a probability of its own. The order of the classes does not change.
    Encoders saved without these fields, such as the predecessors', have 1 and one class a picture.
    """
    scaled = logits / config.class_temperature
    return scaled.sigmoid() if config.several_classes else scaled.softmax(1)
