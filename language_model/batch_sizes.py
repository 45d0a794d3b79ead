"""How many trials a language model computes at a time in finetuning, and in the evaluations between."""

import argparse
from collections.abc import Callable

from runtime.errors import InputError

MOST_EVALUATED = 256  # at a time; more gain little


def check_micro_batch(args: argparse.Namespace) -> None:
    """Raise InputError if a step cannot be divided into batches of --micro_batch_size."""
    step = args.batch_size * args.gradient_accumulation_steps
    if args.micro_batch_size and step % args.micro_batch_size:
        sizes = ", ".join(str(size) for size in range(1, step + 1) if step % size == 0)
        raise InputError(f"--micro_batch_size {args.micro_batch_size}: does not divide the {step} trials of a step "
                         f"(--batch_size x --gradient_accumulation_steps); give one of {sizes}")


def micro_batches(args: argparse.Namespace, cuda: bool) -> list[int]:
    """The batch sizes that a step can be divided into, best first.

    A card takes the whole step at once if its memory does, since each batch starts some thousand kernels.
    """
    step = args.batch_size * args.gradient_accumulation_steps
    most = args.micro_batch_size or (step if cuda else args.batch_size)
    return [size for size in range(most, 0, -1) if most % size == 0]


def evaluation_batch(args: argparse.Namespace, batch: int, cuda: bool, fits: Callable[[int], bool]) -> int:
    """The batch size of the evaluations in a training with batches of `batch`; fits: whether memory takes one.

    On CUDA it is doubled while it fits, as no gradients are kept.
    """
    if args.eval_batch_size or not cuda:
        return args.eval_batch_size or batch
    while 2 * batch <= MOST_EVALUATED and fits(2 * batch):
        batch *= 2
    return batch
