"""Whether a language model fits: the memory that finetuning and inference take, computed from its config alone.

Peak = weights + what is trained + what is kept for the backward pass + the larger of the loss and one layer's backward
pass. The terms follow from the tensors that the code of torch 2.13, transformers 5.22, peft 0.21 and bitsandbytes 0.50
keeps; tests/test_llm_memory.py counts them. All sizes are in bytes; 1 GB is 10^9 bytes, as for cards.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import pretrained, processes
from runtime.errors import InputError
from runtime.small_models import offline_advice

from language_model import adapter_files

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

GB = 1e9
CONTEXT_BYTES = 0.5 * GB  # taken by CUDA before torch allocates anything; free memory is measured after it
KERNEL_BYTES = 0.3 * GB  # cuBLAS workspaces and kernels of torch and bitsandbytes, loaded when first used
FRAGMENTED_SHARE = 0.05  # share that the allocator holds but cannot use
USUAL_TOKENS, USUAL_LABELS = 64, 32  # of a row and of its caption if the data are unknown
MAX_CAPTIONS = {"cpu": 64, "cuda": 512}  # at a time; more gain little


@dataclass(frozen=True)
class Precision:
    """How an LLM is loaded and computed.

    loading: None, "8bit" or "4bit"; element: bytes of what is not quantised, and of activations; autocast: whether the
    adapter, which stays in float32, computes in 16 bit; half: which of the 16-bit types, "bf16" or "fp16".
    """

    loading: str | None = None
    element: int = 2
    autocast: bool = True
    half: str = "bf16"

    def __str__(self):
        return {"8bit": "8 bit", "4bit": "4 bit"}.get(self.loading) or ("float32" if self.element == 4 else self.half)

    @property
    def flags(self) -> str:
        """The options that ask for it."""
        return f"--load_in_{self.loading} --{self.half}" if self.loading else f"--{self.half}"


def in_16_bit(half: str) -> list[Precision]:
    """The precisions that compute in a 16-bit type ("bf16" or "fp16"), best first."""
    return [Precision(loading, half=half) for loading in (None, "8bit", "4bit")]


@dataclass(frozen=True)
class Shape:
    """Sizes of an LLM; linears: (name, inputs, outputs) of the layers that bitsandbytes quantises and LoRA adapts;
    checkpointing: whether its layers can be computed again in the backward pass."""

    name: str
    layers: int
    hidden: int
    queries: int  # heads x size of a head
    keys: int  # heads of keys x size of a head
    vocabulary: int
    linears: tuple = field(repr=False)
    parameters: int
    own: Precision  # as saved
    checkpointing: bool = True

    @property
    def inner(self) -> int:
        """Width of the MLP."""
        return max((outputs for _, _, outputs in self.linears), default=self.hidden)

    @property
    def gated(self) -> bool:
        """Whether the MLP has a gate, as Llama's."""
        return sum(outputs == self.inner for _, _, outputs in self.linears) > self.layers

    @property
    def size(self) -> str:
        """The number of parameters, in words."""
        return f"{self.parameters / 1e9:.1f} billion" if self.parameters > 1e9 else f"{self.parameters / 1e6:.3g} million"


def shape_of(llm: str | Path) -> Shape:
    """The Shape of a causal LLM by Hub name or folder. Only config.json is read; no weights are made."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        if (Path(llm) / adapter_files.CONFIG).is_file():  # transformers would load the base that the adapter names
            raise InputError(f"LLM {llm}: holds an adapter ({adapter_files.CONFIG}), expected a whole LLM; merge it into "
                             "its base with peft's merge_and_unload, and give the folder of the merged LLM")
        config = pretrained.load(AutoConfig, llm)
        require_causal(config, llm)
        with torch.device("meta"):
            model = pretrained.from_config(AutoModelForCausalLM, config)
    except (OSError, ValueError, ImportError) as error:
        reason = str(error).strip().split("\n")[0][:300]
        raise InputError(f"LLM {llm}: cannot be loaded ({reason}); expected a Hugging Face causal language model's Hub "
                         f"name or local folder (--llm_backbone_name_or_path){offline_advice('llm', llm)}") from None
    quantised = getattr(config, "quantization_config", None) or {}
    own = Precision("8bit" if quantised.get("load_in_8bit") else "4bit" if quantised.get("load_in_4bit") else None,
                    (config.get_text_config().dtype or torch.float32).itemsize, False)
    return Shape(str(llm), **_sizes(config), linears=tuple(_linears(model)), own=own,
                 checkpointing=model.supports_gradient_checkpointing,
                 parameters=sum(parameter.numel() for parameter in model.parameters()))


def require_causal(config: PretrainedConfig, llm: str | Path) -> None:
    """Raise InputError for a model that is no causal LLM, though transformers loads it as one: it takes the decoder of an
    encoder-decoder alone, and lets each token of a BERT see those after it."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    kind = config.model_type
    masked = kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False)
    if config.is_encoder_decoder or masked:
        what = "an encoder-decoder" if config.is_encoder_decoder else "a masked language model, which writes no text"
        raise InputError(f"LLM {llm}: {kind} is {what}; expected a causal language model, such as Llama, Qwen, Gemma or "
                         "GPT-2 (--llm_backbone_name_or_path)")


def saved_dtype(llm: str | Path) -> torch.dtype:
    """The torch.dtype that an LLM's config names: that of its weights as saved."""
    import torch
    from transformers import AutoConfig

    return pretrained.load(AutoConfig, llm).get_text_config().dtype or torch.float32


def _sizes(config):
    """The fields of a Shape that a Hugging Face config holds."""
    text = config.get_text_config()
    attention = [_attention(layer) for layer in _layers(text)]
    return {"layers": text.num_hidden_layers, "hidden": text.hidden_size, "queries": max(wide for wide, _ in attention),
            "keys": max(keys for _, keys in attention), "vocabulary": text.vocab_size}


def _layers(text):
    """The config of each layer where they differ, as Gemma 4's heads do; else the one that all layers share."""
    return list(text.per_layer_config) if getattr(text, "is_heterogeneous", False) else [text]


def _attention(layer):
    """The widths of a layer's queries and keys."""
    heads = getattr(layer, "num_attention_heads", None) or 1  # Mamba has none
    head = getattr(layer, "head_dim", None) or layer.hidden_size // heads
    return heads * head, (getattr(layer, "num_key_value_heads", None) or heads) * head


def _linears(model):
    """What transformers' replace_with_bnb_linear quantises and peft's all-linear adapts: all but the output embedding."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | Conv1D) and module is not model.get_output_embeddings():
            shape = tuple(module.weight.shape)
            yield (name, *(shape if isinstance(module, Conv1D) else shape[::-1]))


# --- what is held ---

def weight_bytes(shape: Shape, precision: Precision) -> int:
    """The weights of the LLM. LLM.int8 (Dettmers et al. 2022) keeps one float32 scale per row. nf4 (QLoRA, 2023) keeps one
    per block of 64 values and a table of 16. Only the linear layers of the blocks are quantised."""
    quantised = [(inputs * outputs, outputs) for _, inputs, outputs in shape.linears] if precision.loading else []
    left = shape.parameters - sum(values for values, _ in quantised)
    per_layer = {"8bit": lambda values, rows: values + 4 * rows,
                 "4bit": lambda values, rows: (values + 1) // 2 + 4 * -(-values // 64) + 64}.get(precision.loading)
    return left * precision.element + sum(per_layer(*layer) for layer in quantised)


def adapted(shape: Shape, lora: dict | None) -> Sequence[tuple[str, int, int]]:
    """The linear layers that get an adapter; lora: {"r", "target_modules", "lora_dropout", ...}, or None for none."""
    if lora is None or lora["target_modules"] == "all-linear":
        return shape.linears if lora else ()
    try:
        return [layer for layer in shape.linears if re.fullmatch(lora["target_modules"], layer[0])]
    except re.error as error:
        raise InputError(f"--lora_target {lora['target_modules']}: {error}; expected all-linear or a regex that a module's "
                         "whole name matches, as .*\\.(q_proj|v_proj)") from None


def trained_parameters(shape: Shape, lora: dict | None, projector: str, embedding_size: int, soft_tokens: int) -> int:
    """Numbers of the adapter (LoRA, Hu et al. 2021: r x (inputs + outputs)) and of model.Projector."""
    out = soft_tokens * shape.hidden
    linear = (embedding_size + 1) * out
    mlp = (embedding_size + 1) * shape.hidden + (shape.hidden + 1) * out + 1
    adapters = sum(lora["r"] * (inputs + outputs) for _, inputs, outputs in adapted(shape, lora)) if lora else 0
    return adapters + bool(soft_tokens) * (linear if projector == "linear" else mlp)


def kept_of_a_layer(shape: Shape, precision: Precision, lora: dict | None, cuda: bool) -> dict[str, float]:
    """Bytes per token that one decoder layer keeps for its backward pass, by term.

    Frozen linear layers keep nothing of their input in 16 and in 4 bit. The mask of a dropout takes one byte per value on
    CUDA, and as much as the value on a CPU.
    """
    element, inner = precision.element, shape.inner
    in_adapter = 2 if precision.autocast else 4
    inputs = element * (2 * shape.hidden + inner)  # of attention, MLP and its second layer; the attention's result is below
    kept = {
        "norms": 2 * 4 * shape.hidden,  # the input in float32 (LlamaRMSNorm)
        "attention": 4 * element * shape.queries,  # queries, keys, values, result (SDPA); shared keys come repeated
        "MLP": (3 if shape.gated else 1) * element * inner,  # gate, its activation, up
    }
    if precision.loading == "8bit":
        kept["8 bit inputs"] = inputs  # bitsandbytes MatMul8bitLt: ctx.tensors holds A
    if lora:
        layers = adapted(shape, lora)
        wide = sum(inputs for _, inputs, _ in layers) / shape.layers
        kept["adapter, inner"] = in_adapter * lora["r"] * len(layers) / shape.layers
        if lora["lora_dropout"]:  # each layer drops other values
            kept["adapter, inputs"] = wide * (in_adapter + (1 if cuda else in_adapter))
        elif in_adapter != element:  # each makes a copy in float32
            kept["adapter, inputs"] = wide * in_adapter
        elif precision.loading != "8bit" and layers:
            kept["adapter, inputs"] = inputs
    return kept


def training_memory(shape: Shape, precision: Precision, *, batch: int, tokens: int, labels: int, checkpointing: bool,
                    trained: int, lora: dict | None, cuda: bool = True) -> dict[str, float]:
    """Peak memory of finetuning by term, for `batch` rows of `tokens`, of which `labels` carry the loss; trained: number of
    trained parameters.

    The larger of the loss and the backward pass of one layer counts: the logits are gone by then.
    """
    element, positions = precision.element, batch * tokens
    layer = positions * sum(kept_of_a_layer(shape, precision, lora, cuda).values())
    kept = shape.layers * (positions * element * shape.hidden if checkpointing else layer)
    if checkpointing and precision.loading == "8bit":  # ctx.tensors is out of reach of checkpoint(use_reentrant=False)
        kept += shape.layers * positions * element * (2 * shape.hidden + shape.queries + shape.inner)
    largest = max((inputs * outputs for _, inputs, outputs in shape.linears), default=0)
    back = (checkpointing * layer + positions * element * (3 * shape.inner + 2 * shape.hidden)
            + (element * largest if precision.loading else 0))  # the layer's weight, dequantised
    loss = batch * labels * shape.vocabulary * 3 * 4  # in float32: log-softmax, its gradient, that of the logits
    terms = {
        "weights of the LLM": weight_bytes(shape, precision),
        # float32 weight, gradient and AdamW's two moments; a 16-bit copy in autocast; DistributedDataParallel's buckets
        "adapter and projector in training": trained * (4 * 4 + 2 * precision.autocast + 4 * (processes.count() > 1)),
        "activations kept": kept + positions * shape.hidden * (element + 4),  # and the embedded input and the last norm's
        "loss, or a layer's backward pass": max(loss, back),
    }
    return terms | {"fragments, kernels": FRAGMENTED_SHARE * sum(terms.values()) + KERNEL_BYTES * cuda}


def cache_bytes(config: PretrainedConfig, element: int) -> int:
    """Bytes of the keys and values of one token in all layers; element: bytes of an activation."""
    sizes = _sizes(config)
    return sizes["layers"] * 2 * sizes["keys"] * element


def caption_memory(config: PretrainedConfig, element: int, tokens: int) -> int:
    """Bytes of one caption while it is written: keys and values of `tokens` (prompt and caption), the layer that reads
    them, and the scores."""
    sizes = _sizes(config)
    inner = max(getattr(layer, "intermediate_size", None) or 4 * sizes["hidden"]
                for layer in _layers(config.get_text_config()))
    return (tokens * cache_bytes(config, element)
            + tokens * element * (2 * sizes["hidden"] + 4 * sizes["queries"] + 3 * inner)
            + sizes["vocabulary"] * (element + 3 * 4))


def free_memory(device: str, planned: float | None = None) -> float:
    """Bytes that a process may take of its card, or of the memory that the processes of its machine share. This is the
    minimum over all processes, as all must choose alike. planned: assume a card of this many GB instead."""
    if planned:
        return planned * GB - CONTEXT_BYTES * (device != "cpu")
    if device != "cpu":
        import torch

        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        free = torch.cuda.mem_get_info(device)[0] + unused
    else:
        import psutil

        free = psutil.virtual_memory().available // int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return min(processes.collect([free]))


def does_not_fit(shape: Shape, offered: list[Precision], least: Callable[[Precision], float], others: list[Precision],
                 free: float, cuda: bool, what: str = "at batches of 1") -> str:
    """A message: none of the precisions `offered` fits into `free` bytes, and which `others` would. least: of a precision,
    the bytes that it needs."""
    needs = ", ".join(f"{precision} needs {least(precision) / GB:.1f}" for precision in offered)
    larger = "a larger card" if cuda else "a machine with more memory"
    advice = (" or ".join(f"{other.flags} ({least(other) / GB:.1f})" for other in others) + " would fit"
              if others else f"choose a smaller LLM or {larger}")
    return (f"LLM {shape.name}: {shape.size} parameters do not fit into the {free / GB:.1f} GB that are free: {needs} GB "
            f"{what}; {advice}")


def require_weights(llm: str | Path, loading: str | None, element: int, free: float, cuda: bool,
                    half: str = "bf16") -> None:
    """Raise InputError if the weights of an LLM alone do not fit into `free` bytes. element: bytes of a value that is not
    quantised; half: the 16-bit type of the device."""
    shape = shape_of(llm)
    precision = Precision(loading or shape.own.loading, element, half=half)

    def need(precision):
        return weight_bytes(shape, precision) + KERNEL_BYTES * cuda

    if need(precision) > free:
        others = [other for other in in_16_bit(half) if need(other) <= free]
        raise InputError(does_not_fit(shape, [precision], need, others, free, cuda, "for its weights alone"))


def batch_that_fits(llm: PreTrainedModel, device: str, tokens: int) -> int:
    """How many captions to write at a time beside a loaded LLM: a power of 2, at least 1. tokens: of prompt and caption.

    llm: a Hugging Face causal LM on `device`.
    """
    free = (1 - FRAGMENTED_SHARE) * (free_memory(device) - KERNEL_BYTES * (device != "cpu"))
    fitting = free / caption_memory(llm.config, llm.dtype.itemsize, tokens)
    batch = MAX_CAPTIONS[device.split(":")[0]]
    while batch > max(fitting, 1):
        batch //= 2
    return batch
