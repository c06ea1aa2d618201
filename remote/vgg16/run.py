"""`gpu-box train`: the seven lines; figures, pictures and a submission go into a folder."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vgg16 import BadData, checkpoint, ending
from vgg16.cache import weights_digest
from vgg16.data.augment import Augment
from vgg16.device import Ranks
from vgg16.distributed import GroupTrainer, joined
from vgg16.elastic import restarts
from vgg16.ending import END, Ended
from vgg16.evaluate import readable
from vgg16.files import write_text
from vgg16.kaggle import predictions
from vgg16.kaggle.predictions import Predictions
from vgg16.kaggle.submission import describe, make_submission
from vgg16.lesson import Vgg16
from vgg16.pictures import Batches, Folder
from vgg16.report import Silent
from vgg16.scalars import Scalars
from vgg16.train import Epoch, Report
from vgg16.weights import safetensors_file


@dataclass(frozen=True)
class Settings:
    """The options of `python -m vgg16 train --help`."""

    data: Path
    results: Path
    epochs: int = 1
    batch_size: int = 64
    image_size: int = 224
    weights: str = "imagenet"
    lr: float = 0.001
    seed: int = 0
    layers: str = "last"
    augment: bool = False
    clip: float | None = None
    resume: bool = False
    cache: Path | None = None
    precision: str = "auto"
    device: str | None = None
    compiled: bool = True
    decoder: str = "auto"
    width: int = 64
    save: Path | None = None

    def identity(self, digest: str, batches: Batches) -> str:
        """What must be the same to resume a run. The epochs and the learning rate may differ."""
        return (
            f"weights {digest}, {self.image_size} pixels, layers {self.layers}, "
            f"batches of {self.batch_size}, seed {self.seed}, augment {self.augment}, "
            f"{batches.nb_sample} pictures of {', '.join(batches.folder.classes)}"
        )


def train(settings: Settings, report: Report) -> dict[str, object]:
    """Trains, predicts and writes settings.results. Returns the summary. Raises Problem, Ended.

    Under torchrun every rank works; only the first one writes, prints and has the summary.
    """
    with joined(settings.device) as ranks:
        return _train(settings, report if ranks.first else Silent(), ranks)


def _train(settings: Settings, report: Report, ranks: Ranks) -> dict[str, object]:
    started = time.monotonic()
    if settings.save:
        safetensors_file.check(settings.save)
    settings.results.mkdir(parents=True, exist_ok=True)
    with ranks.one_before_the_others():  # it may have to download the weights
        vgg = Vgg16(
            settings.weights,
            size=settings.image_size,
            device=ranks.device,
            precision_name=settings.precision,
            seed=settings.seed,
            cache=settings.cache,
            width=settings.width,
            compiled=settings.compiled,
            decoder=settings.decoder,
            report=report,
            ranks=ranks,
        )
    report.say(_introduction(vgg))
    batches = vgg.get_batches(
        settings.data / "train", Augment() if settings.augment else None, batch_size=settings.batch_size
    )
    val_batches = vgg.get_batches(settings.data / "valid", shuffle=False, batch_size=2 * settings.batch_size)
    if val_batches.folder.classes != batches.folder.classes:
        raise BadData(
            f"{settings.data}: train has classes {', '.join(batches.folder.classes)}, "
            f"valid has {', '.join(val_batches.folder.classes)}"
        )
    vgg.finetune(batches)
    if settings.layers != "last":
        vgg.unfreeze(settings.layers)
    vgg.compile(settings.lr)
    history = _fit(vgg, batches, val_batches, settings, report)
    try:
        return _finish(vgg, batches, val_batches, history, settings, report, started)
    except Ended:
        raise Ended(f"ended by SIGTERM after epoch {len(history)}, {_GOES_ON}") from None


def _introduction(vgg: Vgg16) -> str:
    pixels = f"{vgg.preprocessing.size}x{vgg.preprocessing.size} pixels"
    where = f"{vgg.device}, {vgg.precision.name}"
    if vgg.decoder is not None:
        where += f", JPEGs decoded by {vgg.decoder.name}"
    if vgg.ranks.world > 1:
        where = f"{vgg.ranks.world} ranks of {vgg.device.type}, {vgg.precision.name}"
    if vgg.weights_name == "none":
        return (
            f"VGG16 with random weights (no ImageNet), {pixels}, on {where}: its convolutions have "
            "learned nothing and stay as they are; only the classifier's last layer learns, from their "
            "cached outputs."
        )
    return f"VGG16 with {vgg.weights_name}, {pixels}, on {where}"


def _fit(
    vgg: Vgg16, batches: Batches, val_batches: Batches, settings: Settings, report: Report
) -> list[Epoch]:
    assert vgg.trainer is not None
    path = settings.results / "checkpoint.pt"
    identity = settings.identity(weights_digest(vgg.model) if settings.layers != "all" else "own", batches)
    history: list[Epoch] = []
    again = any(vgg.ranks.gather(restarts() > 0))
    if settings.resume or again:
        history = checkpoint.restore(path, vgg.trainer, identity)
        found = history or vgg.trainer.steps
        where = _after(history, vgg.trainer.steps)
        report.say(f"resumed {where}" if found else f"nothing to resume in {path.parent}")
    elif vgg.ranks.first:
        # Or a restart before the first epoch's end would go on from an older run's.
        path.unlink(missing_ok=True)
    if vgg.ranks.first:
        _write_metrics(settings.results, history, report)
        scalars = Scalars(settings.results, history, report.say)
    trainer = vgg.trainer

    def kept() -> bool:
        return checkpoint.save(path, trainer, history, identity, report.say)

    def pause() -> None:
        asked = trainer.asked() if isinstance(trainer, GroupTrainer) else ending.asked()
        if asked >= END:
            raise Ended
        if asked and kept():
            report.say(
                f"checkpoint {_after(history, trainer.steps)}: AWS may take this spot machine back soon"
            )

    trainer.pause = pause
    try:
        for epoch in vgg.epochs(batches, val_batches, settings.epochs):
            history.append(epoch)
            kept()
            if vgg.ranks.first:
                _write_metrics(settings.results, history, report)
                scalars.add(epoch)
    except Ended:
        if not trainer.steps and not history:
            features = "; features computed so far are kept" if settings.cache else ""
            raise Ended(f"ended by SIGTERM before training began{features}") from None
        where = _after(history, trainer.steps)
        goes_on = f", {_GOES_ON}" if not trainer.steps or kept() else ""
        raise Ended(f"ended by SIGTERM {where}{goes_on}") from None
    finally:
        if vgg.ranks.first:
            scalars.close()
    return history


_GOES_ON = "which is kept: --resume goes on from there"


def _after(history: list[Epoch], steps: int) -> str:
    return f"after step {steps} of epoch {len(history) + 1}" if steps else f"after epoch {len(history)}"


def _write_metrics(results: Path, history: list[Epoch], report: Report) -> None:
    text = "".join(json.dumps(_plain(asdict(epoch))) + "\n" for epoch in history)
    try:
        write_text(results / "metrics.jsonl", text)
    except OSError as error:  # a full disk: the next epoch's has this one's figures too
        report.say(f"figures not written ({error.strerror}); training goes on")


def _finish(
    vgg: Vgg16,
    batches: Batches,
    val_batches: Batches,
    history: list[Epoch],
    settings: Settings,
    report: Report,
    started: float,
) -> dict[str, object]:
    probabilities = vgg.probabilities(val_batches)
    # Unreadable pictures count neither for the network nor against it.
    folder, counted = val_batches.folder, readable(val_batches)
    files = tuple(np.array(folder.files, dtype=object)[counted])
    held_out = Folder(folder.root, files, folder.labels[counted], folder.classes)
    probabilities = probabilities[counted]
    accuracy = float((probabilities.argmax(1) == held_out.labels).mean())
    chance = np.bincount(held_out.labels).max() / len(held_out.labels)
    report.say(f"held-out accuracy: {accuracy:.1%} ({len(held_out.files)} pictures; chance is {chance:.0%})")
    predicted = _predict_test(vgg, probabilities, held_out, settings)
    if not vgg.ranks.first:
        return {}
    if settings.save:
        safetensors_file.save(settings.save, vgg.model, vgg.classes)
        report.say(f"network in {settings.save}: --weights {settings.save} takes it")
    from vgg16 import curves  # matplotlib takes half a second: not before it is needed

    title = f"VGG16 ({vgg.weights_name}) on {settings.data.name}: {accuracy:.1%} of held-out pictures right"
    curves.save(curves.curves(history, title), settings.results / "curves.png")
    curves.save(curves.confusion(probabilities, held_out), settings.results / "confusion.png")
    curves.save(curves.examples(probabilities, held_out), settings.results / "examples.png")
    written = ["metrics.jsonl", "curves.png", "confusion.png", "examples.png"]
    clip = None
    if predicted is not None:
        predictions.save(settings.results, predicted)
        clip = make_submission(settings.results / "submission.csv", predicted, settings.clip)
        written += [predictions.FILE, "submission.csv"]
        report.say(f"submission.csv: {describe(predicted, clip)}")
    summary = {
        "held_out_accuracy": accuracy,
        "images": {
            "train": batches.nb_sample,
            "valid": val_batches.nb_sample,
            "test": len(predicted.files) if predicted else 0,
        },
        "left_out": sorted({*batches.unreadable.values(), *val_batches.unreadable.values()}),
        "classes": vgg.classes,
        "epochs": len(history),
        "weights": vgg.weights_name,
        "device": str(vgg.device),
        "precision": vgg.precision.name,
        "decoder": batches.decoded_by,
        "seconds": round(time.monotonic() - started, 2),
        "clip": asdict(clip) if clip else None,
        "last_epoch": _plain(asdict(history[-1])) if history else None,
        "settings": {
            name: str(value) if isinstance(value, Path) else value for name, value in vars(settings).items()
        },
    }
    write_text(settings.results / "summary.json", json.dumps(summary, indent=2) + "\n")
    report.say(
        f"results in {settings.results}: {', '.join([*written, 'summary.json'])} ({summary['seconds']} s)"
    )
    return summary


def _predict_test(
    vgg: Vgg16, probabilities: np.ndarray, held_out: Folder, settings: Settings
) -> Predictions | None:
    """None if there are no pictures to predict, or other than the two classes of a submission."""
    if not (settings.data / "test").is_dir() or len(held_out.classes) != 2:
        return None
    batches, test = vgg.test(settings.data / "test", 2 * settings.batch_size)
    return Predictions(
        data=settings.data.resolve(),
        classes=tuple(vgg.classes),
        valid=probabilities,
        labels=held_out.labels,
        files=tuple(batches.filenames),
        test=test,
    )


def _plain(figures: dict[str, object]) -> dict[str, object]:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in figures.items()}
