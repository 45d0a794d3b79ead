"""Pictures and their captions in an image folder: `<class id>/<name>.JPEG`, `<name>_sketch.JPEG`, `<name>_caption.txt`."""

from pathlib import Path

from errors import InputError
from runs import atomic_path, file_hash


def picture_path(image_dir, name, picture="photo"):
    """The file of a picture: `<image_dir>/<class id>/<name>.JPEG`, or `<name>_sketch.JPEG`."""
    return Path(image_dir) / name.split("_")[0] / f"{name}{'_sketch' if picture == 'sketch' else ''}.JPEG"


def picture_hashes(image_dir, names, picture):
    """SHA-256 of each training picture by name; None for one whose file is not there (stage 3 needs captions only)."""
    paths = {name: picture_path(image_dir, name, picture) for name in names}
    return {name: file_hash(path) if path.is_file() else None for name, path in paths.items()}


def caption_path(image_dir, name):
    return Path(image_dir) / name.split("_")[0] / f"{name}_caption.txt"


def read_captions(image_dir, name):
    """A picture's captions: the lines of `<name>_caption.txt` without <s> and </s>; the first is the caption."""
    path = caption_path(image_dir, name)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InputError(f"{path}: no caption for picture {name}; write one sentence into that file, or have a model write "
                         "it with prepare_data.py caption") from None
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise InputError(f"{path}: not UTF-8 text ({error}); write the caption again") from None
    captions = [line.replace("<s>", "").replace("</s>", "").strip() for line in lines]
    if not captions or not captions[0]:
        raise InputError(f"{path}: the caption's first line is empty; write one sentence into that file")
    return [caption for caption in captions if caption]


def read_caption(image_dir, name):
    """A picture's caption, the first of read_captions."""
    return read_captions(image_dir, name)[0]


def write_captions(image_dir, captions):
    """Write `<name>_caption.txt` for each picture name -> caption, or list of captions, a line each."""
    for name, texts in captions.items():
        lines = [texts] if isinstance(texts, str) else texts
        with atomic_path(caption_path(image_dir, name)) as temporary:
            temporary.write_text("".join(f"{' '.join(line.split())}\n" for line in lines), encoding="utf-8")


def write_picture(image_dir, name, picture):
    """Write a sources.records.Picture as `<name>.JPEG`, its sketch and its captions, where they are not there yet.

    An RGB JPEG is copied byte for byte; anything else becomes one.
    """
    from PIL import Image, UnidentifiedImageError

    for kind, content in (("photo", picture.photo), ("sketch", picture.sketch)):
        path = picture_path(image_dir, name, kind)
        if content is None or path.is_file():
            continue
        try:
            image = content() if callable(content) else Image.open(content)
            as_it_is = image.format == "JPEG" and image.mode == "RGB"
            pixels = image.convert("RGB")  # damage shows now
        except FileNotFoundError:
            raise InputError(f"{content}: picture not found; expected the file of picture {name}") from None
        except (UnidentifiedImageError, OSError, SyntaxError) as error:
            raise InputError(f"{content}: not a readable picture ({error}); get it again") from None
        with atomic_path(path) as temporary:
            if as_it_is:
                temporary.write_bytes(Path(content).read_bytes())
            else:
                pixels.save(temporary, "JPEG", quality=95)
    if picture.captions and not caption_path(image_dir, name).is_file():
        write_captions(image_dir, {name: picture.captions})
