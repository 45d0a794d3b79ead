"""FSDP2 for an LLM that is too large for one card: its weights are distributed over the cards.

`accelerate launch --config_file` with `distributed_type: FSDP` and `fsdp_version: 2` asks for it in finetune_llm.py. The
encoder stays whole in each process: it is small, and used before stage 3. Files hold whole weights, as those of one process
do.
"""

import torch
from torch import nn
from transformers import Trainer


def prepare(trainer: Trainer, model: nn.Module) -> None:
    """Tell the accelerator of a Trainer which modules of an EEGModelForCausalLM to shard: each layer of the LLM, then the
    rest."""
    plugin = trainer.accelerator.state.fsdp_plugin
    plugin.ignored_modules = [model.encoder]
    plugin.mixed_precision_policy = None  # with --bf16 the LLM is bfloat16 and what is trained float32, as they were made
    layers = plugin.transformer_cls_names_to_wrap or model.base_llm()._no_split_modules
    names = {type(module).__name__ for module in model.modules()}  # FSDP<name> if an earlier stage sharded them
    plugin.transformer_cls_names_to_wrap = [name for name in names if name.removeprefix("FSDP") in layers]
    if model.projector.kind == "mlp" and model.projector.gain.ndim == 0:  # FSDP shards no scalars
        model.projector.gain = nn.Parameter(model.projector.gain.detach().reshape(1))


def gathered(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors by name, made whole where they were sharded. All processes must call this."""
    return {name: (tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor).contiguous()
            for name, tensor in state.items()}


def dealt(state: dict[str, torch.Tensor], own: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Whole tensors by name, sharded as the tensors of the same names in `own`."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    return {name: distribute_tensor(tensor.to(own[name].device).reshape(own[name].shape), own[name].device_mesh,
                                    own[name].placements)
            if isinstance(own[name], DTensor) else tensor.reshape(own[name].shape) for name, tensor in state.items()}
