"""A Trainer that goes on from a checkpoint strictly: what does not fit the model or the options is an error."""

import math
from pathlib import Path

from runtime.checkpoints import load_strictly, read_tensors
from runtime.errors import InputError
from runtime.pickles import load_pickle
from runtime.trainer_state import STATE, advice_on

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

CHOSEN_BY_THE_SCHEDULE = ("lr", "initial_lr")  # of a group of weights; all else is as the options say


class ResumedTrainer(Trainer):
    """transformers' Trainer loads what it finds, and warns or fails with a traceback where it does not fit.

    The checkpoint has passed runtime.trainer_state.check_checkpoint.
    """

    def train(self, resume_from_checkpoint: str | None = None, **more: object) -> object:
        if resume_from_checkpoint is not None:
            checkpoint = Path(resume_from_checkpoint)
            _fitting(checkpoint, lambda: self._check_callbacks(checkpoint))
            self.add_callback(WithinSteps(checkpoint))
            if self.args.logging_steps < 1:  # a share, of which the checkpoint keeps the number of steps: no difference
                self.args.logging_steps = TrainerState.load_from_json(checkpoint / STATE).logging_steps
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **more)

    def _check_callbacks(self, checkpoint):
        """ValueError unless each callback that keeps a state finds it. The batch size may be another: a step on a card with
        less memory takes the same trials in smaller batches."""
        state = TrainerState.load_from_json(checkpoint / STATE)
        keeping = [one for one in (*self.callback_handler.callbacks, self.control) if isinstance(one, ExportableState)]
        for callback in keeping:
            kept = state.stateful_callbacks[type(callback).__name__]["attributes"]
            if callback.state()["attributes"].keys() != kept.keys():
                raise ValueError(f"{STATE}: {sorted(kept)} kept of {type(callback).__name__}")

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        file = Path(resume_from_checkpoint) / "model.safetensors"
        load_strictly(self.accelerator.unwrap_model(model or self.model), read_tensors(file), file)

    def _load_best_model(self):
        self._load_from_checkpoint(self.state.best_model_checkpoint)

    def _load_optimizer_and_scheduler(self, checkpoint):
        if checkpoint is not None:
            _fitting(checkpoint, lambda: self._load_steps(checkpoint))

    def _load_steps(self, checkpoint):
        groups = [_settings(group) for group in self.optimizer.param_groups]
        schedule = _shapes(self.lr_scheduler.state_dict())
        if _shapes(load_pickle(Path(checkpoint) / "scheduler.pt", "--resume")) != schedule:
            raise ValueError("scheduler.pt is of another schedule")
        super()._load_optimizer_and_scheduler(checkpoint)
        if [_settings(group) for group in self.optimizer.param_groups] != groups:
            raise ValueError("optimizer.pt has other settings than the options")
        for weight, state in self.optimizer.state.items():
            for name, value in state.items():
                if isinstance(value, torch.Tensor) and not torch.isfinite(value).all():
                    raise ValueError(f"optimizer.pt: {name} holds NaN or infinite values")
                if name.startswith("exp_avg") and value.shape != weight.shape:
                    raise ValueError(f"optimizer.pt: {name} has shape {tuple(value.shape)}, expected {tuple(weight.shape)}")
        if not all(0 <= group["lr"] < math.inf for group in self.optimizer.param_groups):
            raise ValueError("optimizer.pt has a learning rate that is no number")

    def _load_scaler(self, checkpoint):
        if checkpoint is not None:
            _fitting(checkpoint, lambda: super(ResumedTrainer, self)._load_scaler(checkpoint))

    def _load_rng_state(self, checkpoint):
        if checkpoint is not None:
            _fitting(checkpoint, lambda: super(ResumedTrainer, self)._load_rng_state(checkpoint))


class WithinSteps(TrainerCallback):
    """Refuses a checkpoint of a step that the training does not have."""

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                       **kwargs: object) -> None:
        if state.global_step > state.max_steps:
            raise InputError(f"{self.checkpoint}: is of step {state.global_step}, and the training has {state.max_steps}; "
                             f"{advice_on(self.checkpoint)}")


def _shapes(state):
    """The kind of each value of a state, and the length of lists."""
    return {name: (type(value), len(value) if isinstance(value, list) else None) for name, value in state.items()}


def _settings(group):
    return {name: value for name, value in group.items() if name not in ("params", *CHOSEN_BY_THE_SCHEDULE)}


def _fitting(checkpoint, load):
    """What `load` returns, which puts a part of a checkpoint in place; what does not fit there is an InputError."""
    try:
        return load()
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, OSError, ArithmeticError) as error:
        raise InputError(f"{checkpoint}: does not fit this training ({str(error).strip().splitlines()[0][:200]}); "
                         f"{advice_on(Path(checkpoint))}") from None
