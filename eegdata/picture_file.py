"""One way to read a picture file, whoever needs it: upright, in RGB with 8 bits, on white where it is transparent."""

import struct
import zlib
from typing import IO, TYPE_CHECKING

from runtime.errors import InputError

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

ORIENTATION = 0x0112  # EXIF: how a camera was held
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, MemoryError,
          struct.error, zlib.error)  # what PIL's decoders raise for files that are not what they should be


def read_picture(file: "Path | str | IO[bytes]", where: object = None, about: tuple[int, int] | None = None) -> "Image":
    """The picture in a file. InputError where it is absent, damaged, or so large that it would fill the memory.

    where: names the file in messages where `file` is no path. about: a JPEG may be decoded at a fraction of its size, but
    not below this one.
    """
    from PIL import Image

    where = file if where is None else where
    try:
        with Image.open(file) as image:
            if about:
                image.draft("RGB", about)
            return in_rgb(image, where)
    except FileNotFoundError:
        raise InputError(f"{where}: picture not found; copy it there from its source") from None
    except Image.DecompressionBombError as error:
        raise InputError(f"{where}: {error}; expected a picture of a usual size, so make it smaller") from None
    except DAMAGE as error:
        raise InputError(f"{where}: not a readable picture ({error}); copy it again from its source") from None


def in_rgb(image: "Image", where: object) -> "Image":
    """A PIL image as read_picture returns it. `where` names it in messages."""
    from PIL import Image, ImageOps

    image = _eight_bits(ImageOps.exif_transpose(image), where)
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("RGB")


def is_plain(file: "Path") -> bool:
    """Whether a picture file is a JPEG that read_picture does not change."""
    from PIL import Image

    with Image.open(file) as image:
        return image.format == "JPEG" and image.mode == "RGB" and image.getexif().get(ORIENTATION, 1) == 1


def _eight_bits(image, where):
    """A grey picture of 16 bits, which convert() would clip to white, with 8; an InputError for values without a range."""
    from PIL import Image

    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        low, high = float(np.min(image)), float(np.max(image))
        of_one = image.mode == "F" and 0 < high <= 1  # a picture of 0 to 1 would become black
        if of_one or not 0 <= low <= high <= 255:
            raise InputError(f"{where}: holds values from {low:g} to {high:g} (mode {image.mode}), expected 0 to 255; save "
                             "it as a picture of 8 bits")
    return image
