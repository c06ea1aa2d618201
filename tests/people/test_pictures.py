"""Pictures as people have them: odd EXIF, damaged ones, and what file managers leave beside them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vgg16 import UnreadableImage
from vgg16.model import RANDOM
from vgg16.pictures import find_pictures, open_image

LOOK = RANDOM
TYPES = {"ascii": 2, "short": 3, "rational": 5, "sshort": 8, "srational": 10, "float": 11}


def exif(tag: int, kind: str, value: bytes, *, orientation: int = 6) -> bytes:
    """TIFF, big-endian: Orientation, and one more tag."""
    entries = [(0x112, TYPES["short"], 1, struct.pack(">HH", orientation, 0))]
    head, rest = 8 + 2 + 2 * 12 + 4, b""
    if len(value) > 4:
        rest, value = value, struct.pack(">I", head)
    entries.append((tag, TYPES[kind], 1 if kind != "ascii" else 4, value.ljust(4, b"\0")))
    body = b"".join(struct.pack(">HHI", *entry[:3]) + entry[3] for entry in sorted(entries))
    return b"MM\0*" + struct.pack(">IH", 8, 2) + body + b"\0\0\0\0" + rest


def tall(path: Path, form: str, **more: object) -> Path:
    """Stored wide, red at the left."""
    image = Image.new("RGB", (64, 32), "blue")
    image.paste("red", (0, 0, 32, 32))
    image.save(path, form, **more)
    return path


# Pillow#8965, #7839
@pytest.mark.parametrize(
    ("tag", "kind", "value"),
    [
        (0x011A, "srational", struct.pack(">ii", -72, 1)),  # XResolution is unsigned
        (0x0100, "ascii", b"abc\0"),  # ImageWidth
        (0x0100, "sshort", struct.pack(">h", -5)),
        (0x829A, "float", struct.pack(">f", float("nan"))),  # ExposureTime
    ],
)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_picture_with_a_mistyped_tag_is_used_upright(
    tmp_path: Path, tag: int, kind: str, value: bytes, form: str
) -> None:
    marked = b"Exif\0\0" + exif(tag, kind, value)
    seen = np.asarray(open_image(tall(tmp_path / "a.img", form, exif=marked), LOOK))
    assert seen.shape == (64, 32, 3)
    assert seen[4, 16, 0] > 200 > seen[60, 16, 0]  # red is on top


# Pillow#7839
@pytest.mark.parametrize(
    "chunk", [b"", b"x", b"MM\0*", b"II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\0\x09"]
)
def test_a_png_whose_exif_no_one_can_read_is_used_as_it_is(tmp_path: Path, chunk: bytes) -> None:
    path = tall(tmp_path / "a.png", "PNG")
    content, at = path.read_bytes(), 33  # behind IHDR
    made = struct.pack(">I", len(chunk)) + b"eXIf" + chunk + struct.pack(">I", zlib.crc32(b"eXIf" + chunk))
    path.write_bytes(content[:at] + made + content[at:])
    assert open_image(path, LOOK).size == (64, 32)


def dds(four: bytes) -> bytes:
    head = struct.pack("<7I", 124, 0x1007, 4, 4, 0, 0, 0) + bytes(44)
    return b"DDS " + head + struct.pack("<2I4s5I", 32, 4, four, 0, 0, 0, 0, 0) + bytes(20) + bytes(64)


# Pillow#8965: decoders that raise RuntimeError, NotImplementedError, struct.error, KeyError
@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "JPEG", "PNG", "TIFF", "GIF", "BMP", "JPEG2000", "ICO"])
def test_a_damaged_picture_is_named_and_ends_nothing(tmp_path: Path, kind: str) -> None:
    whole = tall(tmp_path / "whole", kind).read_bytes()
    random = np.random.default_rng(7)
    for number in range(60):
        content = bytearray(whole[: int(random.integers(8, len(whole) + 1))])
        for at in random.integers(4, len(content), size=4):
            content[at] = random.integers(256)
        (tmp_path / f"{number}.jpg").write_bytes(content)
        try:
            open_image(tmp_path / f"{number}.jpg", LOOK)
        except UnreadableImage as error:
            assert f"{number}.jpg: " in str(error)


# Pillow#8965
@pytest.mark.parametrize("four", [b"DX10", b"ATI9", b"\0\0\0\0", b"DXT9"])
def test_a_dds_file_that_pillow_refuses_is_named(tmp_path: Path, four: bytes) -> None:
    (tmp_path / "a.dds").write_bytes(dds(four))
    with pytest.raises(UnreadableImage, match="a.dds: "):
        open_image(tmp_path / "a.dds", LOOK)


# autotrain#264
def test_what_programs_leave_beside_pictures_is_no_class_and_no_picture(tmp_path: Path) -> None:
    wanted = ["cats/a.jpg", "cats/deep/b.jpg", "dogs/c.JPG"]
    left = [
        "cats/.ipynb_checkpoints/a-checkpoint.jpg", "cats/.AppleDouble/a.jpg", "cats/.thumbnails/a.png",
        "cats/@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", "cats/._a.jpg", ".ipynb_checkpoints/x-checkpoint.jpg",
        "@eaDir/a.jpg", "__MACOSX/cats/a.jpg", "dogs/__MACOSX/a.jpg", "lost+found/a.jpg", "#recycle/a.jpg",
    ]  # fmt: skip
    for name in [*wanted, *left]:
        path = tmp_path / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    found = find_pictures(tmp_path / "train")
    assert list(found.files) == wanted
    assert found.classes == ("cats", "dogs")
