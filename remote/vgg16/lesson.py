"""The lesson's class; its seven lines are in notebooks/lesson1.ipynb.

Two things differ from 2017: the network gives logits to the loss and probabilities to you; outputs of frozen
layers are computed once and kept (`cache`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from vgg16 import BadData, TrainingFailed, weights
from vgg16.device import ALONE, Ranks, choose, choose_precision
from vgg16.model import VGG16
from vgg16.pictures import Batches, Source, find_pictures
from vgg16.train import Epoch, Report, Runner, Trainer

if TYPE_CHECKING:
    from vgg16.data.augment import Augment


class Vgg16:
    """VGG16 with weights, a trainer and the names of its classes.

    weights: "imagenet" (the official file), "caffe" (the 2017 lesson's), "none" (random) or a file; by
    default $VGG16_WEIGHTS, else "imagenet". size: pixels a side, by default $VGG16_SIZE, else 224. cache: a
    folder for outputs of frozen layers, None to compute them every time. width: for tests (`VGG16`).
    compiled: False never compiles the network (`device.speed`). decoder: of JPEGs, one of nvdecode.NAMES.
    ranks: the processes that share the work (`distributed.joined`); each makes the same calls.
    """

    def __init__(
        self,
        weights_choice: str | None = None,
        *,
        size: int | None = None,
        device: str | None = None,
        precision_name: str = "auto",
        seed: int = 0,
        cache: Path | Literal["default"] | None = "default",
        width: int = 64,
        compiled: bool = True,
        decoder: str = "auto",
        report: Report | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.report, self.ranks = report or Report(), ranks
        self.seed, self.cache, self.compiled = seed, cache, compiled
        self.device = choose(device or ranks.device)
        self.precision = choose_precision(precision_name, self.device)
        self.decoder = None
        if decoder != "pillow" and (decoder != "auto" or self.device.type == "cuda"):
            from vgg16.data import nvdecode

            self.decoder = nvdecode.choose(decoder, self.device, self.report.warn)
        choice = weights_choice or os.environ.get("VGG16_WEIGHTS") or "imagenet"
        chosen = weights.load(choice, self.report.warn)
        self.weights_name = chosen.name
        self.preprocessing = chosen.preprocessing.at(size or int(os.environ.get("VGG16_SIZE") or 224))
        self.classes = list(chosen.classes)
        outputs = 1000 if chosen.state is None else len(chosen.state["classifier.6.bias"])
        self.model = VGG16(self.preprocessing, outputs, width=width)
        if (state := chosen.state) is None:
            from vgg16.weights import initialise

            state = initialise.random_state(self.model, seed)
        self.model.load_state_dict(state, assign=True)
        self.model.to(self.device)
        if self.device.type == "cuda":
            from vgg16.device import fused

            self.model = fused.prepare(self.model)
        self.runner = Runner(self.model, self.precision, self.report, ranks)
        self._uncalibrated = chosen.state is None
        self.trainer: Trainer | None = None

    def get_batches(
        self, path: str | Path, augment: Augment | None = None, shuffle: bool = True, batch_size: int = 8
    ) -> Batches:
        """The pictures under path, one sub-folder a class. augment: vary them at random (Augment())."""
        folder = find_pictures(path)
        self.report.say(f"Found {len(folder.files)} images belonging to {len(folder.classes)} classes.")
        return Batches(
            folder,
            self.preprocessing,
            batch_size=batch_size,
            shuffle=shuffle,
            augment=augment,
            seed=self.seed,
            say=self.report.warn,
            decoder=self.decoder,
        )

    def ft(self, num: int) -> None:
        """Replace the last layer by a new one for num classes, and train only that."""
        self.model.replace_last(num, seed=self.seed)
        self.compile()

    def finetune(self, batches: Batches) -> None:
        """A new last layer for the classes of these batches, which also become `classes`. Raises BadData."""
        if batches.nb_class < 2:
            only = batches.folder.classes[0]
            raise BadData(f"{batches.folder.root}: one class only ({only}); there is nothing to tell apart")
        self._refuse_others(batches)
        if self._uncalibrated:
            from vgg16.weights import initialise

            initialise.calibrate_by(batches, self.model, self.ranks)
            self._uncalibrated = False
        self.ft(batches.nb_class)
        self.classes = list(batches.folder.classes)

    def unfreeze(self, part: str) -> None:
        """Also train the "classifier" (all three linear layers) or "all" layers. Compiles anew."""
        trained = {"last": self.model.last, "classifier": self.model.classifier, "all": self.model}[part]
        self.model.requires_grad_(False)
        trained.requires_grad_(True)
        self.compile()

    def compile(self, lr: float = 0.001) -> None:
        """A new Adam, as Keras's compile; moments and the count of epochs begin anew."""
        kind = Trainer
        if self.ranks.world > 1:
            from vgg16.distributed import GroupTrainer as kind
        self.trainer = kind(self.model, self.precision, self.report, self.ranks, lr=lr, seed=self.seed)

    def fit(self, batches: Batches, val_batches: Batches | None, nb_epoch: int = 1) -> list[Epoch]:
        """Trains for nb_epoch more passes and prints the figures of each."""
        return list(self.epochs(batches, val_batches, self._trainer().done + nb_epoch))

    def epochs(self, batches: Batches, val_batches: Batches | None, until: int) -> Iterator[Epoch]:
        """As `fit`, pass by pass, up to the given number of passes."""
        trainer = self._trainer()
        train = self.source(batches, training=True)
        if self.compiled and self.device.type == "cuda" and not self.model.convolutions_are_frozen:
            from vgg16.device import speed

            speed.compile_if_it_pays(trainer, (until - trainer.done) * batches.nb_sample)
        valid = self.source(val_batches) if val_batches is not None else None
        return self._fit(train, valid, until)

    def _fit(self, train: Source, valid: Source | None, until: int) -> Iterator[Epoch]:
        for epoch in self._trainer().fit(train, valid, until):
            self.report.say(epoch.describe(until))
            yield epoch

    def fit_data(
        self,
        trn: np.ndarray,
        labels: np.ndarray,
        val: np.ndarray,
        val_labels: np.ndarray,
        nb_epoch: int = 1,
        batch_size: int = 64,
    ) -> list[Epoch]:
        """As `fit`, for arrays (n, 3, size, size), RGB, 0 to 255; labels one-hot or class numbers."""
        from vgg16.uncached import from_arrays

        train = from_arrays(trn, labels, batch_size, self.ranks, seed=self.seed)
        valid = from_arrays(val, val_labels, batch_size * 2, self.ranks)
        return list(self._fit(train, valid, self._trainer().done + nb_epoch))

    def predict(self, imgs: np.ndarray, details: bool = False) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """imgs (n, 3, size, size), RGB, 0 to 255 -> best probabilities (n,), their class numbers (n,), names.

        With details, each picture's line is printed as well.
        """
        pictures, rows = torch.from_numpy(np.ascontiguousarray(imgs)), torch.arange(len(imgs))
        source = Source(0, 0, rows.numpy(), lambda _: zip(pictures.split(64), rows.split(64), strict=True))
        probabilities = np.empty((len(imgs), self.model.last.out_features), dtype=np.float32)
        alone = Runner(self.model, self.precision, self.report)
        for answered, logits in alone.answers(source, source.epoch(0)):
            probabilities[answered.numpy()] = logits.softmax(1).cpu().numpy()
        best, numbers = probabilities.max(1), probabilities.argmax(1)
        names = [self.classes[number] if self.classes else str(number) for number in numbers]
        if details:
            for name, probability in zip(names, best, strict=True):
                self.report.say(f"  {probability:.4f}/{name}")
        return best, numbers, names

    def test(self, path: str | Path, batch_size: int = 8) -> tuple[Batches, np.ndarray]:
        """Batches of the pictures under path in file order, and their probabilities (n, classes)."""
        batches = self.get_batches(path, shuffle=False, batch_size=batch_size)
        return batches, self.probabilities(batches)

    def probabilities(self, batches: Batches) -> np.ndarray:
        """(nb_sample, classes), row by row as batches.filenames, shuffled or not."""
        from vgg16.evaluate import predict

        return predict(self.runner, self.source(batches), batches.nb_sample)

    def source(self, batches: Batches, *, training: bool = False) -> Source:
        """Outputs of frozen layers, from the cache, if the pictures are always the same; else pictures.

        training: with dropout, which begins after the first linear layer.
        """
        self._refuse_others(batches)
        if self.cache is not None and batches.augment is None and self.model.convolutions_are_frozen:
            from vgg16 import cache

            root = cache.default_root() if self.cache == "default" else self.cache
            try:
                return cache.from_features(self.runner, batches, root, training=training)
            except OSError as error:
                self.report.say(
                    f"features are not kept ({root}: {error.strerror or error}): every epoch computes them; "
                    "--cache takes another folder"
                )
        from vgg16.uncached import from_pictures

        return from_pictures(batches, self.ranks)

    def _refuse_others(self, batches: Batches) -> None:
        """Raises BadData for pictures that were prepared for other weights, or in another size."""
        if batches.preprocessing != self.preprocessing:
            raise BadData(
                f"{batches.folder.root}: these batches are made for {batches.preprocessing.describe()}; this "
                f"network has {self.preprocessing.describe()}: take its own, get_batches(...)"
            )

    def _trainer(self) -> Trainer:
        if self.trainer is None:
            raise TrainingFailed("nothing to train yet: finetune(batches) or ft(num) comes before fit")
        return self.trainer
