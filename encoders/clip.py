"""Picture embeddings by a CLIP model: open_clip models and transformers' CLIP, from the Hub or a local folder."""

from collections.abc import Callable, Sequence
from pathlib import Path

from runtime import pretrained
from runtime.errors import InputError
from runtime.model_files import differing_files, model_identity
from runtime.runs import file_hash, read_run
from runtime.small_models import offline_advice

import torch
from PIL import Image
from safetensors import SafetensorError
from tqdm import tqdm

from eegdata.picture_file import read_picture


def clip_identity(name: str) -> dict:
    """What identifies the model (runtime.model_files). Of a Hub model, config.json is fetched: its commit is known then."""
    if not _local(name).is_dir() and not _is_open_clip(name):
        from transformers import AutoConfig

        try:
            pretrained.load(AutoConfig, name)
        except (OSError, ValueError) as error:
            raise _not_loadable(name, error) from None
    return model_identity(_local(name) if _local(name).is_dir() else name.removeprefix("hf-hub:"))


def is_other_clip(name: str, then: dict | str | None) -> bool:
    """Whether the CLIP model `name` is not the one of the identity `then`, as a checkpoint remembers it.

    None: a predecessor's does not tell. Text: that of an older version, the hash of a folder, the Hub name and commit, or
    open_clip's name.
    """
    if then is None:
        return False
    now = clip_identity(name)
    if isinstance(then, str):
        commit = f"@{now['commit']}" * (now["commit"] is not None and not _is_open_clip(name))
        return then != (file_hash(_local(name)) if _local(name).is_dir() else f"{name}{commit}")
    return bool(differing_files(now, then))


def is_classifier_only(folder: str | Path) -> bool:
    """Whether the encoder in `folder` was trained with --loss_weight 0, so that its embedding means nothing."""
    return read_run(folder)[1].get("loss_weight") == 0


def check_clip(folder: str | Path, clip_model: str, picture: str) -> None:
    """Raise InputError unless the encoder in `folder` was trained to predict this model's embeddings of these pictures.

    picture: "sketch" or "photo". A predecessor's encoder does not tell, so it passes.
    """
    content, trained_with = read_run(folder)
    for flag, given, other in (("clip_model", clip_model, is_other_clip(clip_model, content.get("clip"))),
                               ("picture", picture, trained_with.get("picture") not in (None, picture))):
        if other:
            raise InputError(f"--{flag} {given}: the encoder in {folder} was trained with --{flag} "
                             f"{trained_with.get(flag)}; give the same")


def _local(name):
    return Path(name.removeprefix("local-dir:"))  # open_clip's own way of naming a folder


def _is_open_clip(name):
    return name.startswith(("open_clip:", "hf-hub:", "local-dir:")) or (_local(name) / "open_clip_config.json").is_file()


def _not_loadable(name, error):
    reason = str(error).strip().split("\n")[0][:300]
    return InputError(f"--clip_model {name}: cannot be loaded ({reason}); expected a Hub name, open_clip:NAME/PRETRAINED, "
                      "or a local folder with open_clip_config.json or a transformers CLIP config.json; if the folder "
                      f"was moved after training, give its new path{offline_advice('clip_model', _local(name))}")


def _open_clip_arguments(name):
    if name.startswith("open_clip:"):
        architecture, _, weights = name.removeprefix("open_clip:").partition("/")
        return {"model_name": architecture, "pretrained": weights or None}
    return {"model_name": f"local-dir:{_local(name)}" if _local(name).is_dir() else name}


LOADING_ERRORS = (OSError, ValueError, RuntimeError, TypeError, AttributeError, KeyError, SafetensorError)


def load_clip(name: str, device: str) -> Callable[[list[Image.Image]], torch.Tensor]:
    """Return a function from a list of PIL pictures to embeddings [n, E] float32, which are not normalised."""
    try:
        if _is_open_clip(name):
            import open_clip

            model, _, preprocess = open_clip.create_model_and_transforms(**_open_clip_arguments(name))
            model = model.eval().to(device)
            return lambda pictures: model.encode_image(torch.stack([preprocess(p) for p in pictures]).to(device)).float()
        from transformers import CLIPImageProcessorPil, CLIPVisionModelWithProjection

        processor = CLIPImageProcessorPil.from_pretrained(name)
        model = CLIPVisionModelWithProjection.from_pretrained(name).eval().to(device)
    except LOADING_ERRORS as error:
        raise _not_loadable(name, error) from None
    return lambda pictures: model(
        pixel_values=processor(images=pictures, return_tensors="pt")["pixel_values"].to(device)).image_embeds.float()


def load_clip_text(name: str, device: str) -> Callable[[list[str]], torch.Tensor]:
    """Return a function from texts, which are cut at the model's length, to embeddings [n, E] float32, not normalised."""
    try:
        if _is_open_clip(name):
            import open_clip

            arguments = _open_clip_arguments(name)
            model = open_clip.create_model_and_transforms(**arguments)[0].eval().to(device)
            tokenize = open_clip.get_tokenizer(arguments["model_name"])
            return lambda texts: model.encode_text(tokenize(texts).to(device)).float()
        from transformers import AutoTokenizer, CLIPTextModelWithProjection

        tokenizer = AutoTokenizer.from_pretrained(name)
        model = CLIPTextModelWithProjection.from_pretrained(name).eval().to(device)
    except LOADING_ERRORS as error:
        raise _not_loadable(name, error) from None
    longest = model.config.max_position_embeddings
    return lambda texts: model(**tokenizer(texts, padding=True, truncation=True, max_length=longest,
                                           return_tensors="pt").to(device)).text_embeds.float()


@torch.no_grad()
def embed_texts(texts: Sequence[str], clip_model: str, device: str, batch_size: int = 128) -> torch.Tensor:
    """Embed texts: [n, E] float32 on the CPU, not normalised."""
    embed = load_clip_text(clip_model, device)
    return torch.cat([embed(list(texts[start:start + batch_size])).cpu() for start in range(0, len(texts), batch_size)])


@torch.no_grad()
def embed_pictures(paths: Sequence[Path], clip_model: str, device: str, batch_size: int = 32) -> torch.Tensor:
    """Embed picture files: [n, E] float32 on the CPU, not normalised (as CLIPVisionModelWithProjection gives them)."""
    embed = load_clip(clip_model, device)
    rows = []
    for start in tqdm(range(0, len(paths), batch_size), desc="picture embeddings", unit="batch"):
        rows.append(embed([read_picture(path) for path in paths[start:start + batch_size]]).cpu())
    return torch.cat(rows)
