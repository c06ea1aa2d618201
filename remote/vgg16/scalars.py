"""Loss and accuracy for TensorBoard, in results/tensorboard, if the package `tensorboard` is installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vgg16.train import Epoch

FOLDER = "tensorboard"


class Scalars:
    """Adds to the event files of a run that is resumed; replaces those of an older run.

    history: the finished epochs of the resumed run. No failure here ends the training.
    """

    def __init__(self, results: Path, history: Sequence[Epoch], say: Callable[[str], None]) -> None:
        self._say, self._writer = say, None
        if find_spec("tensorboard"):
            self._try(lambda: self._open(results / FOLDER, history))

    def add(self, epoch: Epoch) -> None:
        if self._writer:
            self._try(lambda: self._write(epoch))

    def close(self) -> None:
        if self._writer:
            self._try(self._writer.close)

    def _open(self, folder: Path, history: Sequence[Epoch]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        if not history:
            for file in folder.glob("events.out.tfevents.*"):
                file.unlink()
        # Events from the next epoch on, of a run that was killed, no longer count.
        self._writer: Any = SummaryWriter(str(folder), purge_step=len(history) + 1)

    def _write(self, epoch: Epoch) -> None:
        for figure in ("loss", "accuracy"):
            for part in ("train", "valid"):
                if (value := getattr(epoch, f"{part}_{figure}")) is not None:
                    self._writer.add_scalar(f"{figure}/{part}", value, epoch.epoch)
        self._writer.flush()

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # packages that do not fit each other raise anything
            self._writer = None
            why = str(error).partition("\n")[0] or type(error).__name__
            self._say(f"no scalars for TensorBoard ({why}); training goes on")
