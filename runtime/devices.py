"""`--device` as a torch device, one for each process."""

from runtime import cuda, processes
from runtime.errors import InputError


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
