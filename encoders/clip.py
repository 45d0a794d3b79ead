"""Picture embeddings by a CLIP model, another picture model or a picture target, and whether it is the one of a record."""

from collections.abc import Callable, Sequence
from pathlib import Path

from runtime import pretrained
from runtime.checkpoints import check_complete
from runtime.errors import InputError
from runtime.model_files import differing_files, model_identity
from runtime.runs import file_hash, read_run

import torch
from PIL import ImageFilter
from tqdm import tqdm

from eegdata.picture_file import read_picture

from .picture_models import (
    FINAL,
    LOADING_FAILS,
    kind_of,
    load_picture_model,
    local,
    not_loadable,
    open_clip_arguments,
)
from .picture_targets import check_base, check_layers, read_target


def clip_identity(name: str) -> dict:
    """What identifies the model (runtime.model_files). Of a Hub model, config.json is fetched: its commit is known then."""
    if not local(name).is_dir() and kind_of(name) not in ("open_clip", "timm"):
        from transformers import AutoConfig

        try:
            pretrained.load(AutoConfig, name)
        except (OSError, ValueError) as error:
            raise not_loadable(name, error) from None
    return model_identity(local(name) if local(name).is_dir() else name.removeprefix("hf-hub:"))


def is_other_clip(name: str, then: dict | str | None) -> bool:
    """Whether the CLIP model `name` is not the one of the identity `then`, as a checkpoint remembers it.

    None: a predecessor's does not tell. Text: that of an older version, the hash of a folder, the Hub name and commit, or
    open_clip's name.
    """
    if then is None:
        return False
    now = clip_identity(name)
    if isinstance(then, str):
        commit = f"@{now['commit']}" * (now["commit"] is not None and kind_of(name) not in ("open_clip", "timm"))
        return then != (file_hash(local(name)) if local(name).is_dir() else f"{name}{commit}")
    return bool(differing_files(now, then))


def check_same_clip(name: str, folder: str | Path, whose: str) -> None:
    """InputError unless the CLIP model `name` is the one that the checkpoint in `folder`, of an encoder or captioner, was
    trained with."""
    if is_other_clip(name, read_run(folder)[0].get("clip")):
        raise InputError(f"--clip_model {name}: other weights than those that the {whose} was trained with ({folder}); "
                         "name the same CLIP model")


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


@torch.random.fork_rng(devices=[])  # as load_picture_model
def load_clip_text(name: str, device: str) -> Callable[[list[str]], torch.Tensor]:
    """Return a function from texts, which are cut at the model's length, to embeddings [n, E] float32, not normalised.

    name: a CLIP or SigLIP of transformers or open_clip. InputError for a model of pictures alone.
    """
    if kind_of(name) in ("target", "timm"):
        raise _pictures_only(name)
    try:
        if kind_of(name) == "open_clip":
            import open_clip

            arguments = open_clip_arguments(name)
            with pretrained.no_code("--clip_model", name):
                model = open_clip.create_model_and_transforms(**arguments)[0].eval().to(device)
                tokenize = open_clip.get_tokenizer(arguments["model_name"])
            return lambda texts: model.encode_text(tokenize(texts).to(device)).float()
        from transformers import AutoConfig, AutoTokenizer, CLIPTextModelWithProjection, SiglipModel

        config = pretrained.load(AutoConfig, name)
        if not hasattr(config, "text_config"):
            raise _pictures_only(name)
        siglip = config.model_type == "siglip"
        tokenizer = pretrained.load(AutoTokenizer, name)
        if siglip:
            model, report = SiglipModel.from_pretrained(name, output_loading_info=True)
            model = model.text_model
        else:
            model, report = CLIPTextModelWithProjection.from_pretrained(name, output_loading_info=True)
    except LOADING_FAILS as error:
        raise not_loadable(name, error) from None
    check_complete(report, f"--clip_model {name}: texts")
    model = model.eval().to(device)
    longest = model.config.max_position_embeddings
    if siglip:  # trained on small letters and on padding that it reads: its last position is the embedding
        return lambda texts: model(input_ids=tokenizer(
            [text.lower() for text in texts], padding="max_length", truncation=True, max_length=longest,
            padding_side="right", return_tensors="pt")["input_ids"].to(device)).pooler_output.float()
    return lambda texts: model(**tokenizer(texts, padding=True, truncation=True, max_length=longest,
                                           return_tensors="pt").to(device)).text_embeds.float()


def _pictures_only(name):
    return InputError(f"--clip_model {name}: embeds pictures only, and words and candidates need texts; give a CLIP or a "
                      "SigLIP")


@torch.no_grad()
def embed_texts(texts: Sequence[str], clip_model: str, device: str, batch_size: int = 128) -> torch.Tensor:
    """Embed texts: [n, E] float32 on the CPU, not normalised."""
    embed = load_clip_text(clip_model, device)
    return torch.cat([embed(list(texts[start:start + batch_size])).cpu() for start in range(0, len(texts), batch_size)])


def embed_pictures(paths: Sequence[Path], clip_model: str, device: str) -> torch.Tensor:
    """Embed picture files by a picture model or target: [n, E] float32 on the CPU, not normalised."""
    return embed_layers(paths, clip_model, device)[FINAL]


def embed_layers(paths: Sequence[Path], clip_model: str, device: str, layers: Sequence[str] = (FINAL,), grid: int = 0,
                 blur: float = 0.0, batch_size: int = 32) -> dict[str, torch.Tensor]:
    """Features of picture files: {layer: [n, D] float32 on the CPU}, not normalised (PictureModel.features).

    blur: standard deviation of a Gaussian blur, in percent of the picture's shorter side. The `final` features of a
    picture target are the target.
    """
    target = None
    if kind_of(clip_model) == "target":
        target = read_target(local(clip_model))
        check_base(target, clip_identity(target.name), local(clip_model))
    model = load_picture_model(target.name if target else clip_model, device)
    check_layers(target.layers if target else layers, model.count, grid, clip_model)
    rows = []
    for start in tqdm(range(0, len(paths), batch_size), desc="picture embeddings", unit="batch"):
        pictures = [_blurred(read_picture(path), blur) for path in paths[start:start + batch_size]]
        rows.append({FINAL: target.of_pictures(model, pictures)} if target else model.features(pictures, layers, grid))
    return {layer: torch.cat([row[layer] for row in rows]) for layer in rows[0]}


def _blurred(picture, blur):
    return picture.filter(ImageFilter.GaussianBlur(blur / 100 * min(picture.size))) if blur else picture
