"""Pictures varied at random, as Keras's ImageDataGenerator did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Augment:
    """Largest changes, each drawn evenly. shift and zoom: share of the picture's side."""

    rotate_degrees: float = 10.0
    shift: float = 0.1
    zoom: float = 0.1
    flip: bool = True

    def vary(self, image: Image.Image, random: np.random.Generator) -> Image.Image:
        """Same size, mode RGB. Empty corners get the mean colour of the picture's border."""
        if self.flip and random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        angle = np.deg2rad(random.uniform(-self.rotate_degrees, self.rotate_degrees))
        scale = 1 + random.uniform(-self.zoom, self.zoom)
        width, height = image.size
        shift_x, shift_y = (random.uniform(-self.shift, self.shift, size=2) * image.size).tolist()
        cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
        x, y = width / 2, height / 2
        # Output pixel -> input pixel: turned and zoomed about the centre, then moved.
        inverse = (
            cos, sin, x - cos * (x + shift_x) - sin * (y + shift_y),
            -sin, cos, y + sin * (x + shift_x) - cos * (y + shift_y),
        )  # fmt: skip
        pixels = np.asarray(image)
        border = (
            np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]).mean(0).round().astype(int)
        )
        return image.transform(
            image.size,
            Image.Transform.AFFINE,
            inverse,
            resample=Image.Resampling.BILINEAR,
            fillcolor=tuple(border.tolist()),
        )
