"""One stage of captioner training with transformers' Trainer, and stage 2's reuse."""

import hashlib
from functools import partial
from pathlib import Path

import torch

import torchvision_cpu  # noqa: F401
from transformers import Trainer
from transformers.trainer_pt_utils import LengthGroupedSampler

import options
from datautils import CaptionDataset, collate
from encoders.training import SaveEvery, checkpoint_of, train
from prompts import choose_template, instruction_of, pad_id
from runs import cache_dir, content_key, read_json, write_json

# Options that do not change what stage 2 learns.
WITHOUT_EFFECT = {
    "output", "saved_pretrained_model_path", "cache_dir", "resume", "report_to", "logging_steps", "save_steps",
    "save_every",
    "num_epochs_eeg", "train_label", "no_stage3", "eeg_dataset", "splits_path", "image_dir", "eeg_encoder_path", "time_low",
    "time_high", "split_num", "subject", "splits_index"}


class CaptionTrainer(Trainer):
    """Checkpoints hold what is trained (projector, adapter) and the projector has its own learning rate."""

    def create_optimizer(self, model=None):
        projector, rest = [], []
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                (projector if "projector." in name else rest).append(parameter)
        make, arguments = self.get_optimizer_cls_and_kwargs(self.args, self.model)
        groups = [{"params": projector, "lr": self.projector_learning_rate}] + ([{"params": rest}] if rest else [])
        self.optimizer = make(groups, weight_decay=self.args.weight_decay, **arguments)
        return self.optimizer

    def _get_train_sampler(self, train_dataset=None):
        if not self.lengths:
            return super()._get_train_sampler(train_dataset)
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return LengthGroupedSampler(batch, lengths=self.lengths, generator=torch.Generator().manual_seed(self.args.seed))

    def _save(self, output_dir=None, state_dict=None):
        self.accelerator.unwrap_model(self.model).save_trainable(output_dir or self.args.output_dir)

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        self.accelerator.unwrap_model(model or self.model).load_trainable(resume_from_checkpoint)

    def _load_best_model(self):
        self._load_from_checkpoint(self.state.best_model_checkpoint)


class Stage:
    """Trains one model in turn on picture and on EEG embeddings."""

    def __init__(self, model, tokenizer, args, device):
        self.model, self.tokenizer, self.args, self.device = model, tokenizer, args, device
        self.template = choose_template(tokenizer, args.prompt_template)

    def dataset(self, embeddings, labels, captions, training):
        dropout = {"label_dropout": self.args.label_dropout, "embedding_dropout": self.args.embedding_dropout}
        instruction = instruction_of(self.args.prompt_type)
        return CaptionDataset(self.tokenizer, self.template, instruction, embeddings.cpu(), labels, captions,
                              self.args.max_caption_tokens, **dropout if training else {})

    def run(self, modality, embeddings, labels, captions, epochs, folder):
        """Train on {"train", "val"} embeddings [n, E], class names and captions; returns the trainer's log.

        captions: a text or a list of texts an example.
        The weights of the evaluation with the lowest validation loss are kept.
        """
        self.model.projector.set_statistics(modality, embeddings["train"].to(self.device))
        batches = partial(collate, soft_tokens=self.model.config.soft_tokens, pad_id=pad_id(self.tokenizer))
        arguments = options.training_arguments(
            self.args, self.device, folder, num_train_epochs=epochs, eval_strategy="epoch", save_strategy="epoch",
            load_best_model_at_end=True, metric_for_best_model="loss",
            gradient_checkpointing=self.args.gradient_checkpointing)
        trainer = CaptionTrainer(
            model=self.model, args=arguments, data_collator=lambda rows: {**batches(rows), "modality": modality},
            train_dataset=self.dataset(embeddings["train"], labels["train"], captions["train"], training=True),
            eval_dataset=self.dataset(embeddings["val"], labels["val"], captions["val"], training=False),
            callbacks=[SaveEvery(self.args.save_steps)])
        trainer.lengths = self.args.group_by_length and [max(map(len, ids)) for ids in trainer.train_dataset.captions]
        trainer.projector_learning_rate = self.args.projector_learning_rate
        print(f"stage {2 if modality == 'image' else 3}: {len(labels['train'])} examples, "
              f"{sum(p.numel() for p in self.model.parameters() if p.requires_grad):,} trained parameters on {self.device}")
        key = self.key(modality, embeddings, labels, captions)
        return train(trainer, checkpoint_of(folder, key, self.args.resume))

    def key(self, *content):
        """What a stage's result depends on, to tell whether one made before is the same."""
        llm = self.args.llm_backbone_name_or_path
        chosen = {name: value for name, value in vars(self.args).items() if name not in WITHOUT_EFFECT}
        return content_key([chosen, _identity(llm), [_tensor_keys(part) for part in content]])

    def reuse_or_run(self, modality, embeddings, labels, captions, epochs, clip):
        """Stage 2, or its kept result when everything that it depends on is the same."""
        key = self.key(modality, embeddings, labels, captions, clip, epochs)
        root = Path(self.args.saved_pretrained_model_path or cache_dir(self.args.cache_dir) / "stage2")
        folder = root / f"{Path(self.args.llm_backbone_name_or_path).name}-{key}"
        if (folder / "stage2.json").is_file():
            print(f"stage 2: made before with the same options and data, taken from {folder}")
            self.model.load_trainable(folder)
            return read_json(folder / "stage2.json", list)
        log = self.run(modality, embeddings, labels, captions, epochs, Path(self.args.output) / "checkpoints" / "stage2")
        self.model.save_trainable(folder)
        write_json(folder / "stage2.json", log)  # last: its presence says that the folder is whole
        return log


def _tensor_keys(content):
    """Content with each tensor replaced by a hash of its values."""
    if isinstance(content, dict):
        return {name: _tensor_keys(value) for name, value in content.items()}
    return hashlib.sha256(content.cpu().numpy().tobytes()).hexdigest() if hasattr(content, "numpy") else content


def _identity(llm):
    """A local LLM folder by its files' names, sizes and times (hashing 14 GB of weights takes half a minute)."""
    if not Path(llm).is_dir():
        return llm
    files = sorted(path for path in Path(llm).rglob("*") if path.is_file())
    return [[str(path.relative_to(llm)), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
