"""One stage of training a captioner with transformers' Trainer, and the reuse of stage 2."""

import contextlib
import hashlib
from functools import partial
from pathlib import Path

from runtime import processes
from runtime.atomic_files import atomic_folder, remove_folder
from runtime.checkpoint_files import check_files, written_files
from runtime.model_files import model_identity, model_key
from runtime.options import Options
from runtime.runs import cache_dir, content_key, read_json, write_record
from runtime.trainer_arguments import checkpointing, training_arguments

import torch
from torch import nn
from transformers import (
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from captioning.smaller_batches import fit_by_halving
from datautils import CaptionDataset, collate
from encoders.resumed_trainer import ResumedTrainer
from encoders.targets import mean_and_scale
from encoders.training import SaveEvery, checkpoint_of, train
from language_model import sharding
from language_model.compiled import eager
from language_model.positions import check_length
from language_model.prompt_date import keep_date
from language_model.prompts import choose_template, instruction_of, pad_id, render
from language_model.special_tokens import check_ends, end_id, token_count
from language_model.training_plan import Plan
from model import EEGModelForCausalLM


class CaptionTrainer(ResumedTrainer):
    """A Trainer whose checkpoints hold only what is trained (projector, adapter), and whose projector has its own learning
    rate."""

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        if self.is_fsdp_enabled:
            sharding.prepare(self, self.model)
        projector, rest = [], []
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                (projector if "projector." in name else rest).append(parameter)
        make, arguments = self.get_optimizer_cls_and_kwargs(self.args, self.model)
        groups = [{"params": projector, "lr": self.projector_learning_rate}, {"params": rest}]
        groups = [group for group in groups if group["params"]]
        self.optimizer = make(groups, weight_decay=self.args.weight_decay, **arguments)
        return self.optimizer

    def _get_train_sampler(self, train_dataset=None):
        if not self.by_length:
            return super()._get_train_sampler(train_dataset)
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps * processes.count()
        return SimilarLengths(self.train_dataset.lengths, batch, self.args.seed)

    def _get_eval_sampler(self, eval_dataset):  # longest first, so that a lack of memory shows at once
        return sorted(range(len(eval_dataset)), key=lambda i: -eval_dataset.lengths[i])

    def prediction_step(self, model: nn.Module, inputs: dict, prediction_loss_only: bool,
                        ignore_keys: list[str] | None = None) -> tuple[torch.Tensor, None, None]:
        """The loss of a validation batch. It is scaled so that the mean over examples, which the Trainer takes, is the mean
        over all caption tokens for any batch size. No logits are kept."""
        inputs = self._prepare_inputs(inputs)
        tokens = self.eval_dataset.caption_tokens / len(self.eval_dataset) * len(inputs["input_ids"])
        with torch.no_grad(), self.compute_loss_context_manager():
            return model(**inputs, num_items_in_batch=tokens)["loss"], None, None

    def evaluate(self, *args: object, **more: object) -> dict[str, float]:
        with self.accelerator.unwrap_model(self.model).prefix.evaluation(), eager():
            return super().evaluate(*args, **more)

    def _save(self, output_dir=None, state_dict=None):
        self.accelerator.unwrap_model(self.model).save_trainable(output_dir or self.args.output_dir)

    def compute_loss_context_manager(self) -> contextlib.ExitStack:
        contexts = super().compute_loss_context_manager()
        if self.is_fsdp_enabled and self.args.bf16:  # which accelerate sees to for one process
            contexts.enter_context(torch.autocast(self.args.device.type, torch.bfloat16))
        return contexts

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        if self.is_fsdp_enabled:
            self._save(output_dir)  # in all processes, which gather the weights for the first
        else:
            super().save_model(output_dir, _internal_call)

    def _save_optimizer_and_scheduler(self, output_dir):
        if not self.is_fsdp_enabled:  # it would write the whole LLM into each checkpoint
            super()._save_optimizer_and_scheduler(output_dir)

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        self.accelerator.unwrap_model(model or self.model).load_trainable(resume_from_checkpoint)


def without_casts(llm: nn.Module, active: bool) -> contextlib.AbstractContextManager:
    """A context in which an adapter takes its input as it is. Autocast casts input and float32 weights for the product;
    without this, peft would first cast the input of each adapter to float32."""
    from peft.helpers import disable_input_dtype_casting

    return disable_input_dtype_casting(llm, active)


class DrawByEpoch(TrainerCallback):
    """Tells the examples which epoch it is, as they draw captions and prompts by it (CaptionDataset.epoch)."""

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                       train_dataloader: torch.utils.data.DataLoader | None = None, **kwargs: object) -> None:
        train_dataloader.dataset.epoch = int(state.epoch or 0)  # a fraction where training resumes within an epoch


class SimilarLengths(torch.utils.data.Sampler):
    """A new order in each epoch in which each `batch` of neighbours is of similar length, and batches come in any order.

    Examples of similar length are put together within stretches of STRETCH batches that are drawn at random. transformers'
    LengthGroupedSampler gives such a stretch from long to short, so a small data set would be learned in that order.
    """

    STRETCH = 50

    def __init__(self, lengths: list[int], batch: int, seed: int):
        self.lengths, self.batch, self.seed, self.epoch = lengths, batch, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self):
        return len(self.lengths)

    def __iter__(self):
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order, size = torch.randperm(len(self), generator=generator).tolist(), self.batch * self.STRETCH
        order = [i for start in range(0, len(order), size)
                 for i in sorted(order[start:start + size], key=self.lengths.__getitem__)]
        batches = [order[start:start + self.batch] for start in range(0, len(order), self.batch)]
        for number in torch.randperm(len(self) // self.batch, generator=generator).tolist():
            yield from batches[number]
        yield from order[len(self) // self.batch * self.batch:]  # the rest, less than a batch, comes last


class Stage:
    """Trains one model in turn on picture and on EEG embeddings.

    args: the options of finetune_llm.py; plan: how they are made to fit the memory; date: that in the prompts, if any.
    """

    def __init__(self, model: EEGModelForCausalLM, tokenizer: PreTrainedTokenizerBase, args: Options, plan: Plan,
                 device: str, date: str | None = None):
        self.model, self.tokenizer, self.args, self.plan, self.device = model, tokenizer, args, plan, device
        self.date = date
        self.template = choose_template(tokenizer, args.prompt_template)
        check_ends(tokenizer, self.template, model.base_llm())
        self.token_count = token_count(model.base_llm())
        self.llm = model_identity(args.llm_backbone_name_or_path)
        self.before = None  # the key of the stage whose weights the next one starts from

    def dataset(self, embeddings: torch.Tensor, labels: list[str | None], captions: list, exemplars: list[tuple[str, ...]],
                training: bool) -> CaptionDataset:
        """Examples of one part; in training, class names and embeddings are left out of some prompts."""
        drawn = {"label_dropout": self.args.label_dropout, "embedding_dropout": self.args.embedding_dropout,
                 "seed": self.args.seed}
        instruction = instruction_of(self.args.prompt_type)
        dataset = CaptionDataset(self.tokenizer, self.template, instruction, embeddings.cpu(), labels, captions,
                                 self.args.max_caption_tokens, token_count=self.token_count, exemplars=exemplars,
                                 **drawn if training else {})
        check_length(self.model.base_llm(), max(dataset.lengths, default=0) + self.model.config.soft_tokens,
                     "prompts with their captions", f"give a smaller --max_caption_tokens (now "
                     f"{self.args.max_caption_tokens}), fewer --exemplars (now {self.args.exemplars}), or another LLM")
        return dataset

    def run(self, modality: str, embeddings: dict, labels: dict, exemplars: dict, captions: dict, epochs: float,
            folder: Path, statistics: tuple[torch.Tensor, float] | None = None) -> list[dict]:
        """Train on {"train", "val"} embeddings [n, E], class names or what stands for them, exemplars and captions; returns
        the trainer's log.

        captions: a text or a list of texts for each example. statistics: mean [E] and scale that the projector standardises
        the embeddings by; None: those of the training part. The weights of the evaluation with the lowest validation loss
        are kept.
        """
        statistics = statistics or mean_and_scale(embeddings["train"])
        self.model.projector.set_statistics(modality, *statistics)
        key = self.key(modality, exemplars, embeddings, labels, captions, epochs, *statistics)
        self.plan, log = fit_by_halving(self.plan, self.model, lambda plan, again: self._train(
            plan, key, self.args.resume or again, modality, embeddings, labels, exemplars, captions, epochs, folder))
        self.before = key
        return log

    def _train(self, plan, key, resume, modality, embeddings, labels, exemplars, captions, epochs, folder):
        arguments = training_arguments(
            self.args, self.device, folder, num_train_epochs=epochs,
            load_best_model_at_end=True, metric_for_best_model="loss", **checkpointing(plan.checkpointing),
            per_device_train_batch_size=plan.batch_size, per_device_eval_batch_size=plan.evaluation or plan.batch_size,
            gradient_accumulation_steps=plan.accumulation, bf16=plan.half == "bf16", fp16=plan.half == "fp16")
        train_set, val_set = (self.dataset(embeddings[part], labels[part], captions[part], exemplars[part], part == "train")
                              for part in ("train", "val"))
        batches = partial(collate, soft_tokens=self.model.config.soft_tokens,
                          pad_id=pad_id(self.tokenizer, self.token_count),
                          prefix=min(train_set.prefix, val_set.prefix, key=len))
        trainer = CaptionTrainer(
            model=self.model, args=arguments, data_collator=lambda rows: {**batches(rows), "modality": modality},
            train_dataset=train_set, eval_dataset=val_set, callbacks=[SaveEvery(self.args.save_steps), DrawByEpoch])
        trainer.by_length = self.args.group_by_length
        trainer.projector_learning_rate = self.args.projector_learning_rate
        print(f"stage {2 if modality == 'image' else 3}: {len(labels['train'])} examples, "
              f"{sum(p.numel() for p in self.model.parameters() if p.requires_grad):,} trained parameters on {self.device}")
        for part, examples in (("training", train_set), ("validation", val_set)):
            if examples.cut:
                print(f"note: --max_caption_tokens {self.args.max_caption_tokens}: {examples.cut} of the {part} captions "
                      "are longer; they are cut, and no end is taught there")
        checkpoint = checkpoint_of(folder, key, resume, self.args.overwrite)
        if self.args.resume and checkpoint is None:
            print(f"note: --resume: no checkpoint under {folder}, so this stage starts from its beginning")
        keep_date(self.date, folder.parent)
        with without_casts(self.model.llm, active=plan.half is not None):
            return train(trainer, checkpoint)

    def key(self, modality: str, exemplars: dict, *content: object) -> str:
        """What the result of a stage depends on, to recognise one that was made before: what was asked for and the data,
        never the memory that happened to be free."""
        if any(map(any, exemplars.values())):  # without, it is the key that earlier versions made
            content = (*content, exemplars)
        part = "stage2" if modality == "image" else "stage3"
        texts = [render(self.tokenizer, self.template, instruction_of(self.args.prompt_type)),
                 end_id(self.tokenizer, self.template)]
        return content_key([self.before, self.args.asked(part), model_key(self.llm), texts, modality,
                            [_tensor_keys(value) for value in content]])

    def reuse_or_run(self, embeddings: dict, labels: dict, exemplars: dict, captions: dict, epochs: float,
                     clip: str) -> list[dict]:
        """Stage 2, or its kept result when everything that it depends on is the same. clip: key of the CLIP model."""
        key = self.key("image", exemplars, embeddings, labels, captions, clip, epochs)
        root = Path(self.args.saved_pretrained_model_path or cache_dir(self.args.cache_dir) / "stage2")
        folder = root / f"{Path(self.args.llm_backbone_name_or_path).name}-{key}"
        folder, made = processes.from_main(lambda: (folder, (folder / "stage2.json").is_file()))
        if made:
            print(f"stage 2: made before with the same options and data, taken from {folder}")
            self.model.load_trainable(folder)
            log = kept_log(folder)
        else:
            checkpoints = Path(self.args.output) / "checkpoints" / "stage2"
            log = self.run("image", embeddings, labels, exemplars, captions, epochs, checkpoints)
            if not (folder / "stage2.json").is_file():
                remove_folder(folder)  # of an earlier version that was killed here
            with atomic_folder(folder) as kept:  # another run with the same stage 2 may be about to write it, too
                self.model.save_trainable(kept)
                write_record(kept / "stage2.json", {"log": log, "files": written_files(kept)})
            remove_folder(checkpoints)
        self.before = key
        return log


def kept_log(folder: Path) -> list[dict]:
    """The log of a kept stage 2, whose files are compared with their hashes; an earlier version kept the log alone."""
    kept = read_json(folder / "stage2.json", object)
    if isinstance(kept, list):
        return kept
    check_files(folder, kept, "stage2.json", "remove the folder, so that stage 2 is trained again")
    return kept["log"]


def _tensor_keys(content):
    """Content with each tensor replaced by a hash of its values."""
    if isinstance(content, dict):
        return {name: _tensor_keys(value) for name, value in content.items()}
    return hashlib.sha256(content.cpu().numpy().tobytes()).hexdigest() if hasattr(content, "numpy") else content
