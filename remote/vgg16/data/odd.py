"""Pictures that are not plain RGB JPEGs, made upright RGB; and what is wrong with those that are broken."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N", "I")


def upright_rgb(image: Image.Image) -> Image.Image:
    """A loaded picture, turned as its EXIF says, in mode RGB; transparent parts become white."""
    # Unlike ImageOps.exif_transpose this writes no EXIF back, which fails for odd tags.
    try:
        method = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF
        method = None
    image = image if method is None else image.transpose(method)
    if image.mode in _SIXTEEN_BIT:
        # Pillow's own conversion would cut every value above 255 to white.
        values = np.asarray(image).astype(np.int64)
        return Image.fromarray((values >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(ground, image).convert("RGB")
    return image.convert("RGB")


def reason(path: str | Path, error: Exception) -> str:
    """Why Pillow could not read the file."""
    if isinstance(error, FileNotFoundError):
        return "the file is gone"
    if isinstance(error, Image.UnidentifiedImageError):
        empty = os.path.exists(path) and os.path.getsize(path) == 0
        return "the file is empty (0 bytes)" if empty else "not a picture (its content is no known format)"
    return str(error).rstrip(".") or type(error).__name__
