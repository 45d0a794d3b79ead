"""Pictures and captions in an image folder: written as they are where that works, refused where they are damaged."""

import random
import struct
import zlib

from runtime.errors import InputError

import numpy as np
import pytest
from PIL import Image

from audit import same_pictures
from audit.page import data_uri
from eegdata.picture_file import read_picture
from eegdata.pictures import (
    machine_made,
    picture_path,
    read_captions,
    write_captions,
    write_machine_captions,
    write_picture,
)
from eegdata.records import Picture

PIXELS = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)


def test_an_rgb_jpeg_is_copied_byte_for_byte(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "own.jpg", quality=71)
    own = tmp_path / "own.jpg"
    write_picture(tmp_path / "images", "cat_1", Picture(own, ("A cat.", "One\n cat."), sketch=own))
    folder = tmp_path / "images" / "cat"
    assert sorted(path.name for path in folder.iterdir()) == ["cat_1.JPEG", "cat_1_caption.txt", "cat_1_sketch.JPEG"]
    for name in ("cat_1.JPEG", "cat_1_sketch.JPEG"):
        assert (folder / name).read_bytes() == own.read_bytes()
    assert read_captions(tmp_path / "images", "cat_1") == ["A cat.", "One cat."]


@pytest.mark.parametrize("kind", ["grey.png", "alpha.png", "palette.gif", "grey.jpg", "cmyk.jpg", "drawn"])
def test_anything_else_becomes_an_rgb_jpeg(tmp_path, kind):
    mode = {"grey": "L", "alpha": "RGBA", "palette": "P", "cmyk": "CMYK", "drawn": "RGB"}[kind.split(".")[0]]
    image = Image.fromarray(np.kron(PIXELS[:2, :3], np.ones((16, 16, 1), np.uint8)))
    image = image.quantize(6) if mode == "P" else image.convert(mode)
    if kind != "drawn":
        image.save(tmp_path / kind)
    write_picture(tmp_path, "cat_1", Picture(tmp_path / kind if kind != "drawn" else lambda: image))
    written = Image.open(tmp_path / "cat" / "cat_1.JPEG")
    assert (written.format, written.mode, written.size) == ("JPEG", "RGB", (48, 32))
    assert np.abs(np.asarray(written, int) - np.asarray(image.convert("RGB"), int)).mean() < 12
    assert not (tmp_path / "cat" / "cat_1_caption.txt").exists()


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "absent", "folder"])
def test_bad_pictures_are_named_and_leave_nothing(tmp_path, damage):
    path = tmp_path / "photo.jpg"
    Image.fromarray(np.tile(PIXELS, (9, 9, 1))).save(path)
    content = path.read_bytes()
    path.write_bytes({"cut": content[:len(content) // 2], "text": b"<html>not found</html>", "empty": b""}.get(damage, b""))
    if damage in ("absent", "folder"):
        path.unlink()
    if damage == "folder":
        path.mkdir()
    with pytest.raises(InputError, match=r"photo\.jpg: (picture not found|not a readable picture)"):
        write_picture(tmp_path / "images", "cat_1", Picture(path, ("A cat.",)))
    assert not list((tmp_path / "images").rglob("*")) or not list((tmp_path / "images").rglob("cat_1*"))


def test_pictures_of_more_than_8_bits(tmp_path):
    """16 bits are brought to 8, by hand here; values without a known range are refused."""
    values = np.kron(np.arange(6).reshape(2, 3) * 13107, np.ones((16, 16))).astype(np.uint16)  # 0 to 65535
    Image.fromarray(values).save(tmp_path / "deep.png")
    write_picture(tmp_path, "cat_1", Picture(tmp_path / "deep.png"))
    written = np.asarray(Image.open(tmp_path / "cat" / "cat_1.JPEG"), float)
    assert np.abs(written - (values / 65535 * 255)[..., None]).max() < 6
    for number, (kind, message) in enumerate(((np.int32, "0 to 65535"), (np.float32, "mode F"))):
        Image.fromarray(values.astype(kind)).save(tmp_path / "wide.tif")
        with pytest.raises(InputError, match=message):
            write_picture(tmp_path, f"dog_{number}", Picture(tmp_path / "wide.tif"))
    Image.fromarray((values / 257).astype(np.float32)).save(tmp_path / "float.tif")
    write_picture(tmp_path, "dog_3", Picture(tmp_path / "float.tif"))
    assert [path.name for path in (tmp_path / "dog").iterdir()] == ["dog_3.JPEG"]


def test_float_pictures_of_0_to_1_are_refused(tmp_path):
    """They became black."""
    Image.fromarray(np.linspace(0, 1, 120, dtype=np.float32).reshape(12, 10)).save(tmp_path / "one.tif")
    with pytest.raises(InputError, match=r"one.tif: holds values from 0 to 1 \(mode F\), expected 0 to 255"):
        read_picture(tmp_path / "one.tif")


def test_what_is_there_already_stays(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "own.png")
    write_captions(tmp_path, {"cat_1": "Mine."})
    (tmp_path / "cat" / "cat_1.JPEG").write_bytes(b"mine")
    write_picture(tmp_path, "cat_1", Picture(tmp_path / "own.png", ("Another.",)))
    assert read_captions(tmp_path, "cat_1") == ["Mine."] and (tmp_path / "cat" / "cat_1.JPEG").read_bytes() == b"mine"


def test_captions_are_lines_in_utf8(tmp_path):
    write_captions(tmp_path, {"cat_1": ["Ein Kätzchen\tim\r\nGras.", "猫\u2028です"], "cat_2": "  One.  "})
    assert (tmp_path / "cat" / "cat_1_caption.txt").read_bytes() == "Ein Kätzchen im Gras.\n猫 です\n".encode()
    assert read_captions(tmp_path, "cat_2") == ["One."]
    (tmp_path / "cat" / "cat_2_caption.txt").write_bytes("Käse".encode("latin-1"))
    with pytest.raises(InputError, match=r"cat_2_caption\.txt: not UTF-8"):
        read_captions(tmp_path, "cat_2")


def test_marks_hold_for_the_marked_text_only(tmp_path):
    assert machine_made(tmp_path) == {}
    write_machine_captions(tmp_path, {"cat_1": "A cat.", "dog_1": "A dog."}, "org/model")
    write_machine_captions(tmp_path, {"dog_2": "A dog\nagain."}, "other")
    assert machine_made(tmp_path) == {"cat_1": "org/model", "dog_1": "org/model", "dog_2": "other"}
    write_captions(tmp_path, {"cat_1": "A cat, as a person corrected it."})
    (tmp_path / "dog" / "dog_1_caption.txt").unlink()
    assert machine_made(tmp_path) == {"dog_2": "other"}
    (tmp_path / "machine_captions.json").write_text('{"cat_1": "org/model"}')
    with pytest.raises(InputError, match=r"machine_captions\.json: cat_1.*restore that file"):
        machine_made(tmp_path)


def test_pictures_are_upright_and_on_white(tmp_path):
    image = Image.fromarray(np.kron(np.array([[[250, 0, 0], [0, 0, 250]]], np.uint8), np.ones((16, 16, 1), np.uint8)))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: to be turned by 90 degrees to the right
    image.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    clear = image.convert("RGBA")
    clear.putalpha(Image.fromarray(np.repeat([[255, 0]], 16, axis=1).repeat(16, axis=0).astype(np.uint8)))
    clear.save(tmp_path / "clear.png")
    for name, shape, corner in (("turned.jpg", (32, 16), (0, 0, 250)), ("clear.png", (16, 32), (255, 255, 255))):
        read = np.asarray(read_picture(tmp_path / name), int)
        assert read.shape == (*shape, 3) and np.abs(read[-2, -2] - corner).max() < 8
        assert np.abs(read[1, 1] - (250, 0, 0)).max() < 8
        write_picture(tmp_path, f"cat_{name[0]}", Picture(tmp_path / name))
        written = Image.open(tmp_path / "cat" / f"cat_{name[0]}.JPEG")  # by a program that knows nothing of orientation
        assert np.abs(np.asarray(written, int) - read).mean() < 3 and written.getexif().get(0x0112, 1) == 1


def bomb(path, width=60_000, height=60_000):
    """A PNG of a few bytes that says it has 3.6 thousand million pixels."""
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))
    return path


def test_a_picture_that_would_fill_the_memory_is_refused_wherever_it_is_read(tmp_path):
    path = bomb(tmp_path / "bomb.png")
    with pytest.raises(InputError, match="decompression bomb"):
        write_picture(tmp_path / "images", "cat_1", Picture(path))
    assert data_uri(path, 100) is None
    (tmp_path / "cat").mkdir()
    path.rename(tmp_path / "cat" / "cat_1.JPEG")
    with pytest.raises(InputError, match="decompression bomb"):
        same_pictures._look(picture_path(tmp_path, "cat_1"))


def test_any_damage_to_a_picture_is_an_input_error(tmp_path):
    draw, image = random.Random(0), Image.fromarray(PIXELS)
    for kind in ("png", "jpg", "gif", "bmp", "tif", "webp"):
        image.save(tmp_path / f"a.{kind}")
        content = (tmp_path / f"a.{kind}").read_bytes()
        for _ in range(100):
            damaged = bytearray(content)
            for _ in range(draw.choice((1, 3, 10))):
                damaged[draw.randrange(min(len(damaged), 200))] = draw.randrange(256)
            (tmp_path / f"b.{kind}").write_bytes(damaged[:draw.choice((len(damaged), draw.randrange(len(damaged))))])
            try:
                assert read_picture(tmp_path / f"b.{kind}").mode == "RGB"
            except InputError as error:
                assert f"b.{kind}" in str(error)
