"""What of a picture is predicted: layers of a model with real weights, their mix, a head, tokens, blur."""

import json
import shutil
from unittest.mock import patch

from runtime import processes
from runtime.errors import InputError
from runtime.runs import read_json

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

import test_eeg_classifier as scoring
import train_eeg_classifier as training
from captioning.model_card import save_model
from datautils import image_embeddings, picture_features
from encoders.clip import embed_texts
from encoders.picture_models import load_picture_model
from encoders.target_blur import BlurredTargets
from picture_material import LAYERS, efficientnet, write_study
from tiny import data_arguments

TRUE = "4"  # the layer that the simulated EEG follows
SMALL = ["--d_model", "32", "--attn_heads", "4", "--layers", "1", "--spatial_filters", "8", "--device", "cpu",
         "--batch_size", "64", "--learning_rate", "3e-3", "--picture", "photo", "--branches", "neural"]


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    return efficientnet(tmp_path_factory.mktemp("efficientnet"))


@pytest.fixture(scope="module")
def study(real, tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study"), real, TRUE)


def train(data, model, output, *more, epochs=6):
    training.main([*data_arguments(data), "--clip_model", str(model), "--output", str(output), *SMALL, "--num_epochs",
                   str(epochs), *more])
    return output


def score(data, folder, *more):
    scoring.main([*data_arguments(data), "--output", str(folder), "--device", "cpu", *more])
    return json.loads((folder / "test" / "scores.json").read_text())["retrieval"]


def refused(capsys, call, *arguments):
    with pytest.raises(SystemExit) as stop:
        call(*arguments)
    assert stop.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def layered(study, real, tmp_path_factory):
    return train(study, real, tmp_path_factory.mktemp("layered") / "encoder", "--target_layers", *LAYERS)


@pytest.mark.slow
def test_validation_picks_the_layer_that_the_eeg_follows_and_retrieval_gains(study, real, layered, tmp_path):
    report = read_json(layered / "train_log.json")["target"]
    assert max(report["layers"], key=report["layers"].get) == TRUE
    assert read_json(layered / "target" / "config.json")["layers"] == [TRUE]
    plain = train(study, real, tmp_path / "plain")
    assert not (plain / "target").exists()
    assert score(study, layered)["top1"] > score(study, plain)["top1"] + 0.1


def test_a_learned_mix_weighs_that_layer_most(study, real, tmp_path):
    folder = train(study, real, tmp_path, "--target_layers", *LAYERS, "--target_mix", "learned", epochs=1)
    weights = read_json(folder / "train_log.json")["target"]["weights"]
    assert sum(weights.values()) == pytest.approx(1) and weights[TRUE] > 0.8
    features = picture_features(["ball_0", "car_1"], study / "images", str(real), "photo", layers=LAYERS)
    stored = load_file(folder / "target" / "target.safetensors")
    expected = (torch.cat(list(features.values()), 1) - stored["mean"]) * stored["scale"]
    found = image_embeddings(["ball_0", "car_1"], study / "images", str(folder / "target"), "photo")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    sizes = [features[layer].shape[1] for layer in LAYERS]
    power = [part.square().mean().item() for part in found.split(sizes, 1)]
    assert LAYERS[int(np.argmax(np.multiply(power, sizes)))] == TRUE


def test_a_head_is_learned_and_predicted(study, real, tmp_path):
    folder = train(study, real, tmp_path, "--target_layers", "3", TRUE, "--target_head", "24", "--loss", "mse", "infonce",
                   epochs=6)
    report = read_json(folder / "train_log.json")["target"]
    assert report["head"] > 2 * report["chance"]
    assert image_embeddings(["ball_0"], study / "images", str(folder / "target"), "photo").shape == (1, 24)
    assert score(study, folder)["top5"] > 0.5


def test_the_record_names_the_target(study, real, layered, clip, tmp_path, capsys):
    content = read_json(layered / "args.json")
    assert content["used"]["clip_model"] == str(layered / "target") and content["options"]["clip_model"] == str(real)
    for other in (real, clip):
        line = refused(capsys, score, study, layered, "--clip_model", str(other))
        assert f"--clip_model {other}" in line and str(layered / "target") in line
    moved = shutil.copytree(layered, tmp_path / "moved")
    assert score(study, moved) == score(study, layered)
    target = moved / "target" / "target.safetensors"
    tensors = load_file(target)
    save_file(tensors | {"mean": tensors["mean"] + 1}, target)
    assert "--clip_model" in refused(capsys, score, study, moved)


def test_a_copy_for_others_holds_the_target(study, real, layered, tmp_path, monkeypatch):
    """Without it an encoder from the Hub could neither be scored by retrieval nor made a captioner of."""
    copy = save_model(layered, tmp_path / "model")
    assert read_json(copy / "target" / "config.json")["_name_or_path"] == real.name
    monkeypatch.chdir(real.parent)  # where the picture model lies on the other machine
    assert score(study, copy) == score(study, layered)


def test_the_targets_own_model_has_changed(study, real, layered, tmp_path, capsys):
    folder, other = shutil.copytree(layered, tmp_path / "encoder"), shutil.copytree(real, tmp_path / "model")
    config = read_json(folder / "target" / "config.json")
    (folder / "target" / "config.json").write_text(json.dumps(config | {"_name_or_path": str(other)}))
    assert score(study, folder, "--cache_dir", str(tmp_path / "cache"))["n"] == 18
    weights = load_file(other / "model.safetensors")
    save_file({name: tensor + 0.01 for name, tensor in weights.items()}, other / "model.safetensors", {"format": "pt"})
    line = refused(capsys, score, study, folder, "--cache_dir", str(tmp_path / "cache2"))
    assert "has changed since the training" in line


@pytest.mark.parametrize("options, said", [
    (["--target_layers", "9"], "layers 1 to 2"), (["--target_layers", "0"], "layers 1 to 2"),
    (["--target_layers", "1", "--target_tokens", "3"], "square number"), (["--target_head", "8"], "--target_layers"),
    (["--target_mix", "learned"], "found none"), (["--target_mix", "learned", "--target_layers", "1", "1"], "found 1 1"),
    (["--target_mix", "learned", "--target_layers", "1", "2", "--target_head", "8"], "all layers as they are"),
    (["--target_layers", "final", "--target_tokens", "4"], "one vector"), (["--soft_targets", "0.2"], "infonce"),
    (["--target_blur", "4", "2"], "rising"), (["--target_layers", "1", "--loss_weight", "0"], "--loss_weight 0")])
def test_bad_targets(data, clip, tmp_path, capsys, options, said):
    assert said in refused(capsys, train, data, clip, tmp_path, *options)
    assert not (tmp_path / "model.safetensors").exists()


def test_a_target_of_a_target_is_refused(study, layered, tmp_path, capsys):
    assert "layers of a picture target" in refused(capsys, train, study, layered / "target", tmp_path, "--target_layers",
                                                   "1")


@pytest.mark.parametrize("options", [
    ["--target_layers", "1", "2", "final"],
    ["--target_layers", "1", "2", "--target_tokens", "4", "--target_mix", "learned"],
    ["--target_blur", "1", "2", "4"], ["--target_layers", "2", "--target_blur", "2"],
    ["--loss", "mse", "infonce", "--soft_targets", "0.3"]])
def test_target_options_run(data, clip, tmp_path, options):
    folder = train(data, clip, tmp_path, *options, epochs=1)
    assert score(data, folder)["n"] == 6


def pictures():
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)) for _ in range(3)]


def vision_model(kind, folder):
    """Save a tiny random model of a family as a folder; returns whether it has a class token."""
    torch.manual_seed(0)
    if kind == "timm":
        import timm

        model = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, depth=2).eval()
        save_file(model.state_dict(), folder / "model.safetensors", {"format": "pt"})
        (folder / "config.json").write_text(json.dumps({
            "architecture": "vit_tiny_patch16_224", "num_classes": 1000,
            "model_args": {"img_size": 32, "patch_size": 8, "depth": 2},
            "pretrained_cfg": {"input_size": [3, 32, 32], "num_classes": 1000, "classifier": "head"}}))
        return True
    if kind.startswith("open_clip"):
        import open_clip

        sizes = {"layers": 2, "width": 32, "patch_size": 8} if kind == "open_clip" else {"layers": [1, 1, 1, 1], "width": 4}
        config = {"embed_dim": 16, "vision_cfg": {"image_size": 32, "head_width": 16, **sizes},
                  "text_cfg": {"context_length": 8, "vocab_size": 100, "width": 16, "heads": 2, "layers": 1}}
        model = open_clip.CLIP(**config)
        save_file(model.state_dict(), folder / "open_clip_model.safetensors")
        (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
        return kind == "open_clip"
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32,
             "patch_size": 8}
    if kind == "dinov2":
        from transformers import BitImageProcessorPil, Dinov2Config, Dinov2Model

        Dinov2Model(Dinov2Config(**sizes)).save_pretrained(folder)
        BitImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    else:
        from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel

        text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                "vocab_size": 50, "projection_size": 32}
        SiglipModel(SiglipConfig(vision_config=sizes, text_config=text)).save_pretrained(folder)
        SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return kind == "dinov2"


@pytest.mark.parametrize("kind", ["clip", "dinov2", "siglip", "timm", "open_clip"])
def test_layers_of_every_family(kind, clip, tmp_path):
    """The class token, or the mean over positions, and a grid of positions, of the activations that a hook sees."""
    name = clip if kind == "clip" else tmp_path
    has_token = kind == "clip" or vision_model(kind, tmp_path)
    model = load_picture_model(str(name), "cpu")
    assert model.count == 2
    found = model.features(pictures(), ("1", "2", "final"))
    assert found["1"].shape == found["2"].shape == (3, 192 if kind == "timm" else 32) and len(found["final"]) == 3
    grid = model.features(pictures(), ("1",), 2)["1"].unflatten(1, (-1, 2, 2))
    real, seen = F.adaptive_avg_pool2d, []
    with patch.object(torch.nn.functional, "adaptive_avg_pool2d", lambda x, n: seen.append(x) or real(x, n)):
        model.features(pictures(), ("1",), 2)
    positions = seen[0]
    assert positions.shape[2:] == (4, 4)
    torch.testing.assert_close(grid[:, :, 0, 1], positions[:, :, :2, 2:].mean((2, 3)))
    if not has_token:
        torch.testing.assert_close(found["1"], positions.mean((2, 3)))
    torch.testing.assert_close(model.features(pictures()[:1], ("2",))["2"], found["2"][:1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("version", ["siglip", "siglip2"])
def test_texts_of_a_siglip(version, tmp_path):
    """As SiglipModel embeds them: small letters, padded on the right to the full length, and no position masked."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, SiglipModel, SiglipTokenizer

    vision_model("siglip", tmp_path)
    if version == "siglip":
        import sentencepiece

        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(["a red cat on the snow and a dog"] * 20),
                                                 model_prefix=str(tmp_path / "spiece"), vocab_size=18, eos_id=1, unk_id=2,
                                                 bos_id=-1, pad_id=0, minloglevel=2)
        SiglipTokenizer(str(tmp_path / "spiece.model"), model_max_length=64).save_pretrained(tmp_path)
        ids = [*SiglipTokenizer(str(tmp_path / "spiece.model")).encode("a red cat"), *[1] * 64][:64]  # padded by </s>
    else:
        words = Tokenizer(models.WordLevel({"<pad>": 0, "a": 1, "red": 2, "cat": 3, "<unk>": 4}, unk_token="<unk>"))
        words.pre_tokenizer = pre_tokenizers.Whitespace()
        PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", unk_token="<unk>", padding_side="left",
                                model_max_length=64).save_pretrained(tmp_path)
        ids = [1, 2, 3, *[0] * 61]
    model = SiglipModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        expected = model.get_text_features(input_ids=torch.tensor([ids])).pooler_output
    found = embed_texts(["A red CAT", "a much longer text " * 40], str(tmp_path), "cpu")
    assert found.shape == (2, 32)
    torch.testing.assert_close(found[:1], expected)


def test_texts_of_a_model_of_pictures_alone(tmp_path):
    vision_model("dinov2", tmp_path)
    with pytest.raises(InputError, match=r"embeds pictures only, .* give a CLIP or a SigLIP"):
        embed_texts(["a cat"], str(tmp_path), "cpu")


def test_layers_of_open_clips_resnets(tmp_path):
    """As UBP's RN50: the stages of the network in turn, without the stem."""
    import open_clip

    vision_model("open_clip_resnet", tmp_path)
    model = load_picture_model(str(tmp_path), "cpu")
    found = model.features(pictures(), ("1", "2", "3", "4", "final"))
    network = open_clip.create_model(f"local-dir:{tmp_path}").visual.eval()
    with torch.no_grad():
        state = network.stem(model.preprocess(pictures()))
        for number in ("1", "2", "3", "4"):
            state = getattr(network, f"layer{number}")(state)
            torch.testing.assert_close(found[number], state.mean((2, 3)))
        torch.testing.assert_close(found["final"], network.attnpool(state))
    assert model.count == 4 and found["1"].shape == (3, 16)
    model.features(pictures(), ("2",), 2)


def test_layers_of_open_clips_convnexts():
    import open_clip

    with patch.object(open_clip, "create_model_and_transforms", lambda **given: (
            open_clip.create_model("convnext_base"), None, lambda picture: torch.zeros(3, 64, 64))):
        model = load_picture_model("open_clip:convnext_base", "cpu")
    assert [model.features(pictures()[:1], (f"{n}",))[f"{n}"].shape[1] for n in range(1, model.count + 1)] == [
        128, 256, 512, 1024]


def test_the_features_are_those_of_the_models_own_hidden_states(clip):
    from transformers import CLIPImageProcessorPil, CLIPVisionModelWithProjection

    model, processor = CLIPVisionModelWithProjection.from_pretrained(clip), CLIPImageProcessorPil.from_pretrained(clip)
    with torch.no_grad():
        expected = model(**processor(images=pictures(), return_tensors="pt"), output_hidden_states=True)
    found = load_picture_model(str(clip), "cpu").features(pictures(), ("1", "final"))
    torch.testing.assert_close(found["1"], expected.hidden_states[1][:, 0])
    torch.testing.assert_close(found["final"], expected.image_embeds)


def test_a_blurred_picture_is_the_blurred_file(data, clip):
    names = ["cat_0", "dog_1"]
    blurred = [Image.open(data / "images" / name.split("_")[0] / f"{name}.JPEG").convert("RGB").filter(
        ImageFilter.GaussianBlur(0.05 * 32)) for name in names]
    expected = load_picture_model(str(clip), "cpu").features(blurred)["final"]
    found = image_embeddings(names, data / "images", str(clip), "photo", blur=5.0)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, image_embeddings(names, data / "images", str(clip), "photo"))


def test_blur_is_adapted_by_the_trials_of_all_processes(monkeypatch):
    """Each had the levels of its own share, and DistributedDataParallel keeps the buffers of process 0."""
    torch.manual_seed(0)
    targets, image = torch.randn(3, 40, 8), torch.arange(40)
    noisy = targets[1] + 0.05 * torch.randn(40, 8)
    noisy[33] = -targets[1, 33]
    whole, part = (BlurredTargets(targets, torch.zeros(8)) for _ in range(2))
    whole(noisy, image)
    found = F.cosine_similarity(noisy, targets[1])
    monkeypatch.setattr(processes, "join", lambda tensor: found if tensor.is_floating_point() else image)
    assert torch.equal(part(noisy[:20], image[:20]), targets[1, :20])
    assert part.level[33] == 2 and torch.equal(part.level, whole.level) and torch.equal(part.similarity, whole.similarity)


def test_blur_follows_how_well_the_eeg_fits():
    """As in UBP: outside of mean +- 1.96 standard deviations of the smoothed similarities of the batch."""
    torch.manual_seed(0)
    targets = torch.randn(3, 40, 8)
    blur = BlurredTargets(targets, torch.zeros(8))
    image = torch.arange(40)
    noisy = targets[1] + 0.05 * torch.randn(40, 8)
    noisy[3] = -targets[1, 3]
    assert torch.equal(blur(noisy, image), targets[1])  # all begin in the middle
    level = blur.level.clone()
    assert level[3] == 2 and (level != 1).sum() == 1
    assert torch.equal(blur(noisy, image)[3], targets[2, 3])
    plain = BlurredTargets(targets, torch.zeros(8))
    good = -targets[1] + 0.05 * torch.randn(40, 8)
    good[5] = targets[1, 5]
    plain(good, image)
    assert plain.level[5] == 0 and plain.level.sum() == 39
    first = F.cosine_similarity(good, targets[1])
    torch.testing.assert_close(plain.similarity, first)
    now = targets[plain.level, image]
    plain(good, image)
    torch.testing.assert_close(plain.similarity, 0.3 * F.cosine_similarity(good, now) + 0.7 * first)
