"""A device that is not there: its tensors compute on the CPU, and break the rules of devices as CUDA's would.

PyTorch's name for a device from outside, PrivateUse1, takes a guard in Python, so this needs no compiler. Each tensor of
the device is a wrapper around one of the CPU. An operator that gets tensors of both devices raises, as on CUDA. What makes
the host wait for a GPU is counted. Kernels, streams, CUDA graphs, autocast and quantised weights are not pretended, nor
are branches of the code that ask for the name "cuda".
"""

import collections
import contextlib
import traceback
from pathlib import Path

from runtime import options

import torch
from accelerate.state import AcceleratorState
from torch.utils._device import _device_constructors
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

from language_model import memory, training_plan
from language_model.static_decoding import StaticDecoder

NAME, ROOT = "pretended", Path(__file__).resolve().parents[1]
aten = torch.ops.aten
WAITING = {aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default, aten.equal.default,
           aten._unique2.default, aten.unique_consecutive.default, aten.is_nonzero.default}  # the host reads a result
BETWEEN = {aten.copy_.default, aten._to_copy.default}  # devices
INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}


class Held(torch.Tensor):
    """A tensor of the device; inner: its values, on the CPU."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(
            cls, inner.size(), strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            layout=inner.layout, device=torch.device(NAME, 0))

    def __init__(self, inner):
        self.inner = inner

    def __tensor_flatten__(self):
        return ["inner"], None

    @staticmethod
    def __tensor_unflatten__(tensors, meta, size, stride):
        return Held(tensors["inner"])

    def __deepcopy__(self, memo):
        return torch.nn.Parameter(Held(self.inner.clone()), self.requires_grad) if isinstance(
            self, torch.nn.Parameter) else Held(self.inner.clone()).requires_grad_(self.requires_grad)

    def __reduce_ex__(self, protocol):
        return self.inner.detach().__reduce_ex__(protocol)

    def __repr__(self):
        return f"Held({self.inner})"

    def numpy(self, *args, **more):
        raise TypeError(f"can't convert {NAME} device type tensor to numpy; use Tensor.cpu()")

    __array__ = numpy

    def tolist(self):
        return self.cpu().tolist()

    def data_ptr(self):
        return self.inner.data_ptr()

    def storage(self):
        return self.inner.storage()

    def untyped_storage(self):
        return self.inner.untyped_storage()

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return Pretended.now.run(function, args, kwargs or {})


class Module(_DummyBackendModule):
    """torch.pretended, as far as torch and transformers ask."""

    def get_amp_supported_dtype(self):
        return [torch.bfloat16, torch.float16]


class Pretended(TorchDispatchMode):
    """Within it the device is there; waits: how often the host waited, by place in the project."""

    now = None

    def __init__(self):
        super().__init__()
        self.waits = collections.Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return self.run(function, args, kwargs or {})

    def run(self, function, args, kwargs):
        tensors = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, torch.Tensor)]
        held = [tensor for tensor in tensors if isinstance(tensor, Held)]
        device = kwargs.get("device")
        to = device and torch.device(device).type
        if held:
            self.check(function, args, tensors)
            if function in WAITING or to == "cpu" or (function is aten.copy_.default and not isinstance(args[0], Held)):
                self.waits[place()] += 1
        if to == NAME:
            kwargs = kwargs | {"device": torch.device("cpu")}
        args_inside, kwargs_inside = tree_map(lambda leaf: leaf.inner if isinstance(leaf, Held) else leaf, (args, kwargs))
        out = function(*args_inside, **kwargs_inside)
        if function is aten.copy_.default:
            return args[0]
        if not (to == NAME or (held and to != "cpu")):
            return out
        out = tree_map(lambda leaf: Held(leaf) if isinstance(leaf, torch.Tensor) else leaf, out)
        return return_and_correct_aliasing(function, args, kwargs, out) if held else out

    def check(self, function, args, tensors):
        """RuntimeError where tensors of the CPU come together with those of the device. Numbers may, and indices that are
        copied to it."""
        if function in BETWEEN:
            return
        if function in INDEXING and isinstance(args[0], Held):
            indices = [index for index in args[1] if index is not None]
            if any(not isinstance(index, Held) or index.dtype == torch.bool for index in indices):
                self.waits[place()] += 1
            tensors = [args[0], *(leaf for leaf in args[2:] if isinstance(leaf, torch.Tensor))]
        if any(not isinstance(tensor, Held) and tensor.dim() for tensor in tensors):
            raise RuntimeError(f"expected all tensors on the same device, but {function} got "
                               f"{sorted({tensor.device.type for tensor in tensors})}")


def place():
    """The line of the project, or else of a library, that the program is at."""
    frames = [frame for frame in traceback.extract_stack() if frame.filename != __file__]
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(ROOT)
           and not Path(frame.filename).is_relative_to(ROOT / "tests")]
    frame = (own or frames)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


@contextlib.contextmanager
def pretended_device(monkeypatch):
    """The mode in which the project's scripts run on the device, as on a card of 80 GB."""
    if torch._C._get_privateuse1_backend_name() != NAME:
        _setup_privateuseone_for_python_backend(NAME, Module())
    with monkeypatch.context() as patch, Pretended() as mode:
        patch.setattr(Pretended, "now", mode)
        patch.setattr(options, "resolve_device", lambda name: f"{NAME}:0")
        patch.setenv("ACCELERATE_TORCH_DEVICE", f"{NAME}:0")
        patch.setattr(torch.cuda, "get_device_capability", lambda device=None: (9, 0))
        patch.setattr(memory, "free_memory", lambda *given: 80e9)
        patch.setattr(training_plan, "candidates", lambda *given: [memory.Precision(None, 4, False)])  # no autocast there
        patch.setenv("HF_DEACTIVATE_ASYNC_LOAD", "1")  # a mode is one thread's
        patch.setattr(StaticDecoder, "devices", (NAME,))
        patch.setitem(memory.MAX_CAPTIONS, NAME, 512)
        patch.setattr(torch.Tensor, "pin_memory", lambda self, *device: self)
        _device_constructors()  # remembers the functions that torch.device("meta") changes, so before they are replaced
        for name in ("tensor", "as_tensor"):  # they copy to the device behind the mode's back
            patch.setattr(torch, name, on_cpu_first(getattr(torch, name)))
        AcceleratorState._reset_state(True)
        try:
            yield mode
        finally:
            AcceleratorState._reset_state(True)


def on_cpu_first(make):
    def made(data, *args, device=None, **more):
        out = data if isinstance(data, Held) else make(data, *args, **more)
        return out if device is None else out.to(device)
    return made
