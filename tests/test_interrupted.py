"""A training that was interrupted: its checkpoints are lost only if asked for, and Ctrl-C says how to go on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from runtime import interrupted
from runtime.errors import InputError
from runtime.runs import file_hash

import pytest
import torch
from safetensors.torch import load_file

import train_eeg_classifier as training
from finetuning import finetune
from tiny import data_arguments

ROOT = Path(__file__).resolve().parents[1]
SMALL = ["--d_model", "16", "--attn_heads", "2", "--layers", "1", "--spatial_filters", "8", "--device", "cpu"]


def stage1_arguments(data, clip, output):
    return [*data_arguments(data), "--clip_model", str(clip), "--output", str(output), *SMALL, "--batch_size", "16",
            "--num_epochs", "2", "--save_steps", "1"]


@pytest.fixture
def scripts(data, clip, encoder, llm, tmp_path):
    """Each training as a function of further options, with the folder of its checkpoints."""
    for part in ("train", "val"):
        torch.save({"samples": torch.randn(32, 5, 64, generator=torch.Generator().manual_seed(0))}, tmp_path / f"{part}.pt")
    output = tmp_path / "out"
    stage1 = stage1_arguments(data, clip, output)
    pretraining = ["--pretrained", str(tmp_path), "--pretrain_epochs", "2"]

    def captioner(*more):
        finetune(data, clip, encoder, llm, output, "--batch_size", "4", "--save_steps", "1",
                 "--saved_pretrained_model_path", str(tmp_path / "kept"), *more)

    return {"stage 1": (lambda *more: training.main([*stage1, *more]), output / "checkpoints"),
            "pretraining": (lambda *more: training.main(["--pretrain", *pretraining, "--output", str(output), *SMALL,
                                                         "--batch_size", "8", "--save_steps", "1", *more]),
                            output / "checkpoints"),
            "pretraining before stage 1": (lambda *more: training.main([*stage1, *pretraining, *more]),
                                           output / "pretrained" / "checkpoints"),
            "stage 2": (captioner, output / "checkpoints" / "stage2"),
            "stage 3": (lambda *more: captioner("--no_stage2", *more), output / "checkpoints" / "stage3")}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stage 1", "pretraining", "pretraining before stage 1", "stage 2", "stage 3"])
def test_checkpoints_are_lost_only_if_asked_for(scripts, stopped, capsys, tmp_path, name):
    run, folder = scripts[name]
    stopped(3, run)
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith(f"interrupted: {folder} keeps the training as it was after step 2; run the same command with")
    assert "--resume" in said and "--overwrite" in said
    before = file_hash(folder)
    with pytest.raises(SystemExit) as stop:
        run()
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert stop.value.code == 2 and said.startswith(f"error: {folder}: holds the checkpoints") and "step 2" in said
    assert "--resume" in said and "--overwrite" in said and file_hash(folder) == before
    with pytest.raises(SystemExit):
        run("--resume", "--overwrite")
    assert "not allowed with" in capsys.readouterr().err and file_hash(folder) == before
    run("--resume")
    resumed = {path.relative_to(tmp_path): load_file(path) for path in (tmp_path / "out").rglob("*.safetensors")}
    assert resumed and not folder.exists()
    if name != "stage 2":  # whose result is reused
        stopped(3, run)
    run("--overwrite")
    for path, tensors in resumed.items():
        torch.testing.assert_close(load_file(tmp_path / path), tensors, rtol=0, atol=0)


@pytest.mark.slow
def test_several_seeds_go_on_with_resume(data, clip, stopped, capsys, tmp_path):
    """The first seed, which had ended and keeps no checkpoint, was refused with --resume, so that none could go on."""
    output = tmp_path / "out"
    stage1 = [*stage1_arguments(data, clip, output), "--seeds", "3", "4", "5"]
    stopped(12, training.main, stage1)  # in the second seed
    said = capsys.readouterr().err.strip().splitlines()
    assert f"{output}/seed4/checkpoints keeps the training" in said[-2] and "--resume" in said[-2]
    assert said[-1] == "done: --seeds 3; to go on without these give --seeds 4 5"
    training.main([*stage1, "--resume"])
    said = capsys.readouterr().out
    assert [f"--resume: seed {seed} has no checkpoint, so it starts" in said for seed in (3, 4, 5)] == [True, False, True]
    assert all((output / f"seed{seed}" / "model.safetensors").is_file() for seed in (3, 4, 5))
    with pytest.raises(SystemExit):
        training.main([*stage1, "--resume"])
    assert f"--resume: no checkpoint under {output}/seed3" in capsys.readouterr().err


def test_the_refusal_comes_before_the_long_work(data, clip, encoder, scripts, stopped, capsys, tmp_path):
    stopped(3, scripts["stage 3"][0])
    with pytest.raises(SystemExit):
        finetune(data, clip, "nowhere", "nowhere", tmp_path / "out")
    assert "--overwrite" in capsys.readouterr().err


def test_checkpoints_may_be_a_link_to_another_disk(scripts, stopped, tmp_path):
    """--overwrite and the end of a training empty the folder that it leads to; both ended in tracebacks."""
    run, folder = scripts["stage 1"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder.parent.mkdir()
    folder.symlink_to(elsewhere)
    stopped(3, run)
    assert (elsewhere / "checkpoint-2" / "whole").is_file()
    run("--overwrite")
    assert folder.is_symlink() and not any(elsewhere.iterdir())
    assert (folder.parent / "model.safetensors").is_file()
    run()


def test_ctrl_c_before_the_first_checkpoint(scripts, stopped, capsys):
    run, _ = scripts["stage 1"]
    stopped(1, run)
    assert "no checkpoint was written yet, so run the same command again" in capsys.readouterr().err.splitlines()[-1]
    run()
    run()  # a finished run is no interrupted one
    assert "holds a finished model, which is replaced when the training is done" in capsys.readouterr().out


@pytest.mark.slow
def test_ctrl_c_is_one_line_and_code_130(data, clip, tmp_path):
    """In a process of its own, at any time: while it loads, and in training."""
    for number, (more, wanted, said) in enumerate(((["--logging_steps", "1"], " 2/100000 ", "--resume"),
                                                   (["--save_steps", "9999999"], "trials to train on", "command"))):
        arguments = [*stage1_arguments(data, clip, tmp_path / str(number)), "--num_epochs", "100000", *more]
        process = subprocess.Popen(
            [sys.executable, "-c", "import signal, runpy, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
             "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')", "train_eeg_classifier.py",
             *arguments], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        lines = iter(process.stdout.readline, "")
        assert any(wanted in line for line in lines)
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=60)[1]
        assert process.returncode == 130 and "Traceback" not in error, error[-2000:]
        last = error.strip().splitlines()[-1]
        assert last.startswith("interrupted: ") and said in last


def test_fsdp_cannot_resume(tmp_path, monkeypatch):
    (tmp_path / "checkpoints" / "checkpoint-7").mkdir(parents=True)
    (tmp_path / "checkpoints" / "checkpoint-7" / interrupted.COMPLETE_MARK).touch()
    (tmp_path / "checkpoints" / "checkpoint-final").mkdir()
    monkeypatch.setattr(interrupted.processes, "sharded", lambda: True)
    with pytest.raises(InputError, match="step 7; give --overwrite to delete"):
        interrupted.check_interrupted(tmp_path, resume=False, overwrite=False)
    interrupted.check_interrupted(tmp_path, resume=False, overwrite=True)
