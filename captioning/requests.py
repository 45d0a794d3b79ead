"""How captions of unknown pictures are asked for, on the command line or from Python."""

import argparse
from dataclasses import dataclass, field

from runtime import options
from runtime.errors import InputError

from metrics.caption_files import ABSTAINED
from metrics.conditions import OF_UNKNOWN

# The defaults of the options.
GREEDY = {"max_new_tokens": 100, "do_sample": False, "repetition_penalty": 1.1, "guidance": 1.0, "candidates": 1,
          "min_new_tokens": 0}

_EXPECTED = {"bool": "True or False", "str": "a text that is not empty", "int": "a whole number", "float": "a number"}


@dataclass(frozen=True)
class Request:
    """How captions are asked for.

    instruction: None for that of the training; controls: of metrics.conditions.OF_UNKNOWN, written beside each caption;
    abstain_below: probability below which a trial gets no caption, None for encoders.confidence.threshold_of; words:
    number of class names that are listed; batch_size: captions at a time, None for what fits; generation: arguments of
    `generate`.
    """

    instruction: str | None = None
    controls: tuple[str, ...] = ()
    abstain_below: float | None = None
    words: int = 3
    batch_size: int | None = None
    seed: int = 42
    generation: dict = field(default_factory=lambda: dict(GREEDY))


def request_options(group: argparse._ActionsContainer) -> None:
    """What is written beside a caption, when there is none, and how the LLM writes."""
    group.add_argument("--control", nargs="*", choices=OF_UNKNOWN, metavar="CONDITION", help="write beside each caption "
                       f"what the same model writes under a control, of {', '.join(OF_UNKNOWN)} (without a name: noise; "
                       "unset: none)")
    group.add_argument("--abstain_below", type=options.fraction, metavar="P",
                       help=f"write '{ABSTAINED}' in place of a caption if the probability of the predicted class is below "
                            "P; 0 captions every trial (unset: the threshold that was measured on the model's validation "
                            "trials)")
    group.add_argument("--words", type=options.positive, default=3, help="number of class names to show, the most probable "
                                                                         "first")
    options.writing_options(group)


def request_of(args: argparse.Namespace) -> Request:
    """The Request that `request_options` and --seed ask for."""
    from language_model.prompts import instruction_of

    controls = () if args.control is None else tuple(args.control) or ("noise",)
    instruction = instruction_of(args.prompt_type, args.prompt) if args.prompt or args.prompt_type else None
    return Request(instruction, controls, args.abstain_below, args.words, args.batch_size, args.seed,
                   options.generation_options(args))


def check_values(values: dict[str, object]) -> None:
    """Raise InputError for a value from Python, {name of an option: value}, that the command line would refuse. None is an
    option that is not given."""
    parser = argparse.ArgumentParser()
    request_options(parser)
    options.seed_option(parser)
    actions = {action.dest: action for action in parser._actions}
    for name, value in values.items():
        action = actions[name]
        kind = bool if action.nargs == 0 else action.type or str
        try:
            if value is None and action.default is None:
                continue
            if isinstance(value, str) != (kind is str) or value == "":  # a number in quotes is none
                raise ValueError
            if kind is bool and not isinstance(value, bool):
                raise ValueError
            if kind not in (bool, str):
                kind(str(value))
        except argparse.ArgumentTypeError as error:
            raise InputError(f"{name}: {error}") from None
        except ValueError:
            raise InputError(f"{name}: {value!r}, expected {_EXPECTED[kind.__name__]}") from None
