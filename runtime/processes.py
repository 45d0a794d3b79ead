"""A run on several processes, as `torchrun` and `accelerate launch` start it; in a run of one, all of this does nothing.

Every process runs the whole script on its own share of each batch. Process 0 alone speaks and keeps what it writes
(errors.exits_cleanly, runs.atomic_path). All must come to the same decisions, as each waits for the others in every
training step: what depends on files that may change meanwhile is decided by process 0 (`from_main`).
The launcher's environment variables tell who one is before torch is imported, which takes seconds.
"""

import contextlib
import os
import sys
import time
from datetime import timedelta

LONGEST_WAIT = timedelta(hours=3)  # for process 0 to embed a data set's pictures; a process that died is told of at once
HEAD_START = 5  # seconds that the others leave process 0 to report an error that all have met


def count():
    """How many processes there are."""
    return int(os.environ["WORLD_SIZE"]) if "LOCAL_RANK" in os.environ else 1  # WORLD_SIZE alone is the cluster's


def index():
    """The number of this process, 0 to count() - 1."""
    return int(os.environ["RANK"]) if "LOCAL_RANK" in os.environ else 0


def is_main():
    return index() == 0


def local_index():
    """The number of this process among those of this machine."""
    return int(os.environ.get("LOCAL_RANK", 0))


def sharded():
    """Whether the launcher's accelerate config deals the LLM's weights to the processes by FSDP."""
    return count() > 1 and os.environ.get("ACCELERATE_USE_FSDP") == "true"


def start(device):
    """Meet the other processes: by gloo for the device "cpu", else by NCCL. A second call does nothing."""
    if count() > 1:
        from accelerate import PartialState

        PartialState(cpu=device == "cpu", timeout=LONGEST_WAIT, **({"backend": "gloo"} if device == "cpu" else {}))


def end():
    """Part from the other processes, at the end of a script."""
    if count() > 1 and "torch.distributed" in sys.modules:
        from torch import distributed

        if distributed.is_initialized():
            distributed.destroy_process_group()


def wait():
    """Return when all processes have called this."""
    if count() > 1:
        from torch import distributed

        distributed.barrier()


@contextlib.contextmanager
def main_first():
    """Process 0 runs the block, then the others, as where it writes a file that they find.

    Where process 0 fails the others stay here until the launcher ends them.
    """
    if not is_main():
        wait()
    yield
    if is_main():
        wait()


def from_main(function, *arguments):
    """What `function(*arguments)` gives in process 0, the only one to call it, on every process."""
    if count() == 1:
        return function(*arguments)
    from torch import distributed

    box = [function(*arguments) if is_main() else None]
    distributed.broadcast_object_list(box)
    return box[0]


def share(rows):
    """This process's part of a list, tensor or range: one stretch; the parts differ in length by one at most."""
    return rows[len(rows) * index() // count():len(rows) * (index() + 1) // count()]


def collect(items):
    """The lists of all processes joined in their order, on every process."""
    if count() == 1:
        return list(items)
    from torch import distributed

    parts = [None] * count()
    distributed.all_gather_object(parts, list(items))
    return [item for part in parts for item in part]


def shared(function, rows):
    """The tensors [n, ...] that `function(rows)` gives, of which each process makes those of its share of the n rows."""
    if count() == 1 or len(rows) < count():
        return function(rows)
    import torch

    return tuple(torch.cat(collect([tensor])) for tensor in function(share(rows)))


def join(tensor):
    """Tensors [B, ...] of all processes, of one shape, as [count() x B, ...], for a loss that each computes from it alike.

    The gradient reaches the own part alone, times count(): averaged over the processes, as DistributedDataParallel does,
    the weights' gradients are those of the one loss, and nothing is sent backwards.
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
def only_main_speaks():
    """Silence stdout, stderr and so tqdm's bars of the other processes within the block; errors leave it."""
    if is_main():
        yield
        return
    nowhere = open(os.devnull, "w")  # noqa: SIM115  stays open, as handlers of logging keep it
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


def wait_to_speak():
    """What a message of this process begins with, after a moment for process 0 to say the same.

    When process 0 has said it and ended, the launcher ends the others in their waiting, so it is said once.
    """
    if is_main():
        return ""
    time.sleep(HEAD_START)
    return f"process {index()} of {count()}: "
