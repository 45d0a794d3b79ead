"""The startup of the scripts: time of --help, and time and memory to the first training step on a large data set."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import speed_data
from bench.comparison import Bench, paired, side_cells
from bench.measurement import table

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ("prepare_data", "pretrain_data_processor", "train_eeg_classifier", "test_eeg_classifier", "finetune_llm",
           "inference", "inference_chance", "evaluate")
COLUMNS = ("start", "ours in s", "range", "goal", "met", "plain in s", "range", "peak GiB: ours", "plain",
           "peak / EEG: ours", "plain", "without pages of files / EEG: ours", "plain")
HELP_GOAL, FIRST_STEP_GOAL = 3, 20  # s


def measure_startup(bench: Bench) -> str:
    """The text and the table of the startup. A failure sets `bench.failed`."""
    folder, data, repeats = bench.scratch / "start", bench.data, bench.args.repeats
    bench.processes.run_required(f"{data['start']} trials", speed_data.make_startup_data, data, folder)
    size = data["start"] * data["channels"] * speed_data.SAMPLES * 4 / 2**30
    print("\n== --help", flush=True)
    times = {script: [_seconds([f"{script}.py", "--help"]) for _ in range(repeats)] for script in SCRIPTS}
    slowest = max(times, key=lambda script: statistics.median(times[script]))
    rows = [row(f"`{slowest}.py --help`, the slowest", [{"seconds": s} for s in times[slowest]], [], HELP_GOAL, size)]
    kinds = {".pth": ["--eeg_dataset", f"{folder}/eeg.pth", "--splits_path", f"{folder}/splits.pth", "--image_dir",
                      f"{folder}/images"], "folder": ["--eeg_dataset", f"{folder}/data"]}
    shared = ["--clip_model", data["clip"], "--cache_dir", f"{bench.scratch}/cache", "--device", bench.device]
    llm = ["--eeg_encoder_path", data["encoder"], "--llm_backbone_name_or_path", data["llm"], "--no_stage2"]
    for script, stage, kind, more in (("train_eeg_classifier", 1, ".pth", []), ("train_eeg_classifier", 1, "folder", []),
                                      ("finetune_llm", 3, "folder", llm)):
        work = f"stage {stage}, {kind} of {data['start']} trials"
        ours, plain = [], []
        for repeat in range(0 if rows[1:] else -1, repeats):  # the very first run warms the caches and is not counted
            print(f"\n== start: {work}, run {repeat + 1}", flush=True)
            result = _first_step(bench.scratch, "bench.ours", ["--first_step"], [
                script, *kinds[kind], *shared, *more, "--output", f"{bench.scratch}/start_{stage}_{kind[-3:]}_{repeat}"])
            ours += [result] if repeat >= 0 else []
            if kind == ".pth" and repeat >= 0:
                plain.append(_first_step(bench.scratch, "bench.plain", [], [
                    f"{folder}/eeg.pth", f"{folder}/images", data["clip"], f"{data['channels']}", f"{data['blocks']}"]))
        rows.append(row(work, ours, plain, FIRST_STEP_GOAL, size))
    bench.failed |= any("failed" in cell for cells in rows for cell in cells)
    return (f"Startup, each run in a new process with warm caches. Ours is measured to the end of the first training step, "
            f"plain to its beginning. The EEG takes {size:.2f} GiB (records of {data['channels']} x {speed_data.SAMPLES}). "
            "The resident memory includes Python, libraries and pages of mapped files. The system takes back these pages "
            f"when it needs them.\n\n{table(COLUMNS, rows)}\n")


def _seconds(arguments):
    begin = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def _first_step(scratch, module, before, arguments):
    """The result of the module, with "seconds" since its process was started; or {"error": ...}."""
    file, begin = scratch / "first_step.json", time.perf_counter()
    file.unlink(missing_ok=True)
    done = subprocess.run([sys.executable, "-m", module, *before, str(file), *arguments], cwd=ROOT,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        return {"error": f"exit code {done.returncode}"}
    result = json.loads(file.read_text())
    return result | {"seconds": result["end"] - begin}


def row(work: str, ours: Sequence[dict], plain: Sequence[dict], goal: float, size: float) -> list[str]:
    """A row of the table. ours, plain: results of the runs; goal in s; size of the EEG in GiB."""
    sides = [side_cells(_side(runs, size), "{:.2f}".format) if runs else [""] * 5 for runs in (ours, plain)]
    met = "" if "failed" in sides[0][0] else "yes" if float(sides[0][0]) < goal else "no"
    return [work, *sides[0][:2], f"< {goal} s", met, *sides[1][:2], *paired(*sides)]


def _side(runs, size):
    errors = [run["error"] for run in runs if "error" in run]
    if errors:
        return {"error": errors[0]}
    seconds = [run["seconds"] for run in runs]
    peak, own = (max(run.get(key, 0) for run in runs) for key in ("peak GiB", "own GiB"))
    return {"median": statistics.median(seconds), "low": min(seconds), "high": max(seconds),
            "more": [f"{peak:.2f}", f"{peak / size:.2f}", f"{own / size:.2f}"] if peak else [""] * 3}
