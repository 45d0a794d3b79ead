"""How often the whole procedure claims something of EEG that holds nothing: simulated studies, from EEG to verdicts.

    python -m bench.null_studies --studies 200 --output runs/null
    python -m bench.null_studies --studies 10 --snr 1 --output runs/null_signal

Each study simulates the EEG of several people who look at pictures of several classes, without any response to them (or
with one, --snr), trains stage 1 and stage 3 on it, captions the test trials under all conditions and baselines, and has
evaluate.py draw its claims: all by the project's own scripts. Pictures, CLIP, LLM and stage 2 are made once. Writes a JSON
line a study to studies.jsonl under --output, and of all of them table.md, summary.json and p_values.png; a run that was
stopped goes on. `--table` writes the table of the studies that are there, also while a run goes on. The captions stay in
captions/: without studies.jsonl the verdicts are drawn anew from them.
"""

import contextlib
import importlib
import json
import os
import shutil
import sys
import time
import traceback
from pathlib import Path

from runtime.errors import InputError, exits_cleanly
from runtime.options import bounded, make_parser, positive
from runtime.runs import atomic_path, read_json, versions, write_json

VARIANTS = ("plain", "style", "equal_captions", "unbalanced", "class_only", "own_response")
FREE = ("studies", "workers", "output", "table")  # options that a run may go on with others of


def parse(argv):
    parser = make_parser(__doc__)
    parser.prog = "python -m bench.null_studies"
    parser.add_argument("--studies", type=positive, default=200, help="number of studies")
    parser.add_argument("--output", default="runs/null", help="folder for the studies, their verdicts and the table")
    parser.add_argument("--workers", type=positive, default=1, help="studies at a time, a process each")
    parser.add_argument("--table", action="store_true", help="run no study, write the table of those that are there")
    parser.add_argument("--seed", type=bounded(int, 0, 2**31), default=0, help="seed of everything random")
    group = parser.add_argument_group("what is simulated")
    group.add_argument("--snr", type=bounded(float, 0), default=0., help="RMS of the response to a picture over that of "
                       "the background; 0 is no response")
    group.add_argument("--variant", choices=VARIANTS, default="plain", help="style: each person trains on classes of "
                       "their own and answers all pictures in an own way, so that captions are alike within a person; "
                       "equal_captions: many pictures share a caption; unbalanced: half the pictures are of one class; "
                       "class_only: the response tells the class and no more; own_response: each picture has an own "
                       "response in all people, which tells nothing of what it shows (these two with --snr)")
    group.add_argument("--people", type=positive, default=4, help="people in a study")
    group.add_argument("--classes", type=bounded(int, 2, 8), default=8, help="classes of pictures")
    group.add_argument("--train_pictures", type=positive, default=240, help="training pictures, seen once by each person")
    group.add_argument("--test_pictures", type=positive, default=32, help="test pictures, seen once by each person")
    group.add_argument("--picture_sets", type=positive, default=4, help="sets of pictures that the studies take in turn; "
                       "stage 2 is trained once a set")
    group.add_argument("--pretraining", type=positive, default=1200, help="further drawings that CLIP and LLM learn from")
    group.add_argument("--clip_epochs", type=positive, default=12, help="epochs of the CLIP")
    group.add_argument("--llm_steps", type=positive, default=1000, help="steps of the LLM's training")
    group.add_argument("--n_perm", type=positive, default=2000, help="permutations of evaluate.py")
    group.add_argument("--n_boot", type=positive, default=1000, help="bootstrap resamples of evaluate.py")
    args = parser.parse_args(argv)
    if args.variant in ("class_only", "own_response") and not args.snr:
        raise InputError(f"--variant {args.variant}: is about responses, found --snr 0; give --snr 0.3")
    return args


def commands(args, folder, shared, number):
    """The scripts of one study and their arguments, in order."""
    data = ["--eeg_dataset", f"{folder}/eeg.pth", "--splits_path", f"{folder}/splits.pth",
            "--image_dir", f"{shared}/images"]
    device = ["--cache_dir", f"{shared}/cache", "--device", "cpu"]
    pictures = ["--clip_model", f"{shared}/clip", "--picture", "photo", *device]
    seed = ["--seed", str(args.seed + number)]
    write = ["--model_path", f"{folder}/captioner", *data, *device, *seed, "--dest", f"{folder}/results/captions.csv",
             "--batch_size", "256", "--max_new_tokens", "24", "--repetition_penalty", "1.0"]
    return [
        ("train_eeg_classifier", [*data, *pictures, *seed, "--output", f"{folder}/eeg_encoder", "--num_epochs", "6",
                                  "--d_model", "64", "--attn_heads", "4", "--layers", "1", "--spatial_filters", "16"]),
        # stage 2 is kept by its options, so its seed is the same for all
        ("finetune_llm", [*data, *pictures, "--eeg_encoder_path", f"{folder}/eeg_encoder", "--llm_backbone_name_or_path",
                          f"{shared}/llm", "--output", f"{folder}/captioner", "--saved_pretrained_model_path",
                          f"{shared}/stage2", "--prompt_template", "plain", "--num_epochs_image", "8",
                          "--num_epochs_eeg", "1", "--batch_size", "32", "--learning_rate", "1e-3",
                          "--projector_learning_rate", "2e-3", "--seed", str(args.seed)]),
        ("inference", write), ("inference_chance", write)]


def caption_study(args, folder, output, scenes, number):
    """Simulate a study, train on it and caption it in `folder`; the captions then lie in captions/<number>/ of `output`."""
    from bench.null_material import make_study

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


def captions_of(output, number):
    return output / "captions" / f"{number:04d}"


def call(script, arguments, folder):
    """A script's main(arguments); an InputError where it fails."""
    try:
        importlib.import_module(script).main(arguments)
    except (SystemExit, Exception) as stop:
        if isinstance(stop, SystemExit) and not stop.code:
            return
        traceback.print_exc()
        raise InputError(f"{folder}: {script}.py failed ({type(stop).__name__}: {stop}); its words are in "
                         f"{folder}/log.txt") from stop


def run_study(args, output, scenes, number):
    """One study, in a folder of its own with what its scripts say in log.txt; returns its line of studies.jsonl."""
    import torch

    torch.set_num_threads(1)  # models this small are slower on several
    folder, captions = output / f"study_{number:04d}", captions_of(output, number)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with open(folder / "log.txt", "w", encoding="utf-8") as log, contextlib.redirect_stdout(log), \
            contextlib.redirect_stderr(log):
        if not captions.is_dir():
            caption_study(args, folder, output, scenes, number)
        begin = time.perf_counter()
        # claims rest on ROUGE-1 alone; the other scores and the examples are left out for speed
        call("evaluate", [*map(str, sorted(captions.glob("*.csv"))), "--report", str(folder / "report"), "--metrics",
                          "ROUGE-1", "--examples", "0", "--n_perm", str(args.n_perm), "--n_boot", str(args.n_boot),
                          "--seed", str(args.seed + number)], folder)
    seconds = read_json(captions / "seconds.json") | {"evaluate": time.perf_counter() - begin}
    line = study_line(read_json(folder / "report" / "results.json"), captions / "captions.csv", number)
    shutil.rmtree(folder)
    return line | {"seconds": {name: round(value, 2) for name, value in seconds.items()}}


def study_line(results, csv, number):
    """What studies.jsonl holds of a study: its verdicts, and what its captions look like."""
    import pandas

    (study,) = results["studies"]
    table = pandas.read_csv(csv, keep_default_na=False)
    captions, predicted = table["Generated Caption"], table["Predicted object"]
    verdicts = {name: {key: value for key, value in verdict.items() if key != "text"}
                for name, verdict in study["verdicts"].items()}
    return {"study": number, "verdicts": verdicts, "n": len(table),
            "scores": {one["condition"]: one["scores"]["ROUGE-1"]["mean"] for one in study["conditions"]},
            "distinct_captions": int(captions.nunique()),
            "commonest_caption": float(captions.value_counts(normalize=True).iloc[0]),
            "commonest_class": float(predicted.value_counts(normalize=True).iloc[0]),
            "class_accuracy": float((table["Expected object"] == predicted).mean())}


def read_lines(path):
    """Lines of studies.jsonl; a last one that a kill cut short, or that is being written, does not count."""
    if not path.is_file():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: damaged ({error}); expected a JSON object a line, remove the damaged line") from None


def check_options(output, args):
    """Bind the folder to its options: a run goes on with the same ones only."""
    own = {name: value for name, value in vars(args).items() if name not in FREE}
    path = output / "options.json"
    if path.is_file():
        before = read_json(path)
        differ = [f"--{name} {before.get(name)} then, {value} now" for name, value in own.items()
                  if before.get(name) != value]
        if differ:
            raise InputError(f"--output {output}: holds studies of other options ({'; '.join(differ)}); give the same, or "
                             "another folder")
    else:
        write_json(path, own)


def in_words(line):
    claimed = [name for name, verdict in line["verdicts"].items() if verdict["holds"]]
    p = ", ".join(f"{name} {verdict['p']:.4f}" for name, verdict in line["verdicts"].items() if verdict["p"] is not None)
    return (f"study {line['study']}: p {p}; claims {', '.join(claimed) or 'nothing'}; {line['distinct_captions']} of "
            f"{line['n']} captions distinct, {sum(line['seconds'].values()):.0f} s")


def run_all(args, output, done):
    """Run the studies that are missing and append their lines."""
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import get_context

    from tqdm import tqdm

    from bench.null_material import make_once, make_scenes

    scenes = make_scenes(args)
    make_once(output / "shared", args, scenes)
    numbers = [number for number in range(args.studies) if number not in {line["study"] for line in done}]
    with atomic_path(output / "studies.jsonl") as temporary:  # without a line that was cut short
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
        first = numbers[:args.picture_sets]  # they make stage 2 of each set, which the others take
        for number in first:
            keep(run_study(args, output, scenes, number))
        with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
            futures = [pool.submit(run_study, args, output, scenes, number) for number in numbers[len(first):]]
            for future in as_completed(futures):
                keep(future.result())


@exits_cleanly
def main(argv=None):
    args = parse(argv)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["HF_HUB_OFFLINE"] = "1"
    from bench.null_table import write_table

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
