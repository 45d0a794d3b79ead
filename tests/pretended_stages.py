"""Every stage on a pretended device: no tensor stays on the CPU, and a step makes the host wait no more than it did.

tests/test_pretended.py runs this file in a process of its own.
"""

import statistics

import pytest
from transformers import Trainer

import train_eeg_classifier
from finetuning import finetune, write, write_controls
from language_model.static_decoding import _Step
from model import EEGModelForCausalLM
from pretended import pretended_device
from tiny import data_arguments

STAGE_1, STAGES_2_AND_3, TOKEN = 2, 4, 0  # waits of a training step and of a written token, as measured
FEW = ["--batch_size", "4", "--gradient_accumulation_steps", "2", "--logging_steps", "1000"]


@pytest.fixture(scope="module")
def device():
    with pytest.MonkeyPatch.context() as patch, pretended_device(patch) as mode:
        yield mode


@pytest.fixture(scope="module")
def first(device, data, clip, tmp_path_factory):
    """(an encoder of stage 1, the waits of its steps)."""
    folder = tmp_path_factory.mktemp("encoder")
    with pytest.MonkeyPatch.context() as patch:
        waits = noting(device, patch, Trainer, "training_step")
        train_eeg_classifier.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(folder),
                                   "--num_epochs", "1", "--batch_size", "8", "--logging_steps", "1000"])
    return folder, waits


def noting(device, patch, owner, name):
    """A list that gets the host's waits between two calls of a method."""
    real, seen, waits = getattr(owner, name), [], []

    def noted(self, *given, **more):
        if seen:
            waits.append(device.waits - seen[-1])
        seen.append(device.waits.copy())
        return real(self, *given, **more)

    patch.setattr(owner, name, noted)
    return waits


def usual(waits):
    """The waits of most steps; the first ones also start something, and some log."""
    return statistics.median(step.total() for step in waits)


def test_stage_1(first):
    assert usual(first[1]) <= STAGE_1, first[1]


def test_stages_2_and_3_inference_and_controls(device, first, monkeypatch, capsys, data, clip, llm, tmp_path):
    steps = noting(device, monkeypatch, Trainer, "training_step")
    folder = finetune(data, clip, first[0], llm, tmp_path / "captioner", *FEW)
    assert usual(steps) <= STAGES_2_AND_3, steps
    assert "batches of 8, one of them in place of 2 of 4, evaluated 256 at a time" in capsys.readouterr().out
    tokens = noting(device, monkeypatch, _Step, "__call__")
    write(folder, data, tmp_path / "captions.csv")
    assert usual(tokens) <= TOKEN, tokens
    write_controls(folder, data, tmp_path / "control.csv")


# --- what the tests above would find ---

def spoil(monkeypatch, change):
    """Let the model first do something to its embeddings."""
    real = EEGModelForCausalLM.splice
    monkeypatch.setattr(EEGModelForCausalLM, "splice", lambda self, ids, soft, embeddings, modality: real(
        self, ids, soft, change(embeddings), modality))


def test_a_new_wait_in_a_step_is_found(device, first, monkeypatch, data, clip, llm, tmp_path):
    spoil(monkeypatch, lambda embeddings: embeddings * (1 + 0 * embeddings.sum().item()))
    steps = noting(device, monkeypatch, Trainer, "training_step")
    finetune(data, clip, first[0], llm, tmp_path / "captioner", *FEW, "--no_stage2", "--max_steps", "5")
    assert usual(steps) == STAGES_2_AND_3 + 1, steps


def test_a_tensor_left_behind_is_found(device, first, monkeypatch, data, clip, llm, tmp_path):
    spoil(monkeypatch, lambda embeddings: embeddings.cpu())
    with pytest.raises(RuntimeError, match="same device"):
        finetune(data, clip, first[0], llm, tmp_path / "captioner", *FEW, "--no_stage2")
