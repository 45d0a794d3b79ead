"""What a CUDA device needs to compute what a CPU computes, and the 16-bit type of a card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.errors import InputError

if TYPE_CHECKING:
    import argparse

    import torch

HALVES = {"bf16": "bfloat16", "fp16": "float16"}  # flag: name of the torch.dtype


def prepare() -> None:
    """Switch off what makes results wrong or slow. Measured on an H100 (bench/RESULTS.md).

    - cuDNN's convolutions round float32 to TF32 unless told not to: the encoder's tokens are off by 6e-3, else by 5e-6.
    - cuDNN's attention plans each new length for 0.6 s, and each token of a caption is a new length. In rows that see
      nothing, as left padding has them, it is wrong.
    """
    import torch

    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.enable_cudnn_sdp(False)


def has_bf16(device: str) -> bool:
    """Whether a card computes in bfloat16 itself: compute capability 8.0 (Ampere) and newer. Older ones emulate it."""
    import torch

    return torch.cuda.get_device_capability(device) >= (8, 0)


def half_of(device: str) -> str:
    """The 16-bit type for a device: "bf16", or "fp16" for a card without it (T4, V100)."""
    return "bf16" if device == "cpu" or has_bf16(device) else "fp16"


def given_half(args: argparse.Namespace) -> str | None:
    """The one of --bf16 and --fp16 that is given, or None."""
    return next((half for half in HALVES if getattr(args, half)), None)


def asked_half(args: argparse.Namespace, device: str) -> str | None:
    """`given_half`, where the device can do it; an InputError where it cannot, or both are given."""
    if args.bf16 and args.fp16:
        raise InputError("--bf16 and --fp16 exclude each other; give one of them")
    if args.fp16 and device == "cpu":
        raise InputError("--fp16 needs a CUDA device, found --device cpu; use --bf16 or leave both out")
    if args.bf16 and half_of(device) != "bf16":
        print(f"note: --bf16: {device} has no bfloat16 of its own and emulates it, which is slow; --fp16 is faster here")
    return given_half(args)


def dtype_of(half: str | None) -> torch.dtype | None:
    """The torch.dtype of "bf16" or "fp16"; None for None."""
    import torch

    return half and getattr(torch, HALVES[half])


def native(dtype: torch.dtype, device: str) -> torch.dtype:
    """The type to compute in where no flag says it: `dtype`, but never a bfloat16 that the card would emulate."""
    import torch

    if dtype != torch.bfloat16 or half_of(device) == "bf16":
        return dtype
    print(f"note: {device} has no bfloat16 of its own, so the LLM computes in float16 here; --bf16 emulates bfloat16")
    return torch.float16
