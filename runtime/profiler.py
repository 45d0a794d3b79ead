"""Where the time of a run went (--profile): wall seconds of its parts, and a trace of a few of its steps.

A script wraps its work in `profiled`; what it calls marks stretches of work with `part`, where the next begin with `stage`
and where steps end with `step`. Without --profile these do nothing. With it, the device is waited for at both ends of a
part, so that a part's seconds are its own. Process 0 alone is profiled.
"""

import contextlib
import functools
import gzip
import json
import platform
import sys
import time
from pathlib import Path

from runtime import processes
from runtime.runs import atomic_path

OTHER = "other"
MOST_EVENTS = 300_000  # of a trace, about 10 MB; a batch of captions of a large LLM may have more
OPERATORS = 25  # rows of their table
_running = None  # the Profile of this run


@contextlib.contextmanager
def profiled(folder, name, steps="training step", first=3, last=7):
    """Profile the block and write `<folder>/profile/<name>.txt` and `.trace.json.gz`; does nothing for folder None.

    Traced are the steps `first` to `last` of those that `step(steps)` ends. Yields an object with `step`. A block that ends
    in an error has its profile, too.
    """
    global _running
    profile = Profile(steps, first, last)
    if folder is None or not processes.is_main():
        yield profile
        return
    _running = profile
    try:
        yield profile
    finally:
        _running = None
        profile.write(Path(folder) / "profile", name)


def stage(name):
    """From here on, until the next one, the time outside of parts is of the stage `name`, and its parts are told apart."""
    if _running:
        _running.stage(name)


def part(name):
    """A context: what is done in it is the part `name`, within the part around it."""
    return _running.part(name) if _running else contextlib.nullcontext()


def step(kind):
    """A step of this kind has ended."""
    if _running:
        _running.step(kind)


def watch(owner, **parts):
    """Have calls of `owner`'s methods be parts, {method: part}."""
    for method, name in parts.items() if _running else ():
        setattr(owner, method, _as_part(name, getattr(owner, method)))


def _as_part(name, function):
    @functools.wraps(function)
    def timed(*args, **more):
        with part(name):
            return function(*args, **more)

    return timed


@contextlib.contextmanager
def decoding(llm):
    """Within the block, calls of the LLM with more than one token a row are the part `prefill`, those with one `decode`."""

    def timed(*args, input_ids=None, inputs_embeds=None, **more):
        given = {"input_ids": input_ids, "inputs_embeds": inputs_embeds}
        length = max(tokens.shape[1] for tokens in given.values() if tokens is not None)
        with part("prefill" if length > 1 else "decode"):
            return own(*args, **given, **more)

    own, hooked = llm.forward, "forward" in vars(llm)
    if _running:
        llm.forward = functools.wraps(own)(timed)
    try:
        yield
    finally:
        if hooked:
            llm.forward = own
        else:
            vars(llm).pop("forward", None)


class Profile:
    """The clock of a run: seconds and calls by part, {(stage, part, part within ..): [seconds, calls]}."""

    def __init__(self, steps, first, last):
        self.kind, self.first, self.last = steps, first, last
        self.times, self.place, self.since = {}, ["imports and start"], time.perf_counter()
        self.ended, self.tracer, self.traced = 0, None, None

    def stage(self, name):
        self._switch([name])

    @contextlib.contextmanager
    def part(self, name):
        before = list(self.place)
        self._switch([*before, name])
        self.times[tuple(self.place)][1] += 1
        try:
            with _annotation(name) if self.tracer else contextlib.nullcontext():
                yield
        finally:
            self._switch(before)

    def step(self, kind=None):
        self.ended += kind in (None, self.kind)
        if self.tracer is None and self.traced is None and self.ended == self.first - 1:
            self._start()
        elif self.tracer and self.ended == self.last:
            self._stop()

    def _switch(self, place):
        """Go to another place; what has passed since the last switch belongs to the one that is left."""
        _synchronize()
        now = time.perf_counter()
        self.times.setdefault(tuple(self.place), [0.0, 0])[0] += now - self.since
        self.place, self.since = list(place), now
        self.times.setdefault(tuple(place), [0.0, 0])

    def _start(self):
        import torch

        with self.part("profiler"):
            kinds, cuda = torch.profiler.ProfilerActivity, torch.cuda.is_available()
            self.tracer = torch.profiler.profile(activities=[kinds.CPU] + [kinds.CUDA] * cuda, profile_memory=cuda)
            self.tracer.start()

    def _stop(self):
        with self.part("profiler"):
            self.tracer.stop()
        self.tracer, self.traced = None, self.tracer

    def write(self, folder, name):
        if self.tracer:  # the run was over before the last step to trace
            self._stop()
        self._switch([OTHER])
        with atomic_path(folder / f"{name}.txt") as temporary:
            temporary.write_text(f"{name}\n\n{self.table()}\n\n{self.operators()}\n", encoding="utf-8")
        trace = folder / f"{name}.trace.json.gz"
        if self.traced:
            with atomic_path(trace) as temporary:
                _write_trace(self.traced, temporary)
        else:
            trace.unlink(missing_ok=True)  # of another run
        print(f"profile written to {folder}")

    def table(self):
        """Seconds, share of the run and calls of each part, as text; a part's seconds are without those of parts in it."""
        times = {place: entry for place, entry in self.times.items() if entry[0] > 0 or entry[1]}
        whole = sum(seconds for seconds, _ in times.values())
        lines = [f"{'part':<58}{'seconds':>10}{'share':>8}{'calls':>9}"]
        for place, (seconds, calls) in sorted(times.items(), key=lambda item: -item[1][0]):
            lines.append(f"{' > '.join(place):<58}{seconds:>10.2f}{seconds / whole:>8.1%}{calls or '':>9}")
        lines.append(f"{'the whole run':<58}{whole:>10.2f}{1:>8.1%}")
        import resource

        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if platform.system() == "Darwin" else 2**20)
        return "\n".join([*lines, "", f"most memory held: {memory:.2f} GB{_device_memory()}"])

    def operators(self):
        """The operators of the traced steps, as text."""
        if self.traced is None:
            return f"The run was over before {self.kind} {self.first}, from which on operators are traced."
        averages = self.traced.key_averages()
        device = any(entry.self_device_time_total for entry in averages)
        table = averages.table(sort_by=f"self_{'device' if device else 'cpu'}_time_total", row_limit=OPERATORS)
        return f"Operators, {self.kind} {self.first} to {min(self.last, self.ended)}:\n{table}"


def _write_trace(tracer, path):
    """Write a tracer's events as gzipped JSON in Chrome's format, the first MOST_EVENTS of them."""
    plain = path.with_suffix(".json")
    try:
        tracer.export_chrome_trace(str(plain))
        content = json.loads(plain.read_text(encoding="utf-8", errors="replace"))
    finally:
        plain.unlink(missing_ok=True)
    content["traceEvents"] = sorted(content["traceEvents"], key=lambda event: event.get("ts", 0))[:MOST_EVENTS]
    with gzip.open(path, "wt", encoding="utf-8") as file:
        json.dump(content, file)


def _annotation(name):
    from torch.profiler import record_function

    return record_function(name)


def _synchronize():
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def _device_memory():
    torch = sys.modules.get("torch")
    if not (torch and torch.cuda.is_initialized()):
        return ""
    return f", on the device {torch.cuda.max_memory_allocated() / 2**30:.2f} GB"
