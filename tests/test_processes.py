"""Training on two processes (CPU, gloo) is training on one with twice the batch, be the LLM's weights dealt to them by FSDP
or not: losses, weights, files, captions, errors."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from runtime import processes
from runtime.errors import InputError
from runtime.trainer_arguments import training_arguments

import pytest
import torch
import yaml
from safetensors.torch import load_file

import finetune_llm
import inference
import train_eeg_classifier
from eegdata.splits import write_splits
from tiny import data_arguments

ROOT = Path(__file__).resolve().parents[1]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
ACCELERATE = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
              "--mixed_precision", "no", "--dynamo_backend", "no"]  # with --cpu it would start one process, or want MPI


def launch(launcher, script, *argv, **more):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | more
    return subprocess.run([sys.executable, *launcher, str(script), *argv], cwd=ROOT, env=environment, capture_output=True,
                          text=True, timeout=150, check=False)


def commands(folder, data, clip, llm, encoder, batch_share):
    """Stage 1, pretraining, stages 2 and 3, and captions by the captioner of the first run; without
    anything random in a step; batches divide the data."""
    common = ["--device", "cpu", "--logging_steps", "1", "--warmup_ratio", "0"]
    given = [*data_arguments(data), "--splits_path", str(folder.parent / "splits.pth"), "--clip_model", str(clip), *common]
    small = ["--d_model", "16", "--attn_heads", "2", "--layers", "1", "--spatial_filters", "8", "--dropout", "0"]
    stage1 = [*given, *small, "--output", str(folder / "encoder"), "--batch_size", str(12 // batch_share), "--num_epochs",
              "2", "--loss", "mse", "infonce", "--time_shift", "0"]
    pretraining = ["--pretrain", "--pretrained", str(folder.parent), "--output", str(folder / "pretrained"), *small,
                   *common, "--patch_size", "8", "--pretrain_epochs", "1", "--batch_size", str(8 // batch_share)]
    captions = [*given, "--output", str(folder / "captioner"), "--eeg_encoder_path", str(encoder), "--batch_size",
                str(6 // batch_share), "--llm_backbone_name_or_path", str(llm), "--num_epochs_image", "2",
                "--num_epochs_eeg", "1", "--lora_dropout", "0", "--label_dropout", "0", "--embedding_dropout", "0",
                "--saved_pretrained_model_path", str(folder / "stage2")]
    writing = [*data_arguments(data), "--model_path", str(encoder.parent / "captioner"), "--dest",
               str(folder / "captions.csv"), "--device", "cpu", "--batch_size", "4", "--max_new_tokens", "6"]
    return [("train_eeg_classifier", stage1), ("train_eeg_classifier", pretraining), ("finetune_llm", captions),
            ("inference", writing)]


@pytest.fixture(scope="module")
def folders(data, clip, llm, tmp_path_factory):
    """The folders of a run on one process and of one on two."""
    root = tmp_path_factory.mktemp("processes")
    split = torch.load(data / "splits.pth")["splits"][0]
    pictures = [record["image"] for record in torch.load(data / "eeg.pth")["dataset"]]
    split["train"] = [i for i in split["train"] if pictures[i] % 8 < 4]  # 12 pictures, 48 trials
    write_splits(root / "splits.pth", split)
    for part in ("train", "val"):
        torch.save({"samples": torch.randn(16, 6, 64, generator=torch.Generator().manual_seed(0))}, root / f"{part}.pt")
    one, two = root / "one", root / "two"
    scripts = (train_eeg_classifier, train_eeg_classifier, finetune_llm, inference)
    for script, (_, argv) in zip(scripts, commands(one, data, clip, llm, one / "encoder", 1), strict=True):
        script.main(argv)
    done = launch(TORCHRUN, ROOT / "tests" / "launched.py", json.dumps(commands(two, data, clip, llm, one / "encoder", 2)))
    assert done.returncode == 0, done.stderr[-30000:]
    return one, two


@pytest.mark.slow
@pytest.mark.parametrize("part", ["encoder", "pretrained", "captioner"])
def test_two_processes_train_as_one(folders, part):
    logs = [json.loads((folder / part / "train_log.json").read_text()) for folder in folders]
    assert logs[0].keys() == logs[1].keys()
    compared = 0
    for one, two in ((a, b) for stage in logs[0] for a, b in zip(logs[0][stage], logs[1][stage], strict=True)):
        for name in {"loss", "grad_norm", "eval_loss", "eval_score"} & one.keys() if part != "pretrained" else ():
            assert two[name] == pytest.approx(one[name], rel=1e-3), (name, one, two)
            compared += 1
    assert compared > 10 or part == "pretrained"  # whose masks are drawn by each process


@pytest.mark.slow
def test_files_are_whole_written_once_and_the_same(folders):
    names = [sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
                    and "stage2" not in path.parts) for folder in folders]
    assert names[0] == names[1] and not [name for name in names[0] if "/." in name or "checkpoint-" in name]
    assert "captioner/tokenizer.json" in names[0] and "captioner/adapter/adapter_config.json" in names[0]
    for name in names[0]:
        one, two = (folder / name for folder in folders)
        if name.endswith(".safetensors") and not name.startswith("pretrained/"):
            torch.testing.assert_close(load_file(two), load_file(one), rtol=1e-2, atol=1e-3)
        elif name.endswith("images.json"):
            assert one.read_text() == two.read_text()
    assert len(list((folders[1] / "stage2").glob("*/stage2.json"))) == 1


@pytest.mark.slow
def test_captions_are_the_same(folders):
    one, two = ((folder / "captions.csv").read_text() for folder in folders)
    assert one == two and one.count("\n") == 25


@pytest.mark.slow
def test_weights_dealt_out_by_fsdp(folders, data, clip, llm):
    config = yaml.safe_load((ROOT / "recipes" / "fsdp.yaml").read_text())["fsdp_config"]
    one, two = folders
    command = commands(folders[0].parent / "fsdp", data, clip, llm, one / "encoder", 2)[2]
    done = launch(TORCHRUN, ROOT / "tests" / "launched.py", json.dumps([command]), ACCELERATE_USE_FSDP="true",
                  **{name.upper(): str(value) for name, value in config.items()})
    assert done.returncode == 0, done.stderr[-30000:]
    for file in ("projector.safetensors", "adapter/adapter_model.safetensors"):
        dealt, plain = (load_file(folder / "captioner" / file) for folder in (folders[0].parent / "fsdp", two))
        torch.testing.assert_close(dealt, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("given", "said"), [
    ({"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}, "--resume cannot be combined with FSDP"),
    ({"ACCELERATE_USE_FSDP": "true"}, "fsdp_version: 2"), ({"ACCELERATE_USE_DEEPSPEED": "true"}, "DeepSpeed")])
def test_what_accelerates_config_cannot_ask_for(monkeypatch, given, said):
    for name, value in ({"LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "2"} | given).items():
        monkeypatch.setenv(name, value)
    args = argparse.Namespace(report_to="none", llm_backbone_name_or_path="x", resume=True)
    with pytest.raises(InputError, match=said):
        training_arguments(args, "cpu", "out")


@pytest.mark.slow
def test_an_error_is_said_once(tmp_path):
    done = launch(ACCELERATE, "train_eeg_classifier.py", "--eeg_dataset", str(tmp_path / "nowhere.pth"), "--output",
                  str(tmp_path / "encoder"), "--device", "cpu")
    assert done.returncode and done.stderr.count("error: ") == 1 and "no such file or folder" in done.stderr
    assert "exitcode  : 2" in done.stderr


def test_shares_are_all_rows_in_order(monkeypatch):
    assert processes.count() == 1 and processes.share(range(5)) == range(5) and processes.collect([1]) == [1]
    for name in ("LOCAL_RANK", "RANK"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rows in (list(range(7)), [], [1]):
        parts = []
        for index in range(3):
            monkeypatch.setenv("RANK", str(index))
            parts.append(processes.share(rows))
        assert [row for part in parts for row in part] == rows and max(map(len, parts)) - min(map(len, parts)) <= 1
