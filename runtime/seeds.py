"""`--seeds 0 1 2`: a stage once for each seed, each in a folder seed0, seed1, ... of its own."""

from collections.abc import Callable
from pathlib import Path

from runtime import processes
from runtime.command_line import Options
from runtime.errors import InputError

WRITTEN = ("output", "results_dir", "dest")  # options that say where a result goes
READ = ("output", "pretrained", "eeg_encoder_path", "model_path")  # and where that of the stage before lies


def run_each(main: Callable, args: Options, written: tuple[str, ...] = WRITTEN) -> None:
    """Run a script's `main` for each of --seeds: what it writes goes into folders of the seed, and what it reads is taken
    from such a folder where there is one."""
    if processes.count() > 1:
        raise InputError("--seeds runs one after the other in one process; with a launcher give one --seed at a time")
    for seed in dict.fromkeys(args.seeds):
        print(f"== seed {seed}")
        words = [*args.command_words("seeds", "seed"), "--seed", str(seed)]
        for name in dict.fromkeys((*READ, *written)):
            given = getattr(args, name, None)
            place = given and place_of(given, seed)
            if place and (name in written or Path(place).is_dir()):
                words += [f"--{name}", place]
        main(words)
    print(f"all seeds are done; give the next stage the same paths and --seeds {' '.join(map(str, args.seeds))}")


def place_of(path: str, seed: int) -> str:
    """runs/encoder -> runs/encoder/seed0; results/captions.csv -> results/seed0/captions.csv"""
    path = Path(path)
    return str(path.parent / f"seed{seed}" / path.name if path.suffix == ".csv" else path / f"seed{seed}")
