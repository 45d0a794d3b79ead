"""A run on several processes, as `torchrun` and `accelerate launch` start it. In a run of one process all of this does
nothing.

Every process runs the whole script on its own share of each batch. Only process 0 prints, and only its files are kept
(errors.exits_cleanly, atomic_files.atomic_path). All processes must come to the same decisions, since each waits for the
others in every training step. Decisions that depend on files which may change are therefore made by process 0
(`from_main`). The environment variables of the launcher tell the number of a process before torch is imported, which takes
seconds.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

LONGEST_WAIT = timedelta(hours=3)  # while process 0 embeds the pictures; a process that died is reported at once
HEAD_START = 5  # seconds in which process 0 reports an error that all have met


def count() -> int:
    """How many processes there are."""
    return int(os.environ["WORLD_SIZE"]) if "LOCAL_RANK" in os.environ else 1  # WORLD_SIZE alone is the cluster's


def index() -> int:
    """The number of this process, 0 to count() - 1."""
    return int(os.environ["RANK"]) if "LOCAL_RANK" in os.environ else 0


def is_main() -> bool:
    return index() == 0


def local_index() -> int:
    """The number of this process among those of this machine."""
    return int(os.environ.get("LOCAL_RANK", 0))


def sharded() -> bool:
    """Whether the launcher's accelerate config deals the LLM's weights to the processes by FSDP."""
    return count() > 1 and os.environ.get("ACCELERATE_USE_FSDP") == "true"


def start(device: str) -> None:
    """Meet the other processes: by gloo for the device "cpu", else by NCCL. A second call does nothing."""
    if count() > 1:
        from accelerate import PartialState

        PartialState(cpu=device == "cpu", timeout=LONGEST_WAIT, **({"backend": "gloo"} if device == "cpu" else {}))


def end() -> None:
    """Leave the group of processes, at the end of a script."""
    if count() > 1 and "torch.distributed" in sys.modules:
        from torch import distributed

        if distributed.is_initialized():
            distributed.destroy_process_group()


def wait() -> None:
    """Return when all processes have called this."""
    if count() > 1:
        from torch import distributed

        distributed.barrier()


@contextlib.contextmanager
def main_first() -> Iterator[None]:
    """Process 0 runs the block first, then the others, so that they find the files that it wrote.

    If process 0 fails, the others stay here until the launcher ends them.
    """
    if not is_main():
        wait()
    yield
    if is_main():
        wait()


def from_main(function: Callable[..., T], *arguments: object) -> T:
    """Call the function in process 0 only, and return its result on every process."""
    if count() == 1:
        return function(*arguments)
    from torch import distributed

    box = [function(*arguments) if is_main() else None]
    distributed.broadcast_object_list(box)
    return box[0]


def share(rows: Sequence) -> Sequence:
    """The part of a list, tensor or range that belongs to this process: one stretch; lengths differ by at most one."""
    return rows[len(rows) * index() // count():len(rows) * (index() + 1) // count()]


def collect(items: Iterable[T]) -> list[T]:
    """The lists of all processes, joined in the order of the processes, on every process."""
    if count() == 1:
        return list(items)
    from torch import distributed

    parts = [None] * count()
    distributed.all_gather_object(parts, list(items))
    return [item for part in parts for item in part]


def shared(function: Callable[[torch.Tensor], tuple[torch.Tensor, ...]], rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The tensors [n, ...] that `function(rows)` gives; each process computes its own share of the n rows."""
    if count() == 1 or len(rows) < count():
        return function(rows)
    import torch

    return tuple(torch.cat(collect([tensor])) for tensor in function(share(rows)))


def join(tensor: torch.Tensor) -> torch.Tensor:
    """The tensors [B, ...] of all processes as one [count() x B, ...], for a loss that every process computes alike.

    The gradient reaches only the part of this process, times count(). DistributedDataParallel then averages over the
    processes, so the gradients of the weights are those of the one loss, and nothing is sent backwards.
    """
    if count() == 1:
        return tensor
    import torch

    parts = [torch.empty_like(tensor) for _ in range(count())]
    torch.distributed.all_gather(parts, tensor.detach().contiguous())
    parts[index()] = tensor
    joined = torch.cat(parts)
    if joined.requires_grad:
        joined.register_hook(lambda gradient: gradient * count())
    return joined


@contextlib.contextmanager
def only_main_speaks() -> Iterator[None]:
    """Within the block, silence stdout and stderr (and so tqdm) of all processes but 0; errors pass through."""
    if is_main():
        yield
        return
    nowhere = open(os.devnull, "w")  # noqa: SIM115  stays open, as handlers of logging keep it
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


def wait_to_speak() -> str:
    """The beginning of an error message of this process, returned after a pause in which process 0 can print the same.

    When process 0 has printed it and ended, the launcher ends the others while they wait, so it is printed once.
    """
    if is_main():
        return ""
    time.sleep(HEAD_START)
    return f"process {index()} of {count()}: "
