"""Tiny random LLMs of many families, with a chat template whose turns end in another token than the tokenizer's end."""

import runtime  # noqa: F401  (before transformers)

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tiny import CLASSES, make_tokenizer

WIDTH, ROWS = 48, 320  # hidden size; number of token embeddings, a few more than tokens
TURNS = ("{{ bos_token }}{% for m in messages %}<turn>{{ m['role'] }}\n{{ m['content'] | trim }}</turn>\n{% endfor %}"
         "{% if add_generation_prompt %}<turn>assistant\n{% endif %}")
USUAL = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
         "intermediate_size": 96, "max_position_embeddings": 512}
GPT = {"n_embd": WIDTH, "n_head": 4, "n_layer": 2, "n_positions": 512}
WINDOW = 32  # tokens; longer than most prompts, but not with the padding of a batch
FAMILIES = {
    "llama": USUAL, "gemma": USUAL | {"head_dim": 12}, "phi": USUAL, "phi3": USUAL, "qwen2": USUAL, "olmo2": USUAL,
    "gemma2": USUAL | {"head_dim": 12, "query_pre_attn_scalar": 12, "sliding_window": WINDOW},
    "gemma3_text": USUAL | {"head_dim": 12, "query_pre_attn_scalar": 12, "sliding_window": WINDOW},
    "gemma4_text": USUAL | {"head_dim": 12, "global_head_dim": 24, "hidden_size_per_layer_input": 0,
                            "sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"]},
    "qwen3": USUAL | {"head_dim": 12}, "mistral": USUAL | {"head_dim": 12, "sliding_window": WINDOW}, "cohere": USUAL,
    "granite": USUAL | {"embedding_multiplier": 6.0, "logits_scaling": 0.5}, "smollm3": USUAL, "starcoder2": USUAL,
    "mixtral": USUAL | {"num_local_experts": 2}, "falcon": USUAL, "gpt_neox": USUAL, "lfm2": USUAL,
    "stablelm": USUAL | {"num_attention_heads": 3, "num_key_value_heads": 3},
    "deepseek_v3": USUAL | {"num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8,
                            "qk_nope_head_dim": 8, "v_head_dim": 8, "first_k_dense_replace": 2},
    "gpt_oss": USUAL | {"head_dim": 12, "num_local_experts": 2, "num_experts_per_tok": 1, "sliding_window": WINDOW,
                        "layer_types": ["sliding_attention", "full_attention"]},
    "opt": {"hidden_size": WIDTH, "word_embed_proj_dim": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4,
            "ffn_dim": 96, "max_position_embeddings": 512},
    "gpt2": GPT, "gptj": GPT | {"rotary_dim": 8}, "codegen": GPT | {"rotary_dim": 8},
    "gpt_neo": {"hidden_size": WIDTH, "num_layers": 2, "num_heads": 4, "window_size": WINDOW,
                "max_position_embeddings": 512, "attention_types": [[["global", "local"], 1]]},
    "bloom": {"hidden_size": WIDTH, "n_head": 4, "n_layer": 2}, "mamba": {"hidden_size": WIDTH, "num_hidden_layers": 2},
    "mpt": {"d_model": WIDTH, "n_heads": 4, "n_layers": 2},
}
NO_LORA = ("mamba", "mpt")  # with all linear layers
NO_PREFIX = ("mamba", "mpt", "bloom")  # that are not told positions
SHORT_WINDOW = ("gemma2", "gemma3_text", "gemma4_text", "mistral", "gpt_oss", "gpt_neo")


def make_family(folder, kind, **more):
    """Save a tiny random LLM of a family and its tokenizer."""
    texts = [f"A {colour} {thing} in the snow. Describe this image in one sentence:" for colour in ("red", "blue")
             for thing in CLASSES]
    tokenizer = make_tokenizer(texts, chat=False)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<turn>", "</turn>"]})
    tokenizer.chat_template = TURNS
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **FAMILIES[kind] | more, vocab_size=ROWS, bos_token_id=tokenizer.bos_token_id,
                                  eos_token_id=tokenizer.eos_token_id, pad_token_id=None, tie_word_embeddings=False)
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
