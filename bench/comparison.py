"""Runs of two sides, ours and the predecessors' way of working, and the rows of a table that compares them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from runtime import options
from runtime.options import Options

from bench import roofline
from bench.measurement import ProcessRunner


class Bench:
    """Data, device and its roofline, and the runs of both sides."""

    def __init__(self, args: Options, scratch: Path):
        from bench import speed_data

        self.args, self.scratch, self.device = args, scratch, options.resolve_device(args.device)
        self.kind = self.device.split(":")[0]
        self.processes, self.runs = ProcessRunner(self.kind), 0
        dtype = "float32" if self.kind == "cpu" else "bfloat16"
        self.processes.run_required("data and models", speed_data.make, scratch, args.tiny, self.device)
        self.data = speed_data.load(scratch)
        self.limit = self.processes.run_required("roofline", roofline.measure_roofline, self.device, dtype, args.tiny)
        self.dtype, self.failed = dtype, False

    def options(self, *, new: Sequence[str] = ()) -> list[str]:
        """Data options of our scripts; each of the options `new` gets a new output folder."""
        self.runs += 1
        data = self.data
        arguments = ["--eeg_dataset", data["eeg"], "--splits_path", data["splits"], "--image_dir", data["images"],
                     "--cache_dir", f"{self.scratch}/cache", "--device", self.device]
        for option in new:
            arguments += [option, f"{self.scratch}/run{self.runs}{option.strip('-')}"]
        return arguments

    def alternate(self, title: str, sides: dict[str, Callable[[], tuple]]) -> dict[str, list[dict]]:
        """Run all sides in turn, as often as --repeats says; returns the results of each.

        A side is a function that returns what ProcessRunner.run takes after the title.
        """
        results = {name: [] for name in sides}
        for repeat in range(self.args.repeats):
            for name, side in sides.items():
                results[name].append(self.processes.run(f"{title}, {name}, run {repeat + 1}", *side()))
        return results

    def row(self, stage: str, work: str, unit: str, ours: Sequence[dict], plain: Sequence[dict], amount: int,
            goal: float | None = None) -> list[str]:
        """A row of the table. ours, plain: results of the runs.

        amount: how much of the unit a "step" does, unless the run says how many "captions" it wrote.
        """
        sides = [summary(runs, amount, self.limit) for runs in (ours, plain)]
        self.failed |= any("error" in side for side in sides)
        return row(stage, work, unit, *sides, goal)


def summary(runs: Sequence[dict], amount: int, limit: dict[str, float]) -> dict:
    """Rate of several runs as median and range, with peak memory, tokens/s and share of the roofline; or {"error": ...}."""
    errors = [run["error"] for run in runs if "error" in run]
    if errors:
        return {"error": errors[0]}
    amount = runs[0].get("captions", amount)
    rates = sorted(amount / run["step"] for run in runs)
    rate = statistics.median(rates)
    work = {kind: runs[0].get(key) for kind, key in (("FLOP/s", "flops"), ("bytes/s", "bytes"))}  # the same in all runs
    shares = [work[kind] * rate / amount / limit[kind] for kind in work if work[kind]]
    tokens = runs[0].get("tokens")
    return {"median": rate, "low": rates[0], "high": rates[-1], "more": [
        f"{max(run['peak GiB'] for run in runs):.2f}", f"{tokens * rate / amount:.0f}" if tokens else "",
        f"{shares[0]:.1%}" if shares else ""]}


def digits(number: float) -> str:
    """Four significant digits."""
    return f"{number:.4g}" if number < 1000 else f"{number:.0f}"


def row(stage: str, work: str, unit: str, ours: dict | None, plain: dict | None, goal: float | None) -> list[str]:
    """A row of the table. ours, plain: results of `summary`, or None if not run."""
    sides = [side_cells(side, digits) for side in (ours, plain)]
    ratio = None if "" in (sides[0][1], sides[1][1]) else float(sides[0][0]) / float(sides[1][0])
    met = "" if goal is None else "not run" if ratio is None else "yes" if ratio >= goal else "no"
    return [stage, work, unit, *sides[0][:2], *sides[1][:2], "" if ratio is None else f"{ratio:.2f}",
            "" if goal is None else f"{goal:g}x", met, *paired(*sides)]


def side_cells(side: dict | None, digits: Callable[[float], str]) -> list[str]:
    """One of two sides that a row compares: its median, its range and three more texts.

    side: {"median", "low", "high", "more": three texts}, {"error": ...} if it failed, or None if it was not run.
    """
    if side is None or "error" in side:
        return ["not run" if side is None else f"failed: {side['error']}", "", "", "", ""]
    return [digits(side["median"]), f"{digits(side['low'])} to {digits(side['high'])}", *side["more"]]


def paired(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """The texts of both sides in turn, without median and range."""
    return [text for both in zip(first[2:], second[2:], strict=True) for text in both]
