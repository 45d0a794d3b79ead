"""What the benches share: timed calls, a process for each measurement, peak memory, and sections of the results file."""

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
from pathlib import Path

from runtime.errors import InputError
from runtime.runs import atomic_path, versions

TITLE = """# Measured speed and memory

`bench/gpu_check.sh`, `python -m bench.speed`, `python -m bench.scale` and `python -m bench.data_format` wrote the sections
below, the newest run of each device and mode. In those of gpu_check.sh every row is LoRA finetuning by finetune_llm.py and
greedy captions by inference.py, computed in bfloat16 with the LLM loaded in the precision named; 8 bit is bitsandbytes'
LLM.int8, 4 bit its nf4. Peak memory is what PyTorch allocated on a GPU, the resident set on a CPU.
"""
CPU_PRELOAD = ["generation", "captioner_training", "peft", "bitsandbytes"]


# --- what runs in a process of its own ---

def now():
    """Seconds, after what was sent to a GPU is done."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


def watch(owner, name, note=None):
    """Time each call of `owner.name`: returns a list that grows by (start, end, note(result, *args, **kwargs))."""
    calls, method = [], getattr(owner, name)

    def watched(*args, **kwargs):
        start = now()
        result = method(*args, **kwargs)
        calls.append((start, now(), note(result, *args, **kwargs) if note else None))
        return result

    setattr(owner, name, watched)
    return calls


def between(times):
    """Median of the differences of successive times."""
    return statistics.median(after - before for before, after in itertools.pairwise(times))


def peak_memory():
    """GiB: the most that PyTorch had allocated on the GPU, or the process's largest resident set."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


class OwnMemory(threading.Thread):
    """Keeps in `peak` the most memory of this process in GiB without pages of files, which the system can take back."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak = 0.0
        self.start()

    def run(self):
        page = os.sysconf("SC_PAGE_SIZE") / 2**30
        while True:
            _, resident, shared = Path("/proc/self/statm").read_text().split()[:3]
            self.peak = max(self.peak, (int(resident) - int(shared)) * page)
            time.sleep(0.02)


def _child(pipe, function, arguments):
    result = function(*arguments) or {}
    pipe.send({"peak GiB": peak_memory()} | result)


class Processes:
    """Runs functions one at a time, each in a process of its own, so that its peak memory is its alone."""

    def __init__(self, device):
        self.context = multiprocessing.get_context("forkserver")
        # On a GPU nothing may touch CUDA before the fork, and bitsandbytes does when imported.
        self.context.set_forkserver_preload(CPU_PRELOAD if device == "cpu" else [])

    def run(self, title, function, *arguments):
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

    def must(self, title, function, *arguments):
        """As `run`, for what everything else needs."""
        result = self.run(title, function, *arguments)
        if "error" in result:
            raise InputError(f"{title}: {result['error']}, see its message above; nothing can be measured without it")
        return result


# --- what is written ---

def device_name(device):
    if device == "cpu":
        info = Path("/proc/cpuinfo")
        models = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines()
                  if line.startswith("model name")] if info.is_file() else []
        return f"{models[0] if models else platform.machine()}, {os.cpu_count()} threads"
    import torch

    return torch.cuda.get_device_name(device)


def packages():
    return ", ".join(f"{name} {version}" for name, version in versions().items())


def table(columns, rows):
    """A Markdown table of rows of texts."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, *rows)).replace(
        "\n", "\n|" + "---|" * len(columns) + "\n", 1)


def replace_section(text, heading, body):
    """`text` with the section under `## heading` replaced, or added at the end; other sections stay as they are."""
    head, *sections = (text or TITLE).split("\n## ")
    new = f"{heading}\n\n{body.rstrip()}\n"
    places = [i for i, other in enumerate(sections) if other.split("\n", 1)[0] == heading]
    if places:
        sections[places[0]] = new
    else:
        sections.append(new)
    return "\n\n## ".join(part.strip("\n") for part in [head, *sections]) + "\n"


def write_section(file, heading, body):
    """Put the section into the results file and print it."""
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    with atomic_path(file) as temporary:
        temporary.write_text(replace_section(text, heading, body), encoding="utf-8")
    print(f"\n{heading}\n\n{body}\nwritten to {file}")
