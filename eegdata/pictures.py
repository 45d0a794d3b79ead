"""Pictures and their captions in an image folder: `<class id>/<name>.JPEG`, `<name>_sketch.JPEG`, `<name>_caption.txt`.

`machine_captions.json` tells which captions a model wrote.
"""

import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from runtime.atomic_files import atomic_path
from runtime.errors import InputError
from runtime.names import below
from runtime.runs import file_hash, read_json, write_json
from runtime.text_files import read_lines

import numpy as np

from eegdata.picture_file import in_rgb, is_plain, read_picture
from eegdata.records import Picture

MARKS_FILE = "machine_captions.json"
JPEG = {"format": "JPEG", "quality": 95}  # of pictures that are no upright RGB JPEG
MAX_DIFFERENCE = 2.  # of 255, mean over a picture: what other versions of libjpeg make of equal pixels


def picture_path(image_dir: Path | str, name: str, picture: str = "photo") -> Path:
    """The file of a picture: `<image_dir>/<class id>/<name>.JPEG`, or `<name>_sketch.JPEG`. InputError for a name that is
    a path."""
    return _file(image_dir, name, f"{'_sketch' if picture == 'sketch' else ''}.JPEG")


def find_pictures(image_dir: Path | str) -> list[str]:
    """Names of all photographs `<class id>/<name>.JPEG` of a folder, sorted; sketches are left out."""
    paths = sorted(Path(image_dir).glob("*/*.JPEG"))
    return [path.stem for path in paths if not path.stem.endswith("_sketch") and not path.name.startswith(".")
            and path == picture_path(image_dir, path.stem)]


def picture_files(folder: Path) -> list[Path]:
    """The JPEG and PNG files that lie directly in a folder, in order of name."""
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png")
                  and not path.name.startswith("."))


def picture_hashes(image_dir: Path | str, names: Iterable[str], picture: str) -> dict[str, str | None]:
    """SHA-256 of each training picture by name; None for one whose file is not there (stage 3 needs captions only)."""
    paths = {name: picture_path(image_dir, name, picture) for name in names}
    return {name: file_hash(path) if path.is_file() else None for name, path in paths.items()}


def caption_path(image_dir: Path | str, name: str) -> Path:
    """The file of a picture's captions: `<image_dir>/<class id>/<name>_caption.txt`. InputError as picture_path."""
    return _file(image_dir, name, "_caption.txt")


def _file(image_dir, name, ending):
    below(image_dir, name, "the data set")
    return below(below(image_dir, name.split("_")[0], "the data set"), f"{name}{ending}", "the data set")


def read_captions(image_dir: Path | str, name: str) -> list[str]:
    """A picture's captions: the lines of `<name>_caption.txt` without <s> and </s>; the first is the caption."""
    path = caption_path(image_dir, name)
    try:
        lines = read_lines(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no caption for picture {name}; write one sentence into that file, or have a model write "
                         "it with prepare_data.py caption") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, expected a text file with the caption of picture {name}") from None
    captions = [caption_of(line) for line in lines]
    if not captions or not captions[0]:
        raise InputError(f"{path}: the caption's first line is empty; write one sentence into that file")
    return [caption for caption in captions if caption]


def caption_of(line: str) -> str:
    """The caption in a line of a caption file."""
    return line.replace("<s>", "").replace("</s>", "").replace("\ufeff", "").strip()  # a joined file has marks inside


def read_caption(image_dir: Path | str, name: str) -> str:
    """A picture's caption, the first of read_captions."""
    return read_captions(image_dir, name)[0]


def write_captions(image_dir: Path | str, captions: dict[str, str | Sequence[str]]) -> None:
    """Write `<name>_caption.txt` for each picture name -> caption, or list of captions, a line each."""
    for name, texts in captions.items():
        with atomic_path(caption_path(image_dir, name), sync=False) as temporary:
            temporary.write_bytes(_lines([texts] if isinstance(texts, str) else texts))


def _lines(texts):
    lines = (" ".join(text.replace("\0", " ").split()) for text in texts)
    return "".join(f"{line}\n" for line in lines).encode(errors="replace")


def has_caption(image_dir: Path | str, name: str) -> bool:
    """Whether `<name>_caption.txt` holds anything."""
    path = caption_path(image_dir, name)
    return path.is_file() and any(map(caption_of, read_lines(path)))


def same_captions(image_dir: Path | str, name: str, texts: Sequence[str]) -> bool:
    """Whether the picture's captions are `texts`, however an editor saved them."""
    held, given = (list(filter(None, map(caption_of, lines))) for lines in
                   (read_lines(caption_path(image_dir, name)), _lines(texts).decode().split("\n")))
    return _lines(held) == _lines(given)


def write_machine_captions(image_dir: Path | str, captions: dict[str, str], model: str) -> None:
    """write_captions of picture name -> the caption that `model` made, with a mark that it is no person's.

    The pictures have no caption yet, or one that a model made. The marks stand in `machine_captions.json`: {name: {"model",
    "sha256" of the caption file}}. Captions go before their marks do and come after them: an interruption leaves a mark
    without its caption, which counts for nothing, never a caption without its mark.
    """
    marks = _marks(image_dir)
    for name, text in captions.items():
        caption_path(image_dir, name).unlink(missing_ok=True)
        marks[name] = {"model": model, "sha256": hashlib.sha256(_lines([text])).hexdigest()}
    write_json(Path(image_dir) / MARKS_FILE, marks)
    write_captions(image_dir, captions)


def machine_made(image_dir: Path | str) -> dict[str, str]:
    """The pictures whose captions a model wrote: {name: model}. A caption that was edited since is a person's."""
    found = [(name, mark, caption_path(image_dir, name)) for name, mark in _marks(image_dir).items()]
    return {name: mark["model"] for name, mark, path in found if path.is_file() and file_hash(path) == mark["sha256"]}


def _marks(image_dir):
    from runtime.schema import Text, check

    from eegdata.record_schema import CaptionMark

    path = Path(image_dir) / MARKS_FILE
    if not path.is_file():
        return {}
    return check(dict[Text, CaptionMark], read_json(path), path, "restore that file, or remove it and with it the "
                 "knowledge which captions a model wrote")


def write_picture(image_dir: Path | str, name: str, picture: Picture, replace: bool = False) -> None:
    """Write a sources.records.Picture as `<name>.JPEG`, its sketch and its captions, where they are not there yet.

    An upright RGB JPEG is copied byte for byte; anything else becomes one. replace: what is there under the name is of
    another picture.
    """
    if replace:
        for path in (picture_path(image_dir, name), picture_path(image_dir, name, "sketch"), caption_path(image_dir, name)):
            path.unlink(missing_ok=True)

    for kind, content in (("photo", picture.photo), ("sketch", picture.sketch)):
        path = picture_path(image_dir, name, kind)
        if content is None or path.is_file():
            continue
        drawn = callable(content)
        pixels = in_rgb(content(), f"picture {name}") if drawn else read_picture(content)  # damage shows now
        with atomic_path(path, sync=False) as temporary:
            if not drawn and is_plain(content):
                temporary.write_bytes(Path(content).read_bytes())
            else:
                pixels.save(temporary, **JPEG)
    if picture.captions and not caption_path(image_dir, name).is_file():
        write_captions(image_dir, {name: picture.captions})


def shows_another(image_dir: Path | str, name: str, picture: Picture) -> bool:
    """Whether what write_picture left under a name is not what the picture's files hold now. What is drawn is not asked."""
    for kind, content in (("photo", picture.photo), ("sketch", picture.sketch)):
        path = picture_path(image_dir, name, kind)
        if isinstance(content, Path) and path.is_file() and not _is_of(path, content):
            return True
    return False


def _is_of(path, content):
    """Whether a file is what write_picture makes of the file `content`."""
    if path.read_bytes() == content.read_bytes():
        return True
    pixels = read_picture(content)
    if is_plain(content):
        return False
    encoded = io.BytesIO()
    pixels.save(encoded, **JPEG)
    made, there = (np.asarray(read_picture(file, where), np.int16) for file, where in ((encoded, content), (path, path)))
    return made.shape == there.shape and np.abs(made - there).mean() <= MAX_DIFFERENCE
