"""Checkpoints of a training that was interrupted: never deleted unless asked for, and how to go on from them."""

from pathlib import Path

from runtime import processes
from runtime.atomic_files import remove_folder
from runtime.errors import InputError

COMPLETE_MARK = "whole"  # an empty file, written into a checkpoint when all else in it is written
PLACES = ("checkpoints", "checkpoints/*", "pretrained/checkpoints")  # below --output


def complete_checkpoints(folder: str | Path) -> list[Path]:
    """The checkpoints in a folder that can be resumed from, oldest first."""
    found = [path.parent for path in Path(folder).glob(f"checkpoint-*/{COMPLETE_MARK}")]
    return sorted((path for path in found if step_of(path) is not None), key=step_of)


def step_of(checkpoint: Path) -> int | None:
    """The training step after which a checkpoint was written, from its name; None for other names."""
    number = checkpoint.name.removeprefix("checkpoint-")
    return int(number) if number.isdecimal() else None


def drop_old(folder: str | Path, best: str | None) -> None:
    """Delete all checkpoints of a folder but the newest two by step and the best; their times say nothing where a clock was
    set back. best: the path of the best one, None where there is none yet."""
    found = complete_checkpoints(folder)
    kept = {path.name for path in found[-2:]} | ({Path(best).name} if best else set())
    for path in found:
        if path.name not in kept:
            remove_folder(path)


def check_interrupted(output: str | Path, resume: bool, overwrite: bool) -> None:
    """Raise InputError where --output holds checkpoints that would be lost, before the long work."""
    for folder in _places(output):
        check_not_lost(folder, resume, overwrite)


def can_resume(output: str | Path) -> bool:
    """Whether --output holds a checkpoint of an interrupted training."""
    return any(map(complete_checkpoints, _places(output)))


def _places(output):
    return [folder for place in PLACES for folder in Path(output).glob(place)]


def check_not_lost(folder: str | Path, resume: bool, overwrite: bool) -> None:
    """Raise InputError where a folder holds checkpoints, and they are neither to be resumed from nor to be overwritten."""
    found = complete_checkpoints(folder)
    if found and not resume and not overwrite:
        raise InputError(f"{folder}: holds the checkpoints of an interrupted training, the newest of step "
                         f"{step_of(found[-1])}; give {_choices()}")


def how_to_go_on(folder: str | Path) -> str:
    """What to do after an interruption of the training whose checkpoints are in `folder`."""
    found = complete_checkpoints(folder)
    if not found:
        return "no checkpoint was written yet, so run the same command again (--save_steps writes checkpoints more often)"
    return f"{folder} keeps the training as it was after step {step_of(found[-1])}; run the same command with {_choices()}"


def _choices():
    anew = "--overwrite to delete them and start anew"
    return anew if processes.sharded() else f"--resume to go on from there, or {anew}"  # FSDP cannot resume
