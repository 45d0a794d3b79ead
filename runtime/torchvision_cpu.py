"""Lets the CUDA wheel of torchvision import beside a CPU build of torch.

PyPI's torchvision for Linux is built for CUDA. Beside a CPU build of torch its compiled library does not load, and its
import stops with "operator torchvision::nms does not exist". transformers, peft, timm and open_clip import torchvision
where it is installed, so they stop too. Nothing in this project detects objects, so it is enough to declare the two
operators that torchvision asks for. A torchvision that loads as it is stays untouched.
"""

import importlib.abc
import importlib.machinery
import sys
from pathlib import Path


class DeclareOperators(importlib.abc.MetaPathFinder):
    """Declares the operators at the first import of torchvision, then leaves the import to the usual finders."""

    library = None  # a torch.library.Library takes its operators with it when it is collected

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname != "torchvision":
            return None
        sys.meta_path.remove(self)
        found = importlib.machinery.PathFinder.find_spec(fullname)
        if found and not _loads(Path(found.origin).parent):
            import torch

            DeclareOperators.library = torch.library.Library("torchvision", "FRAGMENT")
            self.library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            self.library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return None


def _loads(folder: Path) -> bool:
    """Whether torchvision's compiled library finds the libraries that it was built for."""
    import torch

    for file in folder.glob("_C*.so"):
        try:
            torch.ops.load_library(str(file))
        except OSError:
            return False
    return True


def install() -> None:
    """Put the finder in front of the usual ones, once."""
    if "torchvision" not in sys.modules and not any(isinstance(finder, DeclareOperators) for finder in sys.meta_path):
        sys.meta_path.insert(0, DeclareOperators())
