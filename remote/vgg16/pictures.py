"""A folder of pictures, one sub-folder a class, as batches of bytes for the network.

A JPEG of a plain kind is read here; `data.odd` has the rest (other formats, turned or transparent pictures,
16 bits) and says what is wrong with a broken one. From some hundred pictures on, worker processes read
(`data.workers`). On a GPU, nvImageCodec may decode (`data.nvdecode`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from itertools import count
from os.path import exists, expanduser, isfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vgg16 import BadData, UnreadableImage
from vgg16.model import Preprocessing

if TYPE_CHECKING:
    from vgg16.data.augment import Augment
    from vgg16.data.nvdecode import Decoder

# By its name a file is a picture or not; Pillow sees its format in the content. A picture that Pillow cannot
# decode (HEIC) is named and left out.
_NAMES = "jpg jpeg jfif png bmp gif webp tif tiff ppm pgm avif jp2 dds heic heif"
# Folders that programs make beside the pictures.
_NOT_DATA = frozenset({"@eaDir", "#recycle", "$RECYCLE.BIN", "__MACOSX", "__pycache__", "lost+found"})
_WORKERS_FROM = 400  # pictures: fewer are read before worker processes have started
Read = tuple[Tensor, Tensor, list[tuple[int, str]]]  # images, row numbers, (row number, why it is missing)


@dataclass(frozen=True)
class Folder:
    """Pictures under root. files: relative, by class, then name; labels: class numbers (n,)."""

    root: Path
    files: tuple[str, ...]
    labels: np.ndarray
    classes: tuple[str, ...]


def find_pictures(path: str | Path) -> Folder:
    """One sub-folder a class, in alphabetical order. Raises BadData if there is none, or an empty one."""
    root = Path(expanduser(path))
    if not root.is_dir():
        raise BadData(f"{root}: no such folder")
    classes = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and is_data(entry.name))
    if not classes:
        raise BadData(f"{root}: no sub-folder in it; pictures are expected in one sub-folder for each class")
    files: list[str] = []
    labels: list[int] = []
    for number, name in enumerate(classes):
        found = sorted(
            file.relative_to(root).as_posix()
            for file in (root / name).rglob("*")
            if file.suffix[1:].lower() in _NAMES.split() and all(map(is_data, file.relative_to(root).parts))
            if isfile(file) or not exists(file)  # no folder or FIFO; of a dangling link, readers say so
        )
        if not found:
            raise BadData(f"{root / name}: no picture in this class's folder; add some or remove the folder")
        files += found
        labels += [number] * len(found)
    return Folder(root, tuple(files), np.array(labels, dtype=np.int64), tuple(classes))


def is_data(name: str) -> bool:
    """Whether a file or folder of this name holds the user's data (.ipynb_checkpoints, @eaDir do not)."""
    return name[0] != "." and name not in _NOT_DATA


def open_image(path: str | Path, preprocessing: Preprocessing) -> Image.Image:
    """The whole picture, upright, mode RGB. Raises UnreadableImage with the file's name and the reason."""
    try:
        # Pillow warns of odd metadata in pictures that it decodes well, and of very large ones.
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            # A JPEG much larger than needed is decoded at half, quarter or eighth of its size: faster.
            image.draft("RGB", (2 * preprocessing.size, 2 * preprocessing.size))
            image.load()
            if image.format == "JPEG" and image.mode == "RGB" and not {"exif", "xmp"} & image.info.keys():
                return image
            from vgg16.data import odd

            return odd.upright_rgb(image)
    except Exception as error:  # decoders raise anything: struct.error, RuntimeError, NotImplementedError
        from vgg16.data import odd

        raise UnreadableImage(f"{path}: {odd.reason(path, error)}") from None


def pixels(image: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    """An RGB picture -> (3, size, size) bytes."""
    size, box = geometry(*image.size, preprocessing)
    resized = image.resize(size, Image.Resampling.BILINEAR).crop(box)
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))


def read_image(path: str | Path, preprocessing: Preprocessing) -> np.ndarray:
    """(3, size, size) bytes, RGB. Raises UnreadableImage."""
    return pixels(open_image(path, preprocessing), preprocessing)


def geometry(
    width: int, height: int, preprocessing: Preprocessing
) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """The size to resize a picture to, and the box (left, top, right, bottom) to cut out of that."""
    size = preprocessing.size
    if not preprocessing.crop:
        return (size, size), (0, 0, size, size)
    scale = round(size * 256 / 224) / min(width, height)
    # torchvision: the longer side is cut down to whole pixels, the margin is rounded.
    width, height = max(size, int(width * scale)), max(size, int(height * scale))
    left, top = round((width - size) / 2), round((height - size) / 2)
    return (width, height), (left, top, left + size, top + size)


@dataclass(frozen=True)
class Pictures:
    """Row numbers of a batch -> what can be read of it. It may run in worker processes."""

    folder: Folder
    preprocessing: Preprocessing
    augment: Augment | None
    seed: tuple[int, int]

    def __getitem__(self, rows: np.ndarray) -> Read:
        images, readable, problems = [], [], []
        for row in rows.tolist():
            try:
                image = open_image(self.folder.root / self.folder.files[row], self.preprocessing)
            except UnreadableImage as error:
                problems.append((row, str(error)))
                continue
            if self.augment is not None:
                image = self.augment.vary(image, np.random.default_rng((*self.seed, row)))
            images.append(pixels(image, self.preprocessing))
            readable.append(row)
        stacked = torch.from_numpy(np.stack(images)) if images else torch.empty(0)
        return stacked, torch.tensor(readable, dtype=torch.int64), problems


def read(pictures: Any, plan: Sequence[np.ndarray]) -> Iterator[Any]:
    """pictures[rows] for each batch of row numbers; many by worker processes."""
    if sum(map(len, plan)) >= _WORKERS_FROM:
        from vgg16.data.workers import loader

        return loader(pictures, plan)
    return map(pictures.__getitem__, plan)


def cut(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Batches of `size` rows; the last one may be smaller."""
    return [rows[at : at + size] for at in range(0, len(rows), size)]


@dataclass(eq=False, repr=False)
class Batches:
    """Pictures as `get_batches` returns them. next() never ends, as in the lesson; `epoch(n)` is one pass.

    Names as in the lesson: nb_sample pictures, nb_class classes, class_indices {name: number}, classes (the
    class number of each picture), filenames (relative to the folder). unreadable: why, by row number.
    """

    folder: Folder
    preprocessing: Preprocessing
    _: KW_ONLY
    batch_size: int
    shuffle: bool
    augment: Augment | None = None
    seed: int = 0
    say: Callable[[str], None] = print
    decoder: Decoder | None = None

    def __post_init__(self) -> None:
        self.decoder = self.decoder if self.augment is None else None
        self.decoded_by = self.decoder.name if self.decoder else "pillow"  # they round differently
        self.nb_sample, self.nb_class = len(self.folder.files), len(self.folder.classes)
        self.class_indices = {name: number for number, name in enumerate(self.folder.classes)}
        self.classes, self.filenames = self.folder.labels, list(self.folder.files)
        self.unreadable: dict[int, str] = {}
        self._endless = self._passes()

    def __len__(self) -> int:
        """Steps of one pass."""
        return -(-self.nb_sample // self.batch_size)

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> tuple[np.ndarray, np.ndarray]:
        """(n, 3, size, size) bytes, RGB, and one-hot labels (n, nb_class)."""
        images, rows = next(self._endless)
        return images.cpu().numpy(), np.eye(self.nb_class, dtype=np.float32)[self.classes[rows.numpy()]]

    def _passes(self) -> Iterator[tuple[Tensor, Tensor]]:
        for number in count():
            yield from self.epoch(number)
            if len(self.unreadable) == self.nb_sample:
                raise BadData(f"{self.folder.root}: not one of its pictures can be read")

    def order(self, epoch: int) -> np.ndarray:
        """Row numbers in the order of this pass. It depends on seed and epoch alone, so a run can resume."""
        if not self.shuffle:
            return np.arange(self.nb_sample)
        return np.random.default_rng((self.seed, epoch)).permutation(self.nb_sample)

    def epoch(self, epoch: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (n, 3, size, size), bytes, and row numbers (n,). Unreadable ones are named and left out."""
        return self.load(self.plan(epoch), epoch)

    def plan(self, epoch: int) -> list[np.ndarray]:
        """The row numbers of each batch of this pass."""
        return cut(self.order(epoch), self.batch_size)

    def load(
        self, plan: Sequence[np.ndarray], epoch: int = 0, *, every_step: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """As `epoch`, for given batches of row numbers. every_step: also those without a readable picture."""
        pictures = Pictures(self.folder, self.preprocessing, self.augment, (self.seed, epoch))
        batches = self.decoder.read(pictures, plan) if self.decoder else read(pictures, plan)
        side = self.preprocessing.size
        for images, rows, problems in batches:
            for row, why in problems:
                self.leave_out(row, why)
            if len(rows) or every_step:
                yield images.reshape(-1, 3, side, side), rows

    def leave_out(self, row: int, why: str) -> None:
        """A picture that cannot be read: named once."""
        if row not in self.unreadable:
            self.unreadable[row] = why
            self.say(f"left out: {why}")


@dataclass(frozen=True)
class Source:
    """What the loop reads: epoch(n, skip) yields inputs and row numbers (n,) of pass n after `skip` steps.

    They are this rank's part, which may be empty at a step; count and labels are all ranks'. start: the
    layer of the classifier that takes the inputs, if they are not pictures (`VGG16.forward`). unreadable: as
    the batches'.
    """

    count: int
    steps: int
    labels: np.ndarray
    epoch: Callable[..., Iterator[tuple[Tensor, Tensor]]]
    start: int = 0
    unreadable: dict[int, str] = field(default_factory=dict)
