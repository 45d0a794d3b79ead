"""Our scripts as a user runs them, with the times of what they do.

    python -m bench.ours RESULT.json SCRIPT ARGUMENT ...
    python -m bench.ours --first_step RESULT.json SCRIPT ARGUMENT ...

In a process of its own, for what depends on the start (--first_step ends it after the first training step) and for runs on
several processes (torchrun -m bench.ours), of which the first writes the result.
"""

import importlib
import json
import os
import sys
from pathlib import Path

from runtime import options  # noqa: F401  (sets how OpenMP waits, before torch)

from bench.limits import counted, decoding_bytes
from bench.measuring import OwnMemory, between, now, peak_memory, watch


def train(script, arguments, count=0):
    """A training script: {"step": [seconds a step, the first left out], "tokens": of a step, "flops": of step `count`}.

    A step lasts from the end of the step before to its own end; FLOPs are those of step number `count`, which is left out
    of the times, from 1 (0: none are counted). Tokens are those of prompts and captions without padding.
    """
    starts, tokens, flops = [], [], []
    ends = _watch_training(starts, tokens, flops, count)
    memory = OwnMemory()
    importlib.import_module(script).main(arguments)
    timed = [end for _, end, _ in ends][max(0, count - 1):]
    return {"step": between(timed), "tokens": sum(tokens) / len(tokens) if tokens else None,
            "flops": flops[0] if flops else None, "own GiB": memory.peak}


def _watch_training(starts, tokens, flops, count):
    from transformers import Trainer
    from transformers.trainer_callback import CallbackHandler

    step = Trainer.training_step

    def training_step(trainer, model, inputs, *more, **named):
        starts.append(now())
        if "attention_mask" in inputs:
            prefix = len(inputs["prefix_ids"]) if "prefix_ids" in inputs else 0
            tokens.append(int(inputs["attention_mask"].sum()) + prefix * len(inputs["attention_mask"]))
        if len(starts) != count:
            return step(trainer, model, inputs, *more, **named)
        result, found = counted(lambda: step(trainer, model, inputs, *more, **named))
        flops.append(found)
        return result

    Trainer.training_step = training_step
    return watch(CallbackHandler, "on_step_end")


def caption(arguments):
    """inference.py on a part of a split: {"captions", "step": seconds of reading the EEG and writing them, "ids", "tokens",
    "bytes": read in decoding}."""
    import inference
    from captioning import captioner, captions_csv
    from model import EEGModelForCausalLM

    reading, writing = watch(captioner.Captioner, "read"), watch(captioner.Captioner, "generate")
    whole = watch(captions_csv, "write_captions")
    batches = watch(EEGModelForCausalLM, "generate", lambda ids, model, **batch: (model, ids, batch))
    memory = OwnMemory()
    inference.main(arguments)
    ids, shapes, model = [], [], batches[0][2][0]
    for _, _, (_, rows, batch) in batches:
        prefix = batch.get("prefix_ids")
        prompt = batch["input_ids"].shape[1] + (0 if prefix is None else len(prefix))
        shapes.append((len(rows), prompt, rows.shape[1]))
        ids += [_until(row, batch["eos_token_id"]) for row in rows.tolist()]
    return {"step": sum(end - start for start, end, _ in reading + writing), "captions": len(ids), "ids": ids,
            "whole": whole[0][1] - whole[0][0], "tokens": sum(map(len, ids)), "own GiB": memory.peak,
            "bytes": decoding_bytes(model.base_llm(), shapes)}


def _until(ids, end):
    """Ids up to the first end token, which is the last."""
    return ids[:ids.index(end) + 1] if end in ids else ids


def main():
    """The result as JSON; "peak GiB", and with --first_step "end", the time.perf_counter() of its end."""
    first = sys.argv[1] == "--first_step"
    file, script, *arguments = sys.argv[1 + first:]
    if first:
        from transformers.trainer_callback import CallbackHandler

        memory = OwnMemory()

        def end(*_, **__):
            _write(file, {"end": now(), "own GiB": memory.peak})
            os._exit(0)

        CallbackHandler.on_step_end = end
        importlib.import_module(script).main(arguments)
    else:
        result = caption(arguments) if script == "inference" else train(script, arguments)
        result.pop("ids", None)
        _write(file, result)


def _write(file, result):
    if os.environ.get("RANK", "0") == "0":
        Path(file).write_text(json.dumps(result | {"peak GiB": peak_memory()}), encoding="utf-8")


if __name__ == "__main__":
    main()
