"""Wheels of torchvision and torchaudio whose compiled libraries do not load are imported without them."""

import importlib
import sys

from runtime.cuda_wheels import LIBRARIES, DoWithoutLibraries

import pytest
import torch

STOPS = "raise OSError('Could not load this library')\n"
WHEELS = {
    "torchaudio": {"__init__.py": "from . import _extension\nfrom .lfilter import has_library\n",
                   "_extension/__init__.py": STOPS, "lib/_torchaudio.abi3.so": "built for CUDA",
                   "lfilter.py": "from torchaudio._extension import _IS_TORCHAUDIO_EXT_AVAILABLE as has_library\n"},
    "torchvision": {"__init__.py": "import torch\n@torch.library.register_fake('torchvision::nms')\n"
                                   "def nms(dets, scores, iou_threshold):\n    return dets\nhas_library = False\n",
                    "_C.so": "built for CUDA"}}


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_wheel_whose_library_does_not_load(tmp_path, monkeypatch, name):
    for file, text in WHEELS[name].items():
        (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name / file).write_text(text)
    if name in sys.modules or (name == "torchvision" and hasattr(torch.ops.torchvision, "nms")):
        pytest.skip(f"{name} is imported here")
    monkeypatch.syspath_prepend(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "meta_path", [each for each in sys.meta_path if not isinstance(each, DoWithoutLibraries)])
        with pytest.raises((OSError, RuntimeError)):
            importlib.import_module(name)
    forget(name)
    monkeypatch.setattr(sys, "meta_path", [DoWithoutLibraries(), *sys.meta_path])
    assert importlib.import_module(name).has_library is False
    forget(name)
    DoWithoutLibraries.operators = None


def forget(name):
    for module in [each for each in sys.modules if each.split(".")[0] == name]:
        del sys.modules[module]
