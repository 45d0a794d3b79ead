"""What is refused of a command line before anything else: flags of the earlier repositories, names of no option, empty
values, and texts that are none."""

import argparse
import difflib
import os
import re
from collections.abc import Iterable

from runtime.errors import InputError
from runtime.names import is_text

PLAIN_FILES = ("csv_files", "compare_to", "dest", "results_dir", "json", "csv", "chart", "report", "beside", "judge_cache",
               "eeg_file")  # read and written by Python alone, which takes any path
NO_EXPERIMENTS = "leave it out, as there are no batches of experiments; run inference.py once for each prompt"
FORMER = {  # flags of the earlier repositories that have no or another name here: what to give instead
    "--prompt_types": "give --prompt_type basic, detailed or creative, or your own --prompt, and run once for each",
    "--encoder_path": "the encoder is --output of test_eeg_classifier.py and --eeg_encoder_path of finetune_llm.py",
    "--epochs": "give --num_epochs (stage 1), --num_epochs_image or --num_epochs_eeg (stages 2 and 3); the baselines of "
                "test_eeg_classifier.py --embedding_baseline have a fixed number",
    "--num_epochs": "give --num_epochs_image or --num_epochs_eeg",
    "--num_epochs_image": "give --num_epochs",
    "--num_epochs_eeg": "give --num_epochs",
    "--output_dir": "give --results_dir",
    "--config_file": NO_EXPERIMENTS,
    "--max_parallel": NO_EXPERIMENTS,
    "--skip_existing": "leave it out; half-written captions are continued, and what is there is written anew",
}
OPTION = re.compile(r"--\w+")
ALIKE = 0.75  # of two names that one may have been meant for the other (difflib's ratio)


class Former(argparse.Action):
    """A flag of FORMER: it ends the script with its answer."""

    def __call__(self, parser, namespace, values, option_string=None):
        raise InputError(f"{option_string}: is no option here: {FORMER[option_string]} (docs/coming_from.md lists all "
                         "names)")


def former_of(parser: argparse.ArgumentParser) -> list[str]:
    """The flags of FORMER that a parser answers: not its own, and none whose answer names options of other scripts only."""
    known = set(options_of(parser))
    return [flag for flag, answer in FORMER.items() if flag not in parser._option_string_actions
            and (not (named := set(OPTION.findall(answer))) or named & known)]


def options_of(parser: argparse.ArgumentParser, hidden: bool = False) -> list[str]:
    """The names of a parser's options, those of its commands among them. hidden: also those that --help does not show."""
    names = [name for name, action in parser._option_string_actions.items()
             if hidden or action.help is not argparse.SUPPRESS]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            names += [name for command in action.choices.values() for name in options_of(command, hidden)]
    return names


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """"; did you mean --eeg_dataset?" where one of the known names is much like this one, else ""."""
    near = difflib.get_close_matches(name, set(known), n=1, cutoff=ALIKE)
    return f"; did you mean {near[0]}?" if near else ""


def check_text(args: argparse.Namespace) -> None:
    """Raise InputError for an option that is no text, such as a path that is not UTF-8. The libraries that read models and
    EEG cannot open it, and a run should not end on that after hours."""
    given = [(f"--{name}", text) for name, value in vars(args).items() if name not in PLAIN_FILES
             for text in (value if isinstance(value, list | tuple) else [value])]
    for flag, text in (*given, ("the current folder", os.getcwd())):
        if isinstance(text, str) and not is_text(text):
            raise InputError(f"{flag} {text}: is not UTF-8 text; rename the file or folder, or write it in UTF-8")


def check_filled(args: argparse.Namespace, actions: Iterable[argparse.Action]) -> None:
    """Raise InputError for an option whose value is empty, as a shell makes it of a variable that is not set. It would be
    taken for an option that was not given, or for the current folder."""
    for action in actions:
        value = getattr(args, action.dest, None)
        for text in value if isinstance(value, list | tuple) else [value]:
            if isinstance(text, str) and not text.strip() and text != action.default:
                name = action.option_strings[0] if action.option_strings else action.metavar or action.dest
                raise InputError(f"{name} {text!r}: is empty; give a value (is a variable of your shell not set?), "
                                 "or leave the option out")
