"""What is needed to go on is removed only when the result is safe, and what a killed run leaves behind blocks nobody."""

import os
import shutil
from pathlib import Path

from runtime import interrupted
from runtime.atomic_files import TEMPORARY

import pytest

import train_eeg_classifier as training
from finetuning import finetune
from test_resume import same
from tiny import data_arguments


class Killed(BaseException):
    """In place of SIGKILL."""


def killed(*_args, **_more):
    raise Killed


def stage1(data, clip, output, *more):
    training.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(output), "--device", "cpu",
                   "--batch_size", "16", "--num_epochs", "2", "--d_model", "16", "--attn_heads", "2", "--layers", "1",
                   "--spatial_filters", "8", *more])
    return output


@pytest.mark.parametrize("place", ["encoders.save_encoder", "runtime.runs.save_run", "evaluation.provenance.write_records"])
def test_a_run_killed_while_it_saves_its_encoder_goes_on(data, clip, tmp_path, monkeypatch, place):
    whole = stage1(data, clip, tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(place, killed)
        stage1(data, clip, tmp_path / "part")
    assert interrupted.complete_checkpoints(tmp_path / "part" / "checkpoints")
    same(whole, stage1(data, clip, tmp_path / "part", "--resume"))
    assert not (tmp_path / "part" / "checkpoints").exists()


def test_a_run_killed_while_it_saves_its_captioner_goes_on(data, clip, encoder, llm, tmp_path, monkeypatch):
    from model import EEGModelForCausalLM

    whole = finetune(data, clip, encoder, llm, tmp_path / "whole", "--no_stage2")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(EEGModelForCausalLM, "save_pretrained", killed)
        finetune(data, clip, encoder, llm, tmp_path / "part", "--no_stage2")
    same(whole, finetune(data, clip, encoder, llm, tmp_path / "part", "--no_stage2", "--resume"))


def test_what_a_killed_run_leaves_in_its_folder_is_not_foreign(data, clip, tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    for leftover in (f"{TEMPORARY}a.json", ".key.json.x7f.json", f"{TEMPORARY}b/checkpoint-3/model.safetensors"):
        (folder / leftover).parent.mkdir(parents=True, exist_ok=True)
        (folder / leftover).write_text("half")
    (folder / "checkpoint-4").mkdir()  # without a key: what is left of a deletion
    for more in ((), ("--resume",), ("--overwrite",)):
        copy = Path(shutil.copytree(tmp_path / "run", tmp_path / f"copy{len(more and more[0])}"))
        if more == ("--resume",):
            with pytest.raises(SystemExit) as stop:  # there is nothing to go on from, and it says so
                stage1(data, clip, copy, *more)
            assert stop.value.code == 2
            continue
        stage1(data, clip, copy, *more)
        assert (copy / "model.safetensors").is_file() and not list(copy.rglob(f"{TEMPORARY}*"))


def test_checkpoints_rotate_by_step_when_the_clock_is_set_back(data, clip, tmp_path, stopped, monkeypatch):
    real = interrupted.drop_old

    def set_back(folder, best):
        for number, path in enumerate(sorted(Path(folder).glob("checkpoint-*"), key=interrupted.step_of)):
            os.utime(path, (1e9 - 1000 * number,) * 2)
        real(folder, best)

    monkeypatch.setattr("encoders.training.drop_old", set_back)
    stopped(8, stage1, data, clip, tmp_path / "run", "--num_epochs", "3", "--save_steps", "1")
    steps = [interrupted.step_of(path) for path in interrupted.complete_checkpoints(tmp_path / "run" / "checkpoints")]
    assert steps[-2:] == [6, 7] and len(steps) <= 3
