"""Where the time of a run went (--profile): seconds by stage of the script, and torch.profiler's table and trace of a few
steps.

A script wraps its work in `profiled`; what it calls says where a stage begins (`stage`), names stretches of work within a
step (`part`), and says where steps end (`step`). Without --profile these do nothing. Process 0 alone is profiled.
"""

import contextlib
import platform
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from runtime import processes
from runtime.atomic_files import atomic_path

OPERATOR_ROWS = 25  # of the table
_running: "Profile | None" = None  # the profile of this run


@contextlib.contextmanager
def profiled(folder: str | Path | None, name: str, steps: str = "training step", first: int = 3, last: int = 7) -> Iterator:
    """Profile the block and write `<folder>/profile/<name>.txt` and `<name>.trace.json.gz`; does nothing for folder None.

    Traced are the steps `first` to `last` of those that `step(steps)` ends; the one before warms the profiler up. A block
    that ends in an error is profiled as far as it came.
    """
    global _running
    if folder is None or not processes.is_main():
        yield
        return
    _running = profile = Profile(name, Path(folder) / "profile", steps, first, last)
    try:
        with profile.tracer:
            yield
    finally:
        _running = None
        profile.write()


def stage(name: str) -> None:
    """From here on, until the next one, the time is that of the stage `name`."""
    if _running:
        _running.stages.append((name, time.perf_counter()))


def part(name: str) -> contextlib.AbstractContextManager:
    """A context whose work stands in table and trace under `name`."""
    if not _running:
        return contextlib.nullcontext()
    from torch.profiler import record_function

    return record_function(name)


def step(kind: str) -> None:
    """A step of this kind has ended."""
    if _running and kind == _running.kind:
        _running.ended += 1
        _running.tracer.step()


class Profile:
    """The stages of a run as (name, start in s), and the profiler of its steps."""

    def __init__(self, name: str, folder: Path, kind: str, first: int, last: int):
        from torch import cuda, profiler

        activities = [profiler.ProfilerActivity.CPU] + [profiler.ProfilerActivity.CUDA] * cuda.is_available()
        self.name, self.folder, self.kind, self.first, self.last = name, folder, kind, first, last
        self.stages, self.ended = [("start", time.perf_counter())], 0
        self.operators = f"The run was over before {kind} {first}, from which on operators are traced."
        self.trace = folder / f"{name}.trace.json.gz"
        self.trace.unlink(missing_ok=True)  # of another run
        self.tracer = profiler.profile(
            activities=activities, profile_memory=cuda.is_available(), on_trace_ready=self.read,
            schedule=profiler.schedule(wait=first - 2, warmup=1, active=last - first + 1, repeat=1))

    def read(self, tracer: object) -> None:
        """Keep the table of the traced steps and write their trace; torch.profiler calls this when they are over."""
        averages = tracer.key_averages()
        device = any(entry.self_device_time_total for entry in averages)
        table = averages.table(sort_by=f"self_{'device' if device else 'cpu'}_time_total", row_limit=OPERATOR_ROWS)
        parts = [entry for entry in averages if entry.is_user_annotation]
        lines = [f"{'part':<40}{'seconds':>10}{'calls':>8}"] + [
            f"{entry.key:<40}{entry.cpu_time_total / 1e6:>10.3f}{entry.count:>8}"
            for entry in sorted(parts, key=lambda entry: -entry.cpu_time_total)]
        self.operators = "\n".join([f"{self.kind} {self.first} to {min(self.last, self.ended + 1)}", *lines, "", table])
        with atomic_path(self.trace) as temporary:
            tracer.export_chrome_trace(str(temporary))

    def write(self) -> None:
        with atomic_path(self.folder / f"{self.name}.txt") as temporary:
            temporary.write_text(f"{self.name}\n\n{self.table()}\n\n{self.operators}\n", encoding="utf-8")
        print(f"profile written to {self.folder}")

    def table(self) -> str:
        """Seconds and share of the run of each stage, and the memory held at most, as text."""
        ends = [start for _, start in self.stages[1:]] + [time.perf_counter()]
        whole = ends[-1] - self.stages[0][1]
        lines = [f"{'stage':<40}{'seconds':>10}{'share':>8}"]
        lines += [f"{name:<40}{end - start:>10.2f}{(end - start) / whole:>8.1%}"
                  for (name, start), end in zip(self.stages, ends, strict=True)]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if platform.system() == "Darwin" else 2**20)
        return "\n".join([*lines, f"{'the whole run':<40}{whole:>10.2f}{1:>8.1%}", "",
                          f"most memory held: {memory:.2f} GB{_device_memory()}"])


def _device_memory():
    torch = sys.modules.get("torch")
    if not (torch and torch.cuda.is_initialized()):
        return ""
    return f", on the device {torch.cuda.max_memory_allocated() / 2**30:.2f} GB"
