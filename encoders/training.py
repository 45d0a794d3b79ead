"""Training of an encoder with transformers' Trainer: objective, augmentation, batches from memory, validation scores."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from runtime import processes, profiler
from runtime.atomic_files import remove_folder
from runtime.draws import seed_of
from runtime.errors import InputError
from runtime.interrupted import check_not_lost, complete_checkpoints, drop_old, how_to_go_on, step_of
from runtime.runs import content_key, read_json, write_json
from runtime.trainer_state import STATE, best_of, check_checkpoint, mark_whole

import torch
from torch import nn
from torch.nn import functional as F
from transformers import (
    EarlyStoppingCallback,
    EvalPrediction,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.trainer_utils import SchedulerType

from eegdata.dataset_folder import MappedEEG
from loss import classification_loss, embedding_loss
from metrics.classification import average_precision, balanced_accuracy

from .batches import row_batches
from .progress import Progress
from .resumed_trainer import ResumedTrainer
from .target_blur import BlurredTargets


class Augmentation(nn.Module):
    """Random changes of training trials [B, C, T] that keep their meaning.

    shift: largest shift in time in samples, in either direction; samples that enter are zero. noise: standard deviation of
    Gaussian noise, relative to that of each channel. channel_dropout: probability that a channel is set to zero.
    """

    def __init__(self, shift: int = 0, noise: float = 0.0, channel_dropout: float = 0.0) -> None:
        super().__init__()
        self.shift, self.noise, self.channel_dropout = shift, noise, channel_dropout

    def forward(self, eeg: torch.Tensor) -> torch.Tensor:
        if self.shift:
            samples = eeg.shape[-1]
            start = torch.randint(2 * self.shift + 1, (len(eeg), 1, 1), device=eeg.device)
            index = start + torch.arange(samples, device=eeg.device)
            eeg = F.pad(eeg, (self.shift, self.shift)).gather(2, index.expand(eeg.shape))
        if self.noise:
            eeg = eeg + self.noise * eeg.std((0, 2), keepdim=True) * torch.randn_like(eeg)
        if self.channel_dropout:
            eeg = eeg * (torch.rand(eeg.shape[:2], device=eeg.device) >= self.channel_dropout)[:, :, None]
        return eeg


class EncoderObjective(nn.Module):
    """An encoder with its loss: cross-entropy (loss.classification_loss) + loss_weight x the sum of the embedding losses,
    named in `losses`.

    Embeddings and targets are standardised (encoders/targets.py), so predicting the mean picture costs an MSE of 1,
    whatever the CLIP model. The other losses depend on directions from the CLIP model's own origin; mean [E] is the mean
    picture as seen from there, divided by the targets' scale.
    On several processes the embedding losses see the trials of all processes, so that each trial has the others as
    negatives. The cross-entropy is a mean, so averaging its gradients is enough. average: what is evaluated in place of the
    encoder (encoders/averaging.py). class_weights [K]: of the cross-entropy; None: 1. softness: of loss.infonce. blurred:
    takes the place of the targets in training.
    """

    def __init__(self, encoder: nn.Module, losses: list[str], loss_weight: float, label_smoothing: float,
                 mean: torch.Tensor, augmentation: Augmentation, average: nn.Module | None = None,
                 class_weights: torch.Tensor | None = None, softness: float = 0.0,
                 blurred: BlurredTargets | None = None) -> None:
        super().__init__()
        self.encoder, self.augmentation, self.average = encoder, augmentation, average
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.losses, self.loss_weight, self.label_smoothing = losses, loss_weight, label_smoothing
        self.softness, self.blurred = softness, blurred
        self.register_buffer("mean", mean, persistent=False)

    def forward(self, eeg: torch.Tensor, labels: torch.Tensor, target: torch.Tensor,
                image: torch.Tensor) -> dict[str, torch.Tensor]:
        """eeg [B, C, T], labels [B] or [B, K], target [B, E], image [B] (loss.py) -> loss, embedding [B, E], logits [B,
        K]."""
        encoder = self.encoder if self.training or self.average is None else self.average
        embedding, logits = encoder(self.augmentation(eeg) if self.training else eeg)
        loss = classification_loss(logits, labels, self.label_smoothing if self.training else 0.0, self.class_weights)
        if self.training and self.blurred is not None:
            target = self.blurred(embedding, image)
        if self.loss_weight:
            of_all_processes = [processes.join(tensor) for tensor in (embedding + self.mean, target + self.mean, image)]
            loss = loss + self.loss_weight * sum(embedding_loss(name, *of_all_processes, self.softness)
                                                 for name in self.losses)
        return {"loss": loss, "embedding": embedding, "logits": logits}


class SaveEvery(TrainerCallback):
    """Writes a checkpoint to resume from every `steps` steps, in addition to those after each epoch.

    None is written at the last step of an epoch: that after the epoch follows, and one without the epoch's evaluation would
    resume without it. Each checkpoint is marked as complete once all processes have written their part.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        is_last = state.global_step >= state.max_steps or state.epoch == int(state.epoch)
        if state.global_step % self.steps == 0 and not is_last:
            control.should_save = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        processes.wait()
        if processes.is_main():
            mark_whole(Path(args.output_dir) / f"checkpoint-{state.global_step}")
            drop_old(args.output_dir, state.best_model_checkpoint)


class SeedEachStep(TrainerCallback):
    """Seeds augmentation, dropout and masks by (seed, step, process): a resumed training draws as an uninterrupted one, and
    each process draws its own."""

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                      **kwargs: object) -> None:
        torch.manual_seed(seed_of(args.seed, state.global_step, processes.index()))


class StepsToDecay(TrainerCallback):
    """Refuses a training that is all warm-up by transformers' polynomial schedule, which divides by the steps after it."""

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                       **kwargs: object) -> None:
        if args.lr_scheduler_type == SchedulerType.POLYNOMIAL and args.get_warmup_steps(state.max_steps) >= state.max_steps:
            raise InputError(f"--lr_scheduler_type polynomial: needs a step after the warm-up, which takes all "
                             f"{state.max_steps} of this training; give a smaller --warmup_ratio, or linear")


class Patience(EarlyStoppingCallback):
    """Early stopping that goes on counting when a training is resumed."""

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                       **kwargs: object) -> None:
        super().on_train_begin(args, state, control, **kwargs)
        kept = state.stateful_callbacks[type(self).__name__]
        self.early_stopping_patience_counter = kept["attributes"]["early_stopping_patience_counter"]


class ProfileSteps(TrainerCallback):
    """Tells the profiler where training steps end."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        profiler.step("training step")


def place(eeg: MappedEEG, rows: torch.Tensor, arguments: TrainingArguments) -> torch.Tensor | MappedEEG:
    """The trials `rows` (positions [n]), numbered from 0, in the place that training reads batches from; prints which.

    That is the memory of a CUDA device if they fill at most half of what is free there. Otherwise they stay on disk and are
    read a batch at a time; the operating system caches what it can.
    """
    shape = (len(rows), *eeg.shape[1:])
    size = 4 * math.prod(shape)  # bytes
    described = f"{shape[0]} trials of {shape[1]} channels x {shape[2]} samples"
    if arguments.device.type == "cuda" and size <= torch.cuda.mem_get_info(arguments.device)[0] / 2:
        placed = torch.empty(shape, device=arguments.device)
        for part in row_batches(placed):
            placed[part] = eeg[rows[part]].to(arguments.device)
        arguments.dataloader_pin_memory = False  # batches are on the device already
        print(f"{described} are kept in the memory of {arguments.device} ({size / 1e9:.1f} GB)")
        return placed
    print(f"{described} are read from disk a batch at a time ({size / 1e9:.1f} GB)")
    return eeg.take(rows)


def gather(tensors: dict[str, torch.Tensor | MappedEEG]) -> Callable[[list[int]], dict[str, torch.Tensor]]:
    """A collate function that takes a batch's rows of each tensor: [row, ...] -> {"name": tensor[rows]}."""
    return lambda rows: {name: tensor[torch.as_tensor(rows)] for name, tensor in tensors.items()}


def validation_scores(prediction: EvalPrediction) -> dict[str, float]:
    """Scores of a validation pass.

    accuracy, balanced_accuracy, or average_precision where pictures have several classes; embedding_r: mean over trials of
    the correlation between true and predicted embedding, each centred over the trials (0 by chance, 1 at best, independent
    of scale); score: the second and third together, or embedding_r alone without classes.
    """
    (embedding, logits), (labels, target) = prediction.predictions, prediction.label_ids
    embedding, target = (torch.as_tensor(x).float() for x in (embedding, target))
    embedding_r = F.cosine_similarity(embedding - embedding.mean(0), target - target.mean(0)).mean().item()
    if labels.ndim == 2:
        precision = average_precision(labels, logits) if labels.any() else 0.0
        return {"average_precision": precision, "embedding_r": embedding_r, "score": precision + embedding_r}
    predicted = logits.argmax(1)
    balanced = balanced_accuracy(labels, predicted)
    return {"accuracy": float((predicted == labels).mean()), "balanced_accuracy": balanced,
            "embedding_r": embedding_r, "score": balanced + embedding_r}


def fit(module: nn.Module, collate: Callable, rows: dict[str, torch.Tensor], arguments: TrainingArguments, *,
        options_key: object, save_every: int, resume: bool = False, overwrite: bool = False, patience: int = 0,
        compute_metrics: Callable | None = None, callbacks: Sequence[TrainerCallback] = ()) -> list[dict]:
    """Train `module` (its forward returns {"loss": ...}) on rows["train"]; it keeps the best epoch by rows["val"], unless
    the arguments say to keep the last.

    collate: rows -> keyword arguments of forward. arguments: their output_dir holds checkpoints during training, one after
    each epoch and after every `save_every` steps. resume: continue from the newest checkpoint, which must have been made
    with the same `options_key`. overwrite: delete the checkpoints of an interrupted training. patience: stop after this
    many epochs without improvement (0: never). Returns the log of the Trainer.
    """
    folder = Path(arguments.output_dir)
    checkpoint = checkpoint_of(folder, options_key, resume, overwrite)
    if resume and checkpoint is None:
        raise InputError(f"--resume: no checkpoint under {folder}; run without --resume (a finished run keeps none)")
    trainer = ResumedTrainer(
        model=with_synchronized_batch_norm(module, arguments.device), args=arguments, data_collator=collate,
        train_dataset=rows["train"].tolist(), eval_dataset=rows["val"].tolist(), compute_metrics=compute_metrics,
        callbacks=[*callbacks, SaveEvery(save_every)] + ([Patience(patience)] if patience else []))
    return train(trainer, checkpoint)


def with_synchronized_batch_norm(module: nn.Module, device: torch.device) -> nn.Module:
    """The module; with several processes its batch norms use the trials of all processes."""
    if processes.count() == 1 or not any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules()):
        return module
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    print("note: PyTorch synchronises batch norm on CUDA only, so on a CPU each process normalises by its own trials; the "
          f"result differs from that of one process with {processes.count()} times the --batch_size")
    return module


def train(trainer: Trainer, checkpoint: str | None = None) -> list[dict]:
    """Run a Trainer and return its log. Its checkpoints stay until the caller has saved the result, and removes them.

    Training that diverges is an InputError.
    """
    for callback in (PrinterCallback, ProgressCallback):
        trainer.pop_callback(callback)
    trainer.add_callback(Progress)
    trainer.add_callback(SeedEachStep)
    trainer.add_callback(StepsToDecay)
    trainer.add_callback(ProfileSteps)
    try:
        trainer.create_optimizer_and_scheduler(2)
    except (ValueError, TypeError, ImportError, NotImplementedError, RuntimeError) as error:
        optim, schedule = trainer.args.optim.value, trainer.args.lr_scheduler_type.value
        raise InputError(f"--optim {optim} or --lr_scheduler_type {schedule}: cannot be used "
                         f"({str(error).splitlines()[0][:200]})") from None
    trainer.optimizer = trainer.lr_scheduler = None  # made again with the real number of steps
    try:
        trainer.train(resume_from_checkpoint=checkpoint)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(how_to_go_on(trainer.args.output_dir)) from None
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):  # PyTorch's words
            raise
        raise InputError(f"--batch_size {trainer.args.per_device_train_batch_size}: makes a batch of one trial of the "
                         f"{len(trainer.train_dataset)} in training, and the batch norm of this encoder needs two; give "
                         "another number") from None
    processes.wait()  # the others may still read the best weights
    if not all(math.isfinite(entry.get("eval_loss", 0)) for entry in trainer.state.log_history):
        remove_folder(trainer.args.output_dir)  # of no use to anybody
        raise InputError(f"training diverged: the validation loss is not finite with --learning_rate "
                         f"{trainer.args.learning_rate:g}; lower it")
    return trainer.state.log_history


def checkpoint_of(folder: str | Path, options_key: object, resume: bool, overwrite: bool = False) -> str | None:
    """The newest checkpoint to resume from, or None; without `resume` the folder is emptied for a new run.

    A checkpoint that was made with another `options_key`, or with another number of processes, is an InputError. So is one
    that would be lost, without `overwrite`.
    """
    if processes.count() > 1:  # steps and random states depend on this number
        options_key = [options_key, processes.count()]
    return processes.from_main(_checkpoint_of, Path(folder), content_key(options_key), resume, overwrite)


def _checkpoint_of(folder, key, resume, overwrite):
    known = (folder / "key.json").is_file()
    if folder.is_dir() and not known and any(step_of(path) is None and not path.name.startswith(".")
                                             for path in folder.iterdir()):
        raise InputError(f"{folder}: holds files that this program did not write; move them or choose another --output")
    check_not_lost(folder, resume, overwrite)
    if not (resume and known):  # without its key a checkpoint is what is left of a deletion
        remove_folder(folder)
    complete = complete_checkpoints(folder)
    checkpoint = str(complete[-1]) if complete else None
    if checkpoint is not None and read_json(folder / "key.json", str) != key:
        raise InputError(f"--resume: the checkpoints under {folder} were made with other options or data, or with another "
                         "number of processes; give the same, or --overwrite in place of --resume to delete them and start "
                         "anew")
    write_json(folder / "key.json", key)
    if checkpoint is not None:
        _find_the_best(Path(checkpoint))
    return checkpoint


def _find_the_best(checkpoint):
    """Check a checkpoint, and let it name the best one beside it, be the folder moved or not."""
    state = check_checkpoint(checkpoint)
    best = best_of(checkpoint, state)
    if best:
        write_json(checkpoint / STATE, state | {"best_model_checkpoint": str(best)})
