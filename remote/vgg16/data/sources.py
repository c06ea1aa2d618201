"""What the training loop eats: batches of pictures, or of what the frozen convolutions made of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vgg16.data.batches import Batches
from vgg16.data.cache import FeatureCache, Writer, content_keys
from vgg16.memory import Portions
from vgg16.model import VGG16
from vgg16.precision import Precision
from vgg16.ranks import ALONE, Ranks
from vgg16.report import Report

# Pictures a forward pass of the convolutions takes at once.
_FEATURE_BATCH = {"cuda": 256, "cpu": 32}


@dataclass(frozen=True)
class Source:
    """epoch(n): inputs and their row numbers (n,), one pass, this rank's share of it; steps: of every rank,
    though some of its own may be empty. count, labels: of all ranks' rows.
    """

    count: int
    steps: int
    labels: np.ndarray
    epoch: Callable[[int], Iterator[tuple[Tensor, Tensor]]]


def from_pictures(batches: Batches, ranks: Ranks = ALONE) -> Source:
    """The whole network on every picture, every time: augmented pictures, unfrozen convolutions."""

    def epoch(number: int) -> Iterator[tuple[Tensor, Tensor]]:
        plan = [ranks.share(rows) for rows in batches.plan(number)]
        return batches.load(plan, number, every_step=ranks.world > 1)

    return Source(batches.nb_sample, len(batches), batches.classes, epoch)


def from_features(
    net: VGG16, batches: Batches, root: Path, precision: Precision, report: Report, ranks: Ranks = ALONE
) -> Source:
    """Convolutions run over those pictures only that root has no features of; then never again.

    A picture is always the same rank's: none needs another's features, so root need not be a common folder.
    """
    cache = FeatureCache(root, net, precision.name, batches.decoded_by)
    folder, mine = batches.folder, ranks.owned(np.arange(batches.nb_sample))
    keys = dict(zip(mine.tolist(), content_keys(folder.root, folder.only(mine).files), strict=True))
    cache.read()
    missing = _missing(cache, keys)
    failed = ""
    if len(missing):
        try:
            _compute(net, batches, cache, keys, missing, precision, report, ranks)
        except OSError as error:
            failed = f"{root}: {error.strerror or error}"
        cache.read()
    if any(told := ranks.gather(failed)):
        why = next(text for text in told if text)
        report.say(f"features are not kept ({why}): every epoch computes them; --cache takes another folder")
        return from_pictures(batches, ranks)
    for row, key in keys.items():
        if not key and row not in batches.unreadable:
            batches.unreadable[row] = f"{folder.root / folder.files[row]}: cannot be opened"
            report.warn(f"left out: {batches.unreadable[row]}")
    usable = np.zeros(batches.nb_sample, dtype=bool)
    for rows in ranks.gather([row for row, key in keys.items() if key in cache]):
        usable[rows] = True

    features = _rows(cache, keys, ranks.owned(np.flatnonzero(usable)), precision.device)

    def epoch(number: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = batches.order(number)
        order = order[usable[order]]
        for at in range(0, len(order), batches.batch_size):
            rows = ranks.owned(order[at : at + batches.batch_size])
            yield features(rows), torch.from_numpy(rows)

    count = int(usable.sum())
    return Source(count, -(-count // batches.batch_size), batches.classes, epoch)


def _rows(
    cache: FeatureCache, keys: dict[int, str], mine: np.ndarray, device: torch.device
) -> Callable[[np.ndarray], Tensor]:
    """Row numbers -> features (n, width), halves. From the GPU's own memory where they take less than half of
    what is free there (23,000 pictures: 1.2 GB): an epoch then copies nothing.
    """
    if len(mine) * 2 * cache.width < _free_bytes(device) / 2:
        held = torch.empty(len(mine), cache.width, dtype=torch.float16, device=device)
        for at in range(0, len(mine), 256):
            some = mine[at : at + 256].tolist()
            held[at : at + len(some)] = cache.rows([keys[row] for row in some])
        places = np.zeros(max(keys, default=-1) + 1, dtype=np.int64)
        places[mine] = np.arange(len(mine))
        return lambda rows: held[torch.from_numpy(places[rows]).to(device, non_blocking=True)]
    pin = device.type == "cuda"

    def read(rows: np.ndarray) -> Tensor:
        features = cache.rows([keys[row] for row in rows.tolist()])
        return features.pin_memory() if pin else features

    return read


def _free_bytes(device: torch.device) -> int:
    """Of a GPU's memory; the CPU's has the files already, in the kernel's cache."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


def _missing(cache: FeatureCache, keys: dict[int, str]) -> np.ndarray:
    """Row numbers whose content has no features yet, each content once."""
    seen: dict[str, int] = {}
    for row, key in keys.items():
        if key and key not in cache:
            seen.setdefault(key, row)
    return np.array(list(seen.values()), dtype=np.int64)


@torch.inference_mode()
def _compute(
    net: VGG16,
    batches: Batches,
    cache: FeatureCache,
    keys: dict[int, str],
    missing: np.ndarray,
    precision: Precision,
    report: Report,
    ranks: Ranks,
) -> None:
    size = _FEATURE_BATCH.get(precision.device.type, 32)
    plan = [missing[at : at + size] for at in range(0, len(missing), size)]
    started, done = time.perf_counter(), 0
    copied: _Copy | None = None
    portions = Portions(report.say)
    with cache.writer() as writer:
        for step, (images, rows) in enumerate(batches.load(plan), start=1):
            images = images.to(precision.device, non_blocking=True, memory_format=torch.channels_last)
            with precision.autocast():
                features = portions(net.convolve, images)
            before, copied = copied, _Copy([keys[row] for row in rows.tolist()], features)
            if before:
                before.append_to(writer)  # while the GPU works on this batch
            done += len(rows)
            if report.due(last=step == len(plan)):
                rate = ranks.world * done / (time.perf_counter() - started)
                report.step("features", epoch=1, epochs=1, step=step, steps=len(plan), images_per_s=rate)
        if copied:
            copied.append_to(writer)


class _Copy:
    """Features on their way to main memory: only append_to waits for them."""

    def __init__(self, keys: list[str], features: Tensor) -> None:
        self._keys = keys
        self._halves = features.to(torch.float16).to("cpu", non_blocking=True)
        self._arrived = torch.cuda.Event() if features.is_cuda else None
        if self._arrived:
            self._arrived.record()

    def append_to(self, writer: Writer) -> None:
        if self._arrived:
            self._arrived.synchronize()
        writer.append(self._keys, self._halves)
