"""The shared training options as the arguments of transformers' Trainer."""

import argparse
import os
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

from runtime import processes
from runtime.cuda import asked_half
from runtime.errors import InputError
from runtime.given_options import did_you_mean

from transformers import SchedulerType, TrainingArguments
from transformers.training_args import OptimizerNames

LONGEST_WARMUP = 1 - 1e-9  # of the steps: transformers takes 1 as one step, and rounds a share up
BY_SCORE = ("reduce_lr_on_plateau", "greedy")  # schedules that follow the validation's score
LOGGED_SHARE = .02  # of the steps: transformers takes a number below 1 as a share, and rounds it up


def training_arguments(args: argparse.Namespace, device: str, output_dir: str | Path, **more: object) -> TrainingArguments:
    """The shared training options for transformers' Trainer on the device of this process; `more` go over them."""
    if args.report_to != "none" and not find_spec(args.report_to):
        raise InputError(f"--report_to {args.report_to}: the package is not installed; pip install {args.report_to}")
    if args.report_to == "wandb" and os.environ.get("WANDB_MODE", "online") == "online":
        import wandb

        if not wandb.api.api_key:
            raise InputError("--report_to wandb: not logged in; run `wandb login`, or set WANDB_MODE=offline")
    _check_sharding(args)
    _check_name("--optim", _optimizer(args.optim, device), OptimizerNames)
    _check_name("--lr_scheduler_type", args.lr_scheduler_type, SchedulerType)
    asked_half(args, device)
    if processes.count() == 1 and device.startswith("cuda:") and device != "cuda:0":
        raise InputError(f"--device {device}: training uses the first visible device; run with CUDA_VISIBLE_DEVICES="
                         f"{device.removeprefix('cuda:')} and --device cuda")
    options = {
        "output_dir": str(output_dir), "per_device_train_batch_size": args.batch_size,
        "per_device_eval_batch_size": args.batch_size, "learning_rate": args.learning_rate,
        "gradient_accumulation_steps": args.gradient_accumulation_steps, "weight_decay": args.weight_decay,
        "optim": _optimizer(args.optim, device), "max_grad_norm": args.max_grad_norm,
        "warmup_steps": min(args.warmup_ratio, LONGEST_WARMUP),
        "lr_scheduler_type": args.lr_scheduler_type, "max_steps": args.max_steps,
        "eval_strategy": "epoch", "save_strategy": "epoch",
        "logging_steps": args.logging_steps or LOGGED_SHARE, "logging_first_step": True, "report_to": args.report_to,
        "bf16": args.bf16, "fp16": args.fp16,
        "seed": args.seed, "data_seed": args.seed, "use_cpu": device == "cpu", "save_total_limit": None,
        "logging_nan_inf_filter": False,  # which would wait for the GPU in each step, and hide a NaN
        "remove_unused_columns": False,
        "label_names": ["labels"], "dataloader_num_workers": 0,
        "ddp_find_unused_parameters": False,  # every weight that is trained has a part in every loss
        "ddp_backend": "gloo" if processes.count() > 1 and device == "cpu" else None,
    }
    if args.report_to == "tensorboard":  # beside the checkpoints, which do not outlive the training
        os.environ["TENSORBOARD_LOGGING_DIR"] = os.path.join(args.output, "tensorboard", os.path.basename(output_dir))
    try:
        arguments = TrainingArguments(**options | more)
    except ValueError as error:
        raise InputError(f"{str(error).splitlines()[0]} (a precision flag)") from None
    if arguments.lr_scheduler_type.value in BY_SCORE:  # transformers takes the lowest for the best, of any score
        arguments.lr_scheduler_kwargs = {"mode": "max" if arguments.greater_is_better else "min"}
    arguments._n_gpu = min(arguments.n_gpu, 1)  # else Trainer spreads one process over all cards by DataParallel
    return arguments


def checkpointing(on: bool) -> dict:
    """The arguments for computing activations again in the backward pass; transformers 5.24 gave them new names."""
    new = "activation_checkpointing" in {field.name for field in fields(TrainingArguments)}
    name = "activation_checkpointing" if new else "gradient_checkpointing"
    return {name: on, f"{name}_kwargs": {"use_reentrant": False}}


def _check_name(flag, name, kinds):
    known = [kind.value for kind in kinds]
    if name not in known:
        raise InputError(f"{flag} {name}: transformers has none of this name; expected one of {', '.join(known)}"
                         + did_you_mean(name, known))


def _optimizer(name, device):
    """--optim as transformers knows it. On CUDA AdamW is fused: the same steps by one kernel for many weights."""
    name = "adamw_torch" if name == "adamw_hf" else name
    return "adamw_torch_fused" if name == "adamw_torch" and device != "cpu" else name


def _check_sharding(args):
    """Raise InputError for options that the accelerate config of the launcher excludes."""
    if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
        raise InputError("the accelerate config asks for DeepSpeed, which this project does not support; use FSDP "
                         "(recipes/fsdp.yaml)")
    if not processes.sharded():
        return
    if not hasattr(args, "llm_backbone_name_or_path"):
        raise InputError("the accelerate config asks for FSDP, but an encoder fits on one device; launch "
                         "without that config")
    if os.environ.get("FSDP_VERSION") != "2":
        raise InputError("the accelerate config asks for FSDP version 1; set fsdp_version: 2 (recipes/fsdp.yaml)")
    for flag in ("resume", "load_in_8bit", "load_in_4bit"):
        if getattr(args, flag):
            raise InputError(f"--{flag} cannot be combined with FSDP, which the accelerate config asks for; leave it out, "
                             "or launch without that config")
