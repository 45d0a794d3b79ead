"""Measure finetuning with LoRA and inference on one device, with the LLM in bf16, in 8 bit and in 4 bit.

    bench/gpu_check.sh
    bench/gpu_check.sh --synthetic --results /tmp/RESULTS.md
    bench/gpu_check.sh --device cpu --tiny

Every number comes from finetune_llm.py and inference.py as a user runs them, each in a new process. They run with a small
LLM, and with an LLM that has the exact shape of DeepSeek-7B and random weights, so that nothing is downloaded. Weights do
not change the speed, but captions of an untrained LLM seldom end before --max_new_tokens.

Steps/s is one over the median time between the starts of two steps. It leaves out loading, warm-up, evaluation and
checkpoints. Captions/s covers the whole generation. Seconds are those of the whole command. The numbers go to
bench/RESULTS.md. The exit code is 1 if any command failed.
"""

from __future__ import annotations

import contextlib
import datetime
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runtime import options
from runtime.errors import InputError, exits_cleanly
from runtime.options import Options
from runtime.runs import read_json

import finetune_llm
import inference
import train_eeg_classifier
from bench import measurement
from bench.measurement import ProcessRunner, device_name, median_interval, time_calls, write_section

DEMO = Path("demo/simulated")
SMALL_LLM = Path("demo/smollm2")
PRECISIONS = {"bf16": [], "8-bit": ["--load_in_8bit"], "4-bit": ["--load_in_4bit"]}
LLMS = ("small", "large")
COLUMNS = ("LLM", "precision", "finetuning: steps/s", "trials/s", "loss", "peak GiB", "seconds", "inference: captions/s",
           "peak GiB", "seconds")


def parse(argv: list[str] | None) -> Options:
    parser = options.make_parser(__doc__)
    parser.prog = "bench/gpu_check.sh"
    parser.add_argument("--device", default="cuda", help="cuda, cuda:0 or cpu")
    parser.add_argument("--data", type=Path, help="data set folder of prepare_data.py "
                                                  f"(unset: {DEMO}/data; if it is absent, recipes/demo.sh makes it)")
    parser.add_argument("--synthetic", action="store_true", help="use drawn pictures, and noise as EEG")
    parser.add_argument("--tiny", action="store_true", help="use synthetic data and one tiny LLM only, to test the bench "
                                                                "on a CPU")
    parser.add_argument("--clip_model", help="CLIP model for the pictures (unset: clip/ beside the data set folder)")
    parser.add_argument("--picture", choices=("sketch", "photo"), default="photo", help="kind of pictures to embed")
    parser.add_argument("--eeg_encoder_path", help="encoder of stage 1 (unset: eeg_encoder/ beside the data set folder; if "
                                                   "it is absent, one is trained for an epoch)")
    parser.add_argument("--small_llm", type=Path, help="LLM for the data set (unset: "
                        f"{SMALL_LLM}; if it is absent, random weights in the shape of SmolLM2-135M)")
    parser.add_argument("--steps", type=options.positive, help="training steps per stage (unset: 20, with --tiny 4)")
    parser.add_argument("--captions", type=options.positive, help="captions to write (unset: 64, with --tiny 8)")
    parser.add_argument("--batch_size", type=options.positive, help="trials per step (unset: 16, with --tiny 4); inference "
                                                                    "uses batches twice as large")
    parser.add_argument("--max_new_tokens", type=options.positive, default=24, help="longest caption in tokens")
    parser.add_argument("--llms", nargs="+", choices=LLMS, default=list(LLMS), help="small: --small_llm; large: an LLM of "
                        "DeepSeek-7B's shape. --tiny has its own")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS), help="how to load the LLM")
    parser.add_argument("--torch_compile", action="store_true", help="finetune with compiled layers; needs "
                                                                     "--precisions bf16")
    parser.add_argument("--scratch", type=Path, help="folder for about 15 GB of models and checkpoints; models are kept "
                                                     "and used again (unset: a temporary folder, deleted at the end)")
    parser.add_argument("--results", type=Path, default=Path("bench/RESULTS.md"), help="Markdown file to write to")
    args = options.parse(parser, argv)
    if args.data and (args.synthetic or args.tiny):
        raise InputError("--data excludes --synthetic and --tiny, which make their own data; give one of them")
    return args


@dataclass(frozen=True)
class Sizes:
    """Training steps per stage, trials per step, and captions."""

    steps: int
    batch_size: int
    captions: int


def sizes_of(args: Options) -> Sizes:
    """The sizes as given, or their defaults."""
    default = Sizes(4, 4, 8) if args.tiny else Sizes(20, 16, 64)
    return Sizes(args.steps or default.steps, args.batch_size or default.batch_size, args.captions or default.captions)


# --- what runs in a process of its own ---

def finetune(arguments: Sequence[str], batch_size: int) -> dict:
    """Run finetune_llm.py; returns {"steps/s", "trials/s", "loss"}. RuntimeError if the adapter did not learn."""
    from safetensors.torch import load_file

    from captioning import training

    steps = time_calls(training.CaptionTrainer, "training_step")
    finetune_llm.main(arguments)
    rate = 1 / median_interval([start for start, _, _ in steps])
    output = Path(arguments[arguments.index("--output") + 1])
    losses = [entry["loss"] for entry in read_json(output / "train_log.json")["stage3"] if "loss" in entry]
    adapter = load_file(output / "adapter" / "adapter_model.safetensors")
    zero = [name for name, weight in adapter.items() if "lora_B" in name and not weight.any()]  # as initialised
    if not all(map(math.isfinite, losses)) or zero:
        raise RuntimeError(f"finetuning did not learn: losses {losses}, adapter weights that are still zero {zero[:3]}")
    return {"steps/s": rate, "trials/s": rate * batch_size, "loss": (losses[0], losses[-1])}


def caption(arguments: Sequence[str], expected: int) -> dict:
    """Run inference.py; returns {"captions/s"}. RuntimeError if it wrote fewer or more captions than expected."""
    from captioning import captioner
    from metrics.caption_files import read_captions

    calls = time_calls(captioner.Captioner, "generate")
    inference.main(arguments)
    rows = len(read_captions(arguments[arguments.index("--dest") + 1]).table)
    if rows != expected:
        raise RuntimeError(f"inference.py wrote {rows} captions, expected {expected}")
    return {"captions/s": rows / sum(end - start for start, end, _ in calls)}


def train_encoder(arguments: Sequence[str]) -> None:
    train_eeg_classifier.main(arguments)


def make_random_llm(shape: str, folder: Path, device: str, image_dir: Path) -> None:
    from bench.synthetic import make_llm, read_captions

    make_llm(shape, folder, device, read_captions(image_dir))


def make_synthetic_data(folder: Path, pictures: int) -> None:
    from bench.synthetic import make_dataset

    make_dataset(folder, pictures)


# --- data and models ---

def prepare_data(args: Options, scratch: Path, processes: ProcessRunner) -> Path:
    """The data set folder, which is made if it is absent."""
    if args.synthetic or args.tiny:
        folder = scratch / ("tiny_data" if args.tiny else "synthetic_data")
        processes.run_required("synthetic data", make_synthetic_data, folder, 40 if args.tiny else 480)
        return folder
    folder = args.data or DEMO / "data"
    if not args.data and not (folder / "splits.pth").is_file():
        print(f"== {DEMO} is absent: recipes/demo.sh makes it (this is not measured)", flush=True)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        code = subprocess.run(["bash", "recipes/demo.sh"], env=os.environ | {"PATH": path}).returncode
        if code:
            raise InputError(f"recipes/demo.sh: exit code {code}, see its message above; give --synthetic, or name "
                             "another data set folder with --data")
    return folder


def prepare_options(args: Options, sizes: Sizes, data: Path, scratch: Path, processes: ProcessRunner,
                    device: str) -> tuple[list[str], list[str], str, Sizes]:
    """(options of the data, options of the pictures, folder of the encoder, sizes that the data allow).

    The splits are reduced to the trials that are measured.
    """
    from bench.synthetic import write_subset

    splits, trials = scratch / "splits.pth", sizes.steps * sizes.batch_size
    kept = write_subset(data / "splits.pth", splits, train=trials, val=2 * sizes.batch_size, test=sizes.captions)
    dataset = data / "eeg.pth" if args.synthetic or args.tiny else data
    where = ["--eeg_dataset", f"{dataset}", "--splits_path", f"{splits}", "--image_dir", f"{data}/images",
             "--cache_dir", f"{scratch}/cache", "--device", device]
    pictures = ["--clip_model", args.clip_model or f"{data.parent}/clip", "--picture", args.picture]
    encoder = args.eeg_encoder_path or data.parent / "eeg_encoder"
    if not args.eeg_encoder_path and not (Path(encoder) / "config.json").is_file():
        encoder = scratch / "eeg_encoder"
        processes.run_required("stage 1: an encoder", train_encoder, [
            *where, *pictures, "--output", f"{encoder}", "--num_epochs", "1", "--batch_size", f"{sizes.batch_size}",
            "--overwrite"])
    return where, pictures, str(encoder), replace(sizes, captions=kept["test"])  # a small data set has fewer


def llms(args: Options, data: Path, scratch: Path, processes: ProcessRunner,
         device: str) -> list[tuple[str, Path, list[str]]]:
    """(name in the table, folder, further options of finetune_llm.py) of each LLM. Random ones are made once."""
    def random_llm(shape):
        folder = scratch / shape.replace(" ", "-").lower()
        if not (folder / "tokenizer.json").is_file():  # which is written last
            processes.run_required(f"a model of {shape}'s shape", make_random_llm, shape, folder, device, data / "images")
        return f"{shape}'s shape, random weights", folder

    if args.tiny:
        return [(*random_llm("tiny Llama"), [])]
    small = args.small_llm or (SMALL_LLM if (SMALL_LLM / "config.json").is_file() else None)
    chosen = []
    if "small" in args.llms:
        chosen.append((small.name, small, []) if small else (*random_llm("SmolLM2-135M"), []))
    if "large" in args.llms:  # stage 2 has the same steps, and would hash the 14 GB of the LLM for its key
        chosen.append((*random_llm("DeepSeek-7B"), ["--no_stage2"]))
    return chosen


def measure(args: Options, scratch: Path, processes: ProcessRunner, device: str) -> Iterator[tuple[list[dict], Sizes]]:
    """The rows so far, {"LLM", "precision", "finetuning": {...}, "inference": {...}}, and the sizes, after each row.

    There is one row per LLM and precision.
    """
    data = prepare_data(args, scratch, processes)
    where, pictures, encoder, sizes = prepare_options(args, sizes_of(args), data, scratch, processes, device)
    rows = []
    for name, llm, more in llms(args, data, scratch, processes, device):
        more += ["--torch_compile"] if args.torch_compile else []
        for precision in args.precisions:
            loading = PRECISIONS[precision]
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                output = f"{folder}/captioner"
                row = {"LLM": name, "precision": precision, "finetuning": processes.run(
                    f"finetuning, {name}, {precision}", finetune,
                    [*where, *pictures, "--eeg_encoder_path", encoder, "--llm_backbone_name_or_path", f"{llm}",
                     "--output", output, "--saved_pretrained_model_path", f"{folder}/stage2", "--bf16", *loading, *more,
                     "--max_steps", f"{sizes.steps}", "--batch_size", f"{sizes.batch_size}", "--logging_steps",
                     f"{max(1, sizes.steps // 4)}"], sizes.batch_size)}
                row["inference"] = {"error": "no captioner"} if "error" in row["finetuning"] else processes.run(
                    f"inference, {name}, {precision}", caption,
                    [*where, "--model_path", output, "--dest", f"{folder}/captions.csv", "--bf16", "--batch_size",
                     f"{2 * sizes.batch_size}", "--max_new_tokens", f"{args.max_new_tokens}"], sizes.captions)
                rows.append(row)
                yield rows, sizes


# --- what is written ---

def table(rows: Sequence[dict]) -> str:
    """The rows of `measure` as a Markdown table."""
    lines = []
    for row in rows:
        training, inference = row["finetuning"], row["inference"]
        cells = [row["LLM"], row["precision"]]
        if "error" in training:
            cells += [f"failed: {training['error']}"] + 4 * ["-"]
        else:
            first, last = training["loss"]
            cells += [f"{training['steps/s']:.2f}", f"{training['trials/s']:.1f}", f"{first:.2f} to {last:.2f}",
                      f"{training['peak GiB']:.2f}", f"{training['seconds']:.0f}"]
        if "error" in inference:
            cells += [f"failed: {inference['error']}"] + 2 * ["-"]
        else:
            cells += [f"{inference['captions/s']:.1f}", f"{inference['peak GiB']:.2f}", f"{inference['seconds']:.0f}"]
        lines.append(cells)
    return measurement.table(COLUMNS, lines)


def section(args: Options, sizes: Sizes, rows: Sequence[dict], seconds: float) -> str:
    """The text of the section below its heading."""
    data = "tiny synthetic data" if args.tiny else "synthetic data" if args.synthetic else args.data or DEMO / "data"
    return (f"{datetime.date.today()}, on {data}: {sizes.steps} steps of {sizes.batch_size} trials per stage, "
            f"{sizes.captions} captions of at most {args.max_new_tokens} tokens, {2 * sizes.batch_size} at a time; "
            f"{seconds:.0f} s in all.\n"
            f"{measurement.packages()}.\n\n{table(rows)}\n")


def heading(args: Options, device: str) -> str:
    """The heading of the section. Runs of some LLMs or precisions do not replace each other."""
    kind = "tiny" if args.tiny else "synthetic data" if args.synthetic else "full"
    llms = [] if args.tiny or len(args.llms) == len(LLMS) else args.llms
    precisions = [] if len(args.precisions) == len(PRECISIONS) else args.precisions
    compiled = ["compiled"] if args.torch_compile else []
    return f"{device_name(device)}: {', '.join([kind, *llms, *precisions, *compiled])}"


@exits_cleanly
def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    device = options.resolve_device(args.device)
    start = time.perf_counter()
    with contextlib.ExitStack() as stack:
        scratch = args.scratch or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gpu_check_")))
        scratch.mkdir(parents=True, exist_ok=True)
        rows = []
        for rows, sizes in measure(args, scratch, ProcessRunner(device), device):
            # After each row: a run that is cut short keeps what it measured.
            write_section(args.results, heading(args, device), section(args, sizes, rows, time.perf_counter() - start))
    return int(any("error" in row[job] for row in rows for job in ("finetuning", "inference")))


if __name__ == "__main__":
    sys.exit(main())
