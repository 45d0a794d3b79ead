"""Options stay as they were given, and keys hold what was asked for."""

import argparse

from runtime import options
from runtime.options import neutral

import pytest

import finetune_llm
import inference
import train_eeg_classifier
from documented import ROOT, _run_to_parser

SCRIPTS = ["prepare_data", "pretrain_data_processor", "train_eeg_classifier", "test_eeg_classifier", "finetune_llm",
           "inference", "inference_chance", "evaluate", "recipes.make_small_clip"]
FINETUNE = ["--eeg_dataset", "a", "--output", "b", "--eeg_encoder_path", "c"]


class Stopped(BaseException):
    pass


def parsers(script):
    """The parser of a script and those of its commands, with their prog."""
    found = []

    def parse_args(self, args=None, namespace=None):
        found.append(self)
        raise Stopped

    with pytest.raises(Stopped):
        _run_to_parser(script, (), parse_args)
    for parser in found:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                found += action.choices.values()
    return found


def test_options_cannot_be_changed():
    args = finetune_llm.parse(FINETUNE)
    with pytest.raises(AttributeError, match="--batch_size: options stay as they were given"):
        args.batch_size = 4
    assert args.batch_size == 16


def test_what_was_asked_leaves_out_what_changes_nothing():
    parser = options.make_parser("")
    parser.add_argument("--learning_rate", type=float)
    neutral(parser.add_argument("--output"))
    neutral(parser.add_argument("--num_epochs_eeg"), "stage2")
    args = options.parse(parser, ["--output", "x", "--learning_rate", "1", "--num_epochs_eeg", "3"])
    assert args.asked() == {"learning_rate": 1, "num_epochs_eeg": "3"} and args.asked("stage2") == {"learning_rate": 1}
    assert vars(args) == {"output": "x", "learning_rate": 1, "num_epochs_eeg": "3"}


@pytest.mark.parametrize(("script", "given", "free", "part"), [
    (finetune_llm, FINETUNE, ["--output", "elsewhere", "--eeg_dataset", "copy", "--cache_dir", "d", "--logging_steps", "1",
                              "--gradient_checkpointing", "on", "--report_to", "tensorboard", "--profile", "--resume",
                              "--device", "cpu", "--saved_pretrained_model_path", "e"], "stage3"),
    (finetune_llm, FINETUNE, ["--num_epochs_eeg", "1", "--train_label", "true", "--time_low", "3", "--no_stage3"],
     "stage2"),
    (train_eeg_classifier, ["--eeg_dataset", "a", "--output", "b"],
     ["--output", "elsewhere", "--save_steps", "7", "--patience", "3", "--device", "cpu"], options.EVERYTHING),
    (inference, ["--model_path", "a", "--eeg_dataset", "b"],
     ["--batch_size", "7", "--dest", "c.csv", "--model_path", "copy", "--device", "cpu"], options.EVERYTHING)])
def test_keys_do_not_hold_what_changes_nothing(script, given, free, part):
    before = script.parse(given).asked(part)
    assert script.parse([*given, *free]).asked(part) == before
    assert script.parse([*given, "--seed", "7"]).asked(part) != before


@pytest.mark.parametrize("script", SCRIPTS)
def test_seed_and_device_have_one_default(script):
    found = {(action.dest, action.default) for parser in parsers(script) for action in parser._actions
             if action.dest in ("seed", "device")}
    assert found and found <= {("seed", 42), ("device", "auto")}


@pytest.mark.parametrize(("argv", "missing"), [([], "--eeg_dataset, --output, --eeg_encoder_path"),
                                               (FINETUNE[:4], "--eeg_encoder_path")])
def test_what_a_plan_does_not_need_is_needed_else(argv, missing, capsys):
    with pytest.raises(SystemExit) as stop:
        finetune_llm.parse(argv)
    assert stop.value.code == 2 and f"the following arguments are required: {missing}" in capsys.readouterr().err
    assert finetune_llm.parse(["--plan"]).plan == 0 and finetune_llm.parse(["--plan=80"]).plan == 80


MODULES = [f"{folder}.{path.stem}" for folder in ("recipes", "bench", "sources", "captioning")
           for path in sorted((ROOT / folder).glob("*.py")) if "def main(argv" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_how_it_is_called(module):
    assert parsers(module)[0].prog in (f"python -m {module}", f"{module.replace('.', '/')}.sh")
