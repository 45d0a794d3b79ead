"""The runs that bench.faults kills: each stage on a tiny data set with tiny models, as a command in a folder."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from runtime.errors import Interrupted
from runtime.runs import cache_dir, content_key, write_json

import torch

from bench.synthetic import make_clip, make_llm, read_captions

DATA = ["--n_subjects", "2", "--n_pictures", "24", "--classes", "ball", "car", "--sfreq", "128", "--l_freq", "0.5",
        "--image_size", "32", "--tmax", "0.3", "--permutations", "99"]
SMALL = ["--d_model", "16", "--attn_heads", "2", "--layers", "1", "--spatial_filters", "8", "--device", "cpu"]
CLIP = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 8,
        "projection_dim": 16}
OPTIONS = "options"  # in place of those of the training whose checkpoint is kept
RESUMED = ("pretraining", "stage 1", "stages 2 and 3")  # by --resume; the others by the same command
PRELOADED = ("prepare_data", "train_eeg_classifier", "test_eeg_classifier", "finetune_llm", "inference", "inference_chance",
             "evaluate", "captioning.training", "captioning.captions_csv", "encoders.training", "encoders.pretraining",
             "evaluation.results", "sources.simulated", "audit.page", "report", "mne", "scipy.signal", "pyarrow", "pandas",
             "peft", "sklearn.linear_model", "matplotlib.pyplot", "transformers.trainer", "accelerate", "filelock")


def commands(made: Path, out: Path) -> dict[str, tuple[str, list[str]]]:
    """{stage: (script, arguments)} of runs that read what is in `made` (see `make`) and write to `out`."""
    data = ["--eeg_dataset", f"{made}/data"]
    clip = ["--clip_model", f"{made}/clip"]
    train = ["--batch_size", "16", "--logging_steps", "1", "--save_steps", "1"]
    write = ["--model_path", f"{made}/captioner", *data, "--dest", f"{out}/results/captions.csv", "--device", "cpu",
             "--batch_size", "4", "--max_new_tokens", "6"]
    return {
        "data": ("prepare_data", ["simulated", "--output", f"{out}/data", *DATA]),
        "pretraining": ("train_eeg_classifier", ["--pretrain", "--pretrained", f"{made}/pretraining", "--output",
                                                 f"{out}/pretrained", *SMALL, *train, "--pretrain_epochs", "3"]),
        "stage 1": ("train_eeg_classifier", [*data, *clip, "--output", f"{out}/encoder", *SMALL, *train, "--noise", "0.1",
                                             "--num_epochs", "3"]),
        "test of stage 1": ("test_eeg_classifier", [*data, "--output", f"{made}/encoder", "--results_dir",
                                                    f"{out}/test", "--device", "cpu"]),
        "stages 2 and 3": ("finetune_llm", [*data, *clip, "--eeg_encoder_path", f"{made}/encoder",
                                            "--llm_backbone_name_or_path", f"{made}/llm", "--output", f"{out}/captioner",
                                            "--num_epochs_image", "2", "--num_epochs_eeg", "2", *train, "--lora_dropout",
                                            "0.1", "--label_dropout", "0.1", "--device", "cpu"]),
        "captions": ("inference", write),
        "controls": ("inference_chance", [*write, "--conditions", "eeg", "shuffled", "constant", "nothing"]),
        "scores": ("evaluate", [*(str(made / "results" / f"captions{end}.csv") for end in ("", "_shuffled", "_constant")),
                                "--n_boot", "50", "--n_perm", "50", "--device", "cpu", "--metrics", "BLEU-1", "ROUGE-1",
                                "--report", f"{out}/report", "--json", f"{out}/scores.json", "--csv", f"{out}/scores.csv"])}


def make(folder: Path) -> None:
    """What the stages read: data/, pretraining/, clip/, llm/, encoder/, captioner/ and results/, made by the stages."""
    steps = commands(folder, folder)
    call(*steps["data"])
    (folder / "pretraining").mkdir()
    for part, trials in (("train", 64), ("val", 16)):
        samples = torch.randn(trials, 5, 64, generator=torch.Generator().manual_seed(0))
        torch.save({"samples": samples}, folder / "pretraining" / f"{part}.pt")
    make_clip(folder / "clip", 32, **CLIP)
    make_llm("tiny Llama", folder / "llm", "cpu", read_captions(folder / "data" / "images"))
    for stage in ("stage 1", "stages 2 and 3", "captions", "controls", "scores"):
        call(*steps[stage])
    shutil.copytree(next((cache_dir() / "stage2").iterdir()), folder / "stage2")
    shutil.copytree(cache_dir() / "picture_embeddings", folder / "embeddings")
    keep_checkpoint(*commands(folder, folder / "stopped")["stage 1"], folder / "stopped/encoder/checkpoints",
                    folder / "checkpoints")


def keep_checkpoint(script: str, arguments: list[str], checkpoints: Path, folder: Path) -> None:
    """Stop a training in its fifth step, and move its checkpoints to `folder`, under the key of OPTIONS."""
    from transformers import Trainer

    steps, step = itertools.count(1), Trainer.training_step

    def stopping(*given, **more):
        if next(steps) == 5:
            raise KeyboardInterrupt
        return step(*given, **more)

    with mock.patch.object(Trainer, "training_step", stopping), contextlib.suppress(Interrupted):
        call(script, arguments)
    checkpoints.rename(folder)
    write_json(folder / "key.json", content_key(OPTIONS))


def call(script: str, arguments: list[str]) -> None:
    """Run a script; raise SystemExit where it fails."""
    importlib.import_module(script).main(arguments)


def preload() -> None:
    """Import what the stages need once, so that forked runs start at once."""
    os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    for name in PRELOADED:
        importlib.import_module(name)
    torch.set_num_threads(1)


def forked(work: Callable[[], object], log: Path) -> int:
    """Begin `work` in a forked process, whose output goes to `log`; returns its id. Its exit code is a script's."""
    process = os.fork()
    if process:
        return process
    code = 1
    with contextlib.suppress(BaseException):  # the process ends here whatever happens
        os.setsid()
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(file, 1)
        os.dup2(file, 2)
        try:
            work()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else bool(stop.code)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
