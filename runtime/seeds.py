"""`--seeds 0 1 2`: a stage once for each seed, each in a folder seed0, seed1, ... of its own."""

import sys
from collections.abc import Callable
from pathlib import Path

from runtime import processes
from runtime.command_line import Options
from runtime.errors import InputError
from runtime.interrupted import can_resume

WRITTEN = ("output", "results_dir", "dest")  # options that say where a result goes
READ = ("output", "pretrained", "eeg_encoder_path", "model_path")  # and where that of the stage before lies


def run_each(main: Callable, args: Options, written: tuple[str, ...] = WRITTEN) -> None:
    """Run a script's `main` for each of --seeds: what it writes goes into folders of the seed, and what it reads is taken
    from such a folder where there is one.

    With --resume the seeds that were interrupted go on. The others have no checkpoint: they had ended or not begun.
    """
    if processes.count() > 1:
        raise InputError("--seeds runs one after the other in one process; with a launcher give one --seed at a time")
    wanted = list(dict.fromkeys(args.seeds))
    resumed = getattr(args, "resume", False) and args.output  # finetune_llm.py --plan has no --output
    begun = [seed for seed in wanted if resumed and can_resume(place_of(args.output, seed))]
    for number, seed in enumerate(wanted):
        print(f"== seed {seed}")
        words = [*args.command_words("seeds", "seed"), "--seed", str(seed)]
        if begun and seed not in begun:
            print(f"note: --resume: seed {seed} has no checkpoint, so it starts from its beginning")
            words = [word for word in words if word != "--resume"]
        for name in dict.fromkeys((*READ, *written)):
            given = getattr(args, name, None)
            place = given and place_of(given, seed, is_file=name == "dest")
            if place and (name in written or Path(place).is_dir()):
                words += [f"--{name}", place]
        try:
            main(words)
        except KeyboardInterrupt:  # main has said how to go on
            if number:
                print(f"done: --seeds {_listed(wanted[:number])}; to go on without these give --seeds "
                      f"{_listed(wanted[number:])}", file=sys.stderr)
            raise
    print(f"all seeds are done; give the next stage the same paths and --seeds {_listed(args.seeds)}")


def _listed(seeds):
    return " ".join(map(str, seeds))


def place_of(path: str, seed: int, is_file: bool = False) -> str:
    """runs/encoder -> runs/encoder/seed0; of a file, which --dest may name without .csv: results/seed0/captions.csv"""
    path = Path(path)
    return str(path.parent / f"seed{seed}" / path.name if is_file else path / f"seed{seed}")
