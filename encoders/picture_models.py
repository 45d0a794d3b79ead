"""Pretrained picture models by name or folder, and the features of their layers.

    openai/clip-vit-base-patch32, a folder with a transformers config.json     CLIP, SigLIP, DINOv2, ViT ... of transformers
    open_clip:NAME/PRETRAINED, hf-hub:org/name, a folder with open_clip_config.json     open_clip
    timm:NAME, a folder with timm's config.json (it has an "architecture")     timm
    a folder with a picture target (picture_targets.py), which names its own model

A model's `final` features are its own embedding of a picture. Its layers are numbered from 1: blocks of a transformer, or
stages of a convolutional network.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime import pretrained
from runtime.errors import InputError
from runtime.small_models import offline_advice
from runtime.text_files import parse_json

import torch
from PIL import Image
from safetensors import SafetensorError

FINAL = "final"
TARGET = "picture_target"  # model_type of a picture target
LOADING_FAILS = (OSError, ValueError, RuntimeError, TypeError, AttributeError, KeyError, IndexError, SafetensorError)


@dataclass(frozen=True)
class PictureModel:
    """preprocess: list of pictures -> pixels [n, 3, H, W]; final: pixels -> [n, E]; inner: pixels -> each layer's class
    token [n, D], or None where it has none, and its positions [n, D, h, w]; count: the number of layers."""

    preprocess: Callable[[list[Image.Image]], torch.Tensor]
    final: Callable[[torch.Tensor], torch.Tensor]
    inner: Callable[[torch.Tensor], list[tuple[torch.Tensor | None, torch.Tensor]]] | None
    count: int
    device: str

    @torch.no_grad()
    def features(self, pictures: list[Image.Image], layers: Sequence[str] = (FINAL,), grid: int = 0,
                 ) -> dict[str, torch.Tensor]:
        """{layer: features [n, D] float32 on the CPU}, not normalised.

        grid 0: a layer's class token, or the mean over positions where it has none; k: the means of a k x k grid of its
        positions, one after the other, [n, D k k].
        """
        pixels, found = self.preprocess(pictures).to(self.device), {}
        if FINAL in layers:
            found[FINAL] = self.final(pixels)
        if set(layers) - {FINAL}:
            inner = self.inner(pixels)
            found |= {name: _pooled(*inner[int(name) - 1], grid) for name in layers if name != FINAL}
        return {name: found[name].float().cpu() for name in layers}


def _pooled(token, positions, grid):
    if grid:
        return torch.nn.functional.adaptive_avg_pool2d(positions.float(), grid).flatten(1)
    return positions.float().mean((2, 3)) if token is None else token


def local(name: str) -> Path:
    """The folder that a name may mean."""
    return Path(name.removeprefix("local-dir:"))  # open_clip's own way of naming a folder


def kind_of(name: str) -> str:
    """"target", "timm", "open_clip" or "transformers"."""
    folder = local(name)
    config = _config(folder / "config.json")
    if config.get("model_type") == TARGET:
        return "target"
    if name.startswith("timm:") or (folder.is_dir() and "architecture" in config):
        return "timm"
    prefixed = name.startswith(("open_clip:", "hf-hub:", "local-dir:"))
    return "open_clip" if prefixed or (folder / "open_clip_config.json").is_file() else "transformers"


def _config(file):
    """Its content, {} where it cannot be read: then the model's loader says so."""
    try:
        content = parse_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def not_loadable(name: str, reason: object) -> InputError:
    reason = str(reason).strip().split("\n")[0][:300]
    offline = offline_advice("clip_model", local(name))
    return InputError(f"--clip_model {name}: cannot be loaded ({reason}); expected a Hub name, open_clip:NAME/PRETRAINED, "
                      "timm:NAME, or a local folder with open_clip_config.json or a config.json of transformers or timm; "
                      f"if the folder was moved after training, give its new path{offline}")


@torch.random.fork_rng(devices=[])  # else training after it would depend on whether the pictures were embedded before
def load_picture_model(name: str, device: str) -> PictureModel:
    """Load a model by name or folder; not a picture target."""
    try:
        return {"open_clip": _open_clip, "timm": _timm, "transformers": _transformers}[kind_of(name)](name, device)
    except LOADING_FAILS as error:
        raise not_loadable(name, error) from None


def open_clip_arguments(name: str) -> dict:
    """What open_clip takes for a name of kind "open_clip"."""
    if name.startswith("open_clip:"):
        architecture, _, weights = name.removeprefix("open_clip:").partition("/")
        return {"model_name": architecture, "pretrained": weights or None}
    return {"model_name": f"local-dir:{local(name)}" if local(name).is_dir() else name}


def _open_clip(name, device):
    import open_clip

    with pretrained.no_code("--clip_model", name):
        model, _, preprocess = open_clip.create_model_and_transforms(**open_clip_arguments(name))
    model = model.eval().to(device)
    trunk = getattr(model.visual, "trunk", model.visual)
    blocks = getattr(trunk, "blocks", None) or getattr(getattr(trunk, "transformer", None), "resblocks", ())
    stages = [] if blocks else _stages(trunk)

    def maps(pixels):
        found = []
        hooks = [stage.register_forward_hook(lambda module, given, out: found.append((None, out))) for stage in stages]
        try:
            model.encode_image(pixels)
        finally:
            for hook in hooks:
                hook.remove()
        return found

    def inner(pixels):
        found = model.forward_intermediates(image=pixels, image_output_extra_tokens=True, normalize=False)
        tokens = found.get("image_intermediates_prefix") or [None] * len(found["image_intermediates"])
        return [(None if token is None or not token.shape[1] else token[:, 0], positions)
                for token, positions in zip(tokens, found["image_intermediates"], strict=True)]

    return PictureModel(lambda pictures: torch.stack([preprocess(picture) for picture in pictures]), model.encode_image,
                        maps if stages else inner, len(blocks or stages), device)


def _stages(trunk):
    """The stages of a convolutional network, as ConvNeXt and CLIP's ResNets name them. open_clip's own way to layers counts
    the stem of a ResNet as one, and fails for ConvNeXt."""
    return list(getattr(trunk, "stages", ())) or [getattr(trunk, name) for name in ("layer1", "layer2", "layer3", "layer4")
                                                  if hasattr(trunk, name)]


def _timm(name, device):
    import timm

    given = f"local-dir:{local(name)}" if local(name).is_dir() else name.removeprefix("timm:")
    model = timm.create_model(given, pretrained=True, num_classes=0).eval().to(device)
    preprocess = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    prefix = getattr(model, "num_prefix_tokens", 0)
    more = {"return_prefix_tokens": True} if prefix else {}

    def inner(pixels):
        found = model.forward_intermediates(pixels, intermediates_only=True, **more)
        return [(each[1][:, 0], each[0]) if isinstance(each, tuple) else (None, each) for each in found]

    count = len(model.feature_info) if hasattr(model, "forward_intermediates") else 0
    return PictureModel(lambda pictures: torch.stack([preprocess(picture) for picture in pictures]), model, inner, count,
                        device)


def _transformers(name, device):
    from transformers import AutoConfig, AutoImageProcessor, AutoModel, CLIPImageProcessorPil, CLIPVisionModelWithProjection

    config = pretrained.load(AutoConfig, name)
    if config.model_type.startswith("clip"):
        processor, model = CLIPImageProcessorPil.from_pretrained(name), CLIPVisionModelWithProjection.from_pretrained(name)
    else:
        processor = pretrained.load(AutoImageProcessor, name, backend="pil")
        model = pretrained.load(AutoModel, name) if not hasattr(config, "vision_config") else _vision_tower(name, config)
    model = model.eval().to(device)
    config = getattr(model.config, "vision_config", model.config)

    def final(pixels):
        found = model(pixel_values=pixels)
        for key in ("image_embeds", "pooler_output"):
            if getattr(found, key, None) is not None:
                return getattr(found, key).flatten(1)
        return found.last_hidden_state[:, 0]

    def inner(pixels):
        states = model(pixel_values=pixels, output_hidden_states=True).hidden_states[1:]
        return [_tokens(state, pixels, config) for state in states]

    return PictureModel(lambda pictures: processor(images=pictures, return_tensors="pt")["pixel_values"], final, inner,
                        getattr(config, "num_hidden_layers", 0), device)


def _vision_tower(name, config):
    """The picture side of a SigLIP; others of text and pictures have no common form."""
    from transformers import SiglipModel

    if config.model_type != "siglip":
        raise ValueError(f"model_type {config.model_type} is not supported, expected clip, siglip or a model of pictures "
                         "alone")
    return SiglipModel.from_pretrained(name).vision_model


def _tokens(state, pixels, config):
    """The class token [n, D] or None, and positions [n, D, h, w] of a hidden state; convolutional ones are maps already."""
    if state.ndim == 4:
        return None, state
    high, wide = (side // config.patch_size for side in pixels.shape[-2:])
    before = state.shape[1] - high * wide  # class token and registers
    positions = state[:, before:].transpose(1, 2).unflatten(2, (high, wide))
    return (state[:, 0] if before else None), positions
