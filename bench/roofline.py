"""The roofline of a device, and the operations and bytes that a piece of work needs.

The roofline (Williams et al. 2009) is the peak of floating-point operations per second (FLOP/s) and of memory bandwidth.
FLOPs are those of the matrix products and convolutions that a step really ran (torch.utils.flop_counter). Work that is done
twice counts twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from bench.measurement import now
from language_model.memory import cache_bytes

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def measure_roofline(device: str, dtype: str, tiny: bool = False) -> dict[str, float]:
    """{"FLOP/s", "bytes/s"} of the device.

    The first is the fastest of several large matrix products in `dtype`, the second the fastest reading or copying of a
    large block of memory. With `tiny` both are small.
    """
    import torch

    size = 256 if tiny else 2048 if device == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device, dtype=getattr(torch, dtype)) for _ in range(2))
    product = torch.empty_like(a)
    flops = 2 * size**3 / fastest(lambda: torch.mm(a, b, out=product))
    count = 2**20 if tiny else 2**28 if device == "cpu" else 2**30  # 1 and 4 GiB: no cache holds them
    block = torch.ones(count, device=device)
    source, target = block[:len(block) // 2], block[len(block) // 2:]
    size = block.numel() * 4
    return {"FLOP/s": flops, "bytes/s": size / min(fastest(block.sum), fastest(lambda: target.copy_(source)))}


def fastest(work: Callable[[], object], times: int = 7) -> float:
    """Seconds of the fastest of several runs."""
    seconds = []
    for _ in range(times):
        start = now()
        work()
        seconds.append(now() - start)
    return min(seconds)


def count_flops(work: Callable[[], object]) -> tuple[object, int]:
    """The result of `work`, and the number of FLOPs that it took."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    def product(a_shape, b_shape, *_, out_shape=None, **__):  # bitsandbytes' int8: [..., k] times [n, k] transposed
        count = 2 * b_shape[0]
        for length in a_shape:
            count *= length
        return count

    def mixed(a_shape, _, b_shape, *__, **more):  # of LLM.int8: the input comes first in 16 bit, then in 8
        return product(a_shape, b_shape, **more)

    mapping = {}
    if hasattr(torch.ops.bitsandbytes, "int8_mixed_scaled_mm"):
        mapping[torch.ops.bitsandbytes.int8_mixed_scaled_mm] = mixed
    for name in ("int8_linear_matmul", "int8_scaled_mm") if hasattr(torch.ops.bitsandbytes, "int8_linear_matmul") else ():
        mapping[getattr(torch.ops.bitsandbytes, name)] = product
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        result = work()
    return result, counter.get_total_flops()


def weight_bytes(llm: PreTrainedModel) -> int:
    """Bytes of the weights that one decoding step reads. Of the token embeddings it reads one row, which is not counted."""
    table = llm.get_input_embeddings().weight
    tied = llm.get_output_embeddings().weight.data_ptr() == table.data_ptr()
    return sum(weight.nbytes for weight in llm.parameters()) - (0 if tied else table.nbytes)


def decoding_bytes(llm: PreTrainedModel, batches: Iterable[tuple[int, int, int]]) -> float:
    """Bytes that decoding reads: at each step all weights and the key-value cache of the batch.

    batches: (captions, prompt tokens, new tokens of the longest caption) of each batch.
    """
    weights, token = weight_bytes(llm), cache_bytes(llm.config, llm.get_input_embeddings().weight.itemsize)
    return sum(steps * (weights + captions * token * (prompt + steps / 2)) for captions, prompt, steps in batches)
