"""The lesson's class. Seven lines, as in 2017:

    path = "data/dogscats/"
    batch_size = 64
    vgg = Vgg16()
    batches = vgg.get_batches(path + "train", batch_size=batch_size)
    val_batches = vgg.get_batches(path + "valid", batch_size=batch_size * 2)
    vgg.finetune(batches)
    vgg.fit(batches, val_batches, nb_epoch=1)

What differs from then: the network gives logits to the loss and probabilities to you; what the frozen
convolutions make of a picture is computed once and kept (`cache`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vgg16 import precision, speed
from vgg16.data import nvdecode
from vgg16.data.augment import Augment
from vgg16.data.batches import Batches, find_pictures
from vgg16.data.cache import default_root
from vgg16.data.sources import Source, from_features, from_pictures
from vgg16.errors import BadData, TrainingFailed
from vgg16.evaluate import predict
from vgg16.model import VGG16
from vgg16.preprocess import Preprocessing
from vgg16.ranks import ALONE, Ranks
from vgg16.report import Report
from vgg16.train import Epoch, Trainer
from vgg16.weights import initialise, loading

# Pictures that random weights are set right by (`initialise.calibrate`).
_CALIBRATION_PICTURES = 64


class Vgg16:
    """VGG16 with weights, a trainer and the names of its classes.

    weights: "imagenet" (the official file), "caffe" (the 2017 lesson's), "none" (random) or a file. Where
    none are given, $VGG16_WEIGHTS, else "imagenet". size: pixels a side, else $VGG16_SIZE, else 224.
    cache: a folder for features, or None to compute them every time. width: for tests; see VGG16.
    compiled: False never compiles the network, not even where it pays (`speed`). decoder: of JPEGs, one of
    nvdecode.NAMES.
    ranks: who shares the work (`ranks.joined`); every one of them makes the same calls.
    """

    def __init__(
        self,
        weights_choice: str | None = None,
        *,
        size: int | None = None,
        device: str | None = None,
        precision_name: str = "auto",
        seed: int = 0,
        cache: Path | None = default_root(),  # noqa: B008  (read once, as the lesson begins)
        width: int = 64,
        compiled: bool = True,
        decoder: str = "auto",
        report: Report | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.report = report or Report()
        self.ranks = ranks
        self.seed = seed
        self.device = torch.device(device or ranks.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.precision = precision.choose(precision_name, self.device)
        self.cache = cache
        self.compiled = compiled
        self.decoder = nvdecode.choose(decoder, self.device, self.report.warn)
        choice = weights_choice or os.environ.get("VGG16_WEIGHTS") or "imagenet"
        with ranks.one_before_the_others():  # who may have to fetch them
            chosen = loading.load(choice, self.report.warn)
        self.weights_name = chosen.name
        self.preprocessing = chosen.preprocessing.at(size or int(os.environ.get("VGG16_SIZE") or 224))
        self.classes = list(chosen.classes)
        self.model = _build(chosen, self.preprocessing, width, seed).to(self.device)
        if self.device.type == "cuda":
            self.model = self.model.to(memory_format=torch.channels_last)
            # All batches but the last have one shape: cuDNN tries its convolutions once, and keeps the best.
            torch.backends.cudnn.benchmark = True
        self._uncalibrated = chosen.state is None
        self.trainer: Trainer | None = None

    def get_batches(
        self,
        path: str | Path,
        augment: Augment | None = None,
        shuffle: bool = True,
        batch_size: int = 8,
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
        """Replaces the last layer by one for num classes; only it is trained from here on."""
        self.model.replace_last(num, seed=self.seed)
        self.compile()

    def finetune(self, batches: Batches) -> None:
        """The last layer for the classes of these batches, which also become `classes`. Raises BadData."""
        if batches.nb_class < 2:
            only = batches.folder.classes[0]
            raise BadData(f"{batches.folder.root}: one class only ({only}); there is nothing to tell apart")
        self._refuse_others(batches)
        if self._uncalibrated:
            initialise.calibrate(self.model, self._sample(batches))
            self.ranks.equalise(self.model)
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
        self.trainer = Trainer(
            self.model, self.precision, self.report, lr=lr, seed=self.seed, ranks=self.ranks
        )

    def fit(self, batches: Batches, val_batches: Batches | None, nb_epoch: int = 1) -> list[Epoch]:
        """Trains for nb_epoch more passes and prints the figures of each."""
        trainer = self._trainer()
        return list(self.epochs(batches, val_batches, trainer.done + nb_epoch))

    def epochs(self, batches: Batches, val_batches: Batches | None, until: int) -> Iterator[Epoch]:
        """As `fit`, pass by pass, up to the given number of passes."""
        trainer = self._trainer()
        train = self.source(batches)
        passes = 0 if self.model.convolutions_are_frozen else until - trainer.done
        if self.compiled and speed.compiling_pays(self.device, passes * batches.nb_sample):
            self.report.say("compiling the network: the first batch takes a minute (--no-compile: none)")
            trainer.compile(speed.compiled)
        valid = self.source(val_batches) if val_batches is not None else None
        for epoch in trainer.fit(train, valid, until):
            self._tell_unreadable(batches, val_batches)
            self.report.say(describe(epoch, until))
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
        """As `fit`, for pictures in memory: (n, 3, size, size), RGB, 0 to 255; labels one-hot or class
        numbers.
        """
        trainer = self._trainer()
        train = self._array_source(trn, labels, batch_size, shuffle=True)
        valid = self._array_source(val, val_labels, batch_size * 2, shuffle=False)
        history, until = [], trainer.done + nb_epoch
        for epoch in trainer.fit(train, valid, until):
            self.report.say(describe(epoch, until))
            history.append(epoch)
        return history

    def predict(self, imgs: np.ndarray, details: bool = False) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """imgs (n, 3, size, size), RGB, 0 to 255 -> best probabilities (n,), their class numbers (n,), names.

        With details, each picture's line is printed as well.
        """
        probabilities = predict(
            self.model, self._array_source(imgs, np.zeros(len(imgs)), 64, shuffle=False), len(imgs),
            self.precision, Report(), self.ranks,
        )  # fmt: skip
        numbers = probabilities.argmax(1)
        best = probabilities[np.arange(len(imgs)), numbers]
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
        """(nb_sample, classes), row by row as batches.filenames, whatever their shuffling."""
        source = self.source(batches)
        found = predict(self.model, source, batches.nb_sample, self.precision, self.report, self.ranks)
        self._tell_unreadable(batches)
        return found

    def source(self, batches: Batches) -> Source:
        """Cached features where the convolutions are frozen and the pictures always the same; else
        pictures.
        """
        self._refuse_others(batches)
        if self.cache is None or batches.augment is not None or not self.model.convolutions_are_frozen:
            return from_pictures(batches, self.ranks)
        return from_features(self.model, batches, self.cache, self.precision, self.report, self.ranks)

    def _refuse_others(self, batches: Batches) -> None:
        """Raises BadData for pictures that were prepared for other weights, or in another size."""
        if batches.preprocessing != self.preprocessing:
            raise BadData(
                f"{batches.folder.root}: these batches are made for {batches.preprocessing.describe()}; this "
                f"network has {self.preprocessing.describe()}: take its own, get_batches(...)"
            )

    def _tell_unreadable(self, *parts: Batches | None) -> None:
        """What one rank could not read is left out by all."""
        for batches in parts:
            if batches is not None:
                for others in self.ranks.gather(batches.unreadable):
                    batches.unreadable |= others

    def _trainer(self) -> Trainer:
        if self.trainer is None:
            raise TrainingFailed("nothing to train yet: finetune(batches) or ft(num) comes before fit")
        return self.trainer

    def _sample(self, batches: Batches) -> Tensor:
        """Training pictures, evenly from all classes, always the same: (n, 3, size, size) bytes."""
        rows = np.linspace(0, batches.nb_sample - 1, min(_CALIBRATION_PICTURES, batches.nb_sample)).astype(
            int
        )
        found = [images for images, _ in batches.load([rows])]
        if not found:
            raise BadData(f"{batches.folder.root}: not one of its pictures can be read")
        return found[0]

    def _array_source(
        self, imgs: np.ndarray, labels: np.ndarray, batch_size: int, *, shuffle: bool
    ) -> Source:
        numbers = labels.argmax(1) if labels.ndim == 2 else labels
        pictures = torch.from_numpy(np.ascontiguousarray(imgs))

        def epoch(number: int) -> Iterator[tuple[Tensor, Tensor]]:
            count = len(imgs)
            rows = (
                np.random.default_rng((self.seed, number)).permutation(count) if shuffle else np.arange(count)
            )
            for at in range(0, count, batch_size):
                some = torch.from_numpy(self.ranks.share(rows[at : at + batch_size]))
                yield pictures[some], some

        steps = -(-len(imgs) // batch_size)
        return Source(len(imgs), steps, numbers.astype(np.int64), epoch)


def _build(chosen: loading.Weights, preprocessing: Preprocessing, width: int, seed: int) -> VGG16:
    classes = 1000 if chosen.state is None else len(chosen.state["classifier.6.bias"])
    net = VGG16(preprocessing, classes, width=width)
    state = initialise.random_state(net, seed) if chosen.state is None else chosen.state
    net.load_state_dict(state, assign=True)
    return net


def describe(epoch: Epoch, until: int) -> str:
    """One line for people."""
    line = f"epoch {epoch.epoch}/{until}: loss {epoch.train_loss:.4f}, accuracy {epoch.train_accuracy:.1%}"
    if epoch.valid_loss is not None and epoch.valid_accuracy is not None:
        line += f"; held out: loss {epoch.valid_loss:.4f}, accuracy {epoch.valid_accuracy:.1%}"
    return line + f"; {epoch.seconds:.1f} s, {epoch.images_per_s:,.0f} images/s"
