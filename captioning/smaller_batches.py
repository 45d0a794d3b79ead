"""Training that runs out of memory goes on with smaller batches, as many more of them in each step."""

import gc
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from runtime import processes
from runtime.errors import InputError

import torch
from torch import nn

from language_model.training_plan import Plan

T = TypeVar("T")


def fit_by_halving(plan: Plan, model: nn.Module, train: Callable[[Plan, bool], T]) -> tuple[Plan, T]:
    """(the plan that fitted, the result of `train` under it).

    train(plan, again) trains `model`; `again` says that it goes on from its newest checkpoint. If there is none, it starts
    from the weights that the model has now. A step learns from the same examples under each plan. InputError if batches of
    one trial do not fit. Several processes do not try again, as the others would wait for the one that failed.
    """
    start = {name: weight.detach().cpu().clone() for name, weight in model.named_parameters() if weight.requires_grad}
    again = False
    while True:
        try:
            return plan, train(plan, again)
        except torch.OutOfMemoryError:
            if processes.count() > 1:
                raise
        # Out of the handler, whose traceback holds the tensors of the failed step.
        if plan.batch_size == 1 == (plan.evaluation or 1):
            raise InputError("out of memory with batches of one trial; load the LLM in fewer bits (--load_in_8bit or "
                             "--load_in_4bit), give --gradient_checkpointing on, or take a smaller LLM")
        plan = with_smaller_batches(plan)
        print(f"note: out of memory; going on with batches of {plan.batch_size}, {plan.accumulation} in each step, so that "
              "a step learns from the same trials as before")
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if name in start:
                    weight.copy_(start[name])
                    weight.grad = None
        gc.collect()  # the failed Trainer holds itself
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        again = True


def with_smaller_batches(plan: Plan) -> Plan:
    """The plan with half the batch size, or the next smaller divisor of it, and the same trials in each step. Evaluations
    have no larger batches then, as one of them may have failed."""
    size = next((size for size in range(plan.batch_size // 2, 0, -1) if plan.batch_size % size == 0), 1)
    return replace(plan, batch_size=size, accumulation=plan.accumulation * plan.batch_size // size, evaluation=size)
