"""Lets the CUDA wheel of torchvision import beside a CPU build of torch.

PyPI's torchvision for Linux is built for CUDA. Beside a CPU torch its import stops with "operator torchvision::nms
does not exist", and as transformers, peft, timm and open_clip import torchvision when it is installed, they stop too.
The operators are never called here (nothing in this project detects objects), so declaring their names is enough.
Where the wheel loads as it is, this does nothing. Import this module before any of those libraries.
"""

import torch

_declared = None  # a torch.library.Library takes its operators with it when it is collected


def _ensure():
    global _declared
    try:
        import torchvision
    except ModuleNotFoundError:
        return
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        _declared = torch.library.Library("torchvision", "FRAGMENT")
        _declared.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision  # noqa: F401


_ensure()
