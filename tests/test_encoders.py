"""One contract for every encoder, ChannelNet's published layout, pretraining, the classical baseline and the scores."""

from types import SimpleNamespace

from runtime.errors import InputError
from runtime.places import resolve_checkpoint

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from config import ChannelNetConfig, EEGEncoderConfig, NICEConfig
from encoders import (
    ENCODERS,
    build_encoder,
    encode,
    fit_to_encoder,
    load_encoder,
    name_all_classes,
    save_encoder,
)
from encoders.classical import BASELINES, classical_baseline
from encoders.pretraining import MaskedReconstruction, start_from, transfer_weights
from encoders.training import Augmentation
from metrics.classification import balanced_accuracy, classification_scores, per_class_table, per_group_table, top_k_hits
from metrics.retrieval import retrieval_ranks, retrieval_scores

NAMES = ["Fz", "Cz", "Pz", "Oz", "PO7", "PO8", "P3", "P4"]


def small(name, n_chans=8, n_times=60, **more):
    shared = {"sfreq": 100.0, "num_classes": 3, "embedding_size": 16, **more}
    if name == "channelnet":
        return ChannelNetConfig(input_height=n_chans, input_width=n_times, num_residual_blocks=0, out_channels=4, **shared)
    if name in ("nice", "atm"):
        return NICEConfig(n_chans=n_chans, n_times=n_times, filters=8, channel_attention=name == "atm", **shared)
    if name == "transformer":
        shared |= {"d_model": 32, "attn_heads": 4, "layers": 2, "spatial_filters": 8}
    return ENCODERS[name].config_class(n_chans=n_chans, n_times=n_times, **shared)


def trials(n_chans=8, n_times=60, sfreq=100.0, ch_names=None):
    return SimpleNamespace(eeg=torch.zeros(2, n_chans, n_times), sfreq=sfreq, ch_names=ch_names, path="eeg.pth",
                           class_names={}, record={}, classes="one")


@pytest.fixture(params=ENCODERS)
def encoder(request):
    torch.manual_seed(0)
    return build_encoder(small(request.param, ch_names=NAMES))


def test_contract(encoder, request):
    eeg = torch.randn(5, 8, 60)
    assert type(encoder) is ENCODERS[request.node.callspec.params["encoder"]]
    assert (encoder.config.n_chans, encoder.config.n_times, encoder.config.sfreq) == (8, 60, 100.0)
    embedding, logits = encoder(eeg)
    assert embedding.shape == (5, 16) and logits.shape == (5, 3)
    (embedding.sum() + logits.sum()).backward()
    without = [name for name, p in encoder.named_parameters() if p.grad is None]
    assert not without, f"no gradient reaches {without}"
    encoder.eval()
    assert all(torch.equal(a, b) for a, b in zip(encoder(eeg), encoder(eeg.unsqueeze(1)), strict=True))


def test_the_contract_of_a_new_entry_is_not_tested_on_another_encoder(monkeypatch):
    """Each name that the tests did not know gave a transformer, so that an encoder added as CONTRIBUTING.md says passed
    without having been run."""
    class OwnConfig(EEGEncoderConfig):
        model_type = "own"

    monkeypatch.setitem(ENCODERS, "own", SimpleNamespace(config_class=OwnConfig))
    assert type(small("own")) is OwnConfig


def test_nice_has_the_layers_of_the_paper():
    """Song et al. 2024, Table 7: 40 filters of 25 samples, pooling of 51 in steps of 5, 40 x 36 features at 63 x 250."""
    encoder = build_encoder(NICEConfig(sfreq=250, num_classes=0, embedding_size=768))
    shapes = {name: tuple(weight.shape) for name, weight in encoder.named_parameters() if weight.ndim > 1}
    assert list(shapes.values())[:4] == [(40, 1, 1, 25), (40, 40, 63, 1), (40, 40, 1, 1), (768, 1440)]
    pool = encoder.convolutions[1]
    assert (pool.kernel_size, pool.stride) == ((1, 51), (1, 5))
    with pytest.raises(InputError, match="74 samples at 250 Hz are too few, expected at least 75"):
        build_encoder(NICEConfig(sfreq=250, n_times=74))


def test_atm_attends_between_channels_before_the_convolutions():
    """Li et al. 2024: tokens of 250 samples, 4 heads (here 252, which 4 divides), 256 in between, dropout .25."""
    encoder = build_encoder(NICEConfig(sfreq=250, num_classes=2, embedding_size=16, channel_attention=True)).eval()
    layer = encoder.attention.layer
    assert (layer.self_attn.embed_dim, layer.self_attn.num_heads, layer.linear1.out_features) == (252, 4, 256)
    assert layer.dropout.p == encoder.attention.embedding[1].p == .25
    eeg = torch.randn(2, 63, 250)
    changed = eeg.clone()
    changed[:, 0] += 1
    with torch.no_grad():
        assert not torch.allclose(encoder.attention(eeg)[:, 1:], encoder.attention(changed)[:, 1:])
        order = torch.randperm(63)
        torch.testing.assert_close(encoder.attention(eeg[:, order]), encoder.attention(eeg)[:, order], rtol=1e-4, atol=1e-5)


def test_encode_changes_nothing_and_does_not_depend_on_the_batch(encoder):
    eeg = torch.randn(11, 8, 60)
    encoder.train()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    whole = encode(encoder, eeg)
    assert all(torch.equal(before[name], tensor) for name, tensor in encoder.state_dict().items())
    assert not whole[0].requires_grad and whole[0].shape == (11, 16) and whole[1].shape == (11, 3)
    for a, b in zip(whole, encode(encoder, eeg, batch_size=3), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_round_trip(encoder, tmp_path):
    save_encoder(encoder, tmp_path)
    loaded = load_encoder(tmp_path)
    assert not loaded.training and type(loaded) is type(encoder) and loaded.config.ch_names == NAMES
    own = type(encoder).from_pretrained(tmp_path)
    for other in (loaded, own):
        assert all(torch.equal(a, other.state_dict()[name]) for name, a in encoder.state_dict().items())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape", "cut", "absent", "type", "no config"])
def test_loading_is_strict(encoder, tmp_path, change):
    save_encoder(encoder, tmp_path)
    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    state = load_file(weights)
    if change == "missing":
        state.pop("projector.bias")
    elif change == "unexpected":
        state["extra"] = torch.zeros(1)
    elif change == "shape":
        state["projector.bias"] = torch.zeros(17)
    save_file(state, weights)
    if change == "cut":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif change == "absent":
        weights.unlink()
    elif change == "type":
        config.write_text('{"model_type": "bert"}')
    elif change == "no config":
        config.unlink()
    with pytest.raises(InputError, match=r"model\.safetensors" if change not in ("type", "no config") else r"config\.json"):
        load_encoder(tmp_path)


@pytest.mark.parametrize("found, message", [
    ({"n_chans": 7}, "8 channels.*without channel names"), ({"n_times": 61}, "60 samples.*-tl"),
    ({"sfreq": 250.0}, "--resample 100"), ({"ch_names": ["Fz", "Cz", *"uvwxyz"]}, "Pz, Oz, .*only 2 of the 8")])
def test_other_eeg_is_refused(encoder, found, message):
    fit_to_encoder(encoder.config, trials(), "--x")
    fit_to_encoder(encoder.config, trials(ch_names=list(NAMES)), "--x")
    with pytest.raises(InputError, match=f"^--x: .*{message}"):
        fit_to_encoder(encoder.config, trials(**found), "--x")


@pytest.mark.parametrize("objects", [None, torch.tensor([[True, False], [True, True]])])
def test_classes_that_only_the_encoder_knows_have_a_place(objects):
    """An encoder of three classes on a data set with the first two."""
    fewer = trials()
    fewer.class_names, fewer.objects = {0: "cat", 1: "dog"}, objects
    config = small("transformer", ch_names=NAMES)
    config.id2label = {0: "cat", 1: "dog", 2: "car"}
    name_all_classes(config, fewer)
    assert fewer.class_names == config.id2label
    if objects is not None:
        assert fewer.objects.tolist() == [[True, False, False], [True, True, False]]


@pytest.mark.parametrize("n_chans, n_times, sfreq", [(1, 5, 100), (4, 230, 256), (129, 33, 64)])
def test_transformer_takes_any_eeg(n_chans, n_times, sfreq):
    model = build_encoder(small("transformer", n_chans, n_times, sfreq=sfreq))
    model.fit_whitening(torch.randn(3, n_chans, n_times))
    assert model(torch.randn(2, n_chans, n_times))[0].shape == (2, 16)


def test_transformer_says_what_cannot_be_built():
    with pytest.raises(InputError, match="--attn_heads"):
        build_encoder(EEGEncoderConfig(d_model=30))
    with pytest.raises(InputError, match="--patch_size"):
        build_encoder(EEGEncoderConfig(n_times=40, patch_size=50))
    with pytest.raises(InputError, match="--residual_blocks"):
        build_encoder(ChannelNetConfig(input_height=8, input_width=60))
    with pytest.raises(InputError, match=r"too few for 0 residual blocks; use --encoder transformer$"):
        build_encoder(ChannelNetConfig(input_height=4, input_width=256, num_residual_blocks=0))


@pytest.mark.parametrize("n_chans", [61, 62, 17])
def test_channelnet_takes_odd_numbers_of_channels(n_chans):
    """UCI's cap has 61; its layers then give maps of different heights, which the published code cannot stack."""
    model = build_encoder(ChannelNetConfig(input_height=n_chans, input_width=256, num_residual_blocks=1, num_classes=3,
                                           embedding_size=16)).eval()
    assert [part.shape for part in model(torch.randn(2, n_chans, 256))] == [(2, 16), (2, 3)]


def test_whitening_makes_channels_uncorrelated_and_undoes_gain():
    torch.manual_seed(0)
    mixed = torch.randn(8, 8) @ torch.randn(200, 8, 60) * torch.logspace(-2, 3, 8)[:, None] + 5
    mixed /= mixed.std((0, 2), keepdim=True)
    model = build_encoder(small("transformer"))
    model.fit_whitening(mixed, shrinkage=0.0)
    white = model.patches.whitening @ (mixed - model.patches.mean)
    torch.testing.assert_close(torch.cov(white.transpose(0, 1).flatten(1)), torch.eye(8), rtol=0, atol=0.02)
    model.fit_whitening(mixed - mixed.mean(1, keepdim=True))  # average reference: a singular covariance
    assert torch.isfinite(model.patches.whitening).all()


def test_whitening_and_mixtures_as_one_and_in_float32_under_autocast():
    """Channels that share nearly all of their signal: in bfloat16 little would be left of what tells them apart."""
    torch.manual_seed(0)
    eeg = 30 * torch.randn(50, 1, 60) + torch.randn(50, 8, 60)
    model = build_encoder(small("transformer"))
    model.fit_whitening(eeg, shrinkage=0.0)
    patches = model.patches
    white = patches.whitening @ (eeg - patches.mean)
    plain = patches.temporal(patches.spatial(white)).transpose(1, 2)
    torch.testing.assert_close(patches(eeg), plain, rtol=1e-4, atol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = patches(eeg).float()
        rough = patches.temporal(patches.spatial(patches.whitening @ (eeg - patches.mean))).transpose(1, 2).float()
    assert (found - plain).std() < 0.01 * plain.std() < (rough - plain).std()


def published_shapes():
    """Names and shapes of the published stage 1 checkpoint, written down from its layout."""
    shapes = {"projector.weight": (512, 500), "projector.bias": (512,),
              "classifier.weight": (40, 512), "classifier.bias": (40,)}

    def norm(name, channels):
        shapes.update({f"{name}.{key}": (channels,) for key in ("weight", "bias", "running_mean", "running_var")})
        shapes[f"{name}.num_batches_tracked"] = ()

    def layer(name, inputs, outputs, *kernel):
        norm(f"encoder.{name}.norm", inputs)
        shapes.update({f"encoder.{name}.conv.weight": (outputs, inputs, *kernel), f"encoder.{name}.conv.bias": (outputs,)})

    for i, height in enumerate((128, 64, 42, 32)):
        layer(f"temporal_block.layers.{i}", 1, 10, 1, 33)
        layer(f"spatial_block.layers.{i}", 40, 50, height, 1)
        layer(f"res_blocks.{i}.1", 200, 200, 3, 3)
        for n in (1, 2):
            shapes[f"encoder.res_blocks.{i}.0.conv{n}.weight"] = (200, 200, 3, 3)
            norm(f"encoder.res_blocks.{i}.0.bn{n}", 200)
    layer("final_conv", 200, 50, 3, 3)
    return shapes


def test_channelnet_has_the_published_layout():
    model = ENCODERS["channelnet"](ChannelNetConfig())
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert shapes == published_shapes() and len(shapes) == 143


def test_channelnet_computes_what_the_published_code_computes():
    """Against the published forward pass written out in functional form: it was compared bit by bit with the original."""
    torch.manual_seed(0)
    model = ENCODERS["channelnet"](ChannelNetConfig()).eval()
    state = model.state_dict()
    for name, tensor in state.items():
        if "running" in name:
            tensor.uniform_(0.5, 1.5)

    def norm(x, name):
        keys = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(state[f"encoder.{name}.{key}"] for key in keys))

    def layer(x, name, **how):
        return F.conv2d(norm(x, f"{name}.norm").relu(), state[f"encoder.{name}.conv.weight"],
                        state[f"encoder.{name}.conv.bias"], **how)

    x = eeg = torch.randn(2, 1, 128, 440)
    x = torch.cat([layer(x, f"temporal_block.layers.{i}", stride=(1, 2), padding=(0, pad), dilation=(1, 2**i))
                   for i, pad in enumerate((16, 32, 64, 128))], 1)
    x = torch.cat([layer(x, f"spatial_block.layers.{i}", stride=(2, 1), padding=(pad, 0))
                   for i, pad in enumerate((63, 31, 20, 15))], 1)
    for i in range(4):
        first, second = (state[f"encoder.res_blocks.{i}.0.conv{n}.weight"] for n in (1, 2))
        inner = norm(F.conv2d(x, first, padding=1), f"res_blocks.{i}.0.bn1").relu()
        inner = F.conv2d(inner, second, padding=1)
        x = layer((x + norm(inner, f"res_blocks.{i}.0.bn2")).relu(), f"res_blocks.{i}.1", stride=2)
    features = layer(x, "final_conv").flatten(1)
    embedding = features @ state["projector.weight"].T + state["projector.bias"]
    logits = embedding @ state["classifier.weight"].T + state["classifier.bias"]
    with torch.no_grad():
        found = model(eeg)
    torch.testing.assert_close(found[0], embedding, rtol=0, atol=1e-5)
    torch.testing.assert_close(found[1], logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["no/such folder?", "/nowhere/at/all", "nowhere"])
def test_a_checkpoint_that_is_not_there(name, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="--model_path"):
        resolve_checkpoint(name, "--model_path")


@pytest.mark.parametrize("name, repository, kind, patterns", [
    ("org/name", "org/name", "model", None), ("org/name/a/b", "org/name", "model", "a/b/*"),
    ("datasets/org/name/a", "org/name", "dataset", "a/*")])
def test_hub_names(name, repository, kind, patterns, monkeypatch, tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    asked = []
    monkeypatch.setattr("huggingface_hub.snapshot_download",
                        lambda repo, repo_type, allow_patterns: asked.append((repo, repo_type, allow_patterns)) or tmp_path)
    folder = resolve_checkpoint(name, "--model_path")
    assert asked == [(repository, kind, patterns)]
    assert folder == tmp_path / "/".join(name.removeprefix("datasets/").split("/")[2:])


def test_hidden_patches_do_not_leak():
    torch.manual_seed(0)
    model = MaskedReconstruction(build_encoder(small("transformer")), 0.5).eval()
    eeg = torch.randn(4, 8, 60)
    hidden = model._mask(4, 12, eeg.device)
    assert (hidden.sum(1) == 6).all()
    tokens = []
    model.encoder.transformer.register_forward_pre_hook(lambda module, inputs: tokens.append(inputs[0]))
    model(eeg)
    model(torch.where(hidden[:, None, :, None], 100.0, eeg.unflatten(2, (12, 5))).flatten(2))
    assert torch.equal(*tokens)
    assert model.train()(eeg)["loss"] > 0


def test_only_weights_that_mean_the_same_are_transferred():
    torch.manual_seed(0)
    source = build_encoder(small("transformer", 5, 90))
    target = build_encoder(small("transformer"))
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    copied, left = transfer_weights(source, target)
    assert "patches.temporal.weight" in copied and "transformer.layers.1.linear1.weight" in copied
    assert {"patches.spatial.weight", "patches.whitening", "position", "pool.weight", "projector.weight"} <= set(left)
    assert sorted(copied + left) == sorted(before)
    for name, tensor in target.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[name] if name in copied else before[name])
    same = [build_encoder(small("transformer", ch_names=NAMES)) for _ in range(2)]
    assert {"patches.spatial.weight", "patches.whitening", "position"} <= set(transfer_weights(*same)[0])


@pytest.mark.parametrize("unit", [1., 1.5, 1e-6, 20.])
def test_weights_from_eeg_in_another_unit(unit, capsys):
    """Standardised or in volts where the data are in microvolts: the transformer had tokens a million times too large."""
    torch.manual_seed(0)
    source, target = (build_encoder(small("transformer", ch_names=NAMES)) for _ in range(2))
    eeg = torch.randn(30, 8, 60) * torch.linspace(1, 2, 8)[:, None] + 3
    source.fit_whitening(unit * eeg)
    target.fit_whitening(eeg, shrinkage=.3)
    start_from(source, target, "encoder")
    assert ("another unit" in capsys.readouterr().out) == (unit in (1e-6, 20.))
    expected = source.tokens(unit * eeg) if unit in (1e-6, 20.) else source.tokens(eeg)
    torch.testing.assert_close(target.tokens(eeg), expected, rtol=1e-3, atol=1e-3)


def test_augmentation():
    torch.manual_seed(0)
    eeg = torch.randn(50, 8, 60)
    assert torch.equal(Augmentation()(eeg), eeg)
    shifted, moves = Augmentation(shift=2)(eeg), set()
    for trial, moved in zip(eeg, shifted, strict=True):
        padded = F.pad(trial, (2, 2))
        moves.add(next(by for by in range(-2, 3) if torch.equal(moved, padded[:, 2 + by:62 + by])))
    assert moves == {-2, -1, 0, 1, 2}
    assert torch.isclose((Augmentation(noise=0.5)(eeg) - eeg).std(), torch.tensor(0.5), atol=0.05)
    zero = (Augmentation(channel_dropout=0.25)(eeg) == 0).all(2)
    assert 0.15 < zero.float().mean() < 0.35


@pytest.mark.parametrize("name", BASELINES)
def test_classical_baselines_find_an_evoked_response(name):
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3 + 4  # labels need not start at 0
    eeg = rng.normal(size=(120, 6, 150))
    eeg[np.arange(120), labels - 4, 40:60] += 2
    probabilities, classes = classical_baseline(eeg, labels, np.arange(90), np.arange(90, 120), name, 200.)
    assert classes.tolist() == [4, 5, 6] and np.allclose(probabilities.sum(1), 1)
    assert (classes[probabilities.argmax(1)] == labels[90:]).mean() > 0.8


@pytest.fixture
def decoded():
    rng = np.random.default_rng(1)
    labels = rng.choice(8, 200, p=[0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05])
    return labels, rng.normal(size=(200, 8)) + 0.7 * np.eye(8)[labels]


def test_class_scores_agree_with_sklearn(decoded):
    from sklearn.metrics import balanced_accuracy_score, classification_report, top_k_accuracy_score

    labels, logits = decoded
    for k in (1, 2, 5):
        assert np.isclose(top_k_hits(labels, logits, k).mean(), top_k_accuracy_score(labels, logits, k=k, labels=range(8)))
    scores = classification_scores(labels, logits, clusters=np.arange(200) // 4)
    assert np.isclose(scores["balanced_accuracy"], balanced_accuracy_score(labels, logits.argmax(1)))
    several = np.stack([logits.argmax(1), np.roll(labels, 1), labels], axis=1)
    assert balanced_accuracy(labels, several) == pytest.approx([balanced_accuracy_score(labels, one) for one in several.T])
    assert (scores["n"], scores["n_classes"], scores["chance"]) == (200, 8, 1 / 8)
    for key in ("top1", "top5", "balanced_accuracy"):
        low, high = scores[f"{key}_95"]
        assert low < scores[key] < high
    report = classification_report(labels, logits.argmax(1), output_dict=True)
    for row in per_class_table(labels, logits, dict(enumerate("abcdefgh"))):
        expected = report[str("abcdefgh".index(row["class"]))]
        assert np.allclose([row["precision"], row["recall"], row["f1"], row["n"]],
                           [expected[key] for key in ("precision", "recall", "f1-score", "support")])
    rows = per_group_table("subject", np.arange(200) % 2 + 1, labels, logits)
    assert [row["subject"] for row in rows] == [1, 2]
    assert np.isclose(np.mean([row["top1"] for row in rows]), scores["top1"])


def test_a_flat_answer_earns_nothing():
    labels = np.array([0, 1, 2, 2])
    assert not top_k_hits(labels, np.zeros((4, 3)), 1).any()
    assert balanced_accuracy(labels, np.zeros(4)) == pytest.approx(1 / 3)
    assert (retrieval_ranks(np.zeros((4, 5)), np.eye(5)[:3], labels) == 2).all()


def test_retrieval_agrees_with_sklearn():
    from sklearn.metrics.pairwise import cosine_similarity

    rng = np.random.default_rng(2)
    gallery, target = rng.normal(size=(10, 6)), np.repeat(np.arange(10), 3)
    decoded = gallery[target] + rng.normal(size=(30, 6))
    order = (-cosine_similarity(decoded, gallery)).argsort(1)
    ranks = (order == target[:, None]).argmax(1)
    assert (retrieval_ranks(decoded, gallery, target) == ranks).all()
    scores = retrieval_scores(decoded, gallery, target)
    assert scores["n"] == 10 and scores["top1"] == (ranks == 0).mean() and scores["top5"] == (ranks < 5).mean()
    assert (scores["top1_chance"], scores["top5_chance"]) == (0.1, 0.5)
