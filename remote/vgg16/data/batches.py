"""A folder of pictures, one sub-folder a class, as batches: decoded ahead of the GPU by worker processes.

Where the GPU decodes (`nvdecode`), the workers read JPEG files and leave them as they are; what it does not
decode, they do. Augmented pictures are Pillow's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from vgg16.data.augment import Augment
from vgg16.data.images import SUFFIXES, read_image
from vgg16.data.loading import Loaded, Pictures, as_loaded, collate
from vgg16.data.nvdecode import Decoder
from vgg16.errors import BadData, UnreadableImage
from vgg16.preprocess import Preprocessing

# Starting worker processes pays from some hundred pictures on.
_WORKERS_FROM = 400


@dataclass(frozen=True)
class Folder:
    """Pictures found under root. files: relative, sorted class by class, then by name; labels: (n,) class
    numbers.
    """

    root: Path
    files: tuple[str, ...]
    labels: np.ndarray
    classes: tuple[str, ...]

    def only(self, rows: np.ndarray) -> Folder:
        """Of these rows alone: (n,) booleans, or row numbers."""
        files = np.array(self.files, dtype=object)[rows]
        return Folder(self.root, tuple(files), self.labels[rows], self.classes)


def find_pictures(path: str | Path) -> Folder:
    """One sub-folder a class, in alphabetical order. Raises BadData where there is none, or one is empty."""
    root = Path(path).expanduser()
    if not root.is_dir():
        raise BadData(f"{root}: no such folder")
    classes = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and entry.name[0] != ".")
    if not classes:
        raise BadData(f"{root}: no sub-folder in it; pictures are expected in one sub-folder for each class")
    files: list[str] = []
    labels: list[int] = []
    for number, name in enumerate(classes):
        found = sorted(
            file.relative_to(root).as_posix()
            for file in (root / name).rglob("*")
            if file.suffix.lower() in SUFFIXES and file.name[0] != "."
        )
        if not found:
            raise BadData(f"{root / name}: no picture in this class's folder; add some or remove the folder")
        files += found
        labels += [number] * len(found)
    return Folder(root, tuple(files), np.array(labels, dtype=np.int64), tuple(classes))


class Batches:
    """What `get_batches` gives. Endless by next(), as in the lesson; `epoch(n)` is one pass, for training.

    Names as in the lesson: nb_sample pictures, nb_class classes, class_indices {name: number}, classes (the
    class number of each picture), filenames (relative to the folder).
    """

    def __init__(
        self,
        folder: Folder,
        preprocessing: Preprocessing,
        *,
        batch_size: int,
        shuffle: bool,
        augment: Augment | None = None,
        seed: int = 0,
        say: Callable[[str], None] = print,
        decoder: Decoder | None = None,
    ) -> None:
        self.folder = folder
        self.decoder = decoder if augment is None else None
        self.preprocessing = preprocessing
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.augment = augment
        self.seed = seed
        self.unreadable: dict[int, str] = {}
        self._say = say
        self._endless: Iterator[tuple[Tensor, Tensor]] | None = None
        self._passes = 0

    @property
    def decoded_by(self) -> str:
        """What made the pixels: others' differ by a rounding, and so do their features."""
        return self.decoder.name if self.decoder else "pillow"

    @property
    def nb_sample(self) -> int:
        return len(self.folder.files)

    @property
    def nb_class(self) -> int:
        return len(self.folder.classes)

    @property
    def class_indices(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.folder.classes)}

    @property
    def classes(self) -> np.ndarray:
        return self.folder.labels

    @property
    def filenames(self) -> list[str]:
        return list(self.folder.files)

    @property
    def readable(self) -> np.ndarray:
        """(nb_sample,) booleans, as far as it is known by now."""
        return ~np.isin(np.arange(self.nb_sample), list(self.unreadable))

    def __len__(self) -> int:
        """Steps of one pass."""
        return -(-self.nb_sample // self.batch_size)

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> tuple[np.ndarray, np.ndarray]:
        """(n, 3, size, size) bytes, RGB, and one-hot labels (n, nb_class)."""
        batch = None
        while batch is None:
            if self._endless is None:
                self._endless = self.epoch(self._passes)
                self._passes += 1
            batch = next(self._endless, None)
            if batch is None:
                self._endless = None
                if len(self.unreadable) == self.nb_sample:
                    raise BadData(f"{self.folder.root}: not one of its pictures can be read")
        images, rows = batch
        one_hot = np.eye(self.nb_class, dtype=np.float32)[self.classes[rows.numpy()]]
        return images.cpu().numpy(), one_hot

    def order(self, epoch: int) -> np.ndarray:
        """Row numbers in the order of this pass: of seed and epoch alone, so that a resumed run sees the
        same.
        """
        if not self.shuffle:
            return np.arange(self.nb_sample)
        return np.random.default_rng((self.seed, epoch)).permutation(self.nb_sample)

    def epoch(self, epoch: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (n, 3, size, size), bytes, and their row numbers (n,). Unreadable ones are named, and left
        out.
        """
        return self.load(self.plan(epoch), epoch)

    def plan(self, epoch: int) -> list[np.ndarray]:
        """The row numbers of each batch of this pass."""
        order = self.order(epoch)
        return [order[at : at + self.batch_size] for at in range(0, len(order), self.batch_size)]

    def load(
        self, plan: list[np.ndarray], epoch: int = 0, *, every_step: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """As `epoch`, for given rows: one array of row numbers a batch. every_step: also those batches of
        which nothing can be read.
        """
        count = sum(len(rows) for rows in plan)
        workers = 0 if count < _WORKERS_FROM else min(_cores() // _ranks_here(), 16)
        encoded = self.decoder is not None
        pictures = Pictures(
            self.folder.root, self.folder.files, self.preprocessing, self.augment, (self.seed, epoch), encoded
        )
        loader = DataLoader(
            pictures,
            batch_sampler=[rows.tolist() for rows in plan],
            collate_fn=collate,
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            pin_memory=torch.cuda.is_available(),
            # Its own: a loader that drew from the common one would change what dropout draws after it.
            generator=torch.Generator().manual_seed(0),
        )
        decoded = self.decoder.ahead(loader, self._decode) if self.decoder else map(as_loaded, loader)
        for images, rows, problems in decoded:
            for row, why in problems:
                if row not in self.unreadable:
                    self.unreadable[row] = why
                    self._say(f"left out: {why}")
            if len(rows):
                yield images, rows
            elif every_step:
                size = self.preprocessing.size
                yield torch.empty(0, 3, size, size, dtype=torch.uint8), rows

    def _decode(self, loaded: Loaded) -> tuple[Tensor, Tensor, list[tuple[int, str]]]:
        """The GPU's part of a batch put between what the workers decoded; still in the plan's order."""
        assert self.decoder is not None
        lengths = loaded.lengths.tolist()
        files = loaded.encoded.split([length for length in lengths if length])
        theirs = iter(self.decoder(files, self.preprocessing) if any(lengths) else ())
        ours = iter(loaded.images.to(self.decoder.device, non_blocking=True))
        pictures, rows, problems = [], [], list(loaded.problems)
        for row, length in zip(loaded.rows.tolist(), lengths, strict=True):
            picture = next(theirs) if length else next(ours)
            if picture is None:
                try:
                    pillows = read_image(self.folder.root / self.folder.files[row], self.preprocessing)
                except UnreadableImage as error:
                    problems.append((row, str(error)))
                    continue
                picture = torch.from_numpy(pillows).to(self.decoder.device)
            pictures.append(picture)
            rows.append(row)
        images = torch.stack(pictures) if pictures else torch.empty(0, device=self.decoder.device)
        return images, torch.tensor(rows, dtype=torch.int64), problems


def _cores() -> int:
    """That this process may use: in a container, fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _ranks_here() -> int:
    """Processes of this run on this machine, as torchrun says, which share its cores."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
