"""Losses against open_clip, torch and plain loops."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from loss import EMBEDDING_LOSSES, classification_loss, embedding_loss


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return torch.randn(6, 8), torch.randn(6, 8)


UNIQUE = torch.arange(6)
REPEATED = torch.tensor([0, 1, 0, 2, 3, 1])


def test_distinct_pictures_agree_with_open_clip(batch):
    from open_clip.loss import ClipLoss, SigLipLoss

    eeg, picture = (F.normalize(x, dim=1) for x in batch)
    assert torch.isclose(embedding_loss("infonce", *batch, UNIQUE), ClipLoss()(eeg, picture, 1 / 0.07))
    expected = SigLipLoss()(eeg, picture, logit_scale=torch.tensor(10.0), logit_bias=torch.tensor(-10.0))
    assert torch.isclose(embedding_loss("siglip", *batch, UNIQUE), expected)


def test_mse_is_the_mean_squared_error(batch):
    assert np.isclose(embedding_loss("mse", *batch, UNIQUE), ((batch[0] - batch[1]).numpy() ** 2).mean())


def cosine_rows(batch):
    eeg, picture = (x.double().numpy() for x in batch)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (eeg, picture)]
    return unit[0] @ unit[1].T


def test_infonce_leaves_repeated_pictures_out(batch):
    cosines, image = cosine_rows(batch) / 0.07, REPEATED.numpy()
    terms = []
    for table in (cosines, cosines.T):
        for i in range(6):
            rivals = [j for j in range(6) if j == i or image[j] != image[i]]
            terms.append(np.log(np.exp(table[i, rivals]).sum()) - table[i, i])
    assert np.isclose(embedding_loss("infonce", *batch, REPEATED), np.mean(terms))


def test_soft_targets_share_the_match_with_near_pictures(batch):
    cosines, image = cosine_rows(batch) / 0.07, REPEATED.numpy()
    near = cosine_rows((batch[1], batch[1])) / 0.07
    terms = []
    for table in (cosines, cosines.T):
        for i in range(6):
            rivals = [j for j in range(6) if j == i or image[j] != image[i]]
            share = np.exp(near[i, rivals]) / np.exp(near[i, rivals]).sum()
            wanted = 0.7 * (np.array(rivals) == i) + 0.3 * share
            terms.append(np.log(np.exp(table[i, rivals]).sum()) - wanted @ table[i, rivals])
    assert np.isclose(embedding_loss("infonce", *batch, REPEATED, 0.3), np.mean(terms))


def test_siglip_and_margin_take_repeated_pictures_as_matches(batch):
    cosines, image = cosine_rows(batch), REPEATED.numpy()
    siglip, pulled, pushed = 0.0, [], []
    for i in range(6):
        for j in range(6):
            same = image[i] == image[j]
            siglip += np.log1p(np.exp(-(1 if same else -1) * (10 * cosines[i, j] - 10))) / 6
            gap = np.sqrt(2 - 2 * cosines[i, j])
            (pulled if same else pushed).append(gap**2 if same else max(0, 1 - gap) ** 2)
    assert np.isclose(embedding_loss("siglip", *batch, REPEATED), siglip)
    assert np.isclose(embedding_loss("margin", *batch, REPEATED), np.mean(pulled) + np.mean(pushed))


@pytest.mark.parametrize("name", EMBEDDING_LOSSES)
def test_a_batch_of_one_picture_is_finite_and_trains(name, batch):
    eeg = batch[0].clone().requires_grad_()
    embedding_loss(name, eeg, batch[1], torch.zeros(6, dtype=torch.long)).backward()
    assert torch.isfinite(eeg.grad).all()


@pytest.mark.parametrize("name", EMBEDDING_LOSSES)
def test_the_right_pairing_is_better(name, batch):
    picture = batch[1]
    assert embedding_loss(name, picture, picture, UNIQUE) < embedding_loss(name, picture.roll(1, 0), picture, UNIQUE)


def test_classification_is_cross_entropy(batch):
    labels = torch.tensor([0, 3, 7, 1, 1, 2])
    log_p = F.log_softmax(batch[0], 1)
    right = -log_p[range(6), labels]
    assert torch.isclose(classification_loss(batch[0], labels), right.mean())
    assert torch.isclose(classification_loss(batch[0], labels, 0.1), (0.9 * right - 0.1 * log_p.mean(1)).mean())
