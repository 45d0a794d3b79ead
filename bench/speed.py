"""Each stage on the same work, by our scripts and by the predecessors' way of working (bench/plain.py), side by side.

    python -m bench.speed
    python -m bench.speed --stages stage1 inference --repeats 5
    python -m bench.speed --device cuda --scratch /tmp/speed

Paths take turns, each run in a process of its own; medians and the range over the repeats go to bench/RESULTS.md. Ours are
the scripts as a user runs them, timed from step to step, so that loading is left out; the stage `start` measures loading.
On a CPU the LLM is a small proxy, on a GPU one of DeepSeek-7B's exact shape with random weights (no download). The exit
code is 1 if a path failed.
"""

import contextlib
import datetime
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from runtime import options
from runtime.errors import exits_cleanly

from bench.measuring import Processes, device_name, packages, table, write_section

STAGES = ("stage1", "stage2", "stage3", "inference", "start")
GOALS = {"cpu": {"stage2": 4, "stage3": 2.5, "inference": 4}, "cuda": {"stage2": 10, "stage3": 10, "inference": 20}}
COLUMNS = ("stage", "ours against plain", "unit", "ours", "range", "plain", "range", "ratio", "goal", "met",
           "peak GiB: ours", "plain", "tokens/s: ours", "plain", "share of the limit: ours", "plain")
SAME = ["--no-use_lora", "--projector", "linear", "--soft_tokens", "1", "--prompt_template", "thought2text"]
BATCH = 16


def parse(argv):
    parser = options.make_parser(__doc__)
    parser.prog = "python -m bench.speed"
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:0")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES), help="what to measure")
    parser.add_argument("--repeats", type=options.positive, default=3, help="runs of each path, of which the median counts")
    parser.add_argument("--tiny", action="store_true", help="tiny models, few steps: a test that it works")
    parser.add_argument("--scratch", type=Path, help="empty folder for data and models: 7 GB, with --device cuda 15 more "
                                                     "(unset: a temporary one)")
    parser.add_argument("--results", type=Path, default=Path("bench/RESULTS.md"), help="Markdown file to write to")
    return parser.parse_args(argv)


class Bench:
    """What is measured on, and how paths take turns."""

    def __init__(self, args, scratch):
        from bench import limits, speed_material

        self.args, self.scratch, self.device = args, scratch, options.resolve_device(args.device)
        self.kind = self.device.split(":")[0]
        self.processes, self.runs = Processes(self.kind), 0
        dtype = "float32" if self.kind == "cpu" else "bfloat16"
        self.processes.must("data and models", speed_material.make, scratch, args.tiny, self.device)
        self.data = speed_material.load(scratch)
        self.limit = self.processes.must("the device's limits", limits.measure_limits, self.device, dtype,
                                         args.tiny)
        self.dtype, self.failed = dtype, False

    def options(self, *, new=()):
        """Data options of our scripts, and an output folder of its own for each of the options `new`."""
        self.runs += 1
        data = self.data
        given = ["--eeg_dataset", data["eeg"], "--splits_path", data["splits"], "--image_dir", data["images"],
                 "--cache_dir", f"{self.scratch}/cache", "--device", self.device]
        for option in new:
            given += [option, f"{self.scratch}/run{self.runs}{option.strip('-')}"]
        return given

    def alternate(self, title, paths):
        """{name: the results of its runs}, the paths in turn. paths: {name: function of the repeat's number, which gives
        what Processes.run takes}."""
        found = {name: [] for name in paths}
        for repeat in range(self.args.repeats):
            for name, path in paths.items():
                found[name].append(self.processes.run(f"{title}, {name}, run {repeat + 1}", *path(repeat)))
        return found

    def row(self, stage, work, unit, ours, plain, amount, goal=None):
        """A row of the table: in a "step" of a run its "captions", else `amount` of the unit, are done."""
        sides = [summary(runs, amount, self.limit) for runs in (ours, plain)]
        self.failed |= any("error" in side for side in sides)
        return cells(stage, work, unit, *sides, goal)


def summary(runs, amount, limit):
    """Medians of runs: the rate, its range, peak memory, tokens/s and the share of the device's limit."""
    errors = [run["error"] for run in runs if "error" in run]
    if errors:
        return {"error": errors[0]}
    amount = runs[0].get("captions", amount)
    rates = sorted(amount / run["step"] for run in runs)
    rate = statistics.median(rates)
    asked = {kind: runs[0].get(key) for kind, key in (("FLOP/s", "flops"), ("bytes/s", "bytes"))}  # the same in all runs
    shares = [asked[kind] * rate / amount / limit[kind] for kind in asked if asked[kind]]
    return {"rate": rate, "low": rates[0], "high": rates[-1], "peak": max(run["peak GiB"] for run in runs),
            "tokens": runs[0]["tokens"] * rate / amount if runs[0].get("tokens") else None,
            "share": shares[0] if shares else None}


def digits(number):
    """Four significant digits."""
    return f"{number:.4g}" if number < 1000 else f"{number:.0f}"


def cells(stage, work, unit, ours, plain, goal):
    """A row's texts; a side is a `summary`, or None where it was not run."""
    shown = []
    for side in (ours, plain):
        if side is None or "error" in side:
            shown.append(["not run" if side is None else f"failed: {side['error']}", "", "", "", ""])
        else:
            shown.append([digits(side["rate"]), f"{digits(side['low'])} to {digits(side['high'])}", f"{side['peak']:.2f}",
                          f"{side['tokens']:.0f}" if side["tokens"] else "",
                          f"{side['share']:.1%}" if side["share"] else ""])
    ratio = None if "" in (shown[0][1], shown[1][1]) else float(shown[0][0]) / float(shown[1][0])
    met = "" if goal is None else "not run" if ratio is None else "yes" if ratio >= goal else "no"
    pairs = [text for place in (2, 3, 4) for text in (shown[0][place], shown[1][place])]
    return [stage, work, unit, *shown[0][:2], *shown[1][:2], "" if ratio is None else f"{ratio:.2f}",
            "" if goal is None else f"{goal:g}x", met, *pairs]


# --- the stages ---

def stage1(bench):
    from bench import ours, plain

    tiny, data = bench.args.tiny, bench.data
    clip, new = ["--clip_model", data["clip"]], ("--output",)

    def transformer(repeat):
        steps = 4 if tiny else 20
        return ours.train, "train_eeg_classifier", [*bench.options(new=new), *clip, "--max_steps", f"{steps}"], 1

    def channelnet(repeat):
        return ours.train, "train_eeg_classifier", [
            *bench.options(new=new), *clip, "--encoder", "channelnet", "--residual_blocks", f"{data['blocks']}",
            "--batch_size", f"{BATCH}", "--max_steps", "3"], 1

    found = bench.alternate("stage 1", {"transformer": transformer, "ChannelNet": channelnet,
                                        "plain": lambda repeat: (plain.time_stage1, data, 1, bench.device)})
    alone = [run if "error" in run else run | {"step": run["encoder"]} for run in found["plain"]]
    batch = {"transformer": 64, "ChannelNet": BATCH}
    for kind in batch:  # both as batches of 16, as the table counts trials
        found[kind] = [run if "error" in run else run | {
            key: run[key] * BATCH / batch[kind] for key in ("step", "flops")} for run in found[kind]]
    return [bench.row("1", "default transformer against ChannelNet with CLIP in each step", "trials/s",
                      found["transformer"], found["plain"], BATCH, 10),
            bench.row("1", "ChannelNet against ChannelNet, both without CLIP", "trials/s", found["ChannelNet"], alone,
                      BATCH),
            bench.row("1", "ChannelNet against ChannelNet with CLIP in each step", "trials/s", found["ChannelNet"],
                      found["plain"], BATCH)]


def captioner_stage(bench, number):
    from bench import ours, plain

    steps = 4 if bench.args.tiny else 6

    def training(*more):
        return lambda repeat: (ours.train, "finetune_llm", [
            *bench.options(new=("--output", "--saved_pretrained_model_path")), *captioner_options(bench),
            f"--no_stage{5 - number}", "--max_steps", f"{steps}", "--batch_size", f"{BATCH}", *more], 2)

    paths = {"ours": training(*SAME), "our default": training()}
    if bench.kind == "cuda":
        paths["ours, 8 bit"] = training(*SAME, "--load_in_8bit")
    found = bench.alternate(f"stage {number}", paths | {
        "plain": lambda repeat: (plain.time_captioner, bench.data, 1 if bench.args.tiny else 2, bench.device, number)})
    work = {"ours": "linear projector, frozen LLM", "our default": "our default: LoRA, mlp projector, 4 soft tokens",
            "ours, 8 bit": "linear projector, frozen LLM in 8 bit"}
    goal = GOALS[bench.kind][f"stage{number}"]
    rows = [bench.row(f"{number}", f"{bench.data['shape']}: {work[name]}", "trials/s", found[name], found["plain"], BATCH,
                      goal if name == "ours" else None) for name in paths]
    return rows + not_run(bench, f"stage{number}", "trials/s")


def captioner_options(bench):
    """The options of finetune_llm.py beside the data's."""
    return ["--clip_model", bench.data["clip"], "--eeg_encoder_path", bench.data["encoder"],
            "--llm_backbone_name_or_path", bench.data["llm"], *([] if bench.kind == "cpu" else ["--bf16"])]


def not_run(bench, stage, unit):
    """The row of the goal for a GPU, where this is none."""
    if bench.kind != "cpu":
        return []
    return [cells(stage.removeprefix("stage"), "DeepSeek-7B's shape, on a GPU", unit, None, None, GOALS["cuda"][stage])]


def stage2(bench):
    return captioner_stage(bench, 2)


def stage3(bench):
    return captioner_stage(bench, 3)


def inference(bench):
    from bench import ours, plain

    data, rows = bench.data, []
    # 100 is the own limit of inference.py; what the longest captions cost shows by two limits.
    longest = (8, 4, 8, 4) if bench.args.tiny else (100, 25, 100, 32)
    for name, tokens in zip(("llm", "llm", "ending", "ending"), longest, strict=True):
        llm, plain_captions = data[name], len(data["test"]) // (1 if name == "ending" else 4)  # of one length, few will do

        def writing(repeat, llm=llm, tokens=tokens):
            return ours.caption, [*bench.options(new=("--dest",)), "--model_path", data["captioner"],
                                  "--llm_backbone_name_or_path", llm, "--max_new_tokens", f"{tokens}",
                                  *([] if bench.kind == "cpu" else ["--bf16"])]

        found = bench.alternate("captions", {"ours": writing, "plain": lambda repeat, llm=llm, tokens=tokens,
                                          number=plain_captions: (plain.time_captions, data, llm, tokens, number,
                                                                  bench.device)})
        work = f"{tokens} tokens each"
        if not any("error" in run for runs in found.values() for run in runs):
            one, other = (Counter(map(tuple, runs[0]["ids"])) for runs in found.values())
            if name == "ending":
                lengths = sorted(map(len, found["plain"][0]["ids"]))
                work = (f"to the end token or {tokens} tokens, {lengths[0]} to {lengths[-1]}, median "
                        f"{statistics.median(lengths):g}")
            work += f"; {(one & other).total()} of {other.total()} the same token for token"
        rows.append(bench.row("inference", f"{data['shape']}: {work}", "captions/s", found["ours"], found["plain"],
                              len(data["test"]), GOALS[bench.kind]["inference"]))
    return rows + not_run(bench, "inference", "captions/s")


def prepare_captioner(bench):
    """The encoder that stages 2 and 3 take, and the captioner of the inference; nothing of this is timed."""
    from bench import ours

    script, wanted = bench.processes.must, set(bench.args.stages)
    if wanted & {"stage2", "stage3", "inference", "start"}:
        script("an encoder", ours.train, "train_eeg_classifier", [
            *bench.options(), "--output", bench.data["encoder"], "--clip_model", bench.data["clip"], "--max_steps", "2"])
    if "inference" in wanted:
        script("a captioner", ours.train, "finetune_llm", [
            *bench.options(), *captioner_options(bench), *SAME, "--output", bench.data["captioner"], "--no_stage2",
            "--max_steps", "2"])


def section(bench, rows, start, seconds):
    """The section's text below its heading."""
    limit, size = bench.limit, bench.data
    text = (f"{datetime.date.today()}, `python -m bench.speed{' --tiny' if bench.args.tiny else ''}`, {bench.args.repeats} "
            f"runs of each path in turn (median, and the range), {seconds:.0f} s in all.\n{packages()}.\n\n"
            f"Limits measured in this run: {limit['FLOP/s'] / 1e9:.0f} GFLOP/s in a large {bench.dtype} matrix product, "
            f"{limit['bytes/s'] / 1e9:.1f} GB/s of memory bandwidth. The share of the limit is, in training, the FLOPs of "
            "one step (forward and backward, torch.utils.flop_counter, work done twice counted twice) a second over the "
            "first; in inference the bytes that decoding reads (weights and key-value cache at each step) a second over "
            "the second. Tokens/s are those of prompts and captions, in inference the new ones, without padding. "
            "Peak memory is of the whole process.\n\n"
            f"EEG {size['channels']} x 440; the LLM has {size['shape']}'s shape and random weights; 16 trials a step, "
            "of our default encoder 64; loss and prompt of our rows as README.md says, of the plain ones over the whole "
            f"prompt; {len(size['test'])} captions, of the plain rows of one length a quarter, ours as many at a "
            "time as inference.py takes by itself.\n\n")
    if rows:
        text += table(COLUMNS, rows) + "\n"
    return text + (f"\n{start}" if start else "")


@exits_cleanly
def main(argv=None):
    args = parse(argv)
    begin = time.perf_counter()
    with contextlib.ExitStack() as stack:
        scratch = (args.scratch or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="speed_")))).absolute()
        bench = Bench(args, scratch)
        prepare_captioner(bench)
        stages = {"stage1": stage1, "stage2": stage2, "stage3": stage3, "inference": inference}
        rows = [row for name in stages if name in args.stages for row in stages[name](bench)]
        start = ""
        if "start" in args.stages:
            from bench.start import measure_start

            start = measure_start(bench)
    heading = f"{device_name(bench.device)}: speed{', tiny' if args.tiny else ''}"
    write_section(args.results, heading, section(bench, rows, start, time.perf_counter() - begin))
    return int(bench.failed)


if __name__ == "__main__":
    sys.exit(main())
