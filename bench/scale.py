"""How the cost grows from a thousand to a hundred thousand trials, and what a second process brings.

    python -m bench.scale
    python -m bench.scale --parts trials --scratch /tmp/scale

Stage 1 is trained on simulated data set folders of 64 channels x 250 samples (100,000 trials are 6.4 GB), a fixed number
of steps each; then stage 1, stage 3 and inference run as one process of one and of two threads, and as two of one thread
by torchrun, at the same global batch. A section of bench/RESULTS.md holds the numbers. The exit code is 1 if a run failed.
"""

import contextlib
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from runtime import options
from runtime.errors import exits_cleanly

from bench.measuring import Processes, device_name, packages, table, write_section
from bench.speed import digits

ROOT = Path(__file__).resolve().parents[1]
BATCH, CAPTIONER_BATCH = 64, 16
GROWTH = ("trials", "EEG GiB", "written in s", "opened in s", "whitening in s", "ms a step", "s an epoch, from the steps",
          "encoded trials/s", "peak GiB", "without pages of files")
RUNS = {"1 process, 1 thread": (1, 1), "1 process, 2 threads": (1, 2), "2 processes, 1 thread each": (2, 1)}


def parse(argv):
    parser = options.make_parser(__doc__)
    parser.prog = "python -m bench.scale"
    parser.add_argument("--parts", nargs="+", choices=("trials", "processes"), default=["trials", "processes"],
                        help="what to measure")
    parser.add_argument("--tiny", action="store_true", help="small data and few steps: a test that it works")
    parser.add_argument("--scratch", type=Path, help="empty folder for some 9 GB of data (unset: a temporary one)")
    parser.add_argument("--results", type=Path, default=Path("bench/RESULTS.md"), help="Markdown file to write to")
    return parser.parse_args(argv)


def write(folder, trials, shape):
    from bench.speed_material import write_simulated

    start = time.perf_counter()
    write_simulated(folder, trials, *shape)
    return {"written": time.perf_counter() - start}


def grow(folder, output, steps):
    """Stage 1 on a data set folder, then all of its trials through the encoder; what both took."""
    from bench import ours
    from bench.measuring import watch
    from eegdata import trials
    from encoders import EEGTransformer, encode, load_encoder

    opening, whitening = watch(trials, "load_trials"), watch(EEGTransformer, "fit_whitening")
    found = ours.train("train_eeg_classifier", stage1(folder, output, steps, BATCH))
    (opened, ready, data), (begun, done, _) = opening[0], whitening[0]
    data = trials.load_trials(folder)
    start = time.perf_counter()
    encode(load_encoder(output), data.eeg)
    return found | {"opened": ready - opened, "whitening": done - begun, "size": data.eeg.shape.numel() * 4 / 2**30,
                    "encoded": len(data) / (time.perf_counter() - start)}


def stage1(folder, output, steps, batch):
    return ["--eeg_dataset", str(folder), "--loss_weight", "0", "--output", str(output), "--device", "cpu",
            "--max_steps", str(steps), "--batch_size", str(batch)]


def growth(scratch, processes, tiny):
    """Rows of the table GROWTH."""
    from bench.speed_material import sizes

    size, rows = sizes(tiny, "cpu"), []
    for trials in size["scale"]:
        folder = scratch / f"trials{trials}"
        written = processes.must(f"{trials} trials", write, folder, trials, size["scale_eeg"])["written"]
        found = processes.run(f"stage 1 on {trials} trials", grow, folder, scratch / f"encoder{trials}", 4 if tiny else 60)
        if "error" in found:
            rows.append([f"{trials}", f"failed: {found['error']}", *[""] * (len(GROWTH) - 2)])
            continue
        epoch = found["step"] * trials / BATCH
        rows.append([f"{trials}", f"{found['size']:.2f}", f"{written:.1f}", f"{found['opened']:.2f}",
                     f"{found['whitening']:.2f}", f"{found['step'] * 1000:.0f}", f"{epoch:.1f}", f"{found['encoded']:.0f}",
                     f"{found['peak GiB']:.2f}", f"{found['own GiB']:.2f}"])
    return rows


def launched(scratch, title, run, script, arguments):
    """What bench.ours finds when it runs the script on so many processes of so many threads; or {"error": ...}."""
    print(f"\n== {title}", flush=True)
    count, threads = run
    result = scratch / "launched.json"
    result.unlink(missing_ok=True)
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", f"{count}"] if count > 1 else []
    done = subprocess.run([sys.executable, *start, "-m", "bench.ours", str(result), script, *arguments], cwd=ROOT,
                          env=os.environ | {"OMP_NUM_THREADS": f"{threads}"}, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode:
        print(done.stderr[-3000:], file=sys.stderr)
        return {"error": f"exit code {done.returncode}"}
    return json.loads(result.read_text())


def several(scratch, processes, tiny):
    """Rows: the rate of each of RUNS for stage 1, stage 3 and inference."""
    from bench import speed_material

    processes.must("data and models", speed_material.make, scratch / "speed", tiny, "cpu")
    data, folder = speed_material.load(scratch / "speed"), scratch / "stage1"
    processes.must("trials", write, folder, data["scale"][1], data["scale_eeg"])
    given = ["--eeg_dataset", data["eeg"], "--splits_path", data["splits"], "--image_dir", data["images"], "--cache_dir",
             f"{scratch}/cache", "--device", "cpu"]

    def first(count, output):
        return stage1(folder, output, 4 if tiny else 60, BATCH // count), BATCH, "step"

    def third(count, output):
        return [*given, "--clip_model", data["clip"], "--eeg_encoder_path", data["encoder"], "--llm_backbone_name_or_path",
                data["llm"], "--no_stage2", "--output", output, "--max_steps", "4" if tiny else "8", "--batch_size",
                f"{CAPTIONER_BATCH // count}"], CAPTIONER_BATCH, "step"

    def captions(count, output):
        return [*given, "--model_path", data["captioner"], "--dest", f"{output}.csv", "--batch_size", "8",
                "--max_new_tokens", "4" if tiny else "50"], len(data["test"]), "whole"

    one = RUNS["1 process, 1 thread"]
    made = [launched(scratch, "an encoder", one, "train_eeg_classifier", [
        *given, "--clip_model", data["clip"], "--output", data["encoder"], "--max_steps", "2"]),
        launched(scratch, "a captioner", one, "finetune_llm", third(1, data["captioner"])[0])]
    rows = []
    for script, title, unit, arguments in (("train_eeg_classifier", "stage 1", "trials/s", first),
                                           ("finetune_llm", "stage 3", "trials/s", third),
                                           ("inference", "inference", "captions/s", captions)):
        cells = []
        for name, run in RUNS.items():
            given_here, amount, step = arguments(run[0], f"{scratch}/{script}{len(cells)}")
            found = launched(scratch, f"{title}, {name}", run, script, given_here)
            cells.append(f"failed: {found['error']}" if "error" in found else digits(amount / found[step]))
        failed = any("failed" in cell for cell in cells) or any("error" in found for found in made)
        rows.append([title, unit, *cells, "" if failed else f"{float(cells[2]) / float(cells[0]):.2f}"])
    return rows


@exits_cleanly
def main(argv=None):
    args = parse(argv)
    begin, parts = time.perf_counter(), []
    with contextlib.ExitStack() as stack:
        scratch = (args.scratch or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scale_")))).absolute()
        processes = Processes("cpu")
        if "trials" in args.parts:
            parts.append("Stage 1, the default encoder without pictures, on simulated data set folders; whitening reads the"
                         f" whole training part; an epoch is its number of steps of {BATCH} times the median of a fixed "
                         "number of steps; all trials are encoded once. Pages of mapped files count in the peak, and the "
                         "system takes them back when it needs them.\n\n"
                         + table(GROWTH, growth(scratch, processes, args.tiny)))
        if "processes" in args.parts:
            parts.append("The same global batch on one process and on two (torchrun, gloo, float32), from step to step; "
                         "inference is of the whole command after loading.\n\n"
                         + table(("work", "unit", *RUNS, "2 processes / 1 process, 1 thread each"),
                                 several(scratch, processes, args.tiny)))
    body = (f"{datetime.date.today()}, `python -m bench.scale{' --tiny' if args.tiny else ''}`, "
            f"{time.perf_counter() - begin:.0f} s in all.\n{packages()}.\n\n" + "\n\n".join(parts) + "\n")
    write_section(args.results, f"{device_name('cpu')}: scale{', tiny' if args.tiny else ''}", body)
    return int("failed: " in body)


if __name__ == "__main__":
    sys.exit(main())
