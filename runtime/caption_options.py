"""Options on captions: by which captioner, how it writes them, and to which files."""

import argparse
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from runtime import small_models
from runtime.command_line import checked, neutral
from runtime.errors import InputError
from runtime.model_options import code_option, half_options
from runtime.option_types import bounded, fraction, positive
from runtime.places import check_checkpoint, resolve_checkpoint
from runtime.runs import read_run

PROMPT_TYPES = ("basic", "detailed", "creative")
TRAIN_LABELS = ("true", "predicted", "mixed", "out_of_fold")
LEAST_TEMPERATURE = 1e-6  # scores divided by less may overflow
LABELS = ("class", "words", "none")  # what stands for the class in prompts (captioning/routes.py)


def captioner_options(parser: argparse.ArgumentParser) -> None:
    """Which captioner, and how its LLM is loaded."""
    group = parser.add_argument_group("model")
    checked(neutral(group.add_argument("--model_path", required=True, help=(
        "captioner: a local folder or a Hub id with subfolder, ours or a predecessor's"))), check_checkpoint)
    checked(neutral(group.add_argument("--llm_backbone_name_or_path", "--llm", type=small_models.llm, help=(
        "where the base LLM lies now (unset: the place that the captioner names); captions by an LLM with other files than "
        "the captioner was trained with are marked as such"))), small_models.check_llm)
    group.add_argument("--load_in_8bit", action="store_true", help="load the LLM in 8 bit even if it was trained otherwise")
    group.add_argument("--load_in_4bit", action="store_true", help="load the LLM in 4 bit even if it was trained otherwise")
    group.add_argument("--label", choices=LABELS, help="what stands for the class in prompts: its name, words of the "
                       "captioner's vocabulary, or nothing (unset: as the captioner was trained)")
    half_options(group)
    code_option(group)


def inference_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """What inference.py and inference_chance.py share."""
    captioner_options(parser)
    group = parser.add_argument_group("captions")
    neutral(group.add_argument("--split", choices=("test", "val", "train", "all"), default="test",
                               help="part of the split to caption; all: every trial of the data set"))
    neutral(group.add_argument("--allow_overlap", action="store_true",
                               help="caption test pictures even if the captioner or its encoder was trained on them; the "
                                    "record of the captions says so (unset: refuse)"))
    writing_options(group)
    neutral(group.add_argument("--results_dir", default="./results", help="folder for CSV files that --dest does not name"))
    neutral(group.add_argument("--dest", help="CSV file to write; --prompt_type appends _<prompt type> to its name, and "
                                              "inference_chance.py also appends _<condition>"))
    for flag in ("--num_workers", "--max_prefix_length", "--max_suffix_length", "--save_every", "--log_level"):
        neutral(group.add_argument(flag, help=argparse.SUPPRESS))  # predecessors' flags that had no effect there either
    neutral(group.add_argument("--debug", action="store_true", help=argparse.SUPPRESS))
    return group


def writing_options(group: argparse._ActionsContainer) -> None:
    """How the LLM is asked for captions, and how it writes them."""
    which = group.add_mutually_exclusive_group()
    which.add_argument("--prompt_type", choices=PROMPT_TYPES, help="instruction in the prompt (unset: as the captioner "
                                                                        "was trained)")
    which.add_argument("--prompt", help="your own instruction in place of --prompt_type")
    neutral(group.add_argument("--batch_size", type=positive, help="number of captions written at a time (unset: what fits "
                                                                   "into the memory of the device, at most 64 on a CPU "
                                                                   "and 512 on CUDA)"))
    group.add_argument("--max_new_tokens", type=positive, default=100, help="longest caption in tokens")
    group.add_argument("--min_new_tokens", type=bounded(int, 0), default=0, help="shortest caption in tokens")
    group.add_argument("--do_sample", action="store_true", help="draw each token among the 50 likeliest instead of "
                       "taking the most likely one")
    group.add_argument("--temperature", type=bounded(float, 0), default=1.0, help="with --do_sample or "
                       "--candidates: below 1 favours likely tokens")
    group.add_argument("--top_p", type=fraction, default=1.0,
                       help="with --do_sample: draw from this much of the probability of the 50 likeliest tokens")
    group.add_argument("--repetition_penalty", type=bounded(float, 1e-6), default=1.1,
                       help="above 1 discourages repetition")
    group.add_argument("--guidance", type=bounded(float, 0), default=1.0, metavar="SCALE",
                       help="above 1 favours words that the embedding made more likely over those that the LLM would write "
                            "without it (classifier-free guidance); takes twice the time")
    group.add_argument("--candidates", type=positive, default=1, metavar="N",
                       help="write N captions of each trial, the likeliest and N - 1 drawn at --temperature, and keep the "
                            "one whose CLIP embedding is nearest to the embedding in the prompt; takes N times the time")


def check_writing(args: argparse.Namespace) -> None:
    """Raise InputError for options of `writing_options` that exclude each other. Scripts ask when they parse their options,
    as an LLM takes minutes to load."""
    if args.min_new_tokens > args.max_new_tokens:
        raise InputError(f"--min_new_tokens {args.min_new_tokens}: is more than --max_new_tokens {args.max_new_tokens}; "
                         "give a smaller number, or raise the other")
    if args.guidance != 1 and args.do_sample:
        raise InputError(f"--guidance {args.guidance:g} with --do_sample: the captions with and without the embedding "
                         "must be the same text, so none can be drawn; leave one of the two out")
    if args.candidates > 1 and args.do_sample:
        raise InputError(f"--candidates {args.candidates} with --do_sample: candidates are drawn already; leave one of "
                         "the two out")
    if (args.do_sample or args.candidates > 1) and args.temperature < LEAST_TEMPERATURE:
        which = "--do_sample" if args.do_sample else f"--candidates {args.candidates}"
        raise InputError(f"--temperature {args.temperature:g} with {which}: nothing can be sampled below "
                         f"{LEAST_TEMPERATURE:g}; leave {which} out to decode greedily")


def generation_options(args: argparse.Namespace) -> dict[str, object]:
    """`generate` arguments from the command line, or from Python; greedy unless --do_sample."""
    from transformers.utils import logging

    check_writing(args)
    options = {"max_new_tokens": args.max_new_tokens, "do_sample": args.do_sample,
               "repetition_penalty": args.repetition_penalty}
    if args.min_new_tokens:
        options |= {"min_new_tokens": args.min_new_tokens}
    if args.guidance != 1:
        options |= {"guidance": args.guidance}
    if args.candidates > 1:
        options |= {"candidates": args.candidates, "draw_temperature": args.temperature}
    if args.do_sample:
        options |= {"temperature": args.temperature, "top_p": args.top_p, "top_k": 50}  # transformers' default, named
    else:
        logging.set_verbosity_error()  # it warns of sampling defaults that greedy decoding ignores
    return options


def idle_sampling(args: argparse.Namespace) -> str | None:
    """A sentence on the options of sampling that have no effect, as nothing is sampled; None where there are none. The
    predecessors' commands carry them, so they are no error."""
    drawn = {"temperature": args.do_sample or args.candidates > 1, "top_p": args.do_sample}
    idle = [f"--{name} {getattr(args, name):g}" for name, used in drawn.items() if not used and getattr(args, name) != 1]
    how = ("takes the likeliest token each time; give --do_sample to draw" if args.candidates == 1 else
           "draws candidates by --temperature alone")
    return f"note: {' and '.join(idle)}: without effect, as this command {how}" if idle else None


def trained_prompt_type(folder: str | Path) -> str:
    """The --prompt_type that the captioner in `folder` was trained with; a predecessor's knows the first only."""
    return read_run(folder)[1].get("prompt_type") or PROMPT_TYPES[0]


def csv_file(name: str, flag: str, advice: str = "", inputs: Iterable[str | None] = ()) -> Path:
    """The Path of a CSV file to write; InputError where it is a folder or one of the files that are read, `inputs`: a
    recording may be a CSV, too."""
    if name.endswith("/") or Path(name).is_dir():
        raise InputError(f"{flag} {name}: is a folder, expected a CSV file{advice}")
    if Path(name).resolve() in [Path(given).resolve() for given in inputs if given]:
        raise InputError(f"{flag} {name}: is also an input, which would be overwritten; choose another file")
    return Path(name)


def caption_files(args: argparse.Namespace, conditions: Iterable[str], suffix: bool) -> dict[str, Path]:
    """The CSV file of each condition, {condition: Path}, named as the predecessors did: `<dest>_<prompt type>.csv` where a
    prompt type was asked for, `<results_dir>/inference_results_<time>_<prompt type>.csv` without --dest.

    suffix: whether names end in the condition even with --dest, so that a control never overwrites the model's captions.
    """
    if args.dest:
        csv_file(args.dest, "--dest", "; give --results_dir for a folder")
    if args.dest:
        base = args.dest.removesuffix(".csv") + (f"_{args.prompt_type}" if args.prompt_type else "")
    else:
        prompt = args.prompt_type or trained_prompt_type(resolve_checkpoint(args.model_path, "--model_path"))
        base = Path(args.results_dir) / f"inference_results_{datetime.now():%Y%m%d_%H%M%S}_{prompt}"
    suffix = suffix or not args.dest
    return {c: Path(f"{base}_{c}.csv" if suffix and c != "eeg+label" else f"{base}.csv") for c in conditions}
