"""What each process of tests/test_processes.py runs: scripts one after another, so that torch is imported once."""

import importlib
import json
import os
import sys

import runtime  # noqa: F401  before accelerate

from accelerate import PartialState
from accelerate.utils import DistributedType

from language_model import sharding


def fsdp_on_a_cpu():
    """accelerate turns FSDP on for several GPUs only; the rest of it works on a CPU with gloo, too."""
    plain = PartialState.__init__

    def as_gpus(self, *args, **more):
        plain(self, *args, **more)
        self.distributed_type = DistributedType.MULTI_GPU

    PartialState.__init__ = as_gpus
    gathered = sharding.gathered

    def dealt(state):
        assert any(hasattr(tensor, "full_tensor") for tensor in state.values()), "FSDP is not at work"
        return gathered(state)

    sharding.gathered = dealt


if "ACCELERATE_USE_FSDP" in os.environ:
    fsdp_on_a_cpu()
for script, argv in json.loads(sys.argv[1]):
    importlib.import_module(script).main.__wrapped__(argv)
