"""--resume from a damaged or hostile checkpoint: one message, exit code 2, nothing executed."""

import json
import os
import pickle
import random
import shutil

from runtime.interrupted import COMPLETE_MARK
from runtime.pickles import load_pickle, save_torch
from runtime.trainer_state import STATE, mark_whole

import pytest
import torch
from safetensors.torch import load_file, save_file

import train_eeg_classifier as training
from bench.mutations import flipped, mutated
from finetuning import finetune
from test_interrupted import stage1_arguments
from test_resume import same

PICKLES = ("optimizer.pt", "scheduler.pt", "rng_state.pth")
SAID = ("remove ", "--overwrite", "--resume")


@pytest.fixture(scope="module")
def stages(data, clip, encoder, llm, tmp_path_factory):
    """For stage 1 and 3: a function that trains in a folder, and where an interrupted run and a whole one are."""
    root = tmp_path_factory.mktemp("stages")

    def stage1(output, *more):
        training.main([*stage1_arguments(data, clip, output), *more])

    def stage3(output, *more):
        finetune(data, clip, encoder, llm, output, "--batch_size", "16", "--save_steps", "1", "--no_stage2", "--lora_r",
                 "2", "--num_epochs_eeg", "2", *more)

    def interrupted(self, *given, **more):
        if self.state.global_step == 5:
            raise KeyboardInterrupt
        return real(self, *given, **more)

    for name, run in (("stage1", stage1), ("stage3", stage3)):
        run(root / name / "whole")
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
            real = training_step()
            patch.setattr("transformers.Trainer.training_step", interrupted)
            run(root / name / "part")
    return {name: (run, root / name) for name, run in (("stage1", stage1), ("stage3", stage3))}


def training_step():
    from transformers import Trainer

    return Trainer.training_step


@pytest.fixture(params=["stage1", "stage3"])
def stage(stages, request, tmp_path):
    """resume() goes on from a copy of the interrupted run, again() makes that copy new; the newest checkpoint there, a
    whole run, and the copy."""
    run, folder = stages[request.param]
    copy = shutil.copytree(folder / "part", tmp_path / "part")
    place = copy / "checkpoints" / ("stage3" if request.param == "stage3" else "")
    before = shutil.copytree(place, tmp_path / "before")

    def resume():
        run(copy, "--resume")

    def again():
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(before, place)

    return resume, again, place / "checkpoint-5", folder / "whole", copy


def refused(resume, capsys, *said):
    with pytest.raises(SystemExit) as stop:
        resume()
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert stop.value.code == 2 and line.startswith("error: ") and all(text in line for text in said), line


@pytest.mark.slow
def test_damaged_files_and_missing_ones(stage, capsys):
    resume, _, checkpoint, whole, copy = stage
    draw = random.Random(0)
    files = [path for path in sorted(checkpoint.rglob("*")) if path.is_file() and path.name != COMPLETE_MARK]
    assert {STATE, *PICKLES} < {path.name for path in files}
    for file in files:
        content = file.read_bytes()
        file.write_bytes(flipped(content, draw))
        refused(resume, capsys, str(file), *SAID)
        file.unlink()
        refused(resume, capsys, str(file), "not found", *SAID)
        file.write_bytes(content)
    resume()
    same(whole, copy)


def test_a_checkpoint_of_an_earlier_version_has_no_hashes(stage):
    resume, _, checkpoint, whole, copy = stage
    (checkpoint / COMPLETE_MARK).write_bytes(b"")
    resume()
    same(whole, copy)


class Evil:
    """Runs code when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("name", [*PICKLES, "scaler.pt", "training_args.bin", "pytorch_model.bin"])
def test_no_pickle_runs_code(stage, capsys, tmp_path, name):
    resume, _, checkpoint, _, _ = stage
    for content in (pickle.dumps(Evil(tmp_path / "ran")), None):
        (checkpoint / name).unlink(missing_ok=True)
        if content is None:
            torch.save({"state": Evil(tmp_path / "ran")}, checkpoint / name)
        else:
            (checkpoint / name).write_bytes(content)
        mark_whole(checkpoint)
        if name in ("training_args.bin", "pytorch_model.bin"):
            continue
        refused(resume, capsys, str(checkpoint / name), "--resume")
    if name in ("training_args.bin", "pytorch_model.bin"):  # nobody reads them
        resume()
    assert not (tmp_path / "ran").exists()


def change(file, edit):
    content = load_pickle(file, "") if file.suffix != ".safetensors" else load_file(file)
    content = edit(content) or content
    file.unlink()
    if file.suffix == ".safetensors":
        save_file(content, file)
    else:
        save_torch(file, content)


def first_state(optimizer):
    return optimizer["state"][max(optimizer["state"])]


@pytest.mark.parametrize("stage", ["stage1"], indirect=True)  # one check for both; test_any_value_in_any_place has both
@pytest.mark.parametrize(("name", "edit", "said"), [
    ("optimizer.pt", lambda c: first_state(c).update(exp_avg=first_state(c)["exp_avg"] * float("nan")), "NaN"),
    ("optimizer.pt", lambda c: first_state(c).update(exp_avg=torch.zeros(3, 3, 3)), "shape"),
    ("optimizer.pt", lambda c: c["param_groups"][0].update(betas=(2., 3.)), "other settings"),
    ("optimizer.pt", lambda c: c["param_groups"].pop(), "does not fit"),
    ("optimizer.pt", lambda c: {"state": 5}, "does not fit"),
    ("optimizer.pt", lambda c: [1], "no dictionary"),
    ("scheduler.pt", lambda c: c.update(base_lrs="x"), "another schedule"),
    ("scheduler.pt", lambda c: c.clear(), "another schedule"),
    ("scheduler.pt", lambda c: c.update(lr_lambdas=[]), "another schedule"),
    ("optimizer.pt", lambda c: c["param_groups"][0].update(lr=float("nan")), "learning rate"),
    ("rng_state.pth", lambda c: c.update(python=(3, (1, 2), None)), "does not fit"),
    ("rng_state.pth", lambda c: c.update(cpu=torch.zeros(3)), "does not fit"),
    ("rng_state.pth", lambda c: c.__delitem__("numpy"), "does not fit"),
])
def test_states_of_another_form(stage, capsys, name, edit, said):
    resume, _, checkpoint, _, _ = stage
    change(checkpoint / name, edit)
    mark_whole(checkpoint)
    refused(resume, capsys, str(checkpoint), said, *SAID)


@pytest.mark.parametrize("stage", ["stage1"], indirect=True)  # one check for both; test_any_value_in_any_place has both
@pytest.mark.parametrize("values", [
    {"global_step": 10**12}, {"global_step": -1}, {"global_step": float("nan")}, {"global_step": "5"},
    {"epoch": float("nan")}, {"stateful_callbacks": {}},
    {"logging_steps": 0}, {"train_batch_size": -1}, {"train_batch_size": "4"}, {"log_history": 5}, {"log_history": [5]},
    {"best_model_checkpoint": "../../.."}, {"best_model_checkpoint": "checkpoint-3"}, {"evil": 1}])
def test_trainer_states_of_another_form(stage, capsys, values):
    resume, _, checkpoint, _, _ = stage
    content = json.loads((checkpoint / STATE).read_text())
    (checkpoint / STATE).write_text(json.dumps(content | values))
    mark_whole(checkpoint)
    refused(resume, capsys, str(checkpoint), "--overwrite")


def test_a_step_that_the_training_does_not_have(stage, capsys):
    resume, _, checkpoint, _, _ = stage
    content = json.loads((checkpoint / STATE).read_text())
    (checkpoint / STATE).write_text(json.dumps(content | {"global_step": 10**6, "max_steps": 10**7}))
    checkpoint = checkpoint.rename(checkpoint.parent / "checkpoint-1000000")
    mark_whole(checkpoint)
    refused(resume, capsys, str(checkpoint), "step 1000000", *SAID)


@pytest.mark.slow
def test_any_value_in_any_place(stage, capsys):
    resume, again, checkpoint, _, _ = stage
    draw, count = random.Random(0), 0
    content = json.loads((checkpoint / STATE).read_text())
    for _ in range(20):
        (checkpoint / STATE).write_text(json.dumps(mutated(content, draw)))
        mark_whole(checkpoint)
        try:
            resume()
        except SystemExit as stop:
            assert stop.code == 2 and str(checkpoint) in capsys.readouterr().err.strip().splitlines()[-1]
            count += 1
        again()
    assert count > 5
