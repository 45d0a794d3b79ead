"""Options on how a pretrained model is loaded: its precision, and whether its own code may run."""

import argparse

from runtime.command_line import neutral
from runtime.errors import InputError


def half_options(group: argparse._ActionsContainer) -> None:
    group.add_argument("--bf16", action="store_true", help="compute in bfloat16")
    group.add_argument("--fp16", action="store_true", help="compute in float16, for cards before Ampere (CUDA only)")


def llm_loading(args: argparse.Namespace, otherwise: str | None = None) -> str | None:
    """What --load_in_8bit and --load_in_4bit ask for: "8bit", "4bit", or `otherwise` where neither is given."""
    if args.load_in_8bit and args.load_in_4bit:
        raise InputError("--load_in_8bit and --load_in_4bit exclude each other; give one of them")
    return "8bit" if args.load_in_8bit else "4bit" if args.load_in_4bit else otherwise


def code_option(group: argparse._ActionsContainer) -> None:
    """Whether the Python code that a model folder brings may run. Without it such a model cannot be loaded at all."""
    neutral(group.add_argument("--trust_remote_code", action="store_true", help="run the Python code that comes with "
                               "the model; it can do whatever you can on this machine (unset: such a model is refused)"))
