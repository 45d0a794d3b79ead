"""What the LLM is shown under each condition: the EEG's embedding and predicted class, or a control in their place."""

from typing import NamedTuple

import torch

BLOCK = 1024  # trials whose noise is drawn at a time: the weights take as many numbers a trial as there are trials


class Shown(NamedTuple):
    """What the LLM gets for each of N trials.

    embeddings [N, E]; labels: class ids [N] long, or None where no class is named; with_embedding: whether the embedding
    is in the prompt; modality: "eeg" or "image", what the embedding is of; rows [N] long: the trial whose EEG is behind
    each caption, which is the trial itself unless EEG was exchanged.
    """

    embeddings: torch.Tensor
    labels: torch.Tensor | None
    with_embedding: bool
    modality: str
    rows: torch.Tensor


def swap(groups, images, generator):
    """For each trial another of its group that shows another picture; [N] long, and how many found none.

    groups, images: [N] long. Each trial is given to one other, so that the swapped trials are the same set as the own ones
    and differ from them in nothing but who gets which. A trial that finds no partner keeps itself: where one picture makes
    up more than half of a group, or for a group's only trial.
    """
    partner = torch.arange(len(groups))
    for group in groups.unique():
        members = torch.nonzero(groups == group).flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        pictures, own = images[members].unique(return_inverse=True)
        place = torch.randperm(len(pictures), generator=generator)
        members = members[place[own].argsort(stable=True)]  # a picture's trials side by side, pictures in random order
        donors = members.roll(int(own.bincount().max()))  # a step longer than any picture's run leads to another picture
        different = images[members] != images[donors]
        partner[members[different]] = donors[different]
    return partner, int((partner == torch.arange(len(groups))).sum())


def matched_noise(embeddings, generator):
    """Gaussian noise [N, E] with the embeddings' own mean and covariance."""
    mean = embeddings.mean(0)
    centred = embeddings - mean
    noise = torch.empty_like(embeddings)
    for rows in noise.split(BLOCK):  # Gaussian weights on the centred rows: their covariance is the rows' own
        weights = torch.randn(len(rows), len(embeddings), generator=generator) / max(1, len(embeddings) - 1) ** 0.5
        rows[:] = mean + weights @ centred
    return noise


def under_condition(condition, embeddings, predicted, truth, images, seed, image_rows=None):
    """What the LLM gets under one of options.CONDITIONS, as Shown.

    embeddings [N, E] from EEG; predicted, truth, images: [N] long; image_rows: function to picture embeddings [N, E].
    """
    generator = torch.Generator().manual_seed(seed)
    own = torch.arange(len(embeddings))
    if condition == "image":
        return Shown(image_rows(), truth, True, "image", own)
    if condition in ("noise", "noise+label"):
        labels = predicted if condition == "noise+label" else None
        return Shown(matched_noise(embeddings, generator), labels, True, "eeg", own)
    if condition in ("shuffled", "shuffled_within_class"):
        within = condition == "shuffled_within_class"
        partner, alone = swap(predicted if within else torch.zeros_like(predicted), images, generator)
        if alone:
            print(f"note: {condition}: {alone} of {len(predicted)} trials have no partner and keep their own EEG")
        return Shown(embeddings[partner], predicted[partner], True, "eeg", partner)
    labels = {"eeg+label": predicted, "label": predicted, "oracle_label": truth, "eeg": None, "nothing": None}[condition]
    return Shown(embeddings, labels, condition not in ("label", "nothing"), "eeg", own)
