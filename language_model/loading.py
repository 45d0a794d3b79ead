"""The LLM of a captioner, loaded from the Hub or a folder, frozen."""

import inspect
from pathlib import Path

from runtime import cuda, pretrained, processes
from runtime.checkpoints import check_complete
from runtime.errors import InputError
from runtime.generation import ends_only
from runtime.small_models import offline_advice

import torch
from safetensors import SafetensorError
from transformers import PreTrainedModel

from language_model import memory

TRIED = 8  # tokens that show how an LLM reads
EXACT, ROUNDED = 1e-2, .3  # how far logits may differ, in their standard deviations; in fewer bits than float32


@torch.no_grad()
def token_size(llm: PreTrainedModel) -> float:
    """The root mean square of the values of an LLM's token embeddings, as its embedding module gives them.

    Some families scale them inside that module (Gemma by the root of the hidden size), so the weights do not tell.
    """
    embed = llm.get_input_embeddings()
    ids = torch.arange(embed.weight.shape[0], device=embed.weight.device)
    squares = [embed(part).double().pow(2).mean(1) for part in ids.split(4096)]
    return float(torch.cat(squares).mean().sqrt())


@torch.no_grad()
def check_reading(llm: PreTrainedModel, name: str | Path) -> None:
    """InputError unless an LLM reads the embeddings of tokens as the tokens, and the same behind masked padding.

    Gemma 3n and the small Gemma 4 look up more of a token than its embedding; an EEG's are of no token. RWKV and
    RecurrentGemma take padding for text, so a caption would depend on the others in its batch.
    """
    embed = llm.get_input_embeddings()
    count = len(embed.weight)
    ids = (count // 2 + torch.arange(TRIED, device=embed.weight.device))[None] % count  # special tokens stand at the ends
    embeddings, ones = embed(ids), torch.ones_like(ids)
    positioned = "position_ids" in inspect.signature(llm.forward).parameters

    def logits(mask, **tokens):
        positions = {"position_ids": (mask.cumsum(1) - 1).clamp_min(0)} if positioned else {}
        return llm(**tokens, attention_mask=mask, use_cache=False, **positions).logits[0, -TRIED:].float()

    try:
        plain, of_tokens = logits(ones, inputs_embeds=embeddings), logits(ones, input_ids=ids)
        padding = embeddings.mean(1, keepdim=True).expand_as(embeddings)  # of no token, as an EEG's
        padded = logits(torch.cat([0 * ones, ones], 1), inputs_embeds=torch.cat([padding, embeddings], 1))
    except torch.OutOfMemoryError:
        raise
    except (TypeError, ValueError, IndexError, RuntimeError, AttributeError) as error:
        raise InputError(f"LLM {name}: a {type(llm).__name__} cannot read embeddings that are of no token, as those of an "
                         f"EEG ({' '.join(str(error).split())[:200]}); choose another LLM") from None
    exact = llm.dtype == torch.float32 and getattr(llm.config, "quantization_config", None) is None
    for other, most, what in (
            (of_tokens, EXACT, "reads more of a token than its embedding, and an EEG is given to an LLM as embeddings"),
            (padded, EXACT if exact else ROUNDED, "reads the padding before a short prompt as text, so a caption would "
                                                  "depend on the others that are written with it")):
        # the median place: rounding may send single tokens to other experts
        if ((other - plain).std(1) / plain.std(1)).median() > most:
            raise InputError(f"LLM {name}: a {type(llm).__name__} {what}; choose another LLM")


def load_llm(name: str | Path, device: str, dtype: torch.dtype | None, loading: str | None) -> PreTrainedModel:
    """A frozen causal LM. loading: None, "8bit" or "4bit" (bitsandbytes); dtype None: float32 on a CPU, else that of
    the checkpoint, as far as the card has it."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    dtype = dtype or (torch.float32 if device == "cpu" else cuda.native(memory.saved_dtype(name), device))
    if not processes.sharded():  # each card then holds a part
        memory.require_weights(name, loading, dtype.itemsize, memory.free_memory(device), device != "cpu",
                               cuda.half_of(device))
    quantization = {}  # an explicit None would make transformers read a folder saved in 8 bit as if it were not
    if loading == "8bit":
        quantization["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
    elif loading == "4bit":
        quantization["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=dtype)
    try:
        llm, report = pretrained.load(
            AutoModelForCausalLM, name, dtype=dtype, output_loading_info=True, **quantization,
            device_map={"": "cpu" if processes.sharded() else device})  # FSDP deals it out to the cards
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0][:300]
        raise InputError(f"LLM {name}: cannot be loaded ({reason}); expected a Hugging Face causal language model's Hub "
                         f"name or local folder (--llm_backbone_name_or_path){offline_advice('llm', name)}") from None
    memory.require_causal(llm.config, name)
    check_complete(report, f"LLM {name}")
    for method in (llm.forward, llm.prepare_inputs_for_generation):
        if "inputs_embeds" not in inspect.signature(method).parameters:
            raise InputError(f"LLM {name}: a {type(llm).__name__} writes no text after embeddings in this version of "
                             "transformers, and an EEG is given to an LLM as embeddings; choose another LLM")
    llm.generation_config = ends_only(llm.generation_config)
    for module in llm.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # that path drops gradients silently after an evaluation forward
    if not processes.sharded():  # the whole LLM is on the CPU then
        check_reading(llm, name)
    return llm.requires_grad_(False)
