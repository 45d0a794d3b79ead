"""The LoRA adapter of an LLM (peft), with one clear error for each way in which the two do not fit."""

import re

from runtime import processes
from runtime.errors import InputError

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import PreTrainedModel

EXPECTED = "all-linear or a regex that a module's whole name matches, as .*\\.(q_proj|v_proj)"


def with_adapter(llm: PreTrainedModel, lora: dict) -> PeftModel:
    """The LLM with a new adapter; lora: fields of peft.LoraConfig."""
    target = lora["target_modules"]
    try:
        adapted = get_peft_model(llm, LoraConfig(task_type="CAUSAL_LM", **lora))
    except (ValueError, re.error) as error:
        reason, linear = " ".join(str(error).split())[:400], _linear_names(llm)
        raise InputError(f"--lora_target {target}: peft cannot adapt these layers of this LLM ({reason}); expected "
                         f"{EXPECTED}; the linear layers of this LLM are called {', '.join(linear)}") from None
    embeddings = [name.removeprefix("base_model.model.") for name, module in adapted.named_modules()
                  if isinstance(module, LoraLayer) and isinstance(module.get_base_layer(), nn.Embedding)]
    if embeddings:
        raise InputError(f"--lora_target {target}: matches the embeddings {', '.join(embeddings[:3])}, which get no "
                         f"adapter, because soft tokens do not pass through them; expected {EXPECTED}")
    if not processes.sharded():  # the whole LLM is on the CPU then
        _try(adapted, target)
    return adapted


@torch.no_grad()
def _try(adapted, target):
    """InputError if the family does not run with this adapter. One token is run, so that no training ends there later."""
    embed, family = adapted.get_input_embeddings(), adapted.get_base_model().config.model_type
    try:
        adapted(inputs_embeds=embed(torch.zeros(1, 1, dtype=torch.long, device=embed.weight.device)), use_cache=False)
    except torch.OutOfMemoryError:
        raise
    except AssertionError as error:  # of peft itself, for the family
        raise InputError(f"--use_lora: peft gives no adapter to LLMs of type {family} that read embeddings ({error}); give "
                         "--no-use_lora, which trains the projector alone, or another LLM") from None
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:  # of a layer that is not used as a linear one
        names = ", ".join(_linear_names(adapted.get_base_model()))
        raise InputError(f"--lora_target {target}: an LLM of type {family} does not run with an adapter on all these "
                         f"layers ({str(error).strip()[:200]}); give a regex that leaves some out, as "
                         f".*\\.(q_proj|v_proj); its linear layers are called {names}; or give --no-use_lora") from None


def _linear_names(llm):
    """The last parts of the names of the linear layers but the output embedding."""
    head = llm.get_output_embeddings()
    return sorted({name.removesuffix(".base_layer").rpartition(".")[2] for name, module in llm.named_modules()
                   if isinstance(module, nn.Linear) and module is not head and "lora_" not in name})
