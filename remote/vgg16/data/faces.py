"""Real photographs without a download: 100 faces and 100 pictures of something else, 25x25 pixels, gray.

They ship inside scikit-image (a subset of Labeled Faces in the Wild, http://vis-www.cs.umass.edu/lfw/).
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from vgg16 import BadData
from vgg16.files import new_folder, write_text

_EACH = 100
_VALID, _TEST = 20, 20  # of each class; the other 60 are for training
_SEED = 0
_READY = "README.txt"

_README = """200 photographs from scikit-image's data/lfw_subset.npy in the layout of Dogs vs Cats: 60 of
each class to learn from (train), 20 of each to check on (valid), 40 without their class (test/unknown).
"""


def prepare(to: Path) -> str:
    """Makes the data set unless it is there; the line to print. Raises BadData."""
    if (to / _READY).is_file() and (to / "train").is_dir():
        return f"{to}: 200 photographs are already there"
    if to.is_dir() and any(to.iterdir()):
        raise BadData(f"{to} holds something else: choose another folder with --to, or empty it")
    photographs = _photographs()
    with new_folder(to, _READY) as folder:
        order = np.random.RandomState(_SEED)
        unknown = []
        for name, first in (("face", 0), ("other", _EACH)):
            shuffled = photographs[first + order.permutation(_EACH)]
            valid, test, train = np.split(shuffled, [_VALID, _VALID + _TEST])
            _save(folder / "train" / name, name, train)
            _save(folder / "valid" / name, name, valid)
            unknown.extend(test)
        for number, which in enumerate(order.permutation(len(unknown)), start=1):
            _write(folder / "test" / "unknown" / f"{number}.png", unknown[which])
        write_text(folder / _READY, _README)
    return f"{to}: 200 photographs (120 train, 40 valid, 40 test), classes face and other"


def _photographs() -> np.ndarray:
    """(200, 25, 25) bytes; faces first."""
    found = find_spec("skimage")
    path = Path(found.origin).parent / "data" / "lfw_subset.npy" if found and found.origin else None
    if path is None or not path.is_file():
        raise BadData("scikit-image is not installed here: `uv pip install scikit-image` brings the pictures")
    return (np.load(path) * 255).round().astype(np.uint8)


def _save(folder: Path, name: str, photographs: np.ndarray) -> None:
    for number, photograph in enumerate(photographs):
        _write(folder / f"{name}.{number}.png", photograph)


def _write(path: Path, photograph: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photograph).save(path)
