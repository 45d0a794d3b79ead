"""How often the whole procedure makes a claim about EEG that holds no signal: simulated studies, from EEG to verdicts.

    python -m bench.null_studies --studies 200 --output runs/null
    python -m bench.null_studies --studies 10 --snr 1 --output runs/null_signal

Each study simulates the EEG of several people who look at pictures of several classes. The EEG holds no response to the
pictures, or one of strength --snr. The project's own scripts then train stage 1 and stage 3 on it, caption the test trials
under all conditions and baselines, and draw the claims. Pictures, CLIP, LLM and stage 2 are made once.

--output gets studies.jsonl with one line per study, and table.md, summary.json and p_values.png over all studies. A run
that was stopped continues where it was. `--table` only writes the table of the finished studies, also during a run. The
captions are kept in captions/: if studies.jsonl is deleted, the verdicts are computed again from them.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import options
from runtime.atomic_files import atomic_path
from runtime.errors import InputError, exits_cleanly
from runtime.options import Options, bounded, neutral, positive
from runtime.runs import read_json, versions, write_json

from tqdm import tqdm

from bench.null_table import write_table

if TYPE_CHECKING:
    from bench.null_simulation import Pictures

VARIANTS = ("plain", "objects", "style", "equal_captions", "unbalanced", "class_only", "own_response")


def parse(argv: list[str] | None) -> Options:
    parser = options.make_parser(__doc__)
    parser.prog = "python -m bench.null_studies"
    neutral(parser.add_argument("--studies", type=positive, default=200, help="number of studies"))
    neutral(parser.add_argument("--output", default="runs/null", help="folder for studies, verdicts and table"))
    neutral(parser.add_argument("--workers", type=positive, default=1, help="number of studies that run at the same time, "
                                                                            "each in its own process"))
    neutral(parser.add_argument("--table", action="store_true", help="run no study; write the table of the finished ones"))
    parser.add_argument("--seed", type=bounded(int, 0, 2**31), default=0, help="random seed")
    group = parser.add_argument_group("simulation")
    group.add_argument("--snr", type=bounded(float, 0), default=0., help="RMS of the response to a picture over that of "
                       "the background; 0 means no response")
    group.add_argument("--variant", choices=VARIANTS, default="plain", help="objects: pictures of up to three classes with "
                       "five captions each; style: each person is trained mostly on a few "
                       "classes and responds to all pictures in the same personal way, so captions are alike within a "
                       "person; equal_captions: many pictures share a caption; unbalanced: half of the pictures show one "
                       "class; class_only: the response depends on the class alone; own_response: each picture evokes a "
                       "response of its own in all people, which says nothing about what it shows (the last two "
                       "need --snr)")
    group.add_argument("--people", type=positive, default=4, help="people in a study")
    group.add_argument("--classes", type=bounded(int, 2, 8), default=8, help="classes of pictures")
    group.add_argument("--train_pictures", type=positive, default=240, help="training pictures; each person sees each once")
    group.add_argument("--test_pictures", type=positive, default=32, help="test pictures; each person sees each once")
    group.add_argument("--picture_sets", type=positive, default=4, help="number of picture sets, which the studies use in "
                       "turn; stage 2 is trained once per set")
    group.add_argument("--pretraining", type=positive, default=1200, help="further drawings to train CLIP and LLM on")
    group.add_argument("--clip_epochs", type=positive, default=12, help="training epochs of the CLIP")
    group.add_argument("--llm_steps", type=positive, default=1000, help="training steps of the LLM")
    group.add_argument("--n_perm", type=positive, default=2000, help="permutations of evaluate.py")
    group.add_argument("--n_boot", type=positive, default=1000, help="bootstrap resamples of evaluate.py")
    group = parser.add_argument_group("what the LLM is told")
    group.add_argument("--label", choices=options.LABELS, default="class", help="of finetune_llm.py")
    group.add_argument("--exemplars", type=bounded(int, 0, 100), default=0, help="of finetune_llm.py")
    group.add_argument("--train_label", choices=options.TRAIN_LABELS, default="predicted", help="of finetune_llm.py")
    group.add_argument("--candidates", type=positive, default=1, help="of inference.py")
    args = options.parse(parser, argv)
    if args.variant in ("class_only", "own_response") and not args.snr:
        raise InputError(f"--variant {args.variant}: changes the response to the pictures, but --snr 0 simulates no "
                         "response; add, for example, --snr 0.3")
    return args


def commands(args: Options, folder: Path, shared: Path, number: int) -> list[tuple[str, list[str]]]:
    """The scripts of study `number` and their arguments, in order."""
    data = ["--eeg_dataset", f"{folder}/eeg.pth", "--splits_path", f"{folder}/splits.pth",
            "--image_dir", f"{shared}/images"]
    if args.variant == "objects":
        data = ["--eeg_dataset", f"{folder}/data"]
    device = ["--cache_dir", f"{shared}/cache", "--device", "cpu"]
    pictures = ["--clip_model", f"{shared}/clip", "--picture", "photo", *device]
    seed = ["--seed", str(args.seed + number)]
    write = ["--model_path", f"{folder}/captioner", *data, *device, *seed, "--dest", f"{folder}/results/captions.csv",
             "--batch_size", "256", "--max_new_tokens", "24", "--repetition_penalty", "1.0",
             "--candidates", str(args.candidates)]
    return [
        ("train_eeg_classifier", [*data, *pictures, *seed, "--output", f"{folder}/eeg_encoder", "--num_epochs", "6",
                                  "--d_model", "64", "--attn_heads", "4", "--layers", "1", "--spatial_filters", "16"]),
        # the seed is the same in all studies, because stage 2 is reused only for the same options
        ("finetune_llm", [*data, *pictures, "--eeg_encoder_path", f"{folder}/eeg_encoder", "--llm_backbone_name_or_path",
                          f"{shared}/llm", "--output", f"{folder}/captioner", "--saved_pretrained_model_path",
                          f"{shared}/stage2", "--prompt_template", "plain", "--num_epochs_image", "8",
                          "--num_epochs_eeg", "1", "--batch_size", "32", "--learning_rate", "1e-3",
                          "--projector_learning_rate", "2e-3", "--seed", str(args.seed),
                          "--label", args.label, "--exemplars", str(args.exemplars), "--train_label", args.train_label,
                          "--captions", "all" if args.variant == "objects" else "first"]),
        ("inference", write), ("inference_chance", write)]


def caption_study(args: Options, folder: Path, output: Path, scenes: Pictures, number: int) -> None:
    """Simulate a study in `folder`, train on it and caption it; move the captions to captions/<number>/ of `output`."""
    from bench.null_simulation import make_study

    start, seconds = time.perf_counter(), {}
    make_study(folder, args, scenes, number)
    seconds["simulate"] = time.perf_counter() - start
    for script, arguments in commands(args, folder, output / "shared", number):
        begin = time.perf_counter()
        call(script, arguments, folder)
        seconds[script] = time.perf_counter() - begin
    write_json(folder / "results" / "seconds.json", seconds)
    kept = captions_of(output, number)
    kept.parent.mkdir(exist_ok=True)
    (folder / "results").rename(kept)


def captions_of(output: Path, number: int) -> Path:
    return output / "captions" / f"{number:04d}"


def call(script: str, arguments: list[str], folder: Path) -> None:
    """Run a script's main(arguments); raise InputError if it fails."""
    try:
        importlib.import_module(script).main(arguments)
    except KeyboardInterrupt:
        raise
    except (SystemExit, Exception) as stop:
        if isinstance(stop, SystemExit) and not stop.code:
            return
        traceback.print_exc()
        raise InputError(f"{folder}: {script}.py failed ({type(stop).__name__}: {stop}); its output is in "
                         f"{folder}/log.txt") from stop


def run_study(args: Options, output: Path, scenes: Pictures, number: int) -> dict:
    """Run one study in its own folder, with the output of its scripts in log.txt; returns its line of studies.jsonl."""
    import torch

    torch.set_num_threads(1)  # such small models are slower on several threads
    folder, captions = output / f"study_{number:04d}", captions_of(output, number)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with open(folder / "log.txt", "w", encoding="utf-8") as log, contextlib.redirect_stdout(log), \
            contextlib.redirect_stderr(log):
        if not captions.is_dir():
            caption_study(args, folder, output, scenes, number)
        begin = time.perf_counter()
        # the claims depend on ROUGE-1 alone; other scores and examples are left out for speed
        call("evaluate", [*map(str, sorted(captions.glob("*.csv"))), "--report", str(folder / "report"), "--metrics",
                          "ROUGE-1", "--examples", "0", "--n_perm", str(args.n_perm), "--n_boot", str(args.n_boot),
                          "--seed", str(args.seed + number)], folder)
    seconds = read_json(captions / "seconds.json") | {"evaluate": time.perf_counter() - begin}
    line = study_line(read_json(folder / "report" / "results.json"), captions / "captions.csv", number)
    shutil.rmtree(folder)
    return line | {"seconds": {name: round(value, 2) for name, value in seconds.items()}}


def study_line(results: dict, csv: Path, number: int) -> dict:
    """The line of a study in studies.jsonl: its verdicts, and statistics of its captions."""
    from metrics.caption_files import read_captions

    (study,) = results["studies"]
    table = read_captions(csv).table
    captions, predicted = table["Generated Caption"], table["Predicted object"]
    verdicts = {name: {key: value for key, value in verdict.items() if key != "text"}
                for name, verdict in study["verdicts"].items()}
    return {"study": number, "verdicts": verdicts, "n": len(table),
            "scores": {one["condition"]: one["scores"]["ROUGE-1"]["mean"] for one in study["conditions"]},
            "distinct_captions": int(captions.nunique()),
            "commonest_caption": float(captions.value_counts(normalize=True).iloc[0]),
            "commonest_class": float(predicted.value_counts(normalize=True).iloc[0]),
            "class_accuracy": float((table["Expected object"] == predicted).mean())}


def read_lines(path: Path) -> list[dict]:
    """The lines of studies.jsonl, without a last line that is incomplete because a run was killed or is writing it."""
    if not path.is_file():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: damaged ({error}); expected one JSON object per line; remove the damaged line") from None


def check_options(output: Path, args: Options) -> None:
    """Store the options in the folder, or raise InputError if it holds studies with other options."""
    own = args.asked()
    path = output / "options.json"
    if path.is_file():
        before = read_json(path)
        differ = [f"--{name} {before.get(name)} then, {value} now" for name, value in own.items()
                  if before.get(name) != value]
        if differ:
            raise InputError(f"--output {output}: holds studies with other options ({'; '.join(differ)}); give the same "
                             "options, or another folder")
    else:
        write_json(path, own)


def in_words(line: dict) -> str:
    """One line for the terminal on a finished study."""
    claimed = [name for name, verdict in line["verdicts"].items() if verdict["holds"]]
    p = ", ".join(f"{name} {verdict['p']:.4f}" for name, verdict in line["verdicts"].items() if verdict["p"] is not None)
    return (f"study {line['study']}: p {p}; claims {', '.join(claimed) or 'nothing'}; {line['distinct_captions']} of "
            f"{line['n']} captions distinct, {sum(line['seconds'].values()):.0f} s")


def run_all(args: Options, output: Path, done: list[dict]) -> None:
    """Run the studies that are missing and append their lines."""
    from bench.null_simulation import make_once, make_scenes

    scenes = make_scenes(args)
    make_once(output / "shared", args, scenes)
    numbers = [number for number in range(args.studies) if number not in {line["study"] for line in done}]
    with atomic_path(output / "studies.jsonl") as temporary:  # without an incomplete line
        temporary.write_text("".join(json.dumps(line) + "\n" for line in done), encoding="utf-8")
    with open(output / "studies.jsonl", "a", encoding="utf-8") as file, \
            tqdm(total=args.studies, initial=args.studies - len(numbers), desc="studies", unit="study") as bar:

        def keep(line):
            file.write(json.dumps(line) + "\n")
            file.flush()
            bar.update()
            bar.write(in_words(line))

        if args.workers == 1:
            for number in numbers:
                keep(run_study(args, output, scenes, number))
            return
        first = numbers[:args.picture_sets]  # these train stage 2 of each set, and the others reuse it
        for number in first:
            keep(run_study(args, output, scenes, number))
        with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
            futures = [pool.submit(run_study, args, output, scenes, number) for number in numbers[len(first):]]
            for future in as_completed(futures):
                keep(future.result())


@exits_cleanly
def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["HF_HUB_OFFLINE"] = "1"
    output = Path(args.output)
    if not args.table:
        output.mkdir(parents=True, exist_ok=True)
        check_options(output, args)
        run_all(args, output, read_lines(output / "studies.jsonl"))
    lines = read_lines(output / "studies.jsonl")
    if not lines:
        raise InputError(f"--output {output}: holds no finished study yet; run without --table")
    print(write_table(output, lines, read_json(output / "options.json"), versions()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
