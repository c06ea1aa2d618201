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
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import count as numbers
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vgg16 import TrainingFailed
from vgg16.device import DTYPES
from vgg16.model import HIDDEN, VGG16
from vgg16.pictures import Batches, Source, cut
from vgg16.train import Batch, Portions, Runner

# Pictures that one forward pass of the convolutions takes, and rows that one of the later layers takes.
_FEATURE_BATCH = {"cuda": 256, "cpu": 32}
_HIDDEN_BATCH = 1024
_MOST_HELD_BYTES = 1 << 31  # for rows that evaluation derives from the cache: 130,000 pictures
_KEY = 33  # bytes a line of N.keys
_SUFFIX = {torch.float16: ".f16", torch.float32: ".f32", torch.bfloat16: ".bf16"}
Append = Callable[[list[str], Tensor], None]  # keys, rows (n, width)
Features = Callable[[np.ndarray], Tensor]  # row numbers (n,) -> rows (n, width)


def default_root() -> Path:
    """$VGG16_CACHE, else ~/scratch/vgg16, else ~/.cache/vgg16 if there is no ~/scratch."""
    scratch = Path.home() / "scratch"
    default = scratch if os.access(scratch, os.W_OK) else Path.home() / ".cache"
    return Path(os.environ.get("VGG16_CACHE") or default / "vgg16").expanduser()


def from_features(runner: Runner, batches: Batches, root: Path, *, training: bool = True) -> Source:
    """Frozen layers run only for pictures that root has no features of: the convolutions, and the first
    linear layer if it is frozen, too. For evaluation, the further frozen layers run once for this source.
    A picture is always the same rank's, so root need not be a common folder. Raises OSError.
    """
    net, precision, ranks = runner.net, runner.precision, runner.ranks
    hidden = net.constant_until(training) >= HIDDEN
    make = partial(FeatureCache, root, net, precision.name, batches.decoded_by)
    cache = make(hidden=hidden)
    folder, mine = batches.folder, ranks.owned(np.arange(batches.nb_sample))
    files = [folder.files[row] for row in mine]
    keys = dict(zip(mine.tolist(), content_keys(folder.root, files), strict=True))
    with ranks.together():
        cache.read()
        if hidden and (convolved := make()).path.exists():
            from vgg16.data.convolved import convert

            convert(runner, convolved, cache, keys)
        _compute(runner, batches, cache, keys)
    for row, key in keys.items():
        if not key:
            batches.leave_out(row, f"{folder.root / folder.files[row]}: cannot be opened")
    usable = np.zeros(batches.nb_sample, dtype=bool)
    for rows in ranks.gather([row for row, key in keys.items() if key in cache]):
        usable[rows] = True
    mine = ranks.owned(np.flatnonzero(usable))
    features, start = _reader(cache, keys, mine, precision.device), HIDDEN if hidden else 0
    if not training and hidden and len(mine) * 4 * net.hidden_count < _MOST_HELD_BYTES:
        features, start = _further(runner, features, mine), net.constant_until(training)

    def epoch(number: int, skip: int = 0) -> Iterator[Batch]:
        order = batches.order(number)
        for batch in cut(order[usable[order]], batches.batch_size)[skip:]:
            rows = ranks.owned(batch)
            yield features(rows), torch.from_numpy(rows)

    count = int(usable.sum())
    steps = -(-count // batches.batch_size)
    return Source(count, steps, batches.classes, epoch, start, batches.unreadable)


def missing_rows(cache: FeatureCache, keys: dict[int, str], device: torch.device) -> list[np.ndarray]:
    """The rows that cache lacks, each content once, as batches for a forward pass."""
    first = {key: row for row, key in reversed(keys.items()) if key and key not in cache}
    return cut(np.array(sorted(first.values())), _FEATURE_BATCH.get(device.type, 32))


@torch.inference_mode()
def _compute(runner: Runner, batches: Batches, cache: FeatureCache, keys: dict[int, str]) -> None:
    """Fill cache from the pictures."""
    net, precision, ranks = runner.net.eval(), runner.precision, runner.ranks
    if not (plan := missing_rows(cache, keys, precision.device)):
        return
    portions = Portions(runner.report.say)
    with ExitStack() as stack:
        append = stack.enter_context(cache.writer())
        stack.enter_context(precision.cast_once(net))
        if precision.device.type == "cuda":
            from vgg16.device.transfer import Behind

            append = stack.enter_context(Behind(append))
        shown = runner.report.watch("features", batches.load(plan), steps=len(plan), world=ranks.world)
        for images, read in ranks.until_ended(shown):
            features = portions.forward(net.convolve, images, precision)
            if cache.hidden:
                features = portions.forward(net.first_hidden, features.half(), precision)
            append([keys[row] for row in read.tolist()], features.to(cache.dtype))
    cache.read()


def _reader(cache: FeatureCache, keys: dict[int, str], mine: np.ndarray, device: torch.device) -> Features:
    if device.type == "cuda":
        from vgg16.device.transfer import reader

        return reader(cache, keys, mine, device)
    return lambda rows: cache.rows([keys[row] for row in rows.tolist()])


def from_memory(features: Tensor, mine: np.ndarray) -> Features:
    """features: (n, width), for the n row numbers of `mine`, which ascend."""
    places = partial(np.searchsorted, mine)
    return lambda rows: features[torch.from_numpy(places(rows)).to(features.device, non_blocking=True)]


@torch.inference_mode()
def _further(runner: Runner, features: Features, mine: np.ndarray) -> Features:
    """The outputs of the layers between the cached one and the first that is trained, held in memory."""
    net = runner.net.eval()
    layers = partial(net.classify, start=HIDDEN, end=net.constant_until(training=False))
    portions, held = Portions(runner.report.say), [torch.empty(0, net.hidden_count)]
    with runner.precision.cast_once(net, HIDDEN):
        for rows in cut(mine, _HIDDEN_BATCH):
            held.append(portions.forward(layers, features(rows), runner.precision))
    return from_memory(torch.cat(held[1:] or held), mine)


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
        self.hidden, self.width = hidden, net.hidden_count if hidden else net.feature_count
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
                rows = np.memmap(file, mode="r", shape=(count, self.row_bytes))
                self._shards.append(np.asarray(rows))  # faster to take rows of

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def rows(self, keys: Sequence[str]) -> Tensor:
        """(n, width) of `dtype`."""
        rows = torch.empty(len(keys), self.width, dtype=self.dtype)
        stored = rows.view(torch.uint8).numpy()  # numpy has no bfloat16
        for at, (shard, row) in enumerate(self._places[key] for key in keys):
            stored[at] = self._shards[shard][row]
        return rows

    @contextmanager
    def writer(self) -> Iterator[Append]:
        """append(keys, features), to a shard of this process alone.

        It raises TrainingFailed if the cache's type cannot hold the features.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        for number in numbers():
            names = (self.path / f"{number}.keys").open("ab")
            with suppress(BlockingIOError):
                fcntl.flock(names, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            names.close()
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
                rows.write(found.contiguous().view(torch.uint8).numpy().data)
                rows.flush()
                names.write("".join(f"{key}\n" for key in keys).encode())
                names.flush()

            yield append
