"""What a linear decoder says of training trials whose pictures it was not fitted to.

An encoder knows its training pictures, so of training trials it reads more than of new ones. To train it again for each
fold takes long. A linear decoder in closed form (linear_branch.py) takes seconds, and errs as on new pictures.
"""

from functools import partial

from runtime.errors import InputError

import numpy as np
import pandas
import torch

from eegdata.dataset_folder import MappedEEG

from .linear_branch import (
    DiscriminantAnalysis,
    Features,
    Ridge,
    all_window_means,
    choose,
    class_losses,
    embedding_losses,
    held_out,
    window_samples,
)
from .transformer import mean_and_covariance

FOLDS = 5
MOST_TRIALS = 20_000  # that a fold is fitted to
MOST_FOR_CHOICES = 2000  # trials for the choice of windows and regularisation


def out_of_fold(eeg: torch.Tensor | MappedEEG, rows: torch.Tensor, pictures: torch.Tensor, targets: torch.Tensor,
                labels: torch.Tensor | None, classes: int, sfreq: float,
                seed: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The trials `rows` [n] of eeg [N, C, T] -> picture embeddings [n, E] float32 and logits [n, K], each by a ridge
    regression and a linear discriminant analysis of the trials of other pictures. Logits are None without labels.

    pictures [n]: the number of the picture of each trial; targets [n, E]: its embedding; labels [n].
    """
    from sklearn.model_selection import GroupKFold

    count = min(FOLDS, len(pictures.unique()))
    if count < 2:
        raise InputError("--train_label out_of_fold: the training part has one picture, and each is read by what the "
                         "others tell; give another --train_label")
    means = all_window_means(eeg, window_samples(sfreq, eeg.shape[2]), rows)
    covariance, targets = mean_and_covariance(eeg, rows)[1], targets.double()
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(len(rows))
    turns = pandas.Series(pictures[drawn]).groupby(pictures[drawn].numpy()).cumcount()  # each picture once before any twice
    some = torch.from_numpy(np.sort(drawn[turns.argsort(kind="stable")][:MOST_FOR_CHOICES]))

    def folds_of(groups):
        splitter = GroupKFold(count, shuffle=True, random_state=seed)
        return [(torch.from_numpy(rng.permutation(fit)[:MOST_TRIALS]), torch.from_numpy(held))
                for fit, held in splitter.split(groups, groups=groups)]

    few = folds_of(pictures[some].numpy())
    choice = choose(means[some], covariance, partial(embedding_losses, targets=targets[some], folds=few))
    values, folds = Features(means, covariance, choice.whitening, choice.length).values, folds_of(pictures.numpy())
    order = torch.cat([held for _, held in folds]).argsort()
    embeddings = held_out(lambda fit, held: Ridge(values[fit], targets[fit]).predict(values[held], choice.strength), folds)
    if labels is None:
        return embeddings[order].float(), None
    losses = class_losses(values[some], labels[some], classes, few)
    shrinkage = min(losses, key=losses.get)
    logits = held_out(lambda fit, held: DiscriminantAnalysis(values[fit], labels[fit], classes).logits(
        values[held], [shrinkage])[0], folds)
    return embeddings[order].float(), logits[order].float()
