"""Tiny random models for the tests, of the same classes as the real ones."""

import json

from runtime.runs import read_json

import torch

CLASSES = ("cat", "dog", "car")
CHANNELS = ["Fz", "Cz", "Pz", "Oz", "PO7", "PO8"]
CHAT_TEMPLATE = ("{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
                 "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")


def make_tokenizer(texts, chat):
    """A BPE tokenizer trained on texts, with a ChatML template or with <s> and </s> only."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<|im_end|>", "<|im_start|>"] if chat else ["<eos>", "<bos>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=400, special_tokens=special,
                                                             initial_alphabet=alphabet, show_progress=False))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=special[0], bos_token=special[1],
                                   chat_template=CHAT_TEMPLATE if chat else None)


def make_llm(folder, kind="llama", chat=True):
    """Save a tiny random causal LM of a model family with its tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM

    texts = [f"A {colour} {kind} in the {place}. Describe this image in one sentence:" for colour in ("red", "blue")
             for kind in CLASSES for place in ("snow", "grass")]
    tokenizer = make_tokenizer(texts, chat)
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": len(tokenizer),
             "max_position_embeddings": 256, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id,
             "pad_token_id": None}
    if kind == "opt":
        sizes |= {"ffn_dim": 96, "word_embed_proj_dim": 48, "do_layer_norm_before": True, "pad_token_id": 1}
    else:
        sizes |= {"intermediate_size": 96, "num_key_value_heads": 2}
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def data_arguments(data):
    return ["--eeg_dataset", str(data / "eeg.pth"), "--splits_path", str(data / "splits.pth"),
            "--image_dir", str(data / "images")]


def forget_hashes(folder):
    """Let a checkpoint whose files a test has changed pass for one of an earlier version, which kept no hashes."""
    file = folder / "args.json"
    content = {key: value for key, value in read_json(file).items() if key != "files"}
    file.write_text(json.dumps(content))
