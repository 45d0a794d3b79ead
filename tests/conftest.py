"""Tiny random models and a tiny data set with real structure, made once a test session."""

import contextlib
import itertools
import os
import resource
import shutil
import signal
from pathlib import Path

import runtime  # noqa: F401  (before torch)

import numpy as np
import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub reads it: no test waits for a network

import torch
from PIL import Image

from bench.synthetic import write_pth
from eegdata.pictures import write_captions
from eegdata.splits import write_splits
from split_material import make_people, make_sessions
from tiny import CHANNELS, CLASSES, data_arguments, make_llm

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared():
    if not SHARED.is_dir():
        pytest.skip("the real recordings of ../shared/data are not on this machine")
    return SHARED


@pytest.fixture(scope="session")
def cases():
    """Other people's recordings and tables, each with a fault."""
    folder = SHARED.parent / "cases" / "data"
    if not folder.is_dir():
        pytest.skip("the cases of ../shared/cases are not on this machine")
    return folder


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("EEG_TO_TEXT_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium; within one file of tests, as its loop would be in the way of other asynchronous code."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium on this machine")
    with api.sync_playwright() as play:
        one = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Made anew for each file of tests, because its tests write into the folder."""
    return make_people(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    return make_sessions(tmp_path_factory.mktemp("sessions"))


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """3 classes x 8 pictures x 4 trials of 2 subjects, 6 channels x 64 samples at 128 Hz; class and picture colour are in
    the EEG. Returns the folder with eeg.pth, splits.pth and images/."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    time = np.arange(64) / 128
    names, captions, eeg, rows = [], {}, [], []
    for label, kind in enumerate(CLASSES):
        for picture in range(8):
            name = f"{kind}_{picture}"
            red = picture % 2
            captions[name] = f"A {'red' if red else 'blue'} {kind} in the {'snow' if picture % 4 < 2 else 'grass'}."
            (folder / "images" / kind).mkdir(parents=True, exist_ok=True)
            pixels = np.full((32, 32, 3), (200, 30, 30) if red else (30, 30, 200), np.uint8)
            pixels[8 * label:8 * label + 8] = 255
            pixels = np.clip(pixels + rng.integers(0, 20, pixels.shape), 0, 255).astype(np.uint8)
            for suffix in ("", "_sketch"):
                Image.fromarray(pixels).save(folder / "images" / kind / f"{name}{suffix}.JPEG")
            for trial in range(4):
                signal = rng.normal(size=(6, 64))
                signal[label] += 3 * np.sin(2 * np.pi * 10 * time)
                signal[3 + red] += 3 * np.cos(2 * np.pi * 6 * time)
                eeg.append(signal)
                rows.append((label, len(names), trial % 2 + 1))
            names.append(name)
    label, image, subject = map(list, zip(*rows, strict=True))
    write_pth(folder / "eeg.pth", eeg=np.stack(eeg), label=label, image=image, subject=subject, images=names,
              class_ids=CLASSES, class_names=CLASSES, sfreq=128, ch_names=CHANNELS)
    write_captions(folder / "images", captions)
    part = ["test" if i % 8 >= 6 else "val" if i % 8 == 5 else "train" for i in image]
    write_splits(folder / "splits.pth", {p: [i for i, q in enumerate(part) if q == p] for p in ("train", "val", "test")})
    return folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """A tiny random CLIP vision tower in transformers' layout, embedding size 16."""
    from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection

    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    config = CLIPVisionConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
                              image_size=32, patch_size=8, projection_dim=16)
    CLIPVisionModelWithProjection(config).save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def llm(tmp_path_factory):
    """A tiny random Llama with a chat template."""
    return make_llm(tmp_path_factory.mktemp("llm"))


@pytest.fixture
def full_disk():
    """A context in which writes beyond 20 kB fail, as on a full disk; not the whole test, as pytest's log may be longer."""
    @contextlib.contextmanager
    def full():
        old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, old[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
            signal.signal(signal.SIGXFSZ, handler)

    return full


@pytest.fixture
def stopped(monkeypatch):
    """A function that runs a training and presses Ctrl-C in one of its steps."""
    from transformers import Trainer

    def run(step, function, *arguments):
        steps, real = itertools.count(1), Trainer.training_step

        def interrupted(self, *given, **more):
            if next(steps) == step:
                raise KeyboardInterrupt
            return real(self, *given, **more)

        with monkeypatch.context() as patch, pytest.raises(SystemExit) as stop:
            patch.setattr(Trainer, "training_step", interrupted)
            function(*arguments)
        assert stop.value.code == 130

    return run


@pytest.fixture(scope="session")
def encoder(data, clip, tmp_path_factory):
    """An encoder of stage 1 that has learned `data`."""
    import train_eeg_classifier

    folder = tmp_path_factory.mktemp("encoder")
    train_eeg_classifier.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(folder),
                               "--num_epochs", "12", "--batch_size", "16"])
    return folder


@pytest.fixture(scope="session")
def captioner(data, clip, encoder, llm, tmp_path_factory):
    """A captioner that was trained a little, with `encoder`."""
    from runtime.runs import file_hash

    from finetuning import finetune

    before = file_hash(encoder / "model.safetensors")
    folder = finetune(data, clip, encoder, llm, tmp_path_factory.mktemp("captioner"), "--num_epochs_image", "4",
                      "--num_epochs_eeg", "3", "--batch_size", "8")
    assert file_hash(encoder / "model.safetensors") == before == file_hash(folder / "eeg_encoder" / "model.safetensors")
    return folder


@pytest.fixture(scope="session")
def study(clip, llm, tmp_path_factory):
    """(recording, data set folder, captioner) of new_recordings.made_up_study."""
    from new_recordings import made_up_study

    return made_up_study(tmp_path_factory.mktemp("study"), clip, llm)


@pytest.fixture(scope="session")
def expected(study, tmp_path_factory):
    """What inference.py writes of all trials of `study`."""
    from new_recordings import offline

    return offline(study[2], study[1], tmp_path_factory.mktemp("offline") / "captions.csv")
