"""Outputs of frozen layers, computed once for each picture and kept on disk.

A cache folder belongs to one set of weights, preprocessing, precision and decoder (its name is their digest);
a row in it belongs to the *content* of a file, so renaming or adding pictures costs nothing. Each process
appends to a shard of its own: `N.f16` (the rows) and `N.keys` (32 hex digits and a newline a row, written
after the row). A kill leaves at most half a row, which the next writer cuts off.

The convolutions' outputs are kept in half precision. Those of the first linear layer, `hidden`, are kept in
the type that they were computed in, so that reading them changes no result; dropout comes after both.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vgg16 import TrainingFailed
from vgg16.device import ALONE, DTYPES, Precision, Ranks
from vgg16.model import HIDDEN, VGG16
from vgg16.pictures import Batches, Source
from vgg16.train import Portions, Report, to_device

# Pictures that one forward pass of the convolutions takes, and rows that one of the later layers takes.
_FEATURE_BATCH = {"cuda": 256, "cpu": 32}
_HIDDEN_BATCH = 1024
_MOST_HELD_BYTES = 1 << 31  # for rows that evaluation derives from the cache: 130,000 pictures
_KEY = 33  # bytes a line of N.keys
# numpy has no bfloat16: its bits are read as integers.
_STORED = {torch.float16: np.float16, torch.float32: np.float32, torch.bfloat16: np.int16}
_SUFFIX = {torch.float16: ".f16", torch.float32: ".f32", torch.bfloat16: ".bf16"}
Append = Callable[[list[str], Tensor], None]  # keys, rows (n, width)
Features = Callable[[np.ndarray], Tensor]  # row numbers (n,) -> rows (n, width)


def default_root() -> Path:
    """$VGG16_CACHE, else ~/scratch/vgg16, else ~/.cache/vgg16 if there is no ~/scratch."""
    scratch = Path.home() / "scratch"
    default = scratch if os.access(scratch, os.W_OK) else Path.home() / ".cache"
    return Path(os.environ.get("VGG16_CACHE") or default / "vgg16").expanduser()


def from_features(
    net: VGG16,
    batches: Batches,
    root: Path,
    precision: Precision,
    report: Report,
    ranks: Ranks = ALONE,
    *,
    training: bool = True,
) -> Source:
    """Frozen layers run only for pictures that root has no features of: the convolutions, and the first
    linear layer if it is frozen, too. For evaluation, the further frozen layers run once for this source.
    A picture is always the same rank's, so root need not be a common folder.
    """
    hidden = net.constant_until(training) >= HIDDEN
    make = partial(FeatureCache, root, net, precision.name, batches.decoded_by)
    cache, convolved = (make(hidden=True), make()) if hidden else (make(), None)
    folder, mine = batches.folder, ranks.owned(np.arange(batches.nb_sample))
    keys = dict(zip(mine.tolist(), content_keys(folder.root, folder.only(mine).files), strict=True))
    cache.read()
    failed = ""
    with ranks.together():
        try:
            _compute(net, batches, cache, convolved, keys, precision, report, ranks)
        except OSError as error:
            failed = f"{root}: {error.strerror or error}"
    if why := next(filter(None, ranks.gather(failed)), ""):
        report.say(f"features are not kept ({why}): every epoch computes them; --cache takes another folder")
        from vgg16.uncached import from_pictures

        return from_pictures(batches, ranks)
    for row, key in keys.items():
        if not key and row not in batches.unreadable:
            batches.unreadable[row] = f"{folder.root / folder.files[row]}: cannot be opened"
            report.warn(f"left out: {batches.unreadable[row]}")
    usable = np.zeros(batches.nb_sample, dtype=bool)
    for rows in ranks.gather([row for row, key in keys.items() if key in cache]):
        usable[rows] = True
    mine = ranks.owned(np.flatnonzero(usable))
    features, start = _reader(cache, keys, mine, precision.device), HIDDEN if hidden else 0
    if not training and hidden and len(mine) * 4 * net.hidden_count < _MOST_HELD_BYTES:
        features, start = _further(net, features, mine, precision, report), net.constant_until(training)

    def epoch(number: int, skip: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        order = batches.order(number)
        order = order[usable[order]]
        for at in range(skip * batches.batch_size, len(order), batches.batch_size):
            rows = ranks.owned(order[at : at + batches.batch_size])
            yield features(rows), torch.from_numpy(rows)

    count = int(usable.sum())
    return Source(count, -(-count // batches.batch_size), batches.classes, epoch, start)


@torch.inference_mode()
def _compute(
    net: VGG16,
    batches: Batches,
    cache: FeatureCache,
    convolved: FeatureCache | None,
    keys: dict[int, str],
    precision: Precision,
    report: Report,
    ranks: Ranks,
) -> None:
    """Fill `cache`, each content once. convolved: the convolutions' cache, if `cache` is the next layer's."""
    first = {key: row for row, key in reversed(keys.items()) if key and key not in cache}
    missing = sorted(first.values())
    if not missing:
        return
    size = _FEATURE_BATCH.get(precision.device.type, 32)
    portions, started, done = Portions(report.say), time.perf_counter(), 0
    net.eval()

    def hidden(features: Tensor) -> Tensor:
        """From features in half precision, whether or not they come from the disk."""
        halves = features.to(precision.device, torch.float16, non_blocking=True)
        with precision.autocast():
            return portions.forward(partial(net.classify, end=HIDDEN), halves.float())

    with ExitStack() as stack:
        append = stack.enter_context(cache.writer())
        stack.enter_context(precision.cast_once(net))
        if convolved is not None:
            convolved.read()
            for rows in _cut([row for row in missing if keys[row] in convolved], size):
                if not ranks.ended():
                    names = [keys[row] for row in rows.tolist()]
                    append(names, hidden(convolved.rows(names)))
            missing = [row for row in missing if keys[row] not in convolved]
        if precision.device.type == "cuda":
            from vgg16.device.transfer import Behind

            append = stack.enter_context(Behind(append))
        plan = _cut(missing, size)
        for step, (images, read) in enumerate(batches.load(plan), start=1):
            with precision.autocast():
                features = portions.forward(net.convolve, to_device(images, precision.device))
            if convolved is not None:
                features = hidden(features)
            append([keys[row] for row in read.tolist()], features.to(cache.dtype))
            done += len(read)
            if report.due(last=step == len(plan)):
                rate = ranks.world * done / (time.perf_counter() - started)
                report.step("features", epoch=1, epochs=1, step=step, steps=len(plan), images_per_s=rate)
            if ranks.ended():
                break
    cache.read()


def _cut(rows: list[int], size: int) -> list[np.ndarray]:
    return [np.array(rows[at : at + size]) for at in range(0, len(rows), size)]


def _reader(cache: FeatureCache, keys: dict[int, str], mine: np.ndarray, device: torch.device) -> Features:
    if device.type == "cuda":
        from vgg16.device.transfer import reader

        return reader(cache, keys, mine, device)
    return lambda rows: cache.rows([keys[row] for row in rows.tolist()])


def from_memory(features: Tensor, mine: np.ndarray) -> Features:
    """features: (n, width), for the n row numbers of `mine`."""
    places = np.zeros(mine.max(initial=-1) + 1, dtype=np.int64)
    places[mine] = np.arange(len(mine))
    return lambda rows: features[torch.from_numpy(places[rows]).to(features.device, non_blocking=True)]


@torch.inference_mode()
def _further(
    net: VGG16, features: Features, mine: np.ndarray, precision: Precision, report: Report
) -> Features:
    """The outputs of the layers between the cached one and the first that is trained, held in memory."""
    net.eval()
    end, portions, held = net.constant_until(training=False), Portions(report.say), []
    with precision.cast_once(net, HIDDEN):
        for at in range(0, len(mine), _HIDDEN_BATCH):
            inputs = to_device(features(mine[at : at + _HIDDEN_BATCH]), precision.device)
            with precision.autocast():
                held.append(portions.forward(partial(net.classify, start=HIDDEN, end=end), inputs))
    return from_memory(torch.cat(held) if held else torch.empty(0, net.hidden_count), mine)


def weights_digest(net: VGG16, *, hidden: bool = False) -> str:
    """32 hex digits for the convolutions' weights; with `hidden`, for the first linear layer's, too."""
    digest = hashlib.blake2b(digest_size=16)
    parameters = net.features.state_dict()
    if hidden:
        parameters |= net.classifier[0].state_dict(prefix="classifier.0.")
    for name, parameter in parameters.items():
        digest.update(name.encode())
        digest.update(parameter.detach().float().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def content_keys(root: Path, files: Iterable[str]) -> list[str]:
    """One key a file: the digest of its bytes; "" if it cannot be read."""

    def key(file: str) -> str:
        try:
            return hashlib.blake2b((root / file).read_bytes(), digest_size=16).hexdigest()
        except OSError:
            return ""

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(key, files))


class FeatureCache:
    """Rows of `width` numbers of type `dtype` by content key.

    precision: the type that the layers are computed in ("fp32", ...). decoded_by: `Batches.decoded_by`, as
    decoders round differently. hidden: rows are outputs of the first linear layer with its ReLU.
    """

    def __init__(
        self, root: Path, net: VGG16, precision: str, decoded_by: str = "pillow", *, hidden: bool = False
    ) -> None:
        self.width = net.hidden_count if hidden else net.feature_count
        self.dtype = DTYPES[precision] if hidden else torch.float16
        self.row_bytes = self.width * self.dtype.itemsize
        settings = f"{weights_digest(net, hidden=hidden)} {net.preprocessing} {precision} {self.width}"
        if decoded_by != "pillow":  # whose folders have older names
            settings += f" {decoded_by}"
        self.path = root / hashlib.blake2b(settings.encode(), digest_size=16).hexdigest()
        self._shards: list[np.ndarray] = []
        self._places: dict[str, tuple[int, int]] = {}

    def read(self) -> None:
        """Find the rows on disk, finished rows of other processes included."""
        self._shards, self._places = [], {}
        for file in sorted(self.path.glob(f"*{_SUFFIX[self.dtype]}")):
            keys = file.with_suffix(".keys")
            text = keys.read_text() if keys.exists() else ""
            count = min(len(text) // _KEY, file.stat().st_size // self.row_bytes)
            if count:
                places = ((key, (len(self._shards), row)) for row, key in enumerate(text.split()[:count]))
                self._places |= dict(places)
                shape = (count, self.width)
                rows = np.memmap(file, dtype=_STORED[self.dtype], mode="r", shape=shape)
                self._shards.append(np.asarray(rows))  # faster to take rows of

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def rows(self, keys: Sequence[str]) -> Tensor:
        """(n, width) of `dtype`."""
        rows = np.empty((len(keys), self.width), dtype=_STORED[self.dtype])
        for at, (shard, row) in enumerate(self._places[key] for key in keys):
            rows[at] = self._shards[shard][row]
        return torch.from_numpy(rows).view(self.dtype)

    @contextmanager
    def writer(self) -> Iterator[Append]:
        """append(keys, features), to a shard of this process alone.

        It raises TrainingFailed if the cache's type cannot hold the features.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        number = 0
        while True:
            names = (self.path / f"{number}.keys").open("ab")
            try:
                fcntl.flock(names, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                names.close()
                number += 1
        with names, (self.path / f"{number}{_SUFFIX[self.dtype]}").open("ab") as rows:
            whole = min(names.tell() // _KEY, rows.tell() // self.row_bytes)
            names.truncate(whole * _KEY)
            rows.truncate(whole * self.row_bytes)

            def append(keys: list[str], features: Tensor) -> None:
                found = features.to(self.dtype).cpu()
                if not torch.isfinite(found).all():
                    raise TrainingFailed(
                        "the frozen layers give values beyond 65504, which the feature cache cannot hold: "
                        "use --no-cache, or weights on their own scale"
                    )
                rows.write(found.contiguous().view(torch.int16).numpy().data)
                rows.flush()
                names.write("".join(f"{key}\n" for key in keys).encode())
                names.flush()

            yield append
