"""What the benches share: timed calls, one process per measurement, peak memory, and sections of the results file."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from runtime.atomic_files import atomic_path
from runtime.errors import InputError
from runtime.runs import versions

TITLE = """# Measured speed and memory

`bench/gpu_check.sh`, `python -m bench.speed`, `python -m bench.scale` and `python -m bench.data_format` wrote the sections
below. A new run replaces the section of the same device and mode.

The sections of gpu_check.sh measure LoRA finetuning with finetune_llm.py and greedy captions with inference.py. Both
compute in bfloat16, with the LLM loaded in the precision that the row names: 8 bit is LLM.int8 of bitsandbytes, 4 bit its
nf4. Peak memory is what PyTorch allocated on a GPU, and the resident set on a CPU.
"""
CPU_PRELOAD = ["runtime", "captioning.captioner", "captioning.training", "peft", "bitsandbytes"]  # runtime before torch


# --- what runs in a process of its own ---

def now() -> float:
    """Time in seconds, read once the GPU has done all work sent to it."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


def time_calls(owner: object, name: str, note: Callable | None = None) -> list[tuple[float, float, object]]:
    """Time each later call of `owner.name`.

    Returns a list that grows by (start, end, note(result, *args, **kwargs)) with each call.
    """
    calls, method = [], getattr(owner, name)

    def timed(*args, **kwargs):
        start = now()
        result = method(*args, **kwargs)
        calls.append((start, now(), note(result, *args, **kwargs) if note else None))
        return result

    setattr(owner, name, timed)
    return calls


def median_interval(times: Iterable[float]) -> float:
    """Median of the differences between successive times."""
    return statistics.median(after - before for before, after in itertools.pairwise(times))


def peak_memory() -> float:
    """Peak memory of this process in GiB: what PyTorch allocated on the GPU, or the largest resident set."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


class MemoryWithoutFiles(threading.Thread):
    """Tracks in `peak` the largest memory of this process in GiB, without pages of mapped files.

    The system can take back pages of mapped files at any time.
    """

    def __init__(self):
        super().__init__(daemon=True)
        self.peak = 0.0
        self.start()

    def run(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE") / 2**30
        while True:
            _, resident, shared = Path("/proc/self/statm").read_text().split()[:3]
            self.peak = max(self.peak, (int(resident) - int(shared)) * page)
            time.sleep(0.02)


def _child(pipe, function, arguments):
    result = function(*arguments) or {}
    pipe.send({"peak GiB": peak_memory()} | result)


class ProcessRunner:
    """Runs functions one at a time, each in a new process, so that the peak memory is that of one function."""

    def __init__(self, device: str):
        self.context = multiprocessing.get_context("forkserver")
        # On a GPU nothing may initialise CUDA before the fork, and importing bitsandbytes does.
        self.context.set_forkserver_preload(CPU_PRELOAD if device == "cpu" else [])

    def run(self, title: str, function: Callable, *arguments: object) -> dict:
        """The function's result with its "peak GiB" and "seconds", or {"error": ...} if its process failed."""
        print(f"\n== {title}", flush=True)
        receiver, sender = self.context.Pipe(duplex=False)
        process = self.context.Process(target=_child, args=(sender, function, arguments))
        start = time.perf_counter()
        process.start()
        sender.close()
        result = {"error": None}
        with contextlib.suppress(EOFError):
            result = receiver.recv()
        process.join()
        if process.exitcode:
            print(f"{title}: exit code {process.exitcode}", file=sys.stderr)
            return {"error": f"exit code {process.exitcode}"}
        seconds = time.perf_counter() - start
        print(f"{title}: {seconds:.0f} s", flush=True)
        return result | {"seconds": seconds}

    def run_required(self, title: str, function: Callable, *arguments: object) -> dict:
        """As `run`, but raises InputError if the process failed: for steps that all measurements need."""
        result = self.run(title, function, *arguments)
        if "error" in result:
            raise InputError(f"{title}: {result['error']}, see its message above; nothing can be measured without it")
        return result


# --- what is written ---

def device_name(device: str) -> str:
    if device == "cpu":
        info = Path("/proc/cpuinfo")
        models = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines()
                  if line.startswith("model name")] if info.is_file() else []
        return f"{models[0] if models else platform.machine()}, {os.cpu_count()} threads"
    import torch

    return torch.cuda.get_device_name(device)


def packages() -> str:
    return ", ".join(f"{name} {version}" for name, version in versions().items())


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table of rows of texts."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, *rows)).replace(
        "\n", "\n|" + "---|" * len(columns) + "\n", 1)


def replace_section(text: str, heading: str, body: str) -> str:
    """`text` with the section under `## heading` replaced, or added at the end. Other sections stay as they are."""
    head, *sections = (text or TITLE).split("\n## ")
    new = f"{heading}\n\n{body.rstrip()}\n"
    places = [i for i, other in enumerate(sections) if other.split("\n", 1)[0] == heading]
    if places:
        sections[places[0]] = new
    else:
        sections.append(new)
    return "\n\n## ".join(part.strip("\n") for part in [head, *sections]) + "\n"


def write_section(file: Path, heading: str, body: str) -> None:
    """Write the section to the results file and print it."""
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    with atomic_path(file) as temporary:
        temporary.write_text(replace_section(text, heading, body), encoding="utf-8")
    print(f"\n{heading}\n\n{body}\nwritten to {file}")
