"""What is decided for CUDA, on a pretended card; and what must be equal to the slower way that it replaces."""

import argparse

from runtime import cuda, options
from runtime.runs import read_json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import inference
from captioning.captioner import Captioner
from captioning.smaller_batches import with_smaller_batches
from captioning.training import CaptionTrainer
from config import EEGEncoderConfig
from datautils import collate
from encoders import encode
from encoders.branches import BranchFitting
from encoders.transformer import EEGTransformer
from finetuning import finetune
from language_model import memory, static_decoding, training_plan
from language_model.training_plan import Plan
from loss import EMBEDDING_LOSSES, embedding_loss
from model import EEGModelForCausalLM, load_llm
from test_branches import evoked
from test_fast_captioning import examples
from test_model import LORA, build
from tiny import data_arguments

OLD, NEW = (7, 5), (8, 0)  # T4, A100


@pytest.fixture
def card(monkeypatch):
    """Pretends that cards have a compute capability."""
    def pretend(capability):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    return pretend


@pytest.mark.parametrize(("capability", "half", "dtype"), [(OLD, "fp16", torch.float16), (NEW, "bf16", torch.bfloat16)])
def test_the_16_bit_type_of_a_card(card, capsys, capability, half, dtype):
    card(capability)
    assert cuda.half_of("cuda:0") == half and cuda.native(torch.bfloat16, "cuda:0") == dtype
    assert ("computes in float16 here" in capsys.readouterr().out) == (capability == OLD)
    assert cuda.native(torch.float32, "cuda:0") == torch.float32 and cuda.half_of("cpu") == "bf16"
    asked = argparse.Namespace(bf16=True, fp16=False)
    assert cuda.dtype_of(cuda.asked_half(asked, "cuda:0")) == torch.bfloat16  # as asked, and said
    assert ("emulates it" in capsys.readouterr().out) == (capability == OLD)


def test_a_plan_names_the_type_of_the_card(llm):
    args = argparse.Namespace(batch_size=16, gradient_accumulation_steps=1, load_in_8bit=False, load_in_4bit=False,
                              bf16=False, fp16=False, gradient_checkpointing="auto", micro_batch_size=None,
                              eval_batch_size=None)
    plan = training_plan.plan_training(args, memory.shape_of(llm), free=1e12, cuda=True, trained=1000, lora=None,
                                       half="fp16")
    assert plan.half == "fp16" and ": fp16, gradient checkpointing off" in plan.line
    args.fp16 = True
    asked = training_plan.plan_training(args, memory.shape_of(llm), free=1e12, cuda=True, trained=1000, lora=None)
    assert (asked.half, asked.terms["weights of the LLM"]) == ("fp16", plan.terms["weights of the LLM"])


def test_a_cuda_device_keeps_float32_and_plans_no_attention(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    before = torch.backends.cuda.cudnn_sdp_enabled()
    try:
        torch.backends.cuda.enable_cudnn_sdp(True)
        assert options.resolve_device("cuda") == "cuda:0"
        assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.cudnn_sdp_enabled()
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


@pytest.mark.parametrize("name", EMBEDDING_LOSSES)
def test_losses_are_float32_within_autocast(name):
    generator = torch.Generator().manual_seed(0)
    embedding, target = torch.randn(2, 16, 64, generator=generator)
    image = torch.arange(16) // 2
    expected = EMBEDDING_LOSSES[name](embedding.double(), target.double(), image)
    with torch.autocast("cpu", torch.bfloat16):
        assert float(embedding_loss(name, embedding, target, image)) == pytest.approx(float(expected), rel=1e-5)


# --- a captioner ---

@pytest.fixture(scope="module")
def adapted(data, clip, encoder, llm, tmp_path_factory):
    """A captioner whose adapter has learned something."""
    return finetune(data, clip, encoder, llm, tmp_path_factory.mktemp("cuda") / "captioner", "--device", "cpu",
                    "--learning_rate", "0.01")


def test_a_merged_adapter_gives_the_logits_of_a_separate_one(adapted, data):
    separate = EEGModelForCausalLM.from_pretrained(adapted)
    merged = Captioner(adapted, "cpu").model
    ids = torch.arange(1, 13).reshape(2, 6)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "soft_mask": torch.zeros_like(ids, dtype=torch.bool),
             "embeddings": torch.randn(2, separate.config.embedding_size)}
    with torch.no_grad():
        expected, found = separate(**batch)["logits"], merged(**batch)["logits"]
        with separate.llm.disable_adapter():
            without = separate(**batch)["logits"]
    assert torch.allclose(found, expected, atol=1e-5) and not torch.allclose(without, expected, atol=1e-3)
    name, weight = next((n, w) for n, w in merged.llm.named_parameters() if n.endswith("q_proj.base_layer.weight"))
    assert not torch.equal(weight, dict(separate.llm.named_parameters())[name])


def test_adapters_beside_8_bit_weights_compute_as_the_llm(data, clip, encoder, llm, tmp_path):
    folder = finetune(data, clip, encoder, llm, tmp_path / "captioner", "--device", "cpu", "--load_in_8bit", "--bf16",
                      "--max_steps", "2", "--no_stage2")
    captioner = Captioner(folder, "cpu", torch.bfloat16)
    model = captioner.model
    assert captioner.llm_bits == 8 and Captioner(folder, "cpu", torch.bfloat16, loading=None).llm_bits is None
    adapters = {weight.dtype for name, weight in model.llm.named_parameters() if "lora_" in name}
    assert adapters == {model.base_llm().dtype} == {torch.bfloat16}
    assert not any(module.merged for module in model.llm.modules() if hasattr(module, "lora_A"))


def test_the_captioner_keeps_the_type_that_it_was_trained_in(data, clip, encoder, llm, tmp_path, adapted):
    half = finetune(data, clip, encoder, llm, tmp_path / "half", "--device", "cpu", "--bf16", "--max_steps", "1",
                    "--no_stage2")
    kept = [read_json(folder / "config.json")["llm_dtype"] for folder in (half, adapted)]
    assert kept == ["bfloat16", "float32"]


def test_captions_are_the_same_in_any_number_at_a_time(adapted, data, tmp_path):
    files = []
    for size in ("3", "512"):
        files.append(tmp_path / f"{size}.csv")
        inference.main(["--model_path", str(adapted), *data_arguments(data), "--dest", str(files[-1]), "--max_new_tokens",
                        "12", "--device", "cpu", "--batch_size", size])
    assert files[0].read_text() == files[1].read_text()


# --- on a card ---

on_a_card = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")


@on_a_card
@pytest.mark.parametrize("ends", [[-1], None])
def test_captions_of_a_graph_are_the_plain_ones(llm, monkeypatch, ends):
    model = build(llm, lora=LORA, device="cuda:0").eval()
    prefix, rows = examples(llm, captions=None)
    batch = {key: value.to("cuda:0") for key, value in collate(rows, 3, 0, prefix).items() if key != "labels"}
    monkeypatch.setattr(static_decoding, "STEPS", 8)
    options = {"max_new_tokens": 30, "pad_token_id": 0, "repetition_penalty": 1.3}
    with monkeypatch.context() as patch:
        patch.setattr(model.static, "devices", ())
        endless = model.generate(**batch, **options, eos_token_id=[-1])
        ends = ends or [endless[row, step].item() for row, step in enumerate((2, 9, 17))]
        plain = model.generate(**batch, **options, eos_token_id=ends)
    graphs = []
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda self, real=torch.cuda.CUDAGraph.replay: (
        graphs.append(1), real(self)))
    assert torch.equal(model.generate(**batch, **options, eos_token_id=ends), plain) and model.static.suited and graphs


@on_a_card
@pytest.mark.parametrize("loading", ["8bit", "4bit"])
def test_quantised_weights_give_about_the_same_logits(llm, loading):
    ids = torch.arange(1, 13).reshape(2, 6).to("cuda:0")
    with torch.no_grad():
        plain, found = (load_llm(llm, "cuda:0", torch.bfloat16, how)(ids).logits.float() for how in (None, loading))
    assert ((found - plain).norm() / plain.norm()) < {"8bit": .1, "4bit": .5}[loading]


@on_a_card
def test_an_encoder_gives_what_it_gives_on_a_cpu():
    options.resolve_device("cuda")
    torch.manual_seed(0)
    eeg = torch.einsum("cs,nst->nct", torch.randn(32, 6), torch.randn(64, 6, 250)) + .1 * torch.randn(64, 32, 250)
    encoder = EEGTransformer(EEGEncoderConfig(n_chans=32, n_times=250, num_classes=4, embedding_size=8)).eval()
    encoder.fit_whitening(eeg)
    with torch.no_grad():
        expected = encoder.tokens(eeg)
        found = encoder.cuda().tokens(eeg.cuda()).cpu()
    assert ((found - expected).norm() / expected.norm()) < 1e-4


@on_a_card
def test_branches_give_what_they_give_on_a_cpu():
    options.resolve_device("cuda")
    outputs = {}
    for device in ("cpu", "cuda"):
        eeg, labels = evoked(240, strength=1.5)
        targets = torch.nn.functional.one_hot(labels, 4).float()
        torch.manual_seed(0)
        encoder = EEGTransformer(EEGEncoderConfig(n_chans=5, n_times=60, sfreq=100, num_classes=3, embedding_size=4,
                                                  d_model=16, attn_heads=2, layers=1, spatial_filters=4)).to(device)
        rows = {"train": torch.arange(180), "val": torch.arange(180, 240)}
        BranchFitting(eeg.to(device), labels, targets, 3, rows, np.arange(240), 100, 0).add_to(encoder, eeg, device, 1.)
        outputs[device] = encode(encoder, evoked(60, seed=1, strength=1.5)[0], device=device)
    for expected, found in zip(*outputs.values(), strict=True):
        assert ((found - expected).norm() / expected.norm()) < 1e-4


# --- out of memory ---

def test_half_the_batch_twice_as_often():
    plan = Plan(None, None, 12, 2, False)
    halved = with_smaller_batches(plan)
    assert (halved.batch_size, halved.accumulation) == (6, 4)
    again, odd = with_smaller_batches(halved), with_smaller_batches(Plan(None, None, 7, 1, False))
    assert [(p.batch_size, p.accumulation) for p in (again, odd)] == [(3, 8), (1, 7)]


def test_out_of_memory_in_training_goes_on_to_the_same_result(data, clip, encoder, llm, tmp_path, monkeypatch, capsys):
    common = ["--device", "cpu", "--batch_size", "8", "--lora_dropout", "0", "--label_dropout", "0", "--no_stage2",
              "--save_steps", "2", "--learning_rate", "0.01"]
    whole = finetune(data, clip, encoder, llm, tmp_path / "whole", *common)
    real, calls = CaptionTrainer.training_step, []

    def short(self, model, inputs, *more, **named):
        calls.append(len(inputs["input_ids"]))
        if len(inputs["input_ids"]) > 4 and len(calls) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, model, inputs, *more, **named)

    monkeypatch.setattr(CaptionTrainer, "training_step", short)
    part = finetune(data, clip, encoder, llm, tmp_path / "part", *common)
    assert "out of memory; going on with batches of 4, 2 in each step" in capsys.readouterr().out
    assert calls[:4] == [8] * 4 and set(calls[4:]) == {4}
    one, other = (load_file(folder / "adapter" / "adapter_model.safetensors") for folder in (whole, part))
    assert all(torch.allclose(one[name], other[name], atol=1e-4) for name in one)
    used = read_json(part / "args.json")["used"]
    assert (used["batch_size"], used["gradient_accumulation_steps"]) == (4, 2)


def test_no_memory_for_one_trial_is_an_error(data, clip, encoder, llm, tmp_path, monkeypatch, capsys):
    def short(self, model, inputs, *more, **named):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(CaptionTrainer, "training_step", short)
    with pytest.raises(SystemExit) as stop:
        finetune(data, clip, encoder, llm, tmp_path / "out", "--device", "cpu", "--batch_size", "2", "--no_stage2")
    assert stop.value.code == 2 and "out of memory with batches of one trial" in capsys.readouterr().err
