"""Kill a stage with SIGKILL, let it go on as docs/reliability.md says, and compare its result with that of a whole run."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from runtime.errors import InputError
from runtime.runs import LEDGER

from bench import fault_stages

ROOT = Path(__file__).resolve().parents[1]
WRITES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir")  # audit events
TIMES = re.compile(r"made|(train|eval|test)_(runtime|(samples|steps)_per_second)|resume|total_flos|train_loss|checksum")
NEW_PROCESS = 10  # of so many kills, one is of a whole new process
LIMIT = 300  # seconds that a run may take


class Stages:
    """The stages' whole runs, and kills of them. All run in the same folder, so that paths are equal."""

    def __init__(self, folder: Path):
        self.made, self.out, self.log = folder / "made", folder / "run", folder / "log.txt"
        fault_stages.preload()
        if not (self.made / "whole").is_file():
            shutil.rmtree(self.made, ignore_errors=True)
            self.made.mkdir(parents=True)
            if self._run(partial(fault_stages.make, self.made)):
                raise InputError(f"{self.made}: the tiny models could not be made; the output is in {self.log}")
            (self.made / "whole").touch()
        self.commands = fault_stages.commands(self.made, self.out)
        self.whole = {}

    def kill(self, stage: str, draw: random.Random) -> dict:
        """Kill a stage once or twice, at moments or writes that are drawn; returns {"how": list of words, "found": what is
        wrong with the result, "" where nothing is}."""
        seconds, writes, result = self._whole_run(stage)
        while True:
            self._clear()
            resume, how = [], []
            for _ in range(draw.choice((1, 1, 1, 2))):
                code, words = self._killed(stage, draw, seconds, writes, resume)
                if code == -signal.SIGKILL:
                    how.append(words)
                resume = ["--resume"] if stage in fault_stages.RESUMED else []
            if how:
                break
        found = self._go_on(stage, resume)
        return {"how": how, "found": found or difference(result, contents(self.out))}

    def _killed(self, stage, draw, seconds, writes, resume):
        script, arguments = self.commands[stage]
        kind = draw.choice(("moment", "write"))
        if draw.randrange(NEW_PROCESS) == 0:
            moment = draw.uniform(0, 1)
            return self._new_process(script, [*arguments, *resume], moment * (seconds + 6)), f"new process, {moment:.3f}"
        run = partial(fault_stages.call, script, [*arguments, *resume])
        if kind == "moment":
            moment = draw.uniform(0, seconds)
            return self._run(run, moment), f"{moment:.2f} s of {seconds:.2f}"
        number, event = draw.choice(list(enumerate(writes, 1)))
        return self._run(partial(killed_at, run, self.out, number)), f"write {number}: {event}"

    def _go_on(self, stage, resume):
        """Finish a killed run; returns what went wrong. A run that left no checkpoint starts anew."""
        script, arguments = self.commands[stage]
        code = self._run(partial(fault_stages.call, script, [*arguments, *resume]))
        if code == 2 and resume and "no checkpoint" in self.log.read_text(errors="replace"):
            code = self._run(partial(fault_stages.call, script, arguments))
        lines = self.log.read_text(errors="replace").replace("\r", "\n").strip().splitlines()
        return f"exit code {code}: {lines[-1][:300] if lines else ''}" if code else ""

    def _whole_run(self, stage):
        if stage not in self.whole:
            script, arguments = self.commands[stage]
            events = self.log.with_name("events.txt")
            for _ in range(2):  # the first fills caches of imports
                self._clear()
                events.unlink(missing_ok=True)
                start = time.perf_counter()
                code = self._run(partial(killed_at, partial(fault_stages.call, script, arguments), self.out, 0, events))
                seconds = time.perf_counter() - start
            if code:
                raise InputError(f"{stage}: its whole run fails; the output is in {self.log}")
            self.whole[stage] = seconds, events.read_text().splitlines(), contents(self.out)
        return self.whole[stage]

    def _clear(self):
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()
        for ledger in self.made.rglob(LEDGER):  # counts the runs
            ledger.unlink()

    def _run(self, work: Callable[[], object], kill_after: float = LIMIT) -> int:
        """Exit code of work in a forked process; minus the signal where one ended it."""
        self.log.unlink(missing_ok=True)
        os.environ["EEG_TO_TEXT_CACHE"] = str(self.out / "cache")
        process = fault_stages.forked(work, self.log)
        end = time.perf_counter() + kill_after
        while time.perf_counter() < end:
            done, status = os.waitpid(process, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(.002)
        os.kill(process, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

    def _new_process(self, script, arguments, kill_after):
        environment = os.environ | {"EEG_TO_TEXT_CACHE": str(self.out / "cache"), "OMP_NUM_THREADS": "1"}
        with open(self.log, "wb") as log:
            process = subprocess.Popen([sys.executable, ROOT / f"{script}.py", *arguments], env=environment, stdout=log,
                                       stderr=log, stdin=subprocess.DEVNULL, cwd=ROOT)
            try:
                return process.wait(kill_after)
            except subprocess.TimeoutExpired:
                process.kill()
                return process.wait()


def killed_at(work: Callable[[], object], folder: Path, number: int, log: Path | None = None) -> None:
    """Run `work`, and send SIGKILL to this process just before its write `number` below a folder; log: takes a line for
    each write."""
    count, busy = 0, False

    def hook(event, args):
        nonlocal count, busy
        if busy or event not in WRITES:
            return
        if event == "open":
            path, mode, flags = args
            writes = set(mode) & set("wax+") if isinstance(mode, str) else flags & (os.O_WRONLY | os.O_RDWR)
            paths = [path] if writes and not isinstance(path, int) else []
        else:
            paths = [arg for arg in args[:2] if not isinstance(arg, int)]
        names = [os.fsdecode(path) for path in paths]
        if not any(name.startswith(f"{folder}/") for name in names) and not (
                event in ("os.remove", "os.rmdir") and names and not names[0].startswith("/")):  # shutil.rmtree's
            return
        count, busy = count + 1, True
        if log:
            with open(log, "a", encoding="utf-8") as file:
                file.write(f"{event} {names[0].removeprefix(f'{folder}/')}\n")
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        busy = False

    sys.addaudithook(hook)
    work()


def contents(folder: Path) -> dict[str, str]:
    """{name: hash} of the files of a result, without what differs between equal runs: times, and how they were begun."""
    return {name: hashlib.sha256(_settled(path)).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()
            and not (name := path.relative_to(folder).as_posix()).startswith("cache/")}


def _settled(path):
    content = path.read_bytes()
    if path.suffix != ".json":
        return content
    try:
        return json.dumps(_without_times(json.loads(content)), sort_keys=True).encode()
    except ValueError:
        return b"no JSON " + content


def _without_times(value):
    if isinstance(value, dict):
        return {key: _without_times(each) for key, each in value.items() if not TIMES.fullmatch(key)}
    return [_without_times(each) for each in value] if isinstance(value, list) else value


def difference(whole: dict[str, str], found: dict[str, str]) -> str:
    """What tells a result from that of a whole run, "" where nothing does."""
    return "; ".join(_differences(whole, found))


def _differences(whole, found) -> Iterator[str]:
    for word, names in (("missing", whole.keys() - found.keys()), ("left over", found.keys() - whole.keys()),
                        ("differs", {name for name in whole.keys() & found.keys() if whole[name] != found[name]})):
        if names:
            yield f"{word}: {', '.join(sorted(names)[:5])}"
