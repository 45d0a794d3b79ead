"""Run one of the project's scripts as a user does, and measure the time of its steps.

    python -m bench.ours RESULT.json SCRIPT ARGUMENT ...
    python -m bench.ours --first_step RESULT.json SCRIPT ARGUMENT ...

As a command it measures the startup (--first_step), and runs with several processes (torchrun -m bench.ours), of which the
first writes the result. The result is JSON with "peak GiB", and with --first_step also "end", the time.perf_counter() at
the end of the first training step.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from runtime import options
from runtime.options import Options

from bench.measurement import MemoryWithoutFiles, median_interval, now, peak_memory, time_calls
from bench.roofline import count_flops, decoding_bytes


def parse(argv: list[str] | None) -> Options:
    parser = options.make_parser(__doc__)
    parser.prog = "python -m bench.ours"
    parser.add_argument("--first_step", action="store_true", help="end the script after its first training step")
    parser.add_argument("result", type=Path, help="JSON file to write")
    parser.add_argument("script", help="name of the script without .py, for example finetune_llm")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of the script")
    return options.parse(parser, argv)


def train(script: str, arguments: Sequence[str], count: int = 0) -> dict:
    """Run a training script.

    Returns {"step", "tokens", "flops", "own GiB"}: the median seconds of a step, the mean number of tokens in it (prompts
    and captions without padding), the FLOPs of step number `count`, and the peak memory without mapped files. A step lasts
    from the end of the step before it to its own end. Counting FLOPs makes step number `count` slow (from 1; 0: no step),
    so the times start after it.
    """
    tokens, flops = [], []
    ends = _watch_training(tokens, flops, count)
    memory = MemoryWithoutFiles()
    importlib.import_module(script).main(arguments)
    timed = [end for _, end, _ in ends][max(0, count - 1):]
    return {"step": median_interval(timed), "tokens": sum(tokens) / len(tokens) if tokens else None,
            "flops": flops[0] if flops else None, "own GiB": memory.peak}


def _watch_training(tokens, flops, count):
    """Append the tokens of each training step, and the FLOPs of step number `count`; returns the timed ends of steps."""
    from transformers import Trainer
    from transformers.trainer_callback import CallbackHandler

    training_step, steps = Trainer.training_step, 0

    def watched_step(trainer, model, inputs, *more, **named):
        nonlocal steps
        steps += 1
        if "attention_mask" in inputs:
            prefix = len(inputs["prefix_ids"]) if "prefix_ids" in inputs else 0
            tokens.append(int(inputs["attention_mask"].sum()) + prefix * len(inputs["attention_mask"]))
        if steps != count:
            return training_step(trainer, model, inputs, *more, **named)
        result, counted = count_flops(lambda: training_step(trainer, model, inputs, *more, **named))
        flops.append(counted)
        return result

    Trainer.training_step = watched_step
    return time_calls(CallbackHandler, "on_step_end")


def caption(arguments: Sequence[str]) -> dict:
    """Run inference.py on one part of a split.

    Returns {"captions", "step", "whole", "ids", "tokens", "bytes", "own GiB"}: the number of captions, the seconds to read
    the EEG and generate the captions, the seconds of the whole writing, the token ids, their number, the bytes read in
    decoding, and the peak memory without mapped files.
    """
    import inference
    from captioning import captioner, captions_csv
    from model import EEGModelForCausalLM

    reading, writing = time_calls(captioner.Captioner, "read"), time_calls(captioner.Captioner, "generate")
    whole = time_calls(captions_csv, "write_captions")
    batches = time_calls(EEGModelForCausalLM, "generate", lambda ids, model, **batch: (model, ids, batch))
    memory = MemoryWithoutFiles()
    inference.main(arguments)
    ids, shapes, model = [], [], batches[0][2][0]
    for _, _, (_, rows, batch) in batches:
        prefix = batch.get("prefix_ids")
        prompt = batch["input_ids"].shape[1] + (0 if prefix is None else len(prefix))
        shapes.append((len(rows), prompt, rows.shape[1]))
        ids += [_until_end(row, *batch["eos_token_id"]) for row in rows.tolist()]
    return {"step": sum(end - start for start, end, _ in reading + writing), "captions": len(ids), "ids": ids,
            "whole": whole[0][1] - whole[0][0], "tokens": sum(map(len, ids)), "own GiB": memory.peak,
            "bytes": decoding_bytes(model.base_llm(), shapes)}


def _until_end(ids, *end_tokens):
    """Ids up to and with the first end token."""
    end = next((place for place, token in enumerate(ids) if token in end_tokens), len(ids))
    return ids[:end + 1]


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    if args.first_step:
        _run_to_first_step(args)
        return
    result = caption(args.arguments) if args.script == "inference" else train(args.script, args.arguments)
    result.pop("ids", None)
    _write(args.result, result)


def _run_to_first_step(args):
    from transformers.trainer_callback import CallbackHandler

    memory = MemoryWithoutFiles()

    def end(*_, **__):
        _write(args.result, {"end": now(), "own GiB": memory.peak})
        os._exit(0)

    CallbackHandler.on_step_end = end
    importlib.import_module(args.script).main(args.arguments)


def _write(file, result):
    if os.environ.get("RANK", "0") == "0":
        file.write_text(json.dumps(result | {"peak GiB": peak_memory()}), encoding="utf-8")


if __name__ == "__main__":
    main()
