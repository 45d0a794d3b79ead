"""LoRA and LLMs that do not fit each other: one clear error, before training."""

import shutil

from runtime.errors import InputError

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from families import FAMILIES, ROWS, USUAL, WIDTH, make_family
from finetuning import finetune
from language_model.adapter_files import adapter_state
from language_model.loading import load_llm
from model import EEGModelForCausalLM
from test_model import build
from tiny import make_tokenizer


@pytest.mark.parametrize(("kind", "more", "message"), [
    ("llama", ["--lora_target", r".*embed_tokens"], "matches the embeddings model.embed_tokens"),
    ("llama", ["--lora_target", r".*(embed_tokens|q_proj)"], "matches the embeddings model.embed_tokens"),
    ("gpt2", ["--lora_target", r".*wpe"], "matches the embeddings transformer.wpe"),
    ("llama", ["--lora_target", r".*norm"], "peft cannot adapt these layers of this LLM"),
    ("llama", ["--lora_target", "nothing"], "are called down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj"),
    ("llama", ["--lora_target", "("], "--lora_target ("),
    ("mpt", [], "--use_lora: peft gives no adapter to LLMs of type mpt"),
    ("mpt", ["--lora_target", ".*Wqkv"], "give --no-use_lora, which trains the projector alone"),
    ("mamba", [], "the linear layers of this LLM are called dt_proj, in_proj, out_proj, x_proj"),
])
def test_what_does_not_fit_is_one_error(data, clip, encoder, tmp_path, capsys, kind, more, message):
    llm = make_family(tmp_path / "llm", kind)
    with pytest.raises(SystemExit) as stop:
        finetune(data, clip, encoder, llm, tmp_path / "out", "--no_stage2", "--max_steps", "1", *more)
    said = capsys.readouterr().err
    assert stop.value.code == 2 and message in said and said.count("error:") == 1


@pytest.mark.parametrize(("kind", "more"), [
    ("mpt", ["--no-use_lora"]), ("mamba", ["--lora_target", r".*\.(in_proj|x_proj)"])])
def test_the_advice_works(data, clip, encoder, tmp_path, kind, more):
    llm = make_family(tmp_path / "llm", kind)
    assert finetune(data, clip, encoder, llm, tmp_path / "out", "--no_stage2", "--max_steps", "1", *more).is_dir()


def test_a_layer_that_is_no_plain_linear_one(data, clip, encoder, tmp_path, capsys):
    """Llama 4's router is a Linear that returns two tensors."""
    tokenizer = make_tokenizer(["A red cat."] * 3, chat=True)
    config = AutoConfig.for_model("llama4_text", hidden_size=48, num_hidden_layers=2, num_attention_heads=4, head_dim=12,
                                  num_key_value_heads=2, intermediate_size=96, intermediate_size_mlp=96,
                                  num_local_experts=2, vocab_size=len(tokenizer), pad_token_id=None)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "llm")
    tokenizer.save_pretrained(tmp_path / "llm")
    with pytest.raises(SystemExit) as stop:
        finetune(data, clip, encoder, tmp_path / "llm", tmp_path / "out", "--no_stage2", "--max_steps", "1")
    assert stop.value.code == 2
    assert "an LLM of type llama4_text does not run with an adapter on all these layers" in capsys.readouterr().err


def test_an_llm_that_writes_nothing_after_embeddings(data, clip, encoder, llm, tmp_path, capsys):
    folder = shutil.copytree(llm, tmp_path / "llm")
    config = AutoConfig.for_model("ctrl", n_embd=48, n_layer=1, n_head=4, dff=96, vocab_size=400)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    with pytest.raises(SystemExit) as stop:
        finetune(data, clip, encoder, folder, tmp_path / "out", "--no_stage2", "--max_steps", "1")
    assert stop.value.code == 2 and "a CTRLLMHeadModel writes no text after embeddings" in capsys.readouterr().err


PER_LAYER = USUAL | {"head_dim": 12, "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": ROWS,
                     "layer_types": ["sliding_attention", "full_attention"]}


@pytest.mark.parametrize(("kind", "sizes", "said"), [
    ("rwkv", {"hidden_size": 48, "num_hidden_layers": 2}, "a RwkvForCausalLM reads the padding"),
    ("recurrent_gemma", USUAL | {"num_hidden_layers": 3, "lru_width": 48}, "reads the padding"),
    ("gemma3n_text", PER_LAYER | {"num_kv_shared_layers": 0, "laurel_rank": 8, "altup_num_inputs": 2,
                                  "activation_sparsity_pattern": None}, "reads more of a token than its embedding"),
    ("gemma4_text", PER_LAYER, "cannot read embeddings that are of no token"),
])
def test_an_llm_that_reads_otherwise_is_refused(tmp_path, monkeypatch, kind, sizes, said):
    """Each of these would be trained and write captions, but not those of its prompts; small Gemma 4 end in a traceback."""
    monkeypatch.setitem(FAMILIES, kind, sizes)
    folder = make_family(tmp_path, kind)
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        for weight in model.parameters():  # some begin at 0
            weight += .1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    model.save_pretrained(folder)
    for dtype in (None, *[torch.bfloat16] * (kind != "recurrent_gemma")):  # of which padding moves little
        with pytest.raises(InputError, match=said):
            load_llm(folder, "cpu", dtype, None)


def test_an_llm_that_reads_padding_is_one_error(data, clip, encoder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(FAMILIES, "rwkv", {"hidden_size": 48, "num_hidden_layers": 2})
    with pytest.raises(SystemExit) as stop:
        finetune(data, clip, encoder, make_family(tmp_path / "llm", "rwkv"), tmp_path / "out", "--no_stage2")
    assert stop.value.code == 2 and "choose another LLM" in capsys.readouterr().err


def test_an_adapter_keeps_what_transformers_has_another_name_for(tmp_path):
    """peft renamed the shared experts of Laguna on loading, and so left their weights at random without a word."""
    if "laguna" not in CONFIG_MAPPING_NAMES:
        pytest.skip("this version of transformers has no Laguna")
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.for_model(
        "laguna", **USUAL, head_dim=12, vocab_size=ROWS, moe_intermediate_size=32, shared_expert_intermediate_size=WIDTH,
        num_experts=2, num_experts_per_tok=1, layer_types=["full_attention"] * 2, mlp_layer_types=["dense", "sparse"],
        pad_token_id=None)).save_pretrained(tmp_path / "llm")
    model = build(tmp_path / "llm")
    model.save_pretrained(tmp_path / "captioner")
    saved, loaded = (adapter_state(one.llm) for one in (model, EEGModelForCausalLM.from_pretrained(tmp_path / "captioner")))
    assert any("shared_expert" in name for name in saved) and saved.keys() == loaded.keys()
    assert all(torch.equal(saved[name], loaded[name]) for name in saved)
