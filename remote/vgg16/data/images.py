"""One picture file to pixels: whatever the file is, upright RGB bytes of the size that the weights want."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from vgg16.errors import UnreadableImage
from vgg16.preprocess import Preprocessing

# What we take for a picture by its name; what it really is, Pillow sees from its content.
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
# Of a JPEG that is decoded whole, 12 bytes each as floats; Pillow reads a larger one at a part of its size.
_LARGEST_PIXELS = 50_000_000
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N", "I")


def read_image(path: str | Path, preprocessing: Preprocessing) -> np.ndarray:
    """(3, size, size) bytes, RGB. Raises UnreadableImage, naming the file and what is wrong with it."""
    return pixels(open_image(path, preprocessing), preprocessing)


def open_image(path: str | Path, preprocessing: Preprocessing) -> Image.Image:
    """The whole picture, upright, mode RGB."""
    try:
        if os.path.getsize(path) == 0:
            raise UnreadableImage(f"{path}: the file is empty (0 bytes)")
        with warnings.catch_warnings():
            # Pillow warns of odd metadata in pictures that it decodes well, and of very large ones.
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                # A JPEG much larger than needed is decoded at half, quarter or eighth of its size: faster.
                image.draft("RGB", (2 * preprocessing.size, 2 * preprocessing.size))
                return _rgb(ImageOps.exif_transpose(image))
    except UnreadableImage:
        raise
    except FileNotFoundError:
        raise UnreadableImage(f"{path}: the file is gone") from None
    except Image.UnidentifiedImageError:
        raise UnreadableImage(f"{path}: not a picture (its content is no known format)") from None
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError) as error:
        raise UnreadableImage(f"{path}: {str(error).rstrip('.') or type(error).__name__}") from None


def pixels(image: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    """An RGB picture -> (3, size, size) bytes."""
    size, box = geometry(*image.size, preprocessing)
    image = image.resize(size, Image.Resampling.BILINEAR).crop(box)
    return np.ascontiguousarray(np.asarray(image, dtype=np.uint8).transpose(2, 0, 1))


def geometry(
    width: int, height: int, preprocessing: Preprocessing
) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """As the weights were trained: squashed, or the middle cut out. To what width and height a picture is
    resized, and which box (left, top, right, bottom) of that is left.
    """
    size = preprocessing.size
    if not preprocessing.crop:
        return (size, size), (0, 0, size, size)
    scale = preprocessing.shorter_side / min(width, height)
    # torchvision: the longer side is cut down to whole pixels, the margin is rounded.
    width, height = max(size, int(width * scale)), max(size, int(height * scale))
    left, top = round((width - size) / 2), round((height - size) / 2)
    return (width, height), (left, top, left + size, top + size)


def whole_jpeg(path: str | Path) -> bytes | None:
    """The file, if it is a JPEG to its end, 8 bits, gray or the usual YCbCr, that any decoder reads alike;
    else None: `open_image` finds out what it is, or what is wrong with it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = Path(path).read_bytes()
            # Cut off, it lacks its end marker (some cameras pad behind it); Pillow says what is missing.
            if not content.startswith(b"\xff\xd8") or not content.rstrip(b"\0").endswith(b"\xff\xd9"):
                return None
            with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:  # its header alone
                usual = image.mode in ("RGB", "L") and image.info.get("adobe_transform") != 0
                return content if usual and image.width * image.height <= _LARGEST_PIXELS else None
    except Exception:  # a damaged header fails in any way; open_image words it
        return None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in _SIXTEEN_BIT:
        # Pillow's own conversion would cut every value above 255 to white.
        values = np.asarray(image).astype(np.int64)
        return Image.fromarray((values >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(ground, image).convert("RGB")
    return image.convert("RGB")
