"""What a device reaches at best, and what a piece of work asks of it: floating-point operations and bytes.

FLOPs are those of the matrix products and convolutions that a step really ran (torch.utils.flop_counter), so work that a
path does twice counts twice.
"""

from bench.measuring import now
from language_model.memory import cache_bytes


def measure_limits(device, dtype, tiny=False):
    """{"FLOP/s", "bytes/s"}: the fastest of some large matrix products in `dtype`, and of reading and copying a large
    block; with `tiny` they are not large."""
    import torch

    size = 256 if tiny else 2048 if device == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device, dtype=getattr(torch, dtype)) for _ in range(2))
    product = torch.empty_like(a)
    flops = 2 * size**3 / fastest(lambda: torch.mm(a, b, out=product))
    count = 2**20 if tiny else 2**28 if device == "cpu" else 2**30  # 1 and 4 GiB: no cache holds them
    block = torch.ones(count, device=device)
    half, other = block[:len(block) // 2], block[len(block) // 2:]
    size = block.numel() * 4
    return {"FLOP/s": flops, "bytes/s": size / min(fastest(block.sum), fastest(lambda: other.copy_(half)))}


def fastest(work, times=7):
    seconds = []
    for _ in range(times):
        start = now()
        work()
        seconds.append(now() - start)
    return min(seconds)


def counted(work):
    """What `work` returns, and the FLOPs that it took."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    def product(a_shape, b_shape, *_, out_shape=None, **__):  # bitsandbytes' int8: [..., k] times [n, k] transposed
        count = 2 * b_shape[0]
        for length in a_shape:
            count *= length
        return count

    mapping = {}
    for name in ("int8_linear_matmul", "int8_scaled_mm") if hasattr(torch.ops.bitsandbytes, "int8_linear_matmul") else ():
        mapping[getattr(torch.ops.bitsandbytes, name)] = product
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        result = work()
    return result, counter.get_total_flops()


def weight_bytes(llm):
    """Bytes of weights that one decoding step reads: all but the table of token embeddings, of which it reads a row."""
    table = llm.get_input_embeddings().weight
    tied = llm.get_output_embeddings().weight.data_ptr() == table.data_ptr()
    return sum(weight.nbytes for weight in llm.parameters()) - (0 if tied else table.nbytes)


def decoding_bytes(llm, batches):
    """Bytes that decoding reads: each step all weights and the batch's cache. batches: [(captions, prompt tokens, new
    tokens of the longest)]."""
    weights, token = weight_bytes(llm), cache_bytes(llm.config, llm.get_input_embeddings().weight.itemsize)
    return sum(steps * (weights + captions * token * (prompt + steps / 2)) for captions, prompt, steps in batches)
