"""How many trials are computed at a time: as many of a step as a card takes, and the step stays the same."""

from runtime.runs import read_json

import pytest
from safetensors.torch import load_file

import finetune_llm
from captioning.smaller_batches import with_smaller_batches
from captioning.training import CaptionTrainer
from finetuning import finetune
from language_model import memory, training_plan
from language_model.training_plan import Plan
from test_llm_memory import GB, LORA, arguments, deepseek  # noqa: F401  (a fixture)

TRAINED = 106_704_897
STEP = {"batch_size": 16, "gradient_accumulation_steps": 4}


def plan(llm, gigabytes, cuda=True, **given):
    return training_plan.plan_training(arguments(**given), memory.shape_of(llm), free=gigabytes * GB, cuda=cuda, lora=LORA,
                                trained=TRAINED)


@pytest.mark.parametrize(("gigabytes", "given", "chosen"), [
    (200, STEP, (64, 1, False)), (45, STEP, (32, 2, False)), (23.5, STEP, (16, 4, True)), (17.05, STEP, (2, 32, True)),
    (200, STEP | {"micro_batch_size": 8}, (8, 8, False)), (200, {"micro_batch_size": 4}, (4, 4, False)),
    (200, STEP | {"gradient_checkpointing": "on"}, (64, 1, True))])
def test_a_card_takes_as_much_of_a_step_as_fits(deepseek, gigabytes, given, chosen):  # noqa: F811
    found = plan(deepseek, gigabytes, **given)
    assert (found.batch_size, found.accumulation, found.checkpointing) == chosen
    assert found.batch_size * found.accumulation == 16 * given.get("gradient_accumulation_steps", 1)
    assert sum(found.terms.values()) <= gigabytes * GB


def test_a_cpu_computes_what_is_asked_for(deepseek):  # noqa: F811
    found = plan(deepseek, 500, cuda=False, **STEP)
    assert (found.batch_size, found.accumulation, found.evaluation) == (16, 4, 16) and "in place" not in found.line


def test_evaluations_have_batches_of_their_own(deepseek):  # noqa: F811
    sizes = [plan(deepseek, gigabytes).evaluation for gigabytes in (500, 23.5, 17.05)]
    assert sizes[0] == 256 > sizes[1] >= 16 and sizes == sorted(sizes, reverse=True)
    assert "evaluated 256 at a time" in plan(deepseek, 500).line
    assert plan(deepseek, 500, eval_batch_size=40).evaluation == 40


def test_short_memory_makes_evaluations_smaller_too():
    one = with_smaller_batches(Plan(None, None, 2, 3, False, evaluation=64))
    assert (one.batch_size, one.accumulation, one.evaluation) == (1, 6, 1)
    alone = with_smaller_batches(Plan(None, None, 1, 6, False, evaluation=64))
    assert (alone.batch_size, alone.accumulation, alone.evaluation) == (1, 6, 1)


def test_a_run_of_smaller_batches_learns_the_same(data, clip, encoder, llm, tmp_path, monkeypatch):
    sizes = {"training_step": [], "prediction_step": []}
    for name, seen in sizes.items():
        real = getattr(CaptionTrainer, name)
        monkeypatch.setattr(CaptionTrainer, name, lambda self, model, inputs, *more, real=real, seen=seen, **named: (
            seen.append(len(inputs["input_ids"])), real(self, model, inputs, *more, **named))[1])
    common = ["--device", "cpu", "--batch_size", "8", "--lora_dropout", "0", "--no_stage2", "--max_steps", "3",
              "--optim", "sgd", "--learning_rate", "0.1"]
    whole = finetune(data, clip, encoder, llm, tmp_path / "whole", *common)
    assert set(sizes["training_step"]) == {8} and max(sizes["prediction_step"]) == 8
    for seen in sizes.values():
        seen.clear()
    parts = finetune(data, clip, encoder, llm, tmp_path / "parts", *common, "--micro_batch_size", "2",
                     "--eval_batch_size", "10")
    assert sizes["training_step"] == [2] * 12 and max(sizes["prediction_step"]) == 10
    used = read_json(parts / "args.json")["used"]
    assert [used[name] for name in ("batch_size", "gradient_accumulation_steps", "eval_batch_size")] == [2, 4, 10]
    one, other = (load_file(folder / "adapter" / "adapter_model.safetensors") for folder in (whole, parts))
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < 1e-6
    assert all(one[name].any() for name in one), "something is learned"
    losses = [[row["eval_loss"] for row in read_json(folder / "train_log.json")["stage3"] if "eval_loss" in row]
              for folder in (whole, parts)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_batches_that_do_not_divide_a_step_are_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        finetune_llm.main(["--plan", "80", "--batch_size", "6", "--micro_batch_size", "4"])
    assert stop.value.code == 2 and "give one of 1, 2, 3, 6" in capsys.readouterr().err
