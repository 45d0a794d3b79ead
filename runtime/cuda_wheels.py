"""Lets the CUDA wheels of torchvision and torchaudio import beside a CPU build of torch.

PyPI's wheels for Linux are built for CUDA. Beside a CPU build of torch their compiled libraries do not load, and their
imports stop: "operator torchvision::nms does not exist", "Could not load this library". transformers, peft, timm, open_clip
and braindecode import them where they are installed, so they stop too. Nothing in this project detects objects or aligns
speech, so the Python parts are enough: two operators of torchvision are declared, and torchaudio is told that it has no
compiled part. A wheel that loads as it is stays untouched.
"""

import importlib.abc
import importlib.machinery
import sys
import types
from pathlib import Path

LIBRARIES = {"torchvision": "_C*.so", "torchaudio": "lib/_torchaudio*.so"}


class DoWithoutLibraries(importlib.abc.MetaPathFinder):
    """Prepares the first import of each wheel, then leaves the import to the usual finders."""

    operators = None  # a torch.library.Library takes its operators with it when it is collected

    def __init__(self) -> None:
        self.waiting = {name for name in LIBRARIES if name not in sys.modules}

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname not in self.waiting:
            return None
        self.waiting.remove(fullname)
        found = importlib.machinery.PathFinder.find_spec(fullname)
        if found and found.origin and not _loads(Path(found.origin).parent, LIBRARIES[fullname]):
            {"torchvision": _declare_operators, "torchaudio": _leave_out_extension}[fullname]()
        return None


def _loads(folder: Path, pattern: str) -> bool:
    """Whether a wheel's compiled library finds the libraries that it was built for."""
    import torch

    for file in folder.glob(pattern):
        try:
            torch.ops.load_library(str(file))
        except OSError:
            return False
    return True


def _declare_operators() -> None:
    import torch

    DoWithoutLibraries.operators = torch.library.Library("torchvision", "FRAGMENT")
    DoWithoutLibraries.operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    DoWithoutLibraries.operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def _leave_out_extension() -> None:
    extension = types.ModuleType("torchaudio._extension")
    extension.fail_if_no_align = lambda function: function
    extension._IS_TORCHAUDIO_EXT_AVAILABLE = extension._IS_ALIGN_AVAILABLE = False
    sys.modules[extension.__name__] = extension


def install() -> None:
    """Put the finder in front of the usual ones, once."""
    if not any(isinstance(finder, DoWithoutLibraries) for finder in sys.meta_path):
        sys.meta_path.insert(0, DoWithoutLibraries())
