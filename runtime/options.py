"""The command-line options that several scripts share, one function per topic, and the one place from which scripts take
all that concerns options (runtime/command_line.py, option_types.py, caption_options.py, devices.py).

This file imports nothing heavy, so that `--help` answers at once. Names and short forms are those of Thought2Text, PTM and
DL_Proj_EEG-to-Text, so that their commands run here unchanged.
"""

import argparse

from runtime import small_models
from runtime.caption_options import (  # noqa: F401
    LABELS,
    PROMPT_TYPES,
    TRAIN_LABELS,
    caption_files,
    captioner_options,
    check_writing,
    csv_file,
    generation_options,
    idle_sampling,
    inference_options,
    trained_prompt_type,
    writing_options,
)
from runtime.command_line import (  # noqa: F401
    EVERYTHING,
    Options,
    check_places,
    checked,
    make_parser,
    neutral,
    parse,
    require,
)
from runtime.devices import resolve_device  # noqa: F401
from runtime.model_options import code_option, half_options, llm_loading  # noqa: F401
from runtime.option_types import bounded, date, epochs, fraction, positive, samples, step_limit  # noqa: F401
from runtime.places import check_data, check_folder, check_splits

CLIP_MODEL = "openai/clip-vit-base-patch32"
LLM = "deepseek-ai/deepseek-llm-7b-base"
SPLITS = ("picture", "subject", "class", "session", "recording", "time", "given")
ENCODER = {"d_model": 128, "attn_heads": 8, "layers": 2, "dropout": 0.2, "spatial_filters": 64}  # the default encoder


def data_options(parser: argparse.ArgumentParser, required: bool = True) -> argparse._ArgumentGroup:
    """The data set, its splits and its window. Keys hold the content of what these name, so the paths are neutral."""
    group = parser.add_argument_group("data")
    checked(neutral(group.add_argument("--eeg_dataset", required=required, help=(
        "EEG data set: a folder that prepare_data.py wrote, its Hub id (datasets/org/name), or a .pth file in the "
        "EEGCVPR40 layout"))), check_data)
    checked(neutral(group.add_argument("--splits_path", help=(
        "splits file (.pth) with train, val and test indices (unset: the one in the data set folder)"))), check_splits)
    checked(neutral(group.add_argument("--image_dir", help=(
        "folder of pictures and captions: <class>/<name>.JPEG and <name>_caption.txt (unset: the one in the data set "
        "folder)"))), check_folder)
    trials_options(group)
    neutral(group.add_argument("-tl", "--time_low", type=samples,
                               help="first sample of the window (unset: 20 for EEGCVPR40 files, the picture onset for a "
                                    "data set folder, else 0)"), "stage2")
    neutral(group.add_argument("-th", "--time_high", type=samples,
                               help="end of the window in samples, exclusive (unset: 460 for EEGCVPR40 files, else the "
                                    "end)"), "stage2")
    return group


def trials_options(group: argparse._ActionsContainer) -> None:
    """Which split, and whose trials."""
    neutral(group.add_argument("-sn", "--split_num", type=bounded(int, 0), default=0,
                               help="number of the split in the splits file"))
    neutral(group.add_argument("-sub", "--subject", type=bounded(int, 0), default=0,
                               help="use the trials of this subject only; 0 uses all subjects"))
    neutral(group.add_argument("--splits_index", choices=("auto", "all", "subject"), default="auto",
                               help="with --subject: whether the indices in the splits file count all records or only the "
                                    "records of that subject"))


def split_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("splits")
    group.add_argument("--split_by", choices=SPLITS, help="what must not be shared between train, val and test "
                                                          "(unset: what suits the source)")
    group.add_argument("--val_fraction", type=fraction, default=0.15, help="share for validation; at least one unit")
    group.add_argument("--test_fraction", type=fraction, default=0.15, help="share for testing; at least one unit")
    group.add_argument("--split_seed", type=bounded(int, 0, 2**32 - 1), default=0, help="random seed of the splits")
    group.add_argument("--split_gap", type=bounded(float, 0), default=5., help="with --split_by time: gap between two "
                       "parts in seconds; trials in the gap are left out")
    group.add_argument("--unseen_pictures", action="store_true", help="with --split_by subject, session, recording or "
                       "time: keep pictures apart as well; trials that would share a picture are left out")
    return group


def audit_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("audit")
    group.add_argument("--permutations", type=bounded(int, 99), default=1000, help="permutations for each p-value")
    return group


def picture_options(parser: argparse.ArgumentParser, trained: str | None = None) -> argparse._ArgumentGroup:
    """trained: "captioner" or "encoder" where it tells what it was trained with; None for a training.

    Keys hold the CLIP model's weights, so its name is neutral.
    """
    as_trained = f" (unset: as the {trained} was trained)"
    group = parser.add_argument_group("pictures")
    checked(neutral(group.add_argument("--clip_model", "--target_model", type=small_models.clip_model,
                                       default=None if trained else CLIP_MODEL, help=(
        "CLIP or other picture model for picture embeddings: a Hub name (CLIP, SigLIP, DINOv2 ...), "
        "open_clip:NAME/PRETRAINED, timm:NAME, a local folder, among them target/ of an encoder that was trained with "
        "--target_layers, or small: the one that recipes.make_small_clip makes without a network"
        + (as_trained if trained else "")))), small_models.check_clip_model)
    group.add_argument("--picture", choices=("sketch", "photo"),
                       help="embed <name>_sketch.JPEG, as Thought2Text does, or the photograph <name>.JPEG"
                            + (as_trained if trained else
                               " (unset: sketch, or photo if the data set folder has no sketches)"))
    neutral(group.add_argument("--cache_dir", help="folder for picture embeddings, which are computed once "
                                                   "(unset: $EEG_TO_TEXT_CACHE or ~/.cache/eeg_to_text)"))
    return group


def training_options(parser: argparse.ArgumentParser, *, batch_size: int, learning_rate: float, warmup_ratio: float,
                     lr_scheduler_type: str, max_grad_norm: float) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("training")
    group.add_argument("--batch_size", type=positive, default=batch_size, help="trials per step and process")
    group.add_argument("--learning_rate", type=bounded(float, 0), default=learning_rate, help="peak learning rate")
    group.add_argument("--gradient_accumulation_steps", type=positive, default=1,
                       help="number of batches whose gradients are summed before a step")
    group.add_argument("--optim", default="adamw_torch", help="optimizer by its transformers name (adamw_torch, "
                                                              "paged_adamw_8bit, ...); adamw_hf means adamw_torch")
    group.add_argument("--weight_decay", type=bounded(float, 0), default=0.001, help="weight decay")
    group.add_argument("--max_grad_norm", type=bounded(float, 0), default=max_grad_norm, help="clip gradients to this norm")
    group.add_argument("--warmup_ratio", type=fraction, default=warmup_ratio, help="share of the steps spent warming up")
    group.add_argument("--lr_scheduler_type", default=lr_scheduler_type, help="learning rate schedule by its "
                                                                              "transformers name (constant, cosine, ...)")
    group.add_argument("--max_steps", type=step_limit, default=-1, help="train for this many steps, "
                       "however many epochs that makes; -1: as many as the epochs have")
    neutral(group.add_argument("--save_steps", type=positive, default=5000,
                               help="number of steps between checkpoints to resume from; each epoch ends with one, too"))
    neutral(group.add_argument("--logging_steps", type=positive, help="number of steps between entries of the training "
                                                                      "curves (unset: about 50 entries a run)"))
    group.add_argument("--group_by_length", action="store_true",
                       help="stages 2 and 3: batch captions of similar length; this saves padding but makes batches less "
                            "varied")
    half_options(group)
    interrupted = group.add_mutually_exclusive_group()
    neutral(interrupted.add_argument("--resume", action="store_true", help="after an interruption: continue from the "
                                     "newest checkpoint under --output"))
    neutral(interrupted.add_argument("--overwrite", action="store_true", help="after an interruption: delete the "
                                     "checkpoints under --output and start anew"))
    neutral(group.add_argument("--report_to", choices=("none", "tensorboard", "wandb"), default="none",
                               help="where training curves go besides train_log.json (tensorboard: to tensorboard/ in "
                                    "--output)"))
    neutral(group.add_argument("--save_every", type=positive, default=5, help=argparse.SUPPRESS))  # had no effect
    return group


def run_options(parser: argparse.ArgumentParser, profile: bool = True, seeds: bool = False) -> argparse._ArgumentGroup:
    """profile: whether the script can profile itself (runtime/profiler.py); seeds: whether it takes several seeds
    (runtime/seeds.py)."""
    group = parser.add_argument_group("run")
    neutral(group.add_argument("--device", default="auto", help="cpu, cuda, cuda:N or auto (CUDA if available)"))
    seed_option(group)
    if seeds:
        neutral(group.add_argument("--seeds", type=bounded(int, 0, 2**32 - 1), nargs="+", metavar="SEED", help=(
            "run once for each of these seeds, in folders seed0, seed1, ... of the paths to write; such a folder of an "
            "earlier stage is read where there is one")))
    if profile:
        neutral(group.add_argument("--profile", action="store_true", help="write where the time went to profile/ in the "
                                   "results folder: a table, and a trace of a few steps for ui.perfetto.dev"))
    return group


def seed_option(parser: argparse.ArgumentParser | argparse._ArgumentGroup, what: str = "everything random") -> None:
    parser.add_argument("--seed", type=bounded(int, 0, 2**32 - 1), default=42, help=f"random seed of {what}")
