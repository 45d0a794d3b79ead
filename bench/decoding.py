"""Measure how fast captions are written in three ways: adapter apart, merged into the weights, and by a CUDA graph.

    python -m bench.decoding --device cuda
    python -m bench.decoding --device cpu --shape "tiny Llama" --captions 8 16

An LLM with random weights in a published shape writes captions of one length after prompts as inference.py makes them. It
is made in the memory of the device, so nothing is read from disk. On a CPU the third way runs the same steps without a
graph. Medians of 3 runs go to bench/RESULTS.md.
"""

from __future__ import annotations

import datetime
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import options
from runtime.errors import exits_cleanly
from runtime.options import Options

from bench.measurement import device_name, now, packages, table, write_section
from bench.synthetic import LLM_SHAPES

if TYPE_CHECKING:
    from model import EEGModelForCausalLM

PREFIX, REST, SOFT_TOKENS, EMBEDDING_SIZE = 20, 24, 4, 512  # tokens that prompts share, and those of their own
WAYS = ("adapter apart", "adapter merged", "graph")
RUNS = 3


def parse(argv: list[str] | None) -> Options:
    parser = options.make_parser(__doc__)
    parser.prog = "python -m bench.decoding"
    parser.add_argument("--device", default="cuda", help="cuda, cuda:0 or cpu")
    parser.add_argument("--shape", choices=LLM_SHAPES, default="DeepSeek-7B", help="shape of the LLM")
    parser.add_argument("--captions", type=options.positive, nargs="+", default=[64, 256, 512], help="captions at a time")
    parser.add_argument("--max_new_tokens", type=options.positive, default=25, help="length of the captions in tokens")
    parser.add_argument("--results", type=Path, default=Path("bench/RESULTS.md"), help="Markdown file to write to")
    return options.parse(parser, argv)


def make_model(shape: str, device: str) -> EEGModelForCausalLM:
    """A captioner without an encoder, its LLM in bfloat16 with an adapter."""
    import torch
    from transformers import AutoModelForCausalLM

    from bench.synthetic import llm_config
    from config import EEGModelForCausalLMConfig
    from language_model.adapter import with_adapter
    from model import EEGModelForCausalLM, Projector

    with torch.device(device):
        llm = AutoModelForCausalLM.from_config(llm_config(shape), dtype=torch.bfloat16).eval()
    llm = with_adapter(llm, {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": "all-linear"})
    llm = llm.to(torch.bfloat16).requires_grad_(False)
    size = llm.get_input_embeddings().embedding_dim
    config = EEGModelForCausalLMConfig(llm=shape, llm_hidden_size=size, lora=True, soft_tokens=SOFT_TOKENS,
                                       embedding_size=EMBEDDING_SIZE)
    return EEGModelForCausalLM(config, llm, Projector("mlp", EMBEDDING_SIZE, size, SOFT_TOKENS).to(device)).eval()


def prompts(count: int, device: str) -> dict:
    """`count` prompts as datautils.collate makes them; every other one is shorter and padded on the left."""
    import torch

    draw = torch.Generator().manual_seed(0)
    prefix, ids = (torch.randint(5, 300, size, generator=draw) for size in ((PREFIX,), (count, REST)))
    mask, soft = torch.ones_like(ids), torch.zeros_like(ids, dtype=torch.bool)
    mask[1::2, :REST // 5], soft[:, -SOFT_TOKENS - 2:-2] = 0, True
    batch = {"input_ids": ids, "attention_mask": mask, "soft_mask": soft, "prefix_ids": prefix,
             "embeddings": torch.randn(count, EMBEDDING_SIZE, generator=draw)}
    return {name: tensor.to(device) for name, tensor in batch.items()}


def measure(args: Options, device: str) -> Iterator[list[list[str]]]:
    """The rows of the table so far, after each way."""
    import torch

    from language_model import adapter_files

    model, rows, texts = make_model(args.shape, device), [], {}
    for way in WAYS:
        if way == "adapter merged":
            adapter_files.merge(model.llm)
            model.prefix.forget()
        model.static.devices = (device.split(":")[0],) if way == "graph" else ()
        for count in args.captions:
            batch, seconds = prompts(count, device), []
            for _ in range(RUNS):
                start = now()
                ids = model.generate(**batch, max_new_tokens=args.max_new_tokens, eos_token_id=[end_token(args.shape)],
                                     pad_token_id=0, repetition_penalty=1.1)
                seconds.append(now() - start)
            median = statistics.median(seconds)
            taken = way != "graph" or bool(model.static.suited)
            same = float((ids == texts[count]).float().mean()) if way == "graph" and count in texts else None
            texts[count] = ids
            peak = torch.cuda.max_memory_allocated() / 2**30 if device != "cpu" else None
            rows.append([way if taken else f"{way}: not taken by this LLM", f"{count}", f"{count / median:.1f}",
                         f"{1e3 * median / ids.shape[1]:.1f}", f"{seconds[0]:.2f}", "" if same is None else f"{same:.1%}",
                         "" if peak is None else f"{peak:.1f}"])
        yield rows


def end_token(shape: str) -> int:
    """A token that random weights practically never write, so that all captions have the same length."""
    return LLM_SHAPES[shape]["vocab_size"] - 1


def section(args: Options, rows: list[list[str]]) -> str:
    """The text of the section below its heading."""
    columns = ("way", "captions at a time", "captions/s", "ms a token", "first run in s", "tokens as merged", "peak GiB")
    return (f"{datetime.date.today()}, `python -m bench.decoding`: {args.shape}'s shape in bfloat16, random weights, "
            f"prompts of {PREFIX + REST} tokens, captions of {args.max_new_tokens}; medians of {RUNS} runs.\n"
            f"{packages()}.\n\n{table(columns, rows)}\n")


@exits_cleanly
def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    device = options.resolve_device(args.device)
    for rows in measure(args, device):  # written after each way: a run that is cut short keeps what it measured
        write_section(args.results, f"{device_name(device)}: decoding", section(args, rows))


if __name__ == "__main__":
    sys.exit(main())
