"""LoRA adapters in folders: adapter_config.json with adapter_model.safetensors, or .bin as older versions of peft wrote."""

from pathlib import Path

from runtime.checkpoints import check_tensors, read_tensors
from runtime.errors import InputError
from runtime.pickles import load_state
from runtime.runs import read_json

import torch
from torch import nn

from language_model import sharding

CONFIG, WEIGHTS = "adapter_config.json", ("adapter_model.safetensors", "adapter_model.bin")


def is_adapter(folder: str | Path) -> bool:
    """Whether a folder holds an adapter and not the weights of the LLM that it belongs to."""
    return (Path(folder) / CONFIG).is_file() and not [*Path(folder).glob("model*"), *Path(folder).glob("pytorch_model*")]


def base_of(folder: str | Path) -> str:
    """The base LLM that an adapter names: a Hub name, or where it lay on the machine of the training."""
    base = read_json(Path(folder) / CONFIG).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise InputError(f"{folder}/{CONFIG}: names no base LLM (base_model_name_or_path is {base!r}); give it with "
                         "--llm_backbone_name_or_path")
    return base


def attach(llm: nn.Module, folder: str | Path) -> nn.Module:
    """The LLM with an adapter as the folder's adapter_config.json describes it, without its weights: a peft.PeftModel."""
    from peft import LoraConfig, get_peft_model

    file = Path(folder) / CONFIG
    content = read_json(file)
    kind = content.get("peft_type")
    if kind != "LORA":
        raise InputError(f"{file}: peft_type is {str(kind)[:40]!r}, expected 'LORA'; other adapters cannot be loaded")
    if content.get("megatron_config"):  # older versions of peft import, and so run, whatever megatron_core names
        raise InputError(f"{file}: is for Megatron (megatron_config), whose code is not run here; expected a plain LoRA "
                         "adapter, so take it out or choose another model")
    try:
        config = LoraConfig.from_pretrained(folder)
        config.base_model_name_or_path = None  # peft warns where the LLM that is given lies elsewhere
        adapted = get_peft_model(llm, config, autocast_adapter_dtype=False)
    except Exception as error:  # a value of a wrong type makes anything happen in peft
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise InputError(f"{file}: not usable ({reason}); copy it again or train again") from None
    for name, weight in adapted.named_parameters():
        if "lora_" in name:  # as the LLM computes: no casts a token. Beside 8-bit weights peft makes them float32
            weight.data = weight.data.to(llm.dtype)
    return adapted


def merge(llm: nn.Module) -> None:
    """Add an adapter to the weights of the LLM, so that writing runs half as many kernels. Nothing to do without one.

    Quantised weights stay apart from it: adding to them would round the sum to 8 or 4 bit.
    """
    from peft import PeftModel

    if isinstance(llm, PeftModel) and getattr(llm.config, "quantization_config", None) is None:
        llm.merge_adapter(safe_merge=False)


def adapter_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of a PeftModel's adapter by the names that they have in a file."""
    from peft import get_peft_model_state_dict

    return get_peft_model_state_dict(model, save_embedding_layers=False)


@torch.no_grad()
def load_weights(model: nn.Module, folder: str | Path) -> None:
    """Load the folder's weights into a PeftModel, strictly.

    They are copied one by one, as peft's own loading renames some for transformers (shared experts of Laguna), and leaves
    out without a word what the model then does not know.
    """
    file = next((file for name in WEIGHTS if (file := Path(folder) / name).is_file()), Path(folder) / WEIGHTS[0])
    state = read_tensors(file) if file.suffix == ".safetensors" else load_state(file, "--model_path")
    own = adapter_state(model)
    check_tensors(own, state, file)
    for name, weight in sharding.dealt(state, own).items():
        own[name].copy_(weight)
