"""The command-line options that several scripts share, one function per topic.

This file imports nothing heavy, so that `--help` answers at once. Names and short forms are those of Thought2Text, PTM and
DL_Proj_EEG-to-Text, so that their commands run here unchanged.
"""

import argparse
import math
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from runtime import cuda, pretrained, processes
from runtime.errors import InputError
from runtime.given_options import FORMER, Former, check_text

CLIP_MODEL = "openai/clip-vit-base-patch32"
LLM = "deepseek-ai/deepseek-llm-7b-base"
SPLITS = ("picture", "subject", "class", "session", "recording", "time", "given")
PROMPT_TYPES = ("basic", "detailed", "creative")
EVERYTHING = "everything"
ENCODER = {"d_model": 128, "attn_heads": 8, "layers": 2, "dropout": 0.2, "spatial_filters": 64}  # the default encoder


class Options(argparse.Namespace):
    """A command's options as they were given. They cannot be changed: what a program derives from them stands in an object
    of its own."""

    __slots__ = ("_neutral",)

    def __setattr__(self, name: str, value: object) -> None:
        if hasattr(self, "_neutral"):
            raise AttributeError(f"--{name}: options stay as they were given; derive an object of its own")
        super().__setattr__(name, value)

    def asked(self, part: str = EVERYTHING) -> dict[str, object]:
        """The options that the result of `part` depends on, by name: all but those declared `neutral`."""
        return {name: value for name, value in vars(self).items()
                if self._neutral.get(name) not in (EVERYTHING, part)}


def neutral(action: argparse.Action, part: str = EVERYTHING) -> argparse.Action:
    """Declare that an option has no effect on the result, or on that of one `part` of the program.

    Such an option is left out of the keys by which checkpoints, caches and interrupted captions are recognised.
    """
    action.neutral = part
    return action


def parse(parser: argparse.ArgumentParser, argv: list[str] | None) -> Options:
    """Parse a command line (None: the program's own) into Options."""
    for flag in FORMER.keys() - parser._option_string_actions.keys():
        parser.add_argument(flag, action=Former, nargs="*", dest=argparse.SUPPRESS, help=argparse.SUPPRESS)
    args = parser.parse_args(argv, Options())
    check_text(args)
    neutral_of = {action.dest: action.neutral for action in parser._actions if hasattr(action, "neutral")}
    object.__setattr__(args, "_neutral", neutral_of)
    pretrained.trust_remote_code(getattr(args, "trust_remote_code", False))
    return args


def require(parser: argparse.ArgumentParser, args: Options, *names: str) -> None:
    """End as argparse does where one of these options is not given."""
    missing = [f"--{name}" for name in names if getattr(args, name) is None]
    if missing:
        parser.error(f"the following arguments are required: {', '.join(missing)}")


def make_parser(description: str) -> argparse.ArgumentParser:
    """A parser whose help keeps the script's docstring as it is and names the default of each option."""

    class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
        def _get_help_string(self, action):  # for None and for a flag that is not given, the text says what they mean
            if action.default is None or action.default is False:
                return action.help
            if isinstance(action.default, list | tuple):
                return f"{action.help} (default: {' '.join(map(str, action.default))})"
            return super()._get_help_string(action)

    return argparse.ArgumentParser(description=description, formatter_class=Formatter, allow_abbrev=False)


def bounded(kind: type, low: float = -math.inf, high: float = math.inf) -> Callable[[str], float]:
    """An argparse type: a finite number of `kind` in [low, high]."""

    def parse(text):
        value = kind(text)
        if not math.isfinite(value):
            raise argparse.ArgumentTypeError(f"{text} is not a finite number")
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is out of range, expected {low} to {high}")
        return value

    parse.__name__ = kind.__name__  # argparse names the type in "invalid int value"
    return parse


positive = bounded(int, 1)
fraction = bounded(float, 0, 1)
epochs = bounded(float, 0.001)


def samples(text: str) -> int:
    """An argparse type: a whole number of samples; the predecessors wrote it as 20.0."""
    if not float(text).is_integer():
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of samples")
    return int(float(text))


def date(text: str) -> str:
    """An argparse type: a date as 2026-01-31."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").strftime("%Y-%m-%d")
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: expected a date as 2026-01-31") from None


def step_limit(text: str) -> int:
    """An argparse type: -1 (no limit) or a positive number of steps."""
    if int(text) != -1 and int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected -1 or a positive number of steps")
    return int(text)


def data_options(parser: argparse.ArgumentParser, required: bool = True) -> argparse._ArgumentGroup:
    """The data set, its splits and its window. Keys hold the content of what these name, so the paths are neutral."""
    group = parser.add_argument_group("data")
    neutral(group.add_argument("--eeg_dataset", required=required,
                               help="EEG data set: a folder that prepare_data.py wrote, its Hub id (datasets/org/name), or "
                                    "a .pth file in the EEGCVPR40 layout"))
    neutral(group.add_argument("--splits_path", help="splits file (.pth) with train, val and test indices (unset: the one "
                                                     "in the data set folder)"))
    neutral(group.add_argument("--image_dir", help="folder of pictures and captions: <class>/<name>.JPEG and "
                                                   "<name>_caption.txt (unset: the one in the data set folder)"))
    trials_options(group)
    neutral(group.add_argument("-tl", "--time_low", type=samples,
                               help="first sample of the window (unset: 20 for EEGCVPR40 files, the picture onset for a "
                                    "data set folder, else 0)"), "stage2")
    neutral(group.add_argument("-th", "--time_high", type=samples,
                               help="end of the window in samples, exclusive (unset: 460 for EEGCVPR40 files, else the "
                                    "end)"), "stage2")
    return group


def trials_options(group: argparse._ActionsContainer) -> None:
    """Which split, and whose trials."""
    neutral(group.add_argument("-sn", "--split_num", type=bounded(int, 0), default=0,
                               help="number of the split in the splits file"))
    neutral(group.add_argument("-sub", "--subject", type=bounded(int, 0), default=0,
                               help="use the trials of this subject only; 0 uses all subjects"))
    neutral(group.add_argument("--splits_index", choices=("auto", "all", "subject"), default="auto",
                               help="with --subject: whether the indices in the splits file count all records or only the "
                                    "records of that subject"))


def split_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("splits")
    group.add_argument("--split_by", choices=SPLITS, help="what must not be shared between train, val and test "
                                                          "(unset: what suits the source)")
    group.add_argument("--val_fraction", type=fraction, default=0.15, help="share for validation; at least one unit")
    group.add_argument("--test_fraction", type=fraction, default=0.15, help="share for testing; at least one unit")
    group.add_argument("--split_seed", type=bounded(int, 0, 2**32 - 1), default=0, help="random seed of the splits")
    group.add_argument("--split_gap", type=bounded(float, 0), default=5., help="with --split_by time: gap between two "
                       "parts in seconds; trials in the gap are left out")
    group.add_argument("--unseen_pictures", action="store_true", help="with --split_by subject, session, recording or "
                       "time: keep pictures apart as well; trials that would share a picture are left out")
    return group


def audit_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("audit")
    group.add_argument("--permutations", type=bounded(int, 99), default=1000, help="permutations for each p-value")
    return group


def picture_options(parser: argparse.ArgumentParser, trained: str | None = None) -> argparse._ArgumentGroup:
    """trained: "captioner" or "encoder" where it tells what it was trained with; None for a training.

    Keys hold the CLIP model's weights, so its name is neutral.
    """
    as_trained = f" (unset: as the {trained} was trained)"
    group = parser.add_argument_group("pictures")
    neutral(group.add_argument("--clip_model", default=None if trained else CLIP_MODEL,
                               help="CLIP model for picture embeddings: a Hub name, open_clip:NAME/PRETRAINED, or a local "
                                    "folder" + (as_trained if trained else "")))
    group.add_argument("--picture", choices=("sketch", "photo"),
                       help="embed <name>_sketch.JPEG, as Thought2Text does, or the photograph <name>.JPEG"
                            + (as_trained if trained else
                               " (unset: sketch, or photo if the data set folder has no sketches)"))
    neutral(group.add_argument("--cache_dir", help="folder for picture embeddings, which are computed once "
                                                   "(unset: $EEG_TO_TEXT_CACHE or ~/.cache/eeg_to_text)"))
    return group


def training_options(parser: argparse.ArgumentParser, *, batch_size: int, learning_rate: float, warmup_ratio: float,
                     lr_scheduler_type: str, max_grad_norm: float) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("training")
    group.add_argument("--batch_size", type=positive, default=batch_size, help="trials per step and process")
    group.add_argument("--learning_rate", type=bounded(float, 0), default=learning_rate, help="peak learning rate")
    group.add_argument("--gradient_accumulation_steps", type=positive, default=1,
                       help="number of batches whose gradients are summed before a step")
    group.add_argument("--optim", default="adamw_torch", help="optimizer by its transformers name (adamw_torch, "
                                                              "paged_adamw_8bit, ...); adamw_hf means adamw_torch")
    group.add_argument("--weight_decay", type=bounded(float, 0), default=0.001, help="weight decay")
    group.add_argument("--max_grad_norm", type=bounded(float, 0), default=max_grad_norm, help="clip gradients to this norm")
    group.add_argument("--warmup_ratio", type=fraction, default=warmup_ratio, help="share of the steps spent warming up")
    group.add_argument("--lr_scheduler_type", default=lr_scheduler_type, help="learning rate schedule by its "
                                                                              "transformers name (constant, cosine, ...)")
    group.add_argument("--max_steps", type=step_limit, default=-1, help="stop after this many steps; -1 means no limit")
    neutral(group.add_argument("--save_steps", type=positive, default=5000,
                               help="number of steps between checkpoints to resume from"))
    neutral(group.add_argument("--logging_steps", type=positive, default=30, help="number of steps between log lines"))
    group.add_argument("--group_by_length", action="store_true",
                       help="stages 2 and 3: batch captions of similar length; this saves padding but makes batches less "
                            "varied")
    half_options(group)
    interrupted = group.add_mutually_exclusive_group()
    neutral(interrupted.add_argument("--resume", action="store_true", help="after an interruption: continue from the "
                                     "newest checkpoint under --output"))
    neutral(interrupted.add_argument("--overwrite", action="store_true", help="after an interruption: delete the "
                                     "checkpoints under --output and start anew"))
    neutral(group.add_argument("--report_to", choices=("none", "tensorboard", "wandb"), default="none",
                               help="where training curves go besides train_log.json (tensorboard: to tensorboard/ in "
                                    "--output)"))
    neutral(group.add_argument("--save_every", type=positive, default=5, help=argparse.SUPPRESS))  # had no effect
    return group


def half_options(group: argparse._ActionsContainer) -> None:
    group.add_argument("--bf16", action="store_true", help="compute in bfloat16")
    group.add_argument("--fp16", action="store_true", help="compute in float16, for cards before Ampere (CUDA only)")


def run_options(parser: argparse.ArgumentParser, profile: bool = True) -> argparse._ArgumentGroup:
    """profile: whether the script can profile itself (runtime/profiler.py)."""
    group = parser.add_argument_group("run")
    neutral(group.add_argument("--device", default="auto", help="cpu, cuda, cuda:N or auto (CUDA if available)"))
    seed_option(group)
    if profile:
        neutral(group.add_argument("--profile", action="store_true", help="write where the time went to profile/ in the "
                                   "results folder: a table, and a trace of a few steps for ui.perfetto.dev"))
    return group


def seed_option(parser: argparse.ArgumentParser | argparse._ArgumentGroup, what: str = "everything random") -> None:
    parser.add_argument("--seed", type=bounded(int, 0, 2**32 - 1), default=42, help=f"random seed of {what}")


def resolve_device(name: str) -> str:
    """`--device` as a torch device string; a device that is not there is an error, not a fallback.

    Each of several processes on one machine gets the CUDA device of its own number. The processes meet here.
    """
    device = _device(name)
    if device != "cpu":
        cuda.prepare()
    processes.start(device)
    return device


def _device(name):
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise InputError(f"--device {name}: this project runs on cpu and cuda only; expected auto, cpu, cuda or cuda:N")
    if device.type == "cuda":
        if processes.count() > 1 and device.index is not None:
            raise InputError(f"--device {name}: each of the {processes.count()} processes takes its own device; give "
                             "--device cuda and choose the devices with CUDA_VISIBLE_DEVICES")
        number, found = device.index or processes.local_index(), torch.cuda.device_count()
        if number >= found:
            wanted = f"process {number} of this machine needs its own device; " if processes.count() > 1 else ""
            raise InputError(f"--device {name}: {wanted}this torch ({torch.__version__}) finds "
                             f"{found} CUDA devices; " + ("start fewer processes" if found else
                             "use --device cpu or install a CUDA build of torch"))
        return f"cuda:{number}"
    return "cpu"


def llm_loading(args: argparse.Namespace, otherwise: str | None = None) -> str | None:
    """What --load_in_8bit and --load_in_4bit ask for: "8bit", "4bit", or `otherwise` where neither is given."""
    if args.load_in_8bit and args.load_in_4bit:
        raise InputError("--load_in_8bit and --load_in_4bit exclude each other; give one of them")
    return "8bit" if args.load_in_8bit else "4bit" if args.load_in_4bit else otherwise


def code_option(group: argparse._ActionsContainer) -> None:
    """Whether the Python code that a model folder brings may run. Without it such a model cannot be loaded at all."""
    neutral(group.add_argument("--trust_remote_code", action="store_true", help="run the Python code that comes with "
                               "the model; it can do whatever you can on this machine (unset: such a model is refused)"))


def captioner_options(parser: argparse.ArgumentParser) -> None:
    """Which captioner, and how its LLM is loaded."""
    group = parser.add_argument_group("model")
    neutral(group.add_argument("--model_path", required=True, help="captioner: a local folder or a Hub id with subfolder, "
                                                                   "ours or a predecessor's"))
    neutral(group.add_argument("--llm_backbone_name_or_path",
                               help="where the base LLM lies now (unset: the place that the captioner names); captions by "
                                    "an LLM with other files than the captioner was trained with are marked as such"))
    group.add_argument("--load_in_8bit", action="store_true", help="load the LLM in 8 bit even if it was trained otherwise")
    group.add_argument("--load_in_4bit", action="store_true", help="load the LLM in 4 bit even if it was trained otherwise")
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
    group.add_argument("--prompt_type", choices=PROMPT_TYPES, help="instruction in the prompt (unset: basic)")
    group.add_argument("--prompt", help="your own instruction in place of --prompt_type")
    neutral(group.add_argument("--batch_size", type=positive, help="number of captions written at a time (unset: what fits "
                                                                   "into the memory of the device, at most 64 on a CPU "
                                                                   "and 512 on CUDA)"))
    group.add_argument("--max_new_tokens", type=positive, default=100, help="longest caption in tokens")
    group.add_argument("--do_sample", action="store_true", help="sample tokens instead of taking the most likely one")
    group.add_argument("--temperature", type=bounded(float, 0), default=1.0, help="with --do_sample: below 1 favours "
                                                                                  "likely tokens")
    group.add_argument("--top_p", type=fraction, default=1.0,
                       help="with --do_sample: sample from this much probability mass")
    group.add_argument("--repetition_penalty", type=bounded(float, 1e-6), default=1.1,
                       help="above 1 discourages repetition")


def generation_options(args: argparse.Namespace) -> dict[str, object]:
    """`generate` arguments from the command line; greedy unless --do_sample."""
    from transformers.utils import logging

    options = {"max_new_tokens": args.max_new_tokens, "do_sample": args.do_sample,
               "repetition_penalty": args.repetition_penalty}
    if args.do_sample and not args.temperature:
        raise InputError("--temperature 0 with --do_sample: nothing can be sampled; leave --do_sample out to "
                         "decode greedily")
    if args.do_sample:
        options |= {"temperature": args.temperature, "top_p": args.top_p, "top_k": 50}  # transformers' default, named
    else:
        logging.set_verbosity_error()  # it warns of sampling defaults that greedy decoding ignores
    return options


def csv_file(name: str, flag: str, advice: str = "") -> Path:
    """The Path of a CSV file to write; InputError where it is a folder."""
    if name.endswith("/") or Path(name).is_dir():
        raise InputError(f"{flag} {name}: is a folder, expected a CSV file{advice}")
    return Path(name)


def caption_files(args: argparse.Namespace, conditions: Iterable[str], suffix: bool) -> dict[str, Path]:
    """The CSV file of each condition, {condition: Path}, named as the predecessors did: `<dest>_<prompt type>.csv` where a
    prompt type was asked for, `<results_dir>/inference_results_<time>_<prompt type>.csv` without --dest.

    suffix: whether names end in the condition even with --dest, so that a control never overwrites the model's captions.
    """
    if args.dest:
        csv_file(args.dest, "--dest", "; give --results_dir for a folder")
    prompt = f"_{args.prompt_type}" if args.prompt_type else ""
    if args.dest:
        base = args.dest.removesuffix(".csv") + prompt
    else:
        base = Path(args.results_dir) / f"inference_results_{datetime.now():%Y%m%d_%H%M%S}{prompt or '_basic'}"
    suffix = suffix or not args.dest
    return {c: Path(f"{base}_{c}.csv" if suffix and c != "eeg+label" else f"{base}.csv") for c in conditions}
