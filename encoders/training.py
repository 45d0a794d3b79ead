"""Training of an encoder with transformers' Trainer: objective, augmentation, batches from memory, validation scores."""

import math
import shutil
from pathlib import Path

from runtime import processes, profiler
from runtime.errors import InputError
from runtime.runs import content_key, read_json, write_json

import torch
from torch import nn
from torch.nn import functional as F
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, set_seed

from loss import classification_loss, embedding_loss
from metrics.classification import balanced_accuracy

from .batches import row_batches


class Augmentation(nn.Module):
    """Random changes of training trials [B, C, T] that leave their meaning.

    shift: up to so many samples to and fro in time (what leaves at one end is zero at the other); noise: standard
    deviation of Gaussian noise as a share of each channel's; channel_dropout: share of channels set to zero.
    """

    def __init__(self, shift=0, noise=0.0, channel_dropout=0.0):
        super().__init__()
        self.shift, self.noise, self.channel_dropout = shift, noise, channel_dropout

    def forward(self, eeg):
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
    """An encoder with its loss: weights["embedding"] x embedding losses + weights["class"] x cross-entropy.

    target_variance: mean variance of the training pictures' embeddings over their dimensions; MSE is divided by it, so
    that 1 is the error of always answering the mean, whatever the CLIP model's scale.
    On several processes the embedding losses see the trials of all, so that each has the others' as negatives; the
    cross-entropy, a mean, is averaged with the gradients.
    """

    def __init__(self, encoder, losses, loss_weight, label_smoothing, target_variance, augmentation):
        super().__init__()
        self.encoder, self.augmentation = encoder, augmentation
        self.losses, self.loss_weight, self.label_smoothing = losses, loss_weight, label_smoothing
        self.target_variance = target_variance

    def forward(self, eeg, labels, target, image):
        embedding, logits = self.encoder(self.augmentation(eeg) if self.training else eeg)
        loss = classification_loss(logits, labels, self.label_smoothing if self.training else 0.0)
        everyones = [processes.join(part) for part in (embedding, target, image)]
        for name in self.losses:
            value = embedding_loss(name, *everyones)
            loss = loss + self.loss_weight * (value / self.target_variance if name == "mse" else value)
        return {"loss": loss, "embedding": embedding, "logits": logits}


WHOLE = "whole"  # a file in each checkpoint that was written to its end


class SaveEvery(TrainerCallback):
    """Checkpoints every so many steps besides those after each epoch, to resume from; marks those that are whole, which
    all processes have written to."""

    def __init__(self, steps):
        self.steps = steps

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step % self.steps == 0:
            control.should_save = True

    def on_save(self, args, state, control, **kwargs):
        processes.wait()
        if processes.is_main():
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / WHOLE).touch()


class OwnChance(TrainerCallback):
    """On several processes each draws its own augmentation, dropout and masks, where one seed would give all the same."""

    def on_train_begin(self, args, state, control, **kwargs):
        if not processes.is_main():
            set_seed((args.seed + processes.index()) % 2**32)


class ProfileSteps(TrainerCallback):
    """Tells the profiler where training steps end."""

    def on_step_end(self, args, state, control, **kwargs):
        profiler.step("training step")


def place(eeg, rows, arguments):
    """The trials `rows` (positions [n]) of a MappedEEG, from 0 to n, from where training picks its batches; says where.

    They lie in the memory of the CUDA device of `arguments` (TrainingArguments) if half of what is free takes them. Else
    they stay on disk, of which the system keeps in memory what it can, and are read a batch at a time.
    """
    shape = (len(rows), *eeg.shape[1:])
    told, size = f"{shape[0]} trials of {shape[1]} channels x {shape[2]} samples", 4 * math.prod(shape)
    if arguments.device.type == "cuda" and size <= torch.cuda.mem_get_info(arguments.device)[0] / 2:
        placed = torch.empty(shape, device=arguments.device)
        for part in row_batches(placed):
            placed[part] = eeg[rows[part]].to(arguments.device)
        arguments.dataloader_pin_memory = False  # batches are on the device already
        print(f"{told} lie in the memory of {arguments.device} ({size / 1e9:.1f} GB)")
        return placed
    print(f"{told} are read from disk a batch at a time ({size / 1e9:.1f} GB)")
    return eeg.take(rows)


def gather(tensors):
    """A collate function that picks rows of what rows index: [row, ...] -> {"name": tensor[rows]}."""
    return lambda rows: {name: tensor[torch.as_tensor(rows)] for name, tensor in tensors.items()}


def validation_scores(prediction):
    """Scores of a validation pass.

    accuracy, balanced_accuracy; embedding_r: mean over trials of the correlation between true and decoded embedding,
    each centred over the trials (0 by chance, 1 at best, blind to scale); score: balanced_accuracy + embedding_r.
    """
    (embedding, logits), (labels, target) = prediction.predictions, prediction.label_ids
    embedding, target = (torch.as_tensor(x).float() for x in (embedding, target))
    embedding_r = F.cosine_similarity(embedding - embedding.mean(0), target - target.mean(0)).mean().item()
    predicted = logits.argmax(1)
    balanced = balanced_accuracy(labels, predicted)
    return {"accuracy": float((predicted == labels).mean()), "balanced_accuracy": balanced,
            "embedding_r": embedding_r, "score": balanced + embedding_r}


def fit(module, collate, rows, arguments, *, options_key, save_every, resume=False, patience=0, compute_metrics=None):
    """Train `module` (its forward returns {"loss": ...}) on rows["train"]; leave in it the best epoch by rows["val"].

    collate: rows -> keyword arguments of forward. arguments: TrainingArguments whose output_dir takes checkpoints while
    training lasts, one every epoch and every `save_every` steps; `resume` goes on from the newest, which must have been
    made with the same `options_key`. patience: epochs without a better validation that end training (0: none do).
    Returns the Trainer's log.
    """
    folder = Path(arguments.output_dir)
    checkpoint = checkpoint_of(folder, options_key, resume)
    if resume and checkpoint is None:
        raise InputError(f"--resume: no checkpoint under {folder}; run without --resume (a finished run keeps none)")
    trainer = Trainer(
        model=with_common_statistics(module, arguments.device), args=arguments, data_collator=collate,
        train_dataset=rows["train"].tolist(), eval_dataset=rows["val"].tolist(), compute_metrics=compute_metrics,
        callbacks=[SaveEvery(save_every)] + ([EarlyStoppingCallback(patience)] if patience else []))
    return train(trainer, checkpoint)


def with_common_statistics(module, device):
    """The module with batch norms that see the trials of all processes, where there are several."""
    if processes.count() == 1 or not any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules()):
        return module
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    print("note: on a CPU the batch norm sees each process's own trials of a batch, as PyTorch joins them on CUDA only; "
          f"the encoder is another than that of one process with {processes.count()} times the --batch_size")
    return module


def train(trainer, checkpoint=None):
    """Run a Trainer to its end, drop its checkpoints and return its log; diverged training is an InputError."""
    trainer.add_callback(OwnChance)
    trainer.add_callback(ProfileSteps)
    try:
        trainer.create_optimizer_and_scheduler(2)
    except (ValueError, TypeError, ImportError, NotImplementedError, RuntimeError) as error:
        optim, schedule = trainer.args.optim.value, trainer.args.lr_scheduler_type.value
        raise InputError(f"--optim {optim} or --lr_scheduler_type {schedule}: cannot be used "
                         f"({str(error).splitlines()[0][:200]})") from None
    trainer.optimizer = trainer.lr_scheduler = None  # made again with the real number of steps
    trainer.train(resume_from_checkpoint=checkpoint)
    if not all(math.isfinite(entry.get("eval_loss", 0)) for entry in trainer.state.log_history):
        raise InputError(f"training diverged: the validation loss is not finite at --learning_rate "
                         f"{trainer.args.learning_rate:g}; lower it")
    processes.wait()  # the others may still read the best weights
    if processes.is_main():
        shutil.rmtree(trainer.args.output_dir)
    return trainer.state.log_history


def checkpoint_of(folder, options_key, resume):
    """The newest checkpoint to resume from, or None; without `resume` the folder is emptied for a new run.

    A checkpoint that was made with another `options_key`, or on another number of processes, is an InputError.
    """
    if processes.count() > 1:  # steps and each process's random state are those of this number
        options_key = [options_key, processes.count()]
    return processes.from_main(_checkpoint_of, Path(folder), content_key(options_key), resume)


def _checkpoint_of(folder, key, resume):
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "key.json").is_file():
        raise InputError(f"{folder}: holds files that no training here wrote; move them or choose another --output")
    if not resume and folder.is_dir():
        shutil.rmtree(folder)
    whole = [path.parent for path in folder.glob(f"checkpoint-*/{WHOLE}")]  # one cut short by a kill has no mark
    checkpoint = str(max(whole, key=lambda path: int(path.name.split("-")[1]))) if whole else None
    if checkpoint is not None and read_json(folder / "key.json", str) != key:
        raise InputError(f"--resume: the checkpoints under {folder} were made with other options or data, or on another "
                         "number of processes; give the same or run without --resume")
    write_json(folder / "key.json", key)
    return checkpoint
