"""Temperature scaling: class probabilities that are right as often as they say (Guo et al., ICML 2017)."""

import torch
from torch.nn.functional import cross_entropy

BOUNDS = (0.05, 20.0)  # from all but certain to all but equal probabilities


def fit_temperature(logits, labels):
    """The temperature under which the classes of trials that no weight was fitted to are likeliest, a number in BOUNDS.

    logits [N, K] and labels [N] of the validation part. Its logarithm has a standard normal prior, which a hundred trials
    overrule: a few that are all right prove no certainty, and none of them speaks for a temperature of 0.
    """
    from scipy.optimize import minimize_scalar

    logits = logits.double()

    def loss(log_temperature):
        scaled = logits / torch.tensor(log_temperature).exp()
        return cross_entropy(scaled, labels, reduction="sum").item() + log_temperature**2 / 2

    bounds = torch.tensor(BOUNDS, dtype=torch.float64).log().tolist()
    return float(torch.tensor(minimize_scalar(loss, bounds=bounds, method="bounded").x).exp())


def class_probabilities(logits, config):
    """Probabilities [N, K] of the classes from an encoder's logits [N, K] and its config, whose `class_temperature` divides
    them.

    The order of the classes stays as it is. Encoders saved without the field, the predecessors' among them, have 1.
    """
    return (logits / config.class_temperature).softmax(1)
