"""The branches of the default encoder: equal to the libraries' classifiers, and used as far as they help."""

import numpy as np
import pytest
import torch
from pyriemann.estimation import ERPCovariances, Shrinkage
from pyriemann.tangentspace import TangentSpace
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from config import EEGEncoderConfig
from encoders import build_encoder, encode, linear_branch, load_encoder, save_encoder, tangent_branch
from encoders.branches import BranchFitting, class_weights, shares_text
from encoders.log_loss import fit_weights, gain_beyond_error, log_losses
from encoders.targets import mean_and_scale, rescale_embedding
from loss import classification_loss

CHANNELS, SAMPLES, SFREQ = 5, 60, 100.


def evoked(n, classes=3, strength=1., seed=0, linear=True):
    """EEG [n, 5, 60] whose classes differ in their mean response, or in the sign-free strength of one, and labels [n]."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    eeg = rng.normal(size=(n, CHANNELS, SAMPLES)).cumsum(2) / 4
    course = np.random.default_rng(9).normal(size=(classes, CHANNELS, 1)) * np.hanning(SAMPLES)
    sign = 1 if linear else rng.choice([-1, 1], size=(n, 1, 1))
    return torch.from_numpy(eeg + strength * sign * course[labels]).float(), torch.from_numpy(labels)


@pytest.mark.parametrize("shrinkage", [.1, .9])
@pytest.mark.parametrize("trials", [40, 200])  # fewer and more than features
def test_discriminant_analysis_is_that_of_scikit_learn(trials, shrinkage):
    eeg, labels = evoked(trials)
    features = eeg.double().flatten(1)[:, ::3]
    model = linear_branch.DiscriminantAnalysis(features, labels, 3)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage, priors=[1 / 3] * 3).fit(features, labels)
    weight, bias = model.weights(shrinkage)
    for logits in (model.logits(features, [shrinkage])[0], features @ weight.T + bias):
        assert np.allclose(logits.softmax(1), theirs.predict_proba(features), atol=1e-6)


@pytest.mark.parametrize("trials", [40, 200])
def test_ridge_is_that_of_scikit_learn(trials):
    eeg, _ = evoked(trials)
    features, targets = eeg.double().flatten(1)[:, ::3], eeg.double().mean(1)[:, :4]
    model = linear_branch.Ridge(features, targets)
    theirs = Ridge(alpha=10 * trials * model.power.item()).fit(features, targets)
    weight, bias = model.weights(10)
    for predicted in (model.predict(features, 10), features @ weight.T + bias):
        assert np.allclose(predicted, theirs.predict(features.numpy()), atol=1e-6)


@pytest.mark.parametrize(("whitening", "length"), [(1., 1), (.1, 2), (.3, 4)])
def test_weights_of_features_become_weights_of_window_means(whitening, length):
    eeg, _ = evoked(30)
    means = linear_branch.window_means(eeg[:, :, :57], 4)  # 14 windows, which 4 do not divide
    covariance = torch.eye(CHANNELS).double() + .3
    features = linear_branch.Features(means, covariance, whitening, length)
    weight = torch.randn(2, features.values.shape[1], dtype=torch.float64)
    assert torch.allclose(means.double().flatten(1) @ features.on_means(weight).T, features.values @ weight.T)


@pytest.mark.parametrize("classes", [2, 3])
def test_tangent_branch_is_that_of_pyriemann_and_scikit_learn(classes):
    eeg, labels = evoked(90, classes)
    covariance = torch.einsum("nct,ndt->cd", eeg, eeg) / eeg[:, 0].numel()
    spatial = tangent_branch.principal_components(covariance)
    signals = tangent_branch.all_components(eeg, spatial, 1)
    fitted = tangent_branch.fit_tangent(signals[:60], labels[:60], classes, .01)
    branch = tangent_branch.TangentBranch(CHANNELS, SAMPLES, classes)
    branch.load_state_dict({"spatial": spatial, **fitted})

    theirs = ERPCovariances(estimator="scm", assume_centered=True).fit(signals[:60].numpy(), labels[:60].numpy())
    theirs.P_ = fitted["prototypes"].numpy()
    model = make_pipeline(Shrinkage(tangent_branch.SHRINKAGE), TangentSpace(), StandardScaler(),
                          LogisticRegression(C=.01, class_weight="balanced", max_iter=300))
    model.fit(theirs.transform(signals[:60].numpy()), labels[:60])
    assert np.allclose(branch(eeg[60:]).softmax(1), model.predict_proba(theirs.transform(signals[60:].numpy())), atol=1e-4)


def tangent_of(change):
    """EEG [90, C, T] of 3 classes whose channels were changed, and a tangent branch that is fitted to it."""
    eeg, labels = evoked(90, 3)
    change(eeg)
    spatial = tangent_branch.principal_components(torch.einsum("nct,ndt->cd", eeg, eeg) / eeg[:, 0].numel())
    branch = tangent_branch.TangentBranch(CHANNELS, SAMPLES, 3)
    fitted = tangent_branch.fit_tangent(tangent_branch.all_components(eeg, spatial, branch.step), labels, 3, .1)
    branch.load_state_dict({"spatial": spatial, **fitted})
    return eeg, branch


def flat(eeg):
    eeg[:, -2:] = 0


def copies(eeg):
    eeg[:, -2:] = eeg[:, :2]


def average_reference(eeg):
    eeg -= eeg.mean(1, keepdim=True)


@pytest.mark.parametrize("change", [flat, copies, average_reference])
def test_rounding_errors_of_channels_without_a_signal_of_their_own_are_not_read(change):
    """Standardised, they would count as much as the EEG: the logits followed the sixth digit of the input."""
    eeg, branch = tangent_of(change)
    rounded = eeg * (1 + 1e-6 * torch.randn(eeg.shape, generator=torch.Generator().manual_seed(0)))
    assert torch.allclose(branch(rounded), branch(eeg), atol=1e-3)


@pytest.mark.parametrize("change", [flat, copies, average_reference])
def test_the_gradient_is_that_of_small_changes_where_eigenvalues_are_equal(change):
    """torch.linalg.eigh divides by their difference, which gave NaN."""
    eeg, branch = tangent_of(change)
    trials = eeg[:8].requires_grad_()
    (gradient,) = torch.autograd.grad(branch(trials)[:, 0].sum(), trials)
    step = 1e-3 * torch.randn(trials.shape, generator=torch.Generator().manual_seed(0))
    change(step)
    with torch.no_grad():
        rise = (branch(trials + step)[:, 0] - branch(trials - step)[:, 0]) / 2
    assert torch.allclose((gradient * step).sum((1, 2)), rise, atol=2e-4)


def test_a_class_without_trials_is_never_said():
    eeg, labels = evoked(60, 2)
    features, new = eeg.double().flatten(1), evoked(200, 2, strength=0)[0].double().flatten(1)
    model = linear_branch.DiscriminantAnalysis(features, labels, 3)
    weight, bias = model.weights(.5)
    for logits in (model.logits(new, [.5])[0], new @ weight.T + bias):
        assert torch.isfinite(logits).all() and (logits.argmax(1) < 2).all()
    signals = tangent_branch.all_components(eeg, torch.eye(CHANNELS).double(), 1)
    assert (tangent_branch.tangent_logits(signals, tangent_branch.fit_tangent(signals, labels, 3, .1)).argmax(1) < 2).all()


def test_weights_of_what_helps_and_of_noise():
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.integers(3, size=900))
    good = torch.nn.functional.one_hot(labels, 3) + torch.from_numpy(rng.normal(size=(900, 3)))
    noise = torch.from_numpy(rng.normal(size=(900, 3)))
    helping, other = fit_weights([good, noise], labels)
    assert helping > .5 and other < .1
    assert fit_weights([-good, good], labels)[0] == 0
    groups = rng.integers(30, size=900)
    assert gain_beyond_error(log_losses(0 * good, labels), log_losses(good, labels), groups)
    assert not gain_beyond_error(log_losses(good, labels), log_losses(good + .3 * noise, labels), groups)


def test_all_classes_count_alike_in_a_loss():
    labels = torch.tensor([0] * 6 + [1] * 2)
    assert (class_weights(labels, 3)[:2] * torch.tensor([6, 2])).tolist() == [4, 4]
    losses = log_losses(torch.zeros(8, 2), labels)
    assert losses[:6].sum().item() == pytest.approx(losses[6:].sum().item())


def test_smoothing_gives_a_class_without_trials_no_more_than_its_share():
    labels = torch.arange(3).repeat(100)
    logits = torch.zeros(300, 6, requires_grad=True)  # the same for all trials of a class in the end
    for _ in range(200):
        (gradient,) = torch.autograd.grad(classification_loss(logits, labels, .1, class_weights(labels, 6)), logits)
        logits = (logits - 100 * gradient).detach().requires_grad_()
    assert torch.allclose(logits.softmax(1)[:, 3:], torch.tensor(.1 / 6), atol=1e-3)


def with_branches(tmp_path, linear, classes=3):
    """An untrained transformer with branches fitted to `evoked` trials of 3 classes; saved and loaded again."""
    eeg, labels = evoked(240, linear=linear, strength=1.5)
    torch.manual_seed(0)
    model = build_encoder(EEGEncoderConfig(CHANNELS, SAMPLES, SFREQ, num_classes=classes, embedding_size=4, d_model=16,
                                           attn_heads=2, layers=1, spatial_filters=4))
    targets = torch.nn.functional.one_hot(labels, 4).float() - torch.tensor([1 / 3] * 3 + [0])
    rows = {"train": torch.arange(180), "val": torch.arange(180, 240)}
    fitting = BranchFitting(eeg, labels, targets, classes, rows, np.arange(240), SFREQ, 0)
    fitting.add_to(model, eeg, "cpu", 2.)
    rescale_embedding(model, torch.full((4,), 5.), 2.)
    save_encoder(model, tmp_path)
    loaded = load_encoder(tmp_path)
    for ours, theirs in zip(encode(model, eeg), encode(loaded, eeg), strict=True):
        assert torch.equal(ours, theirs)
    return loaded, fitting


def test_the_branches_tell_new_trials_and_an_untrained_transformer_nothing(tmp_path):
    model, fitting = with_branches(tmp_path, linear=True)
    shares = model.config.branches
    assert shares["transformer"] == {"logits": 0, "embedding": 0} and shares["linear"]["logits"] > .3
    assert sum(share["logits"] for share in shares.values()) == pytest.approx(1, abs=.01)
    eeg, labels = evoked(200, seed=1, strength=1.5)
    embedding, logits = encode(model, eeg)
    assert (logits.argmax(1) == labels).float().mean() > .9
    assert fitting.whitening in linear_branch.WHITENINGS
    truth = 5 + 2 * (torch.nn.functional.one_hot(labels, 4).float() - torch.tensor([1 / 3] * 3 + [0]))
    assert (embedding - truth).square().mean() < .5 * (truth - truth.mean(0)).square().mean()
    mean = torch.tensor([5., 5., 5., 5.])
    assert torch.allclose(embedding.mean(0), mean, atol=.5)


def test_no_share_is_told_of_an_embedding_that_was_not_learned():
    """It was said that the transformer has 100% of it."""
    eeg, labels = evoked(60)
    model = build_encoder(EEGEncoderConfig(CHANNELS, SAMPLES, SFREQ, num_classes=3, embedding_size=1, d_model=16,
                                           attn_heads=2, layers=1, spatial_filters=4))
    rows = {"train": torch.arange(40), "val": torch.arange(40, 60)}
    BranchFitting(eeg, labels, None, 3, rows, np.arange(60), SFREQ, 0).add_to(model, eeg, "cpu", 1.)
    said = shares_text(model.config.branches)
    assert said.startswith("share of each branch in the class logits: ") and "embedding" not in said


def test_shares_are_of_telling_the_known_classes_apart(tmp_path):
    """That the tangent branch rules out classes without trials is not part of its share."""
    shares, more = (with_branches(tmp_path, True, classes)[0].config.branches for classes in (3, 8))
    assert {name: share["logits"] for name, share in more.items()} == pytest.approx(
        {name: share["logits"] for name, share in shares.items()}, abs=.1)


def test_one_class_and_one_validation_trial_give_an_encoder_that_loads(tmp_path):
    """The spread of a single logit was NaN, so the shares and the linear branch of the saved encoder were, too."""
    eeg, labels = evoked(2, classes=1)
    model = build_encoder(EEGEncoderConfig(CHANNELS, SAMPLES, SFREQ, num_classes=1, embedding_size=4, d_model=16,
                                           attn_heads=2, layers=1, spatial_filters=4))
    targets = torch.tensor([[1., 0, 0, 0], [0, 1, 0, 0]])
    fitting = BranchFitting(eeg, labels, targets, 1, {"train": torch.tensor([0]), "val": torch.tensor([1])}, np.arange(2),
                            SFREQ, 0)
    fitting.add_to(model, eeg, "cpu", 1.)
    save_encoder(model, tmp_path)
    assert load_encoder(tmp_path).config.branches == model.config.branches
    assert all(torch.isfinite(part).all() for part in encode(model, eeg))


def test_classes_of_one_trial_each_are_dealt_out_all_the_same():
    eeg, _ = evoked(12)
    rows = {"train": torch.arange(8), "val": torch.arange(8, 12)}
    fitting = BranchFitting(eeg, torch.arange(12), None, 12, rows, np.arange(12), SFREQ, 0)
    assert len(fitting.folds) == 5 and fitting.held.sort().values.tolist() == list(range(12))


@pytest.mark.parametrize("classes", [0, 3])
def test_without_one_class_the_linear_branch_tells_the_embedding_alone(classes):
    eeg, labels = evoked(240, strength=1.5)
    targets = torch.nn.functional.one_hot(labels, 4).float() - torch.tensor([1 / 3] * 3 + [0])
    model = build_encoder(EEGEncoderConfig(CHANNELS, SAMPLES, SFREQ, num_classes=classes, embedding_size=4, d_model=16,
                                           attn_heads=2, layers=1, spatial_filters=4, several_classes=classes > 0))
    before = encode(model, eeg)[1]
    fitting = BranchFitting(eeg, None, targets, classes, {"train": torch.arange(180), "val": torch.arange(180, 240)},
                            np.arange(240), SFREQ, 0)
    fitting.add_to(model, eeg, "cpu", 1.)
    embedding, logits = encode(model, eeg)
    assert fitting.val_logits is None and torch.equal(logits, before) and model.tangent is None
    assert model.config.branches["linear"]["embedding"] > .9
    assert (embedding - targets).square().mean() < .5 * (targets - targets.mean(0)).square().mean()

    values, fitted = fitting.features.values, {}  # the spread that is kept: of trials before the branch was fitted to them
    for n in (180, 240):
        fitted[n] = linear_branch.Ridge(values[:n], targets[:n].double()).predict(values, fitting.choice.strength)
    gain = mean_and_scale(embedding)[1] / mean_and_scale(fitted[240])[1]
    assert model.config.unseen_scale == pytest.approx(gain * mean_and_scale(fitted[180][180:])[1], rel=1e-4)


def test_what_no_linear_classifier_tells_is_left_to_the_tangent_space(tmp_path):
    model, _ = with_branches(tmp_path, linear=False)
    shares = model.config.branches
    assert shares["tangent"]["logits"] > .6
    eeg, labels = evoked(200, seed=1, strength=1.5, linear=False)
    assert (encode(model, eeg)[1].argmax(1) == labels).float().mean() > .6
