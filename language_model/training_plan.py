"""How an LLM is loaded and trained in the memory that is free: precision, batches and gradient checkpointing."""

import argparse
from dataclasses import dataclass, field

from runtime.cuda import given_half
from runtime.errors import InputError
from runtime.options import llm_loading

from language_model.batch_sizes import evaluation_batch, micro_batches
from language_model.memory import (
    GB,
    USUAL_LABELS,
    USUAL_TOKENS,
    Precision,
    Shape,
    does_not_fit,
    in_16_bit,
    training_memory,
)


def candidates(args: argparse.Namespace, shape: Shape, cuda: bool, half: str = "bf16") -> list[Precision]:
    """The precisions that the flags allow, best first; half: the 16-bit type of the device."""
    given = {"8bit": args.load_in_8bit, "4bit": args.load_in_4bit}
    loading = next((name for name, wanted in given.items() if wanted), None)
    asked = given_half(args)
    if cuda and not (loading or asked or shape.own.loading):
        return in_16_bit(half)
    own = shape.own.element if cuda else 4
    return [Precision(loading or shape.own.loading, 2 if asked else own, asked is not None, asked or half)]


@dataclass(frozen=True)
class Plan:
    """How an LLM is loaded and trained: what the options ask for, fitted to the memory that is free.

    loading: None, "8bit" or "4bit"; half: the 16-bit type to compute in, "bf16", "fp16" or None; batch_size x accumulation
    is what the options ask for, so that a step learns from the same examples. line: a sentence on the choice; terms: bytes
    by what takes them; evaluation: batch size of the evaluations, None for that of training.
    """

    loading: str | None
    half: str | None
    batch_size: int
    accumulation: int
    checkpointing: bool
    line: str = ""
    terms: dict = field(default_factory=dict)
    evaluation: int | None = None


def plan_as_asked(args: argparse.Namespace) -> Plan:
    """The Plan of the options alone, for an LLM that is sharded over processes: its memory cannot be planned yet."""
    batch = args.micro_batch_size or args.batch_size
    return Plan(llm_loading(args), given_half(args), batch, args.batch_size * args.gradient_accumulation_steps // batch,
                args.gradient_checkpointing == "on", evaluation=args.eval_batch_size)


def plan_training(args: argparse.Namespace, shape: Shape, *, free: float, cuda: bool, trained: int, lora: dict | None,
                  half: str = "bf16", tokens: int = USUAL_TOKENS, labels: int = USUAL_LABELS) -> Plan:
    """Choose precision, batch size and gradient checkpointing for `free` bytes. half: the 16-bit type of the device.

    The best precision that fits at all is taken, since smaller batches cost less than 8 bit. For it the largest batch is
    taken, without checkpointing if that fits; but batches larger than --batch_size are not worth checkpointing. An
    evaluation keeps less than training with checkpointing does. Raises InputError if nothing fits.
    """
    if args.gradient_checkpointing == "on" and not shape.checkpointing:
        raise InputError(f"--gradient_checkpointing on: transformers has none for LLMs of this type ({shape.name}); leave "
                         "the option out (a smaller --micro_batch_size saves memory, too), or give another LLM")
    switch = {"auto": (False, True)[:1 + shape.checkpointing], "on": (True,), "off": (False,)}[args.gradient_checkpointing]

    def terms(precision, batch, checkpointing):
        return training_memory(shape, precision, batch=batch, tokens=tokens, labels=labels, checkpointing=checkpointing,
                               trained=trained, lora=lora, cuda=cuda)

    def need(*choice):
        return sum(terms(*choice).values())

    def least(precision):
        return need(precision, 1, switch[-1])

    offered = candidates(args, shape, cuda, half)
    precision = next((precision for precision in offered if least(precision) <= free), None)
    if precision is None:
        others = [other for other in in_16_bit(half) if other not in offered and least(other) <= free]
        raise InputError(does_not_fit(shape, offered, least, others, free, cuda))
    batch, checkpointing = next(
        (batch, on) for batch in micro_batches(args, cuda) for on in (switch[:1] if batch > args.batch_size else switch)
        if need(precision, batch, on) <= free)
    accumulation = args.batch_size * args.gradient_accumulation_steps // batch
    evaluation = evaluation_batch(args, batch, cuda, lambda size: need(precision, size, True) <= free)
    rejected = [f"{other} needs at least {least(other) / GB:.1f}, " for other in offered[:offered.index(precision)]]
    line = (f"LLM: {shape.size} parameters; of {free / GB:.1f} GB free {''.join(rejected)}{precision} needs "
            f"{need(precision, batch, checkpointing) / GB:.1f}: {precision}, gradient checkpointing "
            f"{'on' if checkpointing else 'off'}, batches of {batch}"
            f"{_in_place(batch, accumulation, args)}{f', evaluated {evaluation} at a time' if evaluation != batch else ''} "
            f"(rows of {tokens} tokens)")
    chosen = len(offered) > 1  # else the options say it, or the LLM is saved in fewer bits and loads as it is
    return Plan(precision.loading if chosen else llm_loading(args), precision.half if precision.autocast else None, batch,
                accumulation, checkpointing, line, terms(precision, batch, checkpointing), evaluation)


def _in_place(batch, accumulation, args):
    """Words on a step that is divided otherwise than asked for."""
    if batch == args.batch_size:
        return ""
    asked = "one" if args.gradient_accumulation_steps == 1 else args.gradient_accumulation_steps
    return f", {accumulation if accumulation > 1 else 'one'} of them in place of {asked} of {args.batch_size}"
