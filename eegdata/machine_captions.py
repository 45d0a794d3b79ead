"""Captions that a Hugging Face image-to-text model writes for pictures that have none, marked as machine-made."""

from collections.abc import Callable
from pathlib import Path

from runtime import pretrained
from runtime.chat import chat_text
from runtime.errors import InputError
from runtime.wording import counted

import torch
from PIL import Image
from safetensors import SafetensorError
from tqdm import tqdm
from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
)
from transformers.utils import logging as transformers_logging

from eegdata.picture_file import read_picture
from eegdata.pictures import (
    find_pictures,
    has_caption,
    machine_made,
    picture_files,
    picture_path,
    write_machine_captions,
)

PICTURE_ONLY_MODELS = ("blip", "git", "vision-encoder-decoder")  # kinds of models that are given a picture and nothing else
REQUEST = "Describe this image in one sentence."  # what a chat model is asked


def caption_pictures(image_dir: Path | str, names: list[str] | None, model: str, device: str, overwrite: bool = False,
                     batch_size: int = 8, max_new_tokens: int = 40) -> None:
    """Write and mark captions of the pictures that have none; an interrupted run goes on where it stopped.

    image_dir: folder of `<class>/<name>.JPEG`; names: of the pictures, None: all that lie there; model: a Hub name or a
    local folder. overwrite: captions that a model wrote are written anew, those of people never.
    """
    if names is None:
        names = find_pictures(image_dir)
        _say_left_out(Path(image_dir), names)
    if not names:
        raise InputError(f"{image_dir}: no pictures to caption; expected <class>/<class>_<name>.JPEG")
    made = machine_made(image_dir)
    wanted = [name for name in names if not has_caption(image_dir, name) or (overwrite and name in made)]
    print(f"{len(names)} pictures: {len(names) - len(wanted)} keep their caption, {len(wanted)} to be captioned by {model}")
    if not wanted:
        return
    write = load_writer(model, device)
    label = Path(model).resolve().name if Path(model).is_dir() else model  # data sets travel: no paths of this machine
    silent = []
    with tqdm(total=len(wanted), desc="captions", unit="picture") as progress:
        for start in range(0, len(wanted), batch_size):
            batch = wanted[start:start + batch_size]
            texts = write([read_picture(picture_path(image_dir, name)) for name in batch], max_new_tokens)
            captions = {name: text.strip() for name, text in zip(batch, texts, strict=True)}
            silent += [name for name, text in captions.items() if not text]
            write_machine_captions(image_dir, {name: text for name, text in captions.items() if text}, label)
            progress.update(len(batch))
    print(f"{len(wanted) - len(silent)} captions written to {image_dir} and marked as machine-made")
    if silent:
        print(f"{len(silent)} pictures still have none, the model said nothing of them: {', '.join(silent[:5])}")


def _say_left_out(image_dir, names):
    """Print which pictures of a folder find_pictures does not give, as their names are not what it expects."""
    taken = {picture_path(image_dir, name) for name in names}
    left = [path for folder in (image_dir, *sorted(filter(Path.is_dir, image_dir.iterdir())))
            for path in picture_files(folder) if path not in taken and not path.stem.endswith("_sketch")]
    if left and names:
        print(f"{counted(len(left), 'picture')} left out, {left[0].relative_to(image_dir)} among them: expected "
              "<class>/<class>_<name>.JPEG")


def load_writer(name: str, device: str) -> Callable[[list[Image.Image], int], list[str]]:
    """A function from PIL pictures and a number of tokens to texts, by an image-to-text model; it draws nothing at random.

    Models of the kinds PICTURE_ONLY_MODELS and BLIP-2 are given the picture alone, others are asked by their chat template.
    """
    transformers_logging.set_verbosity_error()  # its advice is for programmers
    try:
        config = pretrained.load(AutoConfig, name)
        if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
            raise InputError(f"--model {name}: is a model of type {config.model_type!r}, which writes no text on pictures; "
                             "expected an image-to-text model, such as Salesforce/blip-image-captioning-base")
        model, loading = pretrained.load(
            AutoModelForImageTextToText, name, dtype=torch.float32 if device == "cpu" else "auto", output_loading_info=True)
        if config.model_type in PICTURE_ONLY_MODELS:
            prepare, tokenizer = (pretrained.load(kind, name) for kind in (AutoImageProcessor, AutoTokenizer))
        else:
            prepare = pretrained.load(AutoProcessor, name)
            tokenizer = prepare.tokenizer
        if len(tokenizer) <= len(tokenizer.all_special_ids):  # what transformers makes where no tokenizer file is found
            raise ValueError("the tokenizer has no words")
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0][:300]
        raise InputError(f"--model {name}: cannot be loaded ({reason}); expected an image-to-text model of Hugging Face, a "
                         "Hub name or a local folder") from None
    # VisionEncoderDecoder makes a pooler that it does not use and that checkpoints lack.
    missing = sorted(key for key in loading["missing_keys"] if "pooler" not in key)
    if missing:
        raise InputError(f"--model {name}: its weights lack {len(missing)} tensors, {missing[0]} among them; they are of "
                         "another model, or cut short")
    model = model.eval().to(device)
    if config.model_type in PICTURE_ONLY_MODELS:
        return _captioner(model, prepare, tokenizer)
    if config.model_type == "blip-2":
        return _asked(model, prepare, tokenizer, "")
    if not getattr(prepare, "chat_template", None):
        raise InputError(f"--model {name}: is of type {config.model_type!r} and has no chat template; expected one of "
                         f"{', '.join(PICTURE_ONLY_MODELS)}, blip-2, or a model that is asked by chat")
    request = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": REQUEST}]}]
    prompt = chat_text(prepare, request, what=f"--model {name}", advice="choose another model")
    return _asked(model, prepare, tokenizer, prompt)


def _captioner(model, prepare, tokenizer):
    @torch.no_grad()
    def write(pictures, max_new_tokens):
        pixels = prepare(images=pictures, return_tensors="pt")["pixel_values"].to(model.device, model.dtype)
        ids = model.generate(pixel_values=pixels, max_new_tokens=max_new_tokens, do_sample=False)
        return tokenizer.batch_decode(ids, skip_special_tokens=True)

    return write


def _asked(model, processor, tokenizer, prompt):
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    # A template that brings the tokenizer's first token must not get it twice.
    special = not (tokenizer.bos_token and prompt.startswith(tokenizer.bos_token))

    @torch.no_grad()
    def write(pictures, max_new_tokens):
        batch = processor(images=[[picture] for picture in pictures], text=[prompt] * len(pictures), return_tensors="pt",
                          padding=True, add_special_tokens=special).to(model.device, model.dtype)
        ids = model.generate(**batch, max_new_tokens=max_new_tokens, do_sample=False)
        asked = batch["input_ids"]
        if torch.equal(ids[:, :asked.shape[1]], asked):  # decoders repeat what they were asked, encoder-decoders do not
            ids = ids[:, asked.shape[1]:]
        return tokenizer.batch_decode(ids, skip_special_tokens=True)

    return write
