"""What stages 2 and 3 are trained on: embeddings of pictures or of EEG, class names and captions."""

from pathlib import Path

from runtime import processes
from runtime.errors import InputError
from runtime.model_files import model_key
from runtime.options import Options
from runtime.runs import read_run

import torch

from captioning.training import Stage
from datautils import image_embeddings
from eegdata.data_paths import DataPaths
from eegdata.pictures import read_captions
from eegdata.trials import Trials
from encoders import encode
from encoders.clip import clip_identity, is_other_clip
from encoders.temperature import class_probabilities
from encoders.words import words_of


def part_captions(image_dir: str, names: dict[str, list[str]], which: str) -> dict[str, dict[str, str | list[str]]]:
    """For the train and val part, by picture name: the first caption, or with `which` "all" a list of them to train on."""
    captions = {part: {name: read_captions(image_dir, name) for name in names[part]} for part in names}
    for part in names if which == "first" else ("val",):
        captions[part] = {name: texts[0] for name, texts in captions[part].items()}
    return captions


def image_stage(args: Options, paths: DataPaths, stage: Stage, names: dict, class_of: dict, captions: dict) -> list:
    """Stage 2, from picture embeddings; returns the trainer's log. class_of: class name by picture name."""
    embeddings = {part: image_embeddings(names[part], paths.image_dir, args.clip_model, paths.picture, stage.device,
                                         args.cache_dir) for part in names}
    size = stage.model.config.embedding_size
    if embeddings["train"].shape[1] != size:
        raise InputError(f"--clip_model {args.clip_model}: embeddings of size {embeddings['train'].shape[1]}, but the "
                         f"encoder was trained towards size {size}; name the same CLIP model")
    if is_other_clip(args.clip_model, read_run(args.eeg_encoder_path)[0].get("clip")):
        raise InputError(f"--clip_model {args.clip_model}: other weights than those that the encoder in "
                         f"{args.eeg_encoder_path} was trained towards; name the same CLIP model")
    return stage.reuse_or_run(
        embeddings, {part: [class_of[name] for name in names[part]] for part in names},
        {part: [captions[part][name] for name in names[part]] for part in names}, args.num_epochs_image,
        model_key(clip_identity(args.clip_model)))


def eeg_stage(args: Options, stage: Stage, trials: Trials, split: dict, captions: dict) -> list:
    """Stage 3, from EEG embeddings; returns the trainer's log."""
    embeddings, labels = {}, {}
    for part in ("train", "val"):
        embeddings[part], logits = processes.shared(
            lambda rows: encode(stage.model.encoder, trials.eeg, rows, device=stage.device), split[part])
        config = stage.model.encoder.config
        truth = trials.words(split[part])
        predicted, _ = words_of(class_probabilities(logits.double(), config), config, trials.class_names)
        coin = torch.rand(len(truth), generator=torch.Generator().manual_seed(args.seed)) < 0.5
        mixed = [one if true else other for true, one, other in zip(coin.tolist(), truth, predicted, strict=True)]
        kind = args.train_label if part == "train" else "predicted"  # validated as inference will read it
        labels[part] = {"true": truth, "predicted": predicted, "mixed": mixed}[kind]
    return stage.run("eeg", embeddings, labels,
                     {part: [captions[part][name] for name in trials.names(split[part])] for part in captions},
                     args.num_epochs_eeg, Path(args.output) / "checkpoints" / "stage3")
