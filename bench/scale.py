"""Measure how the cost grows from 1,000 to 100,000 trials, and how much a second process speeds up.

    python -m bench.scale
    python -m bench.scale --parts trials --scratch /tmp/scale

First, stage 1 is trained for a fixed number of steps on data set folders of noise, with 64 channels x 250 samples (100,000
trials are 6.4 GB). Then stage 1, stage 3 and inference run in one process with one thread, in one process with two threads,
and in two processes with one thread each (torchrun). The global batch size is the same. The numbers go to bench/RESULTS.md.
The exit code is 1 if a run failed.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench import ours
from bench.comparison import digits
from bench.measurement import ProcessRunner, device_name, packages, table, time_calls, write_section
from runtime import options
from runtime.errors import exits_cleanly
from runtime.options import Options

ROOT = Path(__file__).resolve().parents[1]
BATCH_SIZE, CAPTIONER_BATCH_SIZE = 64, 16  # over all processes
TRIALS_COLUMNS = ("trials", "EEG GiB", "written in s", "opened in s", "whitening in s", "ms a step",
                  "s an epoch, from the steps", "encoded trials/s", "peak GiB", "without pages of files")
# name: (processes, threads of each)
LAUNCHES = {"1 process, 1 thread": (1, 1), "1 process, 2 threads": (1, 2), "2 processes, 1 thread each": (2, 1)}


def parse(argv: list[str] | None) -> Options:
    parser = options.make_parser(__doc__)
    parser.prog = "python -m bench.scale"
    parser.add_argument("--parts", nargs="+", choices=("trials", "processes"), default=["trials", "processes"],
                        help="what to measure")
    parser.add_argument("--tiny", action="store_true", help="small data and few steps, to test the bench itself")
    parser.add_argument("--scratch", type=Path, help="empty folder for about 9 GB of data (unset: a temporary folder)")
    parser.add_argument("--results", type=Path, default=Path("bench/RESULTS.md"), help="Markdown file to write to")
    return options.parse(parser, argv)


def write(folder: Path, trials: int, shape: Sequence[int]) -> dict[str, float]:
    """Write a data set folder of noise; shape: channels and samples. Returns the seconds that it took."""
    from bench.speed_data import write_noise

    start = time.perf_counter()
    write_noise(folder, trials, *shape)
    return {"written": time.perf_counter() - start}


def train_and_encode(folder: Path, output: Path, steps: int) -> dict:
    """Train stage 1 on a data set folder, then encode all of its trials; returns the measurements of both."""
    from eegdata import trials
    from encoders import EEGTransformer, encode, load_encoder

    opening, whitening = time_calls(trials, "load_trials"), time_calls(EEGTransformer, "fit_whitening")
    result = ours.train("train_eeg_classifier", stage1_options(folder, output, steps, BATCH_SIZE))
    (opened, ready, _), (begun, done, _) = opening[0], whitening[0]
    data = trials.load_trials(folder)
    start = time.perf_counter()
    encode(load_encoder(output), data.eeg)
    return result | {"opened": ready - opened, "whitening": done - begun, "size": data.eeg.shape.numel() * 4 / 2**30,
                     "encoded": len(data) / (time.perf_counter() - start)}


def stage1_options(folder: Path, output: Path | str, steps: int, batch_size: int) -> list[str]:
    return ["--eeg_dataset", str(folder), "--loss_weight", "0", "--output", str(output), "--device", "cpu",
            "--max_steps", str(steps), "--batch_size", str(batch_size)]


def measure_trials(scratch: Path, processes: ProcessRunner, tiny: bool) -> list[list[str]]:
    """Rows of the table over the number of trials."""
    from bench.speed_data import sizes

    size, rows = sizes(tiny, "cpu"), []
    for trials in size["scale"]:
        folder = scratch / f"trials{trials}"
        written = processes.run_required(f"{trials} trials", write, folder, trials, size["scale_eeg"])["written"]
        result = processes.run(f"stage 1 on {trials} trials", train_and_encode, folder, scratch / f"encoder{trials}",
                               4 if tiny else 60)
        if "error" in result:
            rows.append([f"{trials}", f"failed: {result['error']}", *[""] * (len(TRIALS_COLUMNS) - 2)])
            continue
        epoch = result["step"] * trials / BATCH_SIZE
        rows.append([f"{trials}", f"{result['size']:.2f}", f"{written:.1f}", f"{result['opened']:.2f}",
                     f"{result['whitening']:.2f}", f"{result['step'] * 1000:.0f}", f"{epoch:.1f}",
                     f"{result['encoded']:.0f}", f"{result['peak GiB']:.2f}", f"{result['own GiB']:.2f}"])
    return rows


def launch(scratch: Path, title: str, launched: tuple[int, int], script: str, arguments: Sequence[str]) -> dict:
    """The result of bench.ours for a script run in (processes, threads of each); or {"error": ...}."""
    print(f"\n== {title}", flush=True)
    count, threads = launched
    file = scratch / "launched.json"
    file.unlink(missing_ok=True)
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", f"{count}"] if count > 1 else []
    done = subprocess.run([sys.executable, *start, "-m", "bench.ours", str(file), script, *arguments], cwd=ROOT,
                          env=os.environ | {"OMP_NUM_THREADS": f"{threads}"}, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode:
        print(done.stderr[-3000:], file=sys.stderr)
        return {"error": f"exit code {done.returncode}"}
    return json.loads(file.read_text())


def measure_processes(scratch: Path, processes: ProcessRunner, tiny: bool) -> list[list[str]]:
    """Rows of the table over processes and threads: the rates of stage 1, stage 3 and inference in each of LAUNCHES."""
    from bench import speed_data

    processes.run_required("data and models", speed_data.make, scratch / "speed", tiny, "cpu")
    data, folder = speed_data.load(scratch / "speed"), scratch / "stage1"
    processes.run_required("trials", write, folder, data["scale"][1], data["scale_eeg"])
    common = ["--eeg_dataset", data["eeg"], "--splits_path", data["splits"], "--image_dir", data["images"], "--cache_dir",
              f"{scratch}/cache", "--device", "cpu"]

    # (arguments, trials or captions, which time they took) for a number of processes and an output folder
    def stage1(count, output):
        return stage1_options(folder, output, 4 if tiny else 60, BATCH_SIZE // count), BATCH_SIZE, "step"

    def stage3(count, output):
        return [*common, "--clip_model", data["clip"], "--eeg_encoder_path", data["encoder"],
                "--llm_backbone_name_or_path", data["llm"], "--no_stage2", "--output", output, "--max_steps",
                "4" if tiny else "8", "--batch_size", f"{CAPTIONER_BATCH_SIZE // count}"], CAPTIONER_BATCH_SIZE, "step"

    def inference(count, output):
        return [*common, "--model_path", data["captioner"], "--dest", f"{output}.csv", "--batch_size", "8",
                "--max_new_tokens", "4" if tiny else "50"], len(data["test"]), "whole"

    one = LAUNCHES["1 process, 1 thread"]
    preparation = [launch(scratch, "an encoder", one, "train_eeg_classifier", [
        *common, "--clip_model", data["clip"], "--output", data["encoder"], "--max_steps", "2"]),
        launch(scratch, "a captioner", one, "finetune_llm", stage3(1, data["captioner"])[0])]
    rows = []
    for script, title, unit, arguments_of in (("train_eeg_classifier", "stage 1", "trials/s", stage1),
                                              ("finetune_llm", "stage 3", "trials/s", stage3),
                                              ("inference", "inference", "captions/s", inference)):
        cells = []
        for name, launched in LAUNCHES.items():
            arguments, amount, timed = arguments_of(launched[0], f"{scratch}/{script}{len(cells)}")
            result = launch(scratch, f"{title}, {name}", launched, script, arguments)
            cells.append(f"failed: {result['error']}" if "error" in result else digits(amount / result[timed]))
        failed = any("failed" in cell for cell in cells) or any("error" in result for result in preparation)
        rows.append([title, unit, *cells, "" if failed else f"{float(cells[2]) / float(cells[0]):.2f}"])
    return rows


@exits_cleanly
def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    begin, parts = time.perf_counter(), []
    with contextlib.ExitStack() as stack:
        scratch = (args.scratch or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scale_")))).absolute()
        processes = ProcessRunner("cpu")
        if "trials" in args.parts:
            parts.append("Stage 1 with the default encoder and without pictures, on data set folders of noise. Whitening "
                         "reads the whole training part. The time of an epoch is its number of steps, with batches of "
                         f"{BATCH_SIZE}, times the median time of a step. All trials are encoded once. The peak includes "
                         "pages of mapped files, which the system takes back when it needs them.\n\n"
                         + table(TRIALS_COLUMNS, measure_trials(scratch, processes, args.tiny)))
        if "processes" in args.parts:
            parts.append("The same global batch in one process and in two (torchrun, gloo, float32). Training is timed "
                         "from step to step, inference as a whole after loading.\n\n"
                         + table(("work", "unit", *LAUNCHES, "2 processes / 1 process, 1 thread each"),
                                 measure_processes(scratch, processes, args.tiny)))
    body = (f"{datetime.date.today()}, `python -m bench.scale{' --tiny' if args.tiny else ''}`, "
            f"{time.perf_counter() - begin:.0f} s in all.\n{packages()}.\n\n" + "\n\n".join(parts) + "\n")
    write_section(args.results, f"{device_name('cpu')}: scale{', tiny' if args.tiny else ''}", body)
    return int("failed: " in body)


if __name__ == "__main__":
    sys.exit(main())
