"""Give damaged inputs to the readers of fault_readers, in forked processes: no traceback, no hang, no death, nothing wrong.

Input number n of a reader is drawn by (seed, reader, n) alone. `hypothesis` draws a part of the inputs and makes each one
that fails smaller. `atheris`, where it is installed, draws inputs that reach new lines of our code.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import mmap
import os
import random
import resource
import signal
import struct
import sys
import time
import traceback
import types
import warnings
from collections import Counter
from pathlib import Path

from runtime.errors import InputError, _out_of_memory

import torch

from bench import fault_recordings, fault_records
from bench.fault_readers import Reader, copied, of_data

SECONDS, DEAD_SECONDS = 10, 40  # of an input, and until a process that does not answer is killed
MEMORY = 12 << 30  # bytes of a process's address space
LONGEST_MESSAGE = 3000
ROOT = str(Path(__file__).resolve().parents[1])


class Hang(BaseException):
    """An input took too long."""


def make_readers(made: Path) -> dict[str, Reader]:
    """All readers, by name."""
    return {**of_data(made), **fault_recordings.of_tables(made), **fault_recordings.of_files(made),
            **fault_records.of_captions(made), **fault_records.of_models(made)}


def what_happens(reader: Reader, files: dict[str, bytes], folder: Path) -> tuple[str, str, str]:
    """("read", "refused" or "fault", what is wrong, what was said) of one input, which is written to `folder`."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    signal.alarm(SECONDS)
    try:
        problem = reader.read(folder)
        return ("fault", "silently wrong", problem[:300]) if problem else ("read", "", "")
    except InputError as error:
        said = str(error).strip()
        fine = said and len(said) <= LONGEST_MESSAGE
        return ("refused", "", "") if fine else ("fault", "a message too long, or empty", said[:300])
    except Hang:
        return "fault", f"no end within {SECONDS} s", ""
    except BaseException as error:
        if _out_of_memory(error) or getattr(error, "errno", None) == errno.ENAMETOOLONG:  # which each script says
            return "refused", "", ""
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if is_ours(frame.filename)] or frames
        return ("fault", f"{type(error).__name__} in {Path(own[-1].filename).name}, line {own[-1].lineno}",
                " ".join(str(error).split())[:300])
    finally:
        signal.alarm(0)


def run_batch(name: str, reader: Reader, seed: int, first: int, count: int, scratch: Path, engine: str = "random") -> dict:
    """Run inputs first .. first + count - 1 of a reader in another process; returns a row of results: counts, and faults as
    {what: [how often, number of the first, what it said]}. A process that dies or hangs is one fault; the rest goes on."""
    start, total, faults, at = time.perf_counter(), Counter(), {}, first
    folder, results = copied(reader.folder, scratch / "input"), scratch / "results.json"
    while at < first + count:
        shared = mmap.mmap(-1, 8)
        shared[:] = struct.pack("q", at)
        results.unlink(missing_ok=True)
        process = os.fork()
        if not process:
            _child(Batch(reader, name, seed, range(at, first + count), folder, shared, results), engine)
        status = _wait(process, shared)
        counts, found = json.loads(results.read_text()) if results.is_file() else ({}, {})
        total.update(counts)
        for what, (times, number, said) in found.items():
            faults.setdefault(what, [0, number, said])[0] += times
        if status == 0:
            break
        (at,) = struct.unpack("q", shared[:])
        what = "no answer, and had to be killed" if status is None else f"ended Python (exit code {status})"
        faults.setdefault(what, [0, at, ""])[0] += 1
        total["fault"] += 1
        at += 1
    return {"reader": name, "engine": engine, "first": first, "count": count, **{key: total[key] for key in (
        "read", "refused", "fault")}, "faults": faults, "seconds": round(time.perf_counter() - start, 2)}


class Batch:
    """The inputs of one process, and what became of them. numbers: of the inputs; shared: takes the number at work."""

    def __init__(self, reader: Reader, name: str, seed: int, numbers: range, folder: Path, shared: mmap.mmap,
                 results: Path):
        self.reader, self.name, self.seed, self.numbers = reader, name, seed, numbers
        self.folder, self.shared, self.results = folder, shared, results
        self.total, self.faults, self.written, self.done = Counter(), {}, time.monotonic(), 0

    def one(self, draw: random.Random) -> None:
        """Make one input with `draw` and give it to the reader."""
        number = self.numbers[min(self.done, len(self.numbers) - 1)]
        self.shared[:] = struct.pack("q", number)
        try:
            files = self.reader.make(draw)
        except (OverflowError, UnicodeError, RecursionError):  # what JSON or pickle cannot write is no input
            files = self.reader.make(random.Random(0))
        outcome, what, said = what_happens(self.reader, files, self.folder)
        self.total[outcome] += 1
        self.done += 1
        if outcome == "fault":
            self.faults.setdefault(what, [0, number, said])[0] += 1
        if time.monotonic() > self.written + 1:  # what a dead process has done is not lost
            self.keep()

    def keep(self) -> None:
        """Write the counts."""
        self.results.write_text(json.dumps([self.total, self.faults]))
        self.written = time.monotonic()

    def random(self) -> None:
        """Each input by (seed, reader, number)."""
        for number in self.numbers:
            self.one(random.Random(f"{self.seed} {self.name} {number}"))

    def hypothesis(self) -> None:
        """Inputs of hypothesis, which looks for small and strange draws."""
        import hypothesis
        from hypothesis import strategies

        quiet = hypothesis.settings(max_examples=len(self.numbers), database=None, deadline=None,
                                    suppress_health_check=list(hypothesis.HealthCheck))
        given = hypothesis.given(strategies.randoms(use_true_random=False))(lambda draw: self.one(draw))
        hypothesis.seed(f"{self.seed} {self.name} {self.numbers[0]}")(quiet(given))()

    def atheris(self) -> None:
        """Inputs of libFuzzer, which keeps those that reach new lines of our code."""
        import atheris

        for module in [module for module in list(sys.modules.values()) if is_ours(getattr(module, "__file__", None))]:
            for value in list(vars(module).values()):
                if isinstance(value, types.FunctionType) and is_ours(value.__code__.co_filename):
                    atheris.instrument_func(value)

        def check(content):
            signal.signal(signal.SIGALRM, hang)
            self.one(FromBytes(content))
            if self.done == len(self.numbers):
                self.keep()
                os._exit(0)

        atheris.Setup([self.name, f"-seed={self.seed + self.numbers[0] + 1}", "-max_len=256", "-len_control=0",
                       "-timeout=0", "-rss_limit_mb=0", "-handle_segv=0", "-handle_abrt=0", "-handle_fpe=0"], check)
        atheris.Fuzz()


class FromBytes(random.Random):
    """Draws that are read from bytes; zeros where these end."""

    def __init__(self, content: bytes):
        super().__init__(0)
        self.content = io.BytesIO(content)

    def getrandbits(self, k: int) -> int:
        """k bits of the next bytes."""
        return int.from_bytes(self.content.read((k + 7) // 8)) & ((1 << k) - 1)

    def random(self) -> float:
        """A number from 0 to 1."""
        return self.getrandbits(53) / 2**53


def is_ours(file: str | None) -> bool:
    """Whether a file is of this project and not of the benches."""
    return bool(file) and file.startswith(ROOT) and "/bench/" not in file and "site-packages" not in file


def hang(*_: object) -> None:
    """Handler of SIGALRM."""
    raise Hang


def _child(batch: Batch, engine: str) -> None:
    """Do the work of a forked process, and end it."""
    code = 1
    with contextlib.suppress(BaseException):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGALRM, hang)
        warnings.simplefilter("ignore")
        torch.set_num_threads(1)  # makes torch's pool anew: a thread that is the first to use it after a fork fails
        silent = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(silent, number)
        getattr(batch, engine)()
        batch.keep()
        code = 0
    os._exit(code)


def _wait(process, shared):
    """Exit code of a process; None where it was killed since it did not go on."""
    seen, since = shared[:], time.monotonic()
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if shared[:] != seen:
            seen, since = shared[:], time.monotonic()
        elif time.monotonic() > since + DEAD_SECONDS:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return None
        time.sleep(.01)
