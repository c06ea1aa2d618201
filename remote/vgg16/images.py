"""One picture file to pixels: whatever the file is, upright RGB bytes of the size that the weights want."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from vgg16.errors import UnreadableImage
from vgg16.preprocess import Preprocessing

# What we take for a picture by its name; what it really is, Pillow sees from its content.
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
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
    """An RGB picture -> (3, size, size) bytes: squashed, or its middle cut out, as the weights were
    trained.
    """
    size = preprocessing.size
    if preprocessing.crop:
        width, height = image.size
        scale = preprocessing.shorter_side / min(width, height)
        # torchvision: the longer side is cut down to whole pixels, the margin is rounded.
        width, height = max(size, int(width * scale)), max(size, int(height * scale))
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        left, top = round((width - size) / 2), round((height - size) / 2)
        image = image.crop((left, top, left + size, top + size))
    else:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(image, dtype=np.uint8).transpose(2, 0, 1))


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
