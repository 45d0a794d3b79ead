"""When and where the evidence lies: encoders that read a known place of EEG whose class signal lies in a known place."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import balanced_accuracy_score
from torch import nn

import test_eeg_classifier as scoring
from config import EEGEncoderConfig
from eegdata import montage
from eegdata.dataset_folder import MappedEEG
from encoders import batches
from encoders.transformer import EEGTransformer
from interpretability import occlusion, tables, when_where, write
from interpretability.attribution import gradient_x_input, sanity_check, shuffled_weights
from metrics.classification import balanced_accuracy, classification_scores
from tiny import data_arguments

NAMES = ["Fz", "Cz", "T7", "T8", "Pz", "O1", "Oz", "O2"]
SFREQ, TMIN, LENGTH = 100., -.1, 50  # -100 to 400 ms
OCCIPITAL, WHEN = [5, 6, 7], slice(25, 30)  # 150 to 200 ms


def trials(channels=OCCIPITAL, when=WHEN, strength=1.5, n=120, ch_names=NAMES, tmin=TMIN, seed=0, common=0.):
    """n trials of 3 classes and 30 pictures: noise everywhere, each class a pattern at `channels` and samples `when`, and a
    `common` response of the frontal channel to all."""
    rng = np.random.default_rng(seed)
    picture = np.arange(n) % 30
    eeg = rng.normal(size=(n, len(NAMES), LENGTH))
    eeg[:, 0] += common
    for channel, row in zip(channels, patterns(len(channels)), strict=True):
        eeg[:, channel, when] += strength * row[picture % 3, None]
    return SimpleNamespace(eeg=torch.from_numpy(eeg).float(), label=torch.from_numpy(picture % 3), ch_names=ch_names,
                           record={}, sfreq=SFREQ, tmin=tmin, fingerprint="f",
                           source={"name": "simulated", "simulated": True}), picture


def patterns(n):
    return np.array([[1, -1, 0], [0, 1, -1], [-1, 0, 1]], float)[:n]


class Reader(nn.Module):
    """The linear encoder that knows where the signal is; `faint` is how much it reads of everything else."""

    def __init__(self, channels=OCCIPITAL, when=WHEN, faint=0.):
        super().__init__()
        weight = faint * torch.randn(3, len(NAMES), LENGTH, generator=torch.Generator().manual_seed(0))
        for channel, row in zip(channels, patterns(len(channels)), strict=True):
            weight[:, channel, when] += torch.from_numpy(row).float()[:, None]
        self.weight = nn.Parameter(weight)

    def forward(self, eeg):
        logits = torch.einsum("kct,bct->bk", self.weight, eeg)
        return logits, logits


def look(encoder, data, **more):
    found, picture = data
    rows = torch.arange(60, len(found.label))
    return when_where(encoder, found, rows, torch.arange(60), picture[60:], **{"batch_size": 17, **more})


@pytest.fixture(scope="module")
def truth():
    return look(Reader(), trials())


def test_windows_point_where_the_signal_is(truth):
    assert truth["balanced_accuracy"] > .95 and truth["chance"] == 1 / 3 and truth["pictures"] == 30
    assert [(row["from_ms"], row["to_ms"]) for row in truth["windows"]] == [(t, t + 50) for t in range(-100, 400, 50)]
    for row in truth["windows"]:
        if row["from_ms"] == 150:
            assert row["kept"] == truth["balanced_accuracy"] and row["kept_p_holm"] < .01
            assert row["drop"] > .5 and row["drop_95"][0] > .4 and row["p"] < .001 and row["p_holm"] < .01
            assert row["hidden"] == pytest.approx(1 / 3)  # all inputs are the same: one class
        else:
            assert row["hidden"] == truth["balanced_accuracy"] and row["kept"] == pytest.approx(1 / 3)
            assert row["drop"] == 0 and row["p"] == row["p_holm"] == row["kept_p"] == 1


def test_regions_point_where_the_signal_is(truth):
    rows = {row["region"]: row for row in truth["regions"]}
    assert {name: row["channels"] for name, row in rows.items()} == {
        "frontal": 1, "central": 1, "left temporal": 1, "right temporal": 1, "parietal": 1, "occipital": 3}
    for name, row in rows.items():
        assert (row["drop"] > .5 and row["p_holm"] < .01) if name == "occipital" else (row["drop"] == 0 and row["p"] == 1)


def test_attribution_points_where_the_signal_is(truth):
    found = truth["attribution"]
    assert found["peak"]["channel"] in ("O1", "Oz", "O2") and 150 <= found["peak"]["ms"] < 200
    assert found["evoked"]["share"] == pytest.approx(1) and found["early"]["share"] == 0
    assert found["evoked"]["uniform"] == pytest.approx(6 / 8 * 30 / 50)  # 6 of 8 channels, 300 of 500 ms
    assert found["early"]["uniform"] == pytest.approx(15 / 50)
    assert abs(found["randomised_r"]) < .3
    assert sum(map(sum, found["map"].values())) == pytest.approx(1, abs=1e-4)
    assert "Hiding 150-200 ms costs" in truth["sentence"] and "the occipital channels costs" in truth["sentence"]
    assert "100% of the attribution lies in 100-400 ms over occipital, parietal and temporal" in truth["sentence"]
    assert "0% lies before 50 ms" in truth["sentence"] and "Warning" not in truth["sentence"]


def test_a_trained_encoder_is_found_out():
    """The default encoder, trained by gradient descent, on EEG with background noise on all channels and samples."""
    data = trials(strength=2., n=600, seed=1)
    torch.manual_seed(0)
    encoder = EEGTransformer(EEGEncoderConfig(n_chans=8, n_times=LENGTH, sfreq=SFREQ, num_classes=3, embedding_size=2,
                                              d_model=16, attn_heads=2, layers=1, spatial_filters=8, patch_size=5,
                                              dropout=.3))
    optimiser = torch.optim.AdamW(encoder.parameters(), 3e-3, weight_decay=.1)
    found, picture = data
    for _ in range(40):
        for rows in torch.randperm(400).split(100):
            optimiser.zero_grad()
            nn.functional.cross_entropy(encoder(found.eeg[rows])[1], found.label[rows]).backward()
            optimiser.step()
    result = when_where(encoder, found, torch.arange(400, 600), torch.arange(400), picture[400:])
    assert result["balanced_accuracy"] > .8
    windows = sorted(result["windows"], key=lambda row: row["drop"])
    assert windows[-1]["from_ms"] == 150 and windows[-1]["drop"] > 3 * abs(windows[-2]["drop"])
    assert max(result["regions"], key=lambda row: row["drop"])["region"] == "occipital"
    assert max(result["windows"], key=lambda row: row["kept"])["from_ms"] == 150
    assert result["attribution"]["evoked"]["share"] > result["attribution"]["evoked"]["uniform"]
    assert 150 <= result["attribution"]["peak"]["ms"] < 200


def test_linear_attribution_is_each_values_part_of_the_logit():
    (found, _), encoder = trials(), Reader(faint=.3)
    fill = found.eeg[:60].mean(0)
    weight, eeg = encoder.weight.detach().numpy(), found.eeg[60:].numpy()
    predicted = np.einsum("kct,bct->bk", weight, eeg).argmax(1)
    expected = np.abs(weight[predicted] * (eeg - fill.numpy())).mean(0)
    np.testing.assert_allclose(gradient_x_input(encoder, found.eeg[60:], fill, batch_size=7), expected, rtol=1e-4)


def test_a_response_that_all_pictures_share_is_no_evidence():
    class Expecting(Reader):
        """Is at a loss without the shared response of the frontal channel, which tells nothing of the class."""

        def forward(self, eeg):
            there = (eeg[:, 0].mean(1, keepdim=True) > 3).float()
            logits = super().forward(eeg)[0] * there
            return logits, logits

    frontal = next(row for row in look(Expecting(), trials(common=5.))["regions"] if row["region"] == "frontal")
    assert frontal["drop"] == 0
    found, picture = trials(common=5.)
    found.eeg[:60, 0] = 0  # as if hidden values were zero
    frontal = next(row for row in look(Expecting(), (found, picture))["regions"] if row["region"] == "frontal")
    assert frontal["drop"] > .5


def test_evidence_from_before_the_picture_is_called_out():
    early = slice(2, 7)  # -80 to -30 ms
    sentence = look(Reader(when=early), trials(when=early))["sentence"]
    assert "Warning: -100 to -50 ms gives the class away" in sentence or "Warning: -50 to 0 ms gives" in sentence, sentence
    assert "Warning" not in look(Reader(when=early), trials(when=early, tmin=None))["sentence"]


def test_no_signal_means_nothing():
    result = look(Reader(), trials(strength=0.))
    assert result["sentence"].startswith("The EEG is simulated. The encoder is not shown to be above chance")
    assert "cannot be interpreted" in result["sentence"]
    assert all(row["p_holm"] > .05 and row["kept_p_holm"] > .05 for row in result["windows"] + result["regions"])


def test_spread_evidence_is_said_to_be_spread():
    whole = slice(0, LENGTH)
    sentence = look(Reader(when=whole), trials(when=whole, strength=.8))["sentence"]
    assert "No single window of 50 ms is shown to be needed" in sentence
    assert "spread out or redundant, or too weak to be seen in 60 trials" in sentence  # a test cannot tell which


def test_unknown_times_and_places_are_said(tmp_path, capsys):
    result = look(Reader(), trials(tmin=None))
    assert result["windows"][0]["from_ms"] == 0 and result["attribution"]["evoked"] is None
    assert result["attribution"]["early"] is None and any("does not say when" in note for note in result["notes"])
    result = look(Reader(), trials(ch_names=["X1", "X2", "T7", "T8", "Pz", "O1", "Oz", "O2"]))
    assert result["regions"][-1]["region"] == "unknown" and result["regions"][-1]["channels"] == 2
    result = look(Reader(), trials(ch_names=[f"X{i}" for i in range(8)]))
    assert result["regions"] == [] and any("no channel (X0, X1, X2, ...)" in note for note in result["notes"])
    write(tmp_path, result)  # an image of channels and time in place of maps
    assert Image.open(tmp_path / "when_where.png").size[0] > 1000
    assert json.loads((tmp_path / "when_where.json").read_text())["regions"] == []


def test_dollars_in_a_channel_name_are_no_formula(tmp_path):
    result = look(Reader(), trials(ch_names=["$X^$", *(f"X{i}" for i in range(7))]))
    write(tmp_path, result)
    assert Image.open(tmp_path / "when_where.png").size[0] > 1000


def test_fewer_trials():
    result = look(Reader(), trials(n=240), max_trials=90)
    assert result["n"] == 90 and "90 of the 180 trials were used, drawn at random" in result["notes"]
    assert max(result["windows"], key=lambda row: row["drop"])["from_ms"] == 150


def test_an_encoder_that_ignores_its_input():
    result = look(Reader(channels=()), trials())
    assert result["attribution"] is None and result["balanced_accuracy"] == pytest.approx(1 / 3)


def test_an_encoder_above_chance_whose_gradient_is_not_finite_does_not_ignore_its_input():
    class Rooted(Reader):
        """The root of 0, whose gradient is infinite, times 0."""

        def forward(self, eeg):
            embedding, logits = super().forward(eeg)
            return embedding, logits + 0 * (0 * eeg).sum((1, 2))[:, None].sqrt()

    result = look(Rooted(), trials())
    assert result["attribution"] is None and result["balanced_accuracy"] > .9
    assert "no map of the attribution" in result["sentence"] and "not finite" in result["sentence"]


def test_accuracies_are_those_of_scikit_learn_and_of_the_scores():
    rng = np.random.default_rng(0)
    labels, predicted, clusters = rng.integers(0, 4, 90), rng.integers(0, 4, (5, 90)), rng.integers(0, 20, 90)
    predicted[0] = np.where(rng.random(90) < .6, labels, predicted[0])
    found = balanced_accuracy(labels, predicted.T)
    np.testing.assert_allclose(found, [balanced_accuracy_score(labels, row) for row in predicted])
    result = tables.occlusion_tables(labels, predicted, clusters, [(0, 50)], {"frontal": 3})
    scores = classification_scores(labels, np.eye(4)[predicted[0]], clusters)
    np.testing.assert_allclose(result["balanced_accuracy_95"], scores["balanced_accuracy_95"])
    row = result["windows"][0]
    assert row["drop"] == pytest.approx(found[0] - found[1]) and row["kept"] == pytest.approx(found[3])


def test_the_drops_p_agrees_with_scipy():
    from scipy.stats import permutation_test

    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 8)  # balanced: the drop is the mean over trials
    predicted = np.stack([labels, np.where(rng.random(16) < .3, 1 - labels, labels), labels])
    result = tables.occlusion_tables(labels, predicted, np.arange(16), [(0, 50)], {})
    hits = (predicted[:2] == labels).astype(float)
    expected = permutation_test((hits[0] - hits[1],), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert result["windows"][0]["p"] == pytest.approx(expected.pvalue, abs=.02) and result["windows"][0]["p"] < .5


def test_the_chance_p_is_uniform_without_signal(monkeypatch):
    monkeypatch.setattr(tables, "PERMUTATIONS", 99)
    rng = np.random.default_rng(0)
    pictures = np.repeat(np.arange(24), 3)
    habits = rng.integers(0, 3, (400, 24)).repeat(3, 1)  # the trials of a picture are alike: not independent
    p = tables.chance_p(pictures % 3, habits, pictures)
    assert abs((p <= .05).mean() - .05) < .035 and abs((p <= .5).mean() - .5) < .15
    assert (tables.chance_p(pictures % 3, habits, None) <= .05).mean() > .08  # by trial it would be too small
    assert tables.chance_p(pictures % 3, (pictures % 3)[None], pictures) == [.01]


def test_the_training_mean_is_numpys(monkeypatch):
    monkeypatch.setattr(batches, "VALUES_PER_BATCH", 300)
    values = np.random.default_rng(0).normal(5, size=(40, 3, 20)).astype(np.float32)
    rows = torch.tensor([3, 4, 30, 39, 7])
    for eeg in (torch.from_numpy(values), MappedEEG([values[:10], values[10:]], 0, 20)):
        np.testing.assert_allclose(occlusion.training_mean(eeg, rows), values[rows.numpy()].mean(0), rtol=1e-5)


@pytest.mark.parametrize("n_times, sfreq, ms, number", [(150, 250., 50., 12), (440, 1000., 50., 9), (64, 128., 50., 10),
                                                        (5, 100., 1., 5), (5, 100., 900., 1)])
def test_windows_cover_the_epoch(n_times, sfreq, ms, number):
    windows = occlusion.time_windows(n_times, sfreq, ms)
    lengths = [high - low for low, high in windows]
    assert len(windows) == number and max(lengths) - min(lengths) <= 1
    assert np.concatenate([np.arange(low, high) for low, high in windows]).tolist() == list(range(n_times))


def test_shuffled_weights_keep_size_and_the_encoder():
    encoder = EEGTransformer(EEGEncoderConfig(n_chans=4, n_times=20, sfreq=100, num_classes=3, embedding_size=2, d_model=8,
                                              attn_heads=2, layers=1, spatial_filters=4))
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    other = shuffled_weights(encoder, 0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
    assert not torch.equal(other.pool.weight, encoder.pool.weight)
    assert torch.equal(other.pool.weight.flatten().sort().values, encoder.pool.weight.flatten().sort().values)
    assert torch.equal(other.patches.whitening, encoder.patches.whitening)


def test_the_weights_of_linear_branches_are_shuffled_as_well():
    """They are buffers, and often the whole decision: if they stayed, every map would correlate with that of the copy."""
    share = {"logits": 1., "embedding": 1.}
    encoder = EEGTransformer(EEGEncoderConfig(
        n_chans=len(NAMES), n_times=LENGTH, sfreq=SFREQ, num_classes=3, embedding_size=2, d_model=8, attn_heads=2, layers=1,
        spatial_filters=4, branches=dict.fromkeys(("transformer", "linear", "tangent"), share)))
    torch.manual_seed(0)
    nn.init.zeros_(encoder.classifier.weight)
    for branch in (encoder.linear, encoder.tangent):
        for name, buffer in branch.named_buffers():
            buffer.copy_(torch.randn(buffer.shape) if "whitening" not in name else torch.eye(len(buffer)))
    other = shuffled_weights(encoder, 0)
    kept = [name for name, buffer in encoder.named_buffers()
            if not name.endswith("bias") and torch.equal(buffer, other.get_buffer(name))]
    assert kept == ["patches.mean", "patches.whitening", "tangent.spatial", "tangent.whitening"]
    eeg = trials()[0].eeg
    encoder.tangent = None
    fill = eeg.mean(0)
    assert sanity_check(gradient_x_input(encoder, eeg, fill), encoder, eeg, fill) < .9


def test_a_map_that_shows_only_the_input_is_found_out():
    class Summing(nn.Module):
        """Adds everything up, whatever the order of its weights: the map is the input's size."""

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([1., -1.]))

        def forward(self, eeg):
            logits = eeg.sum((1, 2))[:, None] * self.weight
            return logits, logits

    eeg = torch.randn(50, 4, 20) * torch.arange(1, 21)
    assert sanity_check(gradient_x_input(Summing(), eeg, eeg.mean(0)), Summing(), eeg, eeg.mean(0)) > .99
    found, picture = trials()
    notes = when_where(Summing(), found, torch.arange(60, 120), torch.arange(60), picture[60:])["notes"]
    assert any("rely on the occlusion" in note for note in notes)


def test_regions_by_place():
    names = ["Fp1", "F7", "AFz", "FC3", "C5", "Cz", "T3", "TP9", "P7", "T6", "FT10", "CP1", "Pz", "PO8", "O1", "Iz",
             "EEG Oz-REF", "E75"]
    expected = ["frontal"] * 3 + ["central"] * 3 + ["left temporal"] * 3 + ["right temporal"] * 2 + ["parietal"] * 2 + [
        "occipital"] * 4 + [None]
    assert montage.scalp_regions(names) == expected
    places = montage.standard_places()
    given = {"E75": places["OZ"], "E1": places["F4"] * 1.1, "E2": places["T7"] * .9, "E3": [0, 0, 0]}
    assert montage.scalp_regions(list(given), given) == ["occipital", "frontal", "left temporal", None]


def test_left_and_right_are_cut_alike():
    standard = list(montage.standard_places())
    found = dict(zip(standard, montage.scalp_regions(standard), strict=True))
    mirrored = {name: name.replace(digits, str(int(digits) + (1 if int(digits) % 2 else -1))) for name in standard
                if (digits := "".join(filter(str.isdigit, name)))}
    swap = {"left temporal": "right temporal", "right temporal": "left temporal"}
    pairs = [(name, other) for name, other in mirrored.items() if other in found]
    assert len(pairs) > 250 and all(found[other] == swap.get(found[name], found[name]) for name, other in pairs)


def test_scalp_maps_need_places_in_a_plane():
    assert montage.scalp_info(["TP9", "AF7", "AF8", "TP10"], 256.)[1] == [0, 1, 2, 3]
    assert "in a line" in montage.scalp_info(["Fz", "Cz", "Pz", "Oz"], 256.)[1]
    assert "known of 1 of 2 channels" in montage.scalp_info(["Fz", "X"], 256.)[1]


def test_from_the_command_line(data, clip, tmp_path, capsys):
    import train_eeg_classifier as training

    training.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(tmp_path / "encoder"), "--d_model",
                   "16", "--attn_heads", "2", "--layers", "1", "--spatial_filters", "8", "--device", "cpu", "--batch_size",
                   "16", "--learning_rate", "3e-3", "--num_epochs", "8"])
    before = (tmp_path / "encoder" / "model.safetensors").read_bytes()
    scoring.main([*data_arguments(data), "--output", str(tmp_path / "encoder"), "--device", "cpu", "--when_and_where",
                  "--window_ms", "100", "--results_dir", str(tmp_path / "scores")])
    result = json.loads((tmp_path / "scores" / "when_where.json").read_text())
    assert len(result["windows"]) == 5 and result["window_ms"] == 100 and result["n"] == 24
    assert {row["region"] for row in result["regions"]} == {"frontal", "central", "parietal", "occipital"}
    said = capsys.readouterr().out
    assert result["sentence"] in said and "does not say when the picture appeared" in said
    assert Image.open(tmp_path / "scores" / "when_where.png").size[0] > 1000
    scores = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert result["balanced_accuracy"] == pytest.approx(scores["balanced_accuracy"])
    assert result["encoder"] == scores["encoder"]  # the report leaves out the map of an encoder before
    assert (tmp_path / "encoder" / "model.safetensors").read_bytes() == before


def test_without_mne_it_says_what_to_install_before_the_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(montage, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stop:
        scoring.main(["--eeg_dataset", "nowhere", "--output", str(tmp_path), "--when_and_where"])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and "--when_and_where: needs the package mne" in said
    assert "pip install -r requirements-data.txt" in said
