"""Trials exchanged with others: the same set of embeddings or captions, each given to another picture."""

import torch


def swap(groups: torch.Tensor, images: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, int]:
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
