"""Checkpoints of transformers' Trainer, looked at before a training goes on from one: are they whole, and of its form?

Nothing that they hold is executed. Their mark COMPLETE_MARK holds the hashes of their files, but for those of earlier
versions, where it is empty.
"""

from pathlib import Path
from typing import Annotated

from runtime.errors import InputError
from runtime.interrupted import COMPLETE_MARK, step_of
from runtime.pickles import load_pickle
from runtime.runs import content_key, file_hash, read_json, write_json
from runtime.schema import ABSENT, Count, Schema, Text, check

from pydantic import Field

STATE = "trainer_state.json"
NEEDED = (STATE, "optimizer.pt", "scheduler.pt")
PICKLES = ("optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state*.pth")
ANEW = "give --overwrite in place of --resume to start anew"
Steps = Annotated[int, Field(gt=0, lt=2**53)]
Number = Annotated[float, Field(allow_inf_nan=True)]  # a loss may be NaN where a training diverges


class CallbackState(Schema):
    """What a callback of the Trainer keeps; only the counter of early stopping is used again."""

    args: dict[str, object]
    attributes: dict[str, Number | bool]


class TrainerRecord(Schema):
    """trainer_state.json, transformers.TrainerState."""

    global_step: Steps
    max_steps: Steps
    epoch: Annotated[float, Field(ge=0)]
    logging_steps: Annotated[float, Field(gt=0)]
    eval_steps: Annotated[float, Field(gt=0)]
    save_steps: Annotated[float, Field(gt=0)]
    train_batch_size: Steps | None
    num_train_epochs: Count
    log_history: list[dict[str, Number | None]]
    best_metric: Number | None
    best_model_checkpoint: Text | None
    best_global_step: Count | None = ABSENT
    num_input_tokens_seen: Count
    total_flos: Annotated[float, Field(ge=0)]
    stateful_callbacks: dict[str, CallbackState]


def mark_whole(checkpoint: Path) -> None:
    """Mark a checkpoint as complete, once all else in it is written."""
    write_json(checkpoint / COMPLETE_MARK, _hashes(checkpoint, advice_on(checkpoint)))


def check_checkpoint(checkpoint: Path) -> dict:
    """The trainer_state.json of a checkpoint to go on from. InputError where a file of it is missing, damaged or of another
    form, or where the best checkpoint, which it names, is."""
    advice = advice_on(checkpoint)
    _check_files(checkpoint, advice)
    file = checkpoint / STATE
    state = check(TrainerRecord, read_json(file, advice=advice), file, advice)
    if state["global_step"] != step_of(checkpoint) or state["global_step"] > state["max_steps"]:
        raise InputError(f"{file}: is of step {state['global_step']} of {state['max_steps']}, expected step "
                         f"{step_of(checkpoint)} as the folder's name says; {advice}")
    for pattern in PICKLES:
        for path in sorted(checkpoint.glob(pattern)):
            if not isinstance(load_pickle(path, "--resume"), dict):
                raise InputError(f"--resume {path}: holds no dictionary, as the Trainer writes it; {advice}")
    best = best_of(checkpoint, state)
    if best not in (None, checkpoint):
        if not (best / COMPLETE_MARK).is_file() or step_of(best) is None:
            raise InputError(f"{file}: names the best checkpoint {best.name}, which is not there; {ANEW}")
        _check_files(best, ANEW)
    return state


def best_of(checkpoint: Path, state: dict) -> Path | None:
    """The best checkpoint that a trainer_state.json names: it lies beside, be the folder moved or not."""
    return checkpoint.parent / Path(state["best_model_checkpoint"]).name if state["best_model_checkpoint"] else None


def advice_on(checkpoint: Path) -> str:
    """What to do with a checkpoint that is of no use."""
    return f"remove {checkpoint} to go on from the one before it, or {ANEW}"


def _check_files(checkpoint, advice):
    missing = [name for name in NEEDED if not (checkpoint / name).is_file()]
    if missing:
        raise InputError(f"{checkpoint / missing[0]}: not found, so the checkpoint is not whole; {advice}")
    mark = checkpoint / COMPLETE_MARK
    if not mark.stat().st_size:  # of an earlier version
        return
    wanted = check(dict[Text, str], read_json(mark, advice=advice), mark, advice)
    found = _hashes(checkpoint, advice)
    for name, digest in wanted.items():
        if found.get(name) != digest:
            what = "differs from what was written" if name in found else "not found"
            raise InputError(f"{checkpoint / name}: {what} ({COMPLETE_MARK} holds the hashes), so it is damaged; {advice}")


def _hashes(checkpoint, advice):
    """{name: hash} of a checkpoint's files. Where the best one lay does not count, as the folder may be moved."""
    files = {path.relative_to(checkpoint).as_posix(): path for path in sorted(checkpoint.rglob("*"))
             if path.is_file() and path.name != COMPLETE_MARK and not path.name.startswith(".")}
    return {name: content_key(read_json(path, advice=advice) | {"best_model_checkpoint": None}) if name == STATE
            else file_hash(path) for name, path in files.items()}
