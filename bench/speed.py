"""Compare the speed of our scripts with the predecessors' way of working (bench/plain.py), stage by stage on the same work.

    python -m bench.speed
    python -m bench.speed --stages stage1 inference --repeats 5
    python -m bench.speed --device cuda --scratch /tmp/speed

The two sides run in turn, each run in a new process. Medians and ranges over the repeats go to bench/RESULTS.md. Our side
is the scripts as a user runs them. They are timed from step to step, which leaves out loading; the stage `start` measures
loading. On a CPU the LLM is a small proxy. On a GPU it has the exact shape of DeepSeek-7B and random weights, so that
nothing is downloaded. The exit code is 1 if a run failed.
"""

from __future__ import annotations

import contextlib
import datetime
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from runtime import options
from runtime.errors import exits_cleanly
from runtime.options import Options

from bench import ours
from bench.comparison import Bench, row
from bench.measurement import device_name, packages, table, write_section

STAGES = ("stage1", "stage2", "stage3", "inference", "start")
GOALS = {"cpu": {"stage2": 4, "stage3": 2.5, "inference": 4}, "cuda": {"stage2": 10, "stage3": 10, "inference": 20}}
# (LLM, --max_new_tokens). 100 is the default of inference.py. Two limits for captions that end show what the longest ones
# cost. On a GPU, where each run loads 14 GB, the default alone is measured.
CAPTIONS = {"cpu": (("llm", 100), ("llm", 25), ("ending", 100), ("ending", 32)), "cuda": (("ending", 100),),
            "tiny": (("llm", 8), ("llm", 4), ("ending", 8), ("ending", 4))}
COLUMNS = ("stage", "ours against plain", "unit", "ours", "range", "plain", "range", "ratio", "goal", "met",
           "peak GiB: ours", "plain", "tokens/s: ours", "plain", "share of the limit: ours", "plain")
PLAIN_CAPTIONER = ["--no-use_lora", "--projector", "linear", "--soft_tokens", "1", "--prompt_template", "thought2text"]
BATCH_SIZE, DEFAULT_BATCH_SIZE = 16, 64  # the second is the default of train_eeg_classifier.py


def parse(argv: list[str] | None) -> Options:
    parser = options.make_parser(__doc__)
    parser.prog = "python -m bench.speed"
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:0")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES), help="stages to measure")
    parser.add_argument("--repeats", type=options.positive, default=3, help="runs of each side; the median is reported")
    parser.add_argument("--tiny", action="store_true", help="tiny models and few steps, to test the bench itself")
    parser.add_argument("--scratch", type=Path, help="empty folder for data and models; needs 7 GB, with --device cuda "
                                                     "22 GB (unset: a temporary folder)")
    parser.add_argument("--results", type=Path, default=Path("bench/RESULTS.md"), help="Markdown file to write to")
    return options.parse(parser, argv)


# --- the stages: each returns rows of the table ---

def stage1(bench: Bench) -> list[list[str]]:
    from bench import plain

    data = bench.data
    clip = ["--clip_model", data["clip"]]

    def transformer():
        return ours.train, "train_eeg_classifier", [
            *bench.options(new=("--output",)), *clip, "--max_steps", "4" if bench.args.tiny else "20"], 1

    def channelnet():
        return ours.train, "train_eeg_classifier", [
            *bench.options(new=("--output",)), *clip, "--encoder", "channelnet", "--residual_blocks", f"{data['blocks']}",
            "--batch_size", f"{BATCH_SIZE}", "--max_steps", "3"], 1

    results = bench.alternate("stage 1", {"transformer": transformer, "ChannelNet": channelnet,
                                          "plain": lambda: (plain.time_stage1, data, 1, bench.device)})
    without_clip = [run if "error" in run else run | {"step": run["encoder"]} for run in results["plain"]]
    # to seconds and FLOPs of a batch of 16, which is the amount that the table counts
    transformer_runs = [run if "error" in run else run | {
        key: run[key] * BATCH_SIZE / DEFAULT_BATCH_SIZE for key in ("step", "flops")} for run in results["transformer"]]
    return [bench.row("1", "default transformer against ChannelNet with CLIP in each step", "trials/s",
                      transformer_runs, results["plain"], BATCH_SIZE, 10),
            bench.row("1", "ChannelNet against ChannelNet, both without CLIP", "trials/s", results["ChannelNet"],
                      without_clip, BATCH_SIZE),
            bench.row("1", "ChannelNet against ChannelNet with CLIP in each step", "trials/s", results["ChannelNet"],
                      results["plain"], BATCH_SIZE)]


def captioner_stage(bench: Bench, number: int) -> list[list[str]]:
    """Stage 2 or 3."""
    from bench import plain

    steps = 4 if bench.args.tiny else 6

    def training(*more):
        return lambda: (ours.train, "finetune_llm", [
            *bench.options(new=("--output", "--saved_pretrained_model_path")), *captioner_options(bench),
            f"--no_stage{5 - number}", "--max_steps", f"{steps}", "--batch_size", f"{BATCH_SIZE}", *more], 2)

    sides = {"ours": training(*PLAIN_CAPTIONER), "our default": training()}
    results = bench.alternate(f"stage {number}", sides | {
        "plain": lambda: (plain.time_captioner, bench.data, 1 if bench.args.tiny else 2, bench.device, number)})
    work = {"ours": "linear projector, frozen LLM", "our default": "our default: LoRA, mlp projector, 4 soft tokens"}
    goal = GOALS[bench.kind][f"stage{number}"]
    rows = [bench.row(f"{number}", f"{bench.data['shape']}: {work[name]}", "trials/s", results[name], results["plain"],
                      BATCH_SIZE, goal if name == "ours" else None) for name in sides]
    return rows + gpu_goal(bench, f"stage{number}", "trials/s")


def captioner_options(bench: Bench) -> list[str]:
    """The options of finetune_llm.py, without those of the data."""
    return ["--clip_model", bench.data["clip"], "--eeg_encoder_path", bench.data["encoder"],
            "--llm_backbone_name_or_path", bench.data["llm"], *([] if bench.kind == "cpu" else ["--bf16"])]


def gpu_goal(bench: Bench, stage: str, unit: str) -> list[list[str]]:
    """On a CPU, a row with the goal for a GPU that was not run."""
    if bench.kind != "cpu":
        return []
    return [row(stage.removeprefix("stage"), "DeepSeek-7B's shape, on a GPU", unit, None, None, GOALS["cuda"][stage])]


def stage2(bench: Bench) -> list[list[str]]:
    return captioner_stage(bench, 2)


def stage3(bench: Bench) -> list[list[str]]:
    return captioner_stage(bench, 3)


def inference(bench: Bench) -> list[list[str]]:
    from bench import plain

    data, rows = bench.data, []
    for name, tokens in CAPTIONS["tiny" if bench.args.tiny else bench.kind]:
        llm = data[name]
        # captions of equal length need fewer; in 8 bit on a GPU a token of the plain side takes a tenth of a second
        count = len(data["test"]) // (16 if bench.kind == "cuda" else 1 if name == "ending" else 4)

        def our_captions(llm=llm, tokens=tokens):
            return ours.caption, [*bench.options(new=("--dest",)), "--model_path", data["captioner"],
                                  "--llm_backbone_name_or_path", llm, "--max_new_tokens", f"{tokens}",
                                  *([] if bench.kind == "cpu" else ["--bf16"])]

        def plain_captions(llm=llm, tokens=tokens, count=count):
            return plain.time_captions, data, llm, tokens, count, bench.device

        results = bench.alternate("captions", {"ours": our_captions, "plain": plain_captions})
        work = f"{tokens} tokens each"
        if not any("error" in run for runs in results.values() for run in runs):
            one, other = (Counter(map(tuple, runs[0]["ids"])) for runs in results.values())
            if name == "ending":
                lengths = sorted(map(len, results["plain"][0]["ids"]))
                work = (f"to the end token or {tokens} tokens, {lengths[0]} to {lengths[-1]}, median "
                        f"{statistics.median(lengths):g}")
            work += f"; {(one & other).total()} of {other.total()} the same token for token"
        rows.append(bench.row("inference", f"{data['shape']}: {work}", "captions/s", results["ours"], results["plain"],
                              len(data["test"]), GOALS[bench.kind]["inference"]))
    return rows + gpu_goal(bench, "inference", "captions/s")


def prepare_captioner(bench: Bench) -> None:
    """Train the encoder for stages 2 and 3, and the captioner for inference. This is not timed."""
    run, stages = bench.processes.run_required, set(bench.args.stages)
    if stages & {"stage2", "stage3", "inference", "start"}:
        run("an encoder", ours.train, "train_eeg_classifier", [
            *bench.options(), "--output", bench.data["encoder"], "--clip_model", bench.data["clip"], "--max_steps", "2"])
    if "inference" in stages:
        run("a captioner", ours.train, "finetune_llm", [
            *bench.options(), *captioner_options(bench), *PLAIN_CAPTIONER, "--output", bench.data["captioner"],
            "--no_stage2", "--max_steps", "2"])


def section(bench: Bench, rows: Sequence[Sequence[str]], startup: str, seconds: float) -> str:
    """The text of the section below its heading."""
    limit, size = bench.limit, bench.data
    text = (f"{datetime.date.today()}, `python -m bench.speed{' --tiny' if bench.args.tiny else ''}`, {bench.args.repeats} "
            f"runs of each side in turn (median and range), {seconds:.0f} s in all.\n{packages()}.\n\n"
            f"The roofline measured in this run: {limit['FLOP/s'] / 1e9:.0f} GFLOP/s in a large {bench.dtype} matrix "
            f"product, {limit['bytes/s'] / 1e9:.1f} GB/s of memory bandwidth. In training, the share of the limit is the "
            "FLOPs per second over the first number. They are counted for one step, forward and backward "
            "(torch.utils.flop_counter); work that is done twice counts twice. In inference, it is the bytes per second "
            "that decoding reads (weights and key-value cache at each step) over the second number. Tokens/s count prompts "
            "and captions in training and new tokens in inference, without padding. Peak memory is that of the whole "
            f"process.\n\nThe EEG has {size['channels']} channels x 440 samples. The LLM has {size['shape']}'s shape and "
            f"random weights. A step is {BATCH_SIZE} trials, with our default encoder {DEFAULT_BATCH_SIZE}. "
            "docs/performance.md describes the loss of our rows; that of the plain rows covers the whole prompt. "
            f"{len(size['test'])} captions are written. If all have the same length, the plain side writes a quarter of "
            "them, and on a GPU a sixteenth. Our side uses the batch size that inference.py chooses.\n\n")
    if rows:
        text += table(COLUMNS, rows) + "\n"
    return text + (f"\n{startup}" if startup else "")


def heading(bench: Bench) -> str:
    """The heading of the section. Runs of some stages do not replace those of others."""
    chosen = [] if set(bench.args.stages) == set(STAGES) else bench.args.stages
    return f"{device_name(bench.device)}: {', '.join(['speed', *(['tiny'] if bench.args.tiny else []), *chosen])}"


@exits_cleanly
def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    begin = time.perf_counter()
    with contextlib.ExitStack() as stack:
        scratch = (args.scratch or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="speed_")))).absolute()
        bench = Bench(args, scratch)
        prepare_captioner(bench)
        stages = {"stage1": stage1, "stage2": stage2, "stage3": stage3, "inference": inference}
        rows, startup = [], ""
        for name in args.stages:  # written after each: a run that is cut short keeps what it measured
            if name == "start":
                from bench.startup import measure_startup

                startup = measure_startup(bench)
            else:
                rows += stages[name](bench)
            write_section(args.results, heading(bench), section(bench, rows, startup, time.perf_counter() - begin))
    return int(bench.failed)


if __name__ == "__main__":
    sys.exit(main())
