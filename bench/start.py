"""The start of the scripts: seconds of --help, and seconds and memory to the first training step on a large data set."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench import speed_material
from bench.measuring import table

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ("prepare_data", "pretrain_data_processor", "train_eeg_classifier", "test_eeg_classifier", "finetune_llm",
           "inference", "inference_chance", "evaluate")
COLUMNS = ("start", "ours in s", "range", "goal", "met", "plain in s", "range", "peak GiB: ours", "plain",
           "peak / EEG: ours", "plain", "without pages of files / EEG: ours", "plain")


def measure_start(bench):
    """The text and the table of the start; a failure is marked in `bench.failed`."""
    folder, data, repeats = bench.scratch / "start", bench.data, bench.args.repeats
    bench.processes.must(f"{data['start']} trials", speed_material.make_start, data, folder)
    size = data["start"] * data["channels"] * speed_material.SAMPLES * 4 / 2**30
    print("\n== --help", flush=True)
    times = {script: [_seconds([f"{script}.py", "--help"]) for _ in range(repeats)] for script in SCRIPTS}
    slowest = max(times, key=lambda script: statistics.median(times[script]))
    rows = [_cells(f"`{slowest}.py --help`, the slowest", [{"seconds": s} for s in times[slowest]], [], 3, size)]
    kinds = {".pth": ["--eeg_dataset", f"{folder}/eeg.pth", "--splits_path", f"{folder}/splits.pth", "--image_dir",
                      f"{folder}/images"], "folder": ["--eeg_dataset", f"{folder}/data"]}
    shared = ["--clip_model", data["clip"], "--cache_dir", f"{bench.scratch}/cache", "--device", bench.device]
    llm = ["--eeg_encoder_path", data["encoder"], "--llm_backbone_name_or_path", data["llm"], "--no_stage2"]
    for script, stage, kind, more in (("train_eeg_classifier", 1, ".pth", []), ("train_eeg_classifier", 1, "folder", []),
                                      ("finetune_llm", 3, "folder", llm)):
        work = f"stage {stage}, {kind} of {data['start']} trials"
        ours, plain = [], []
        for repeat in range(0 if rows[1:] else -1, repeats):  # the very first warms the caches
            print(f"\n== start: {work}, run {repeat + 1}", flush=True)
            found = _first_step(bench.scratch, "bench.ours", ["--first_step"], [
                script, *kinds[kind], *shared, *more, "--output", f"{bench.scratch}/start_{stage}_{kind[-3:]}_{repeat}"])
            ours += [found] if repeat >= 0 else []
            if kind == ".pth" and repeat >= 0:
                plain.append(_first_step(bench.scratch, "bench.plain", [], [
                    f"{folder}/eeg.pth", f"{folder}/images", data["clip"], f"{data['channels']}", f"{data['blocks']}"]))
        rows.append(_cells(work, ours, plain, 20, size))
    bench.failed |= any("failed" in cell for row in rows for cell in row)
    return (f"Start, in processes of their own with warm caches: ours to the end of the first training step, plain to its "
            f"beginning. EEG of {size:.2f} GiB (records of {data['channels']} x {speed_material.SAMPLES}); the resident "
            "memory counts Python and libraries, and pages of mapped files, which the system takes back when it needs them."
            f"\n\n{table(COLUMNS, rows)}\n")


def _seconds(arguments):
    begin = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def _first_step(scratch, module, before, arguments):
    """What the module found, with its "seconds" from the start of its process; or {"error": ...}."""
    result, begin = scratch / "first_step.json", time.perf_counter()
    result.unlink(missing_ok=True)
    done = subprocess.run([sys.executable, "-m", module, *before, str(result), *arguments], cwd=ROOT,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        return {"error": f"exit code {done.returncode}"}
    found = json.loads(result.read_text())
    return found | {"seconds": found["end"] - begin}


def _cells(work, ours, plain, goal, size):
    sides = []
    for runs in (ours, plain):
        errors = [run["error"] for run in runs if "error" in run]
        seconds = sorted(run["seconds"] for run in runs if "seconds" in run)
        if errors or not runs:
            sides.append([f"failed: {errors[0]}" if errors else "", "", "", "", ""])
            continue
        peaks = [max(run.get(key, 0) for run in runs) for key in ("peak GiB", "own GiB")]
        sides.append([f"{statistics.median(seconds):.2f}", f"{seconds[0]:.2f} to {seconds[-1]:.2f}",
                      *([f"{peaks[0]:.2f}", f"{peaks[0] / size:.2f}", f"{peaks[1] / size:.2f}"] if peaks[0] else [""] * 3)])
    met = "" if "failed" in sides[0][0] else "yes" if float(sides[0][0]) < goal else "no"
    pairs = [text for place in (2, 3, 4) for text in (sides[0][place], sides[1][place])]
    return [work, *sides[0][:2], f"< {goal} s", met, *sides[1][:2], *pairs]
