"""Every stage on a pretended device: no tensor stays on the CPU, and a step makes the host wait no more than it did."""

import statistics

import pytest
import torch
from transformers import Trainer

import train_eeg_classifier
from finetuning import finetune, write, write_controls
from language_model.static_decoding import _Step
from model import EEGModelForCausalLM
from pretended import NAME, pretended_device
from tiny import data_arguments

STAGE_1, STAGES_2_AND_3, TOKEN = 2, 4, 0  # waits of a training step and of a written token, as measured
FEW = ["--batch_size", "8", "--logging_steps", "1000"]


@pytest.fixture
def device(monkeypatch):
    with pretended_device(monkeypatch) as mode:
        yield mode


@pytest.fixture
def between(device, monkeypatch):
    """A function that notes how often the host waits between two calls of a method: (class, name) -> list, the first
    call's not among them."""
    def note(owner, name):
        real, seen, waits = getattr(owner, name), [], []

        def noted(self, *given, **more):
            if seen:
                waits.append(device.waits - seen[-1])
            seen.append(device.waits.copy())
            return real(self, *given, **more)

        monkeypatch.setattr(owner, name, noted)
        return waits
    return note


def test_the_rules_of_devices(device):
    there, here = torch.ones(3, device=NAME), torch.ones(3)
    layer = torch.nn.Linear(3, 2).to(NAME)
    layer(there).sum().backward()
    assert layer.weight.grad.device == there.device == torch.device(NAME, 0) and not device.waits
    for mixed in (lambda: there + here, lambda: layer(here), lambda: torch.cat([there, here]), lambda: here[there.long()]):
        with pytest.raises(RuntimeError, match="same device"):
            mixed()
    assert there.sum() * torch.tensor(2.) == 6  # a number goes along; to read the result is to wait
    there.tolist(), there.cpu(), there.nonzero(), there[there > 0], here.copy_(there)
    assert device.waits.total() == 6


def usual(waits):
    """The waits of most steps; the first ones also start something, and some log."""
    return statistics.median(step.total() for step in waits)


def test_stage_1(between, data, clip, tmp_path):
    waits = between(Trainer, "training_step")
    train_eeg_classifier.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(tmp_path / "encoder"),
                               "--num_epochs", "1", "--batch_size", "16", "--logging_steps", "1000"])
    assert usual(waits) <= STAGE_1, waits


def test_stages_2_and_3_inference_and_controls(between, data, clip, encoder, llm, tmp_path):
    steps = between(Trainer, "training_step")
    folder = finetune(data, clip, encoder, llm, tmp_path / "captioner", *FEW)
    assert usual(steps) <= STAGES_2_AND_3, steps
    tokens = between(_Step, "__call__")
    write(folder, data, tmp_path / "captions.csv")
    assert usual(tokens) <= TOKEN, tokens
    write_controls(folder, data, tmp_path / "control.csv")


# --- what the tests above would find ---

def spoil(monkeypatch, change):
    """Let the model first do something to its embeddings."""
    real = EEGModelForCausalLM.splice
    monkeypatch.setattr(EEGModelForCausalLM, "splice", lambda self, ids, soft, embeddings, modality: real(
        self, ids, soft, change(embeddings), modality))


def test_a_new_wait_in_a_step_is_found(between, monkeypatch, data, clip, encoder, llm, tmp_path):
    spoil(monkeypatch, lambda embeddings: embeddings * (1 + 0 * embeddings.sum().item()))
    steps = between(Trainer, "training_step")
    finetune(data, clip, encoder, llm, tmp_path / "captioner", *FEW, "--no_stage2", "--max_steps", "5")
    assert usual(steps) == STAGES_2_AND_3 + 1, steps


def test_a_tensor_left_behind_is_found(device, monkeypatch, data, clip, encoder, llm, tmp_path):
    spoil(monkeypatch, lambda embeddings: embeddings.cpu())
    with pytest.raises(RuntimeError, match="same device"):
        finetune(data, clip, encoder, llm, tmp_path / "captioner", *FEW, "--no_stage2")
