"""What the frozen convolutions make of a picture, computed once: half-precision floats on disk, for ever.

A cache folder belongs to one set of weights, preprocessing, precision and decoder (its name is their
digest); a row in it belongs to the *content* of a file, so renaming or adding pictures costs nothing. Each
process appends to a shard of its own: `N.f16` (the rows) and `N.keys` (32 hex digits and a newline a row,
written after the row).
A kill in between leaves at most half a row, which the next one cuts off. Dropout comes after what is kept
here, and stays live.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vgg16.errors import TrainingFailed
from vgg16.model import VGG16

_KEY = 33  # bytes a line of N.keys


def default_root() -> Path:
    """$VGG16_CACHE or ~/.cache/vgg16: beside the results, not in them, since results travel to the laptop."""
    return Path(os.environ.get("VGG16_CACHE") or Path.home() / ".cache" / "vgg16").expanduser()


def weights_digest(net: VGG16) -> str:
    """Of the convolutions' weights: 32 hex digits."""
    digest = hashlib.blake2b(digest_size=16)
    for name, parameter in net.features.state_dict().items():
        digest.update(name.encode())
        digest.update(parameter.detach().float().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def content_keys(root: Path, files: Iterable[str]) -> list[str]:
    """One key a file: the digest of its bytes; "" where it cannot be read."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda file: _content_key(root / file), files))


def _content_key(path: Path) -> str:
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    except OSError:
        return ""


class FeatureCache:
    """Rows of `width` halves by content key. precision: what the convolutions are computed in ("fp32",
    ...). decoded_by: what made the pixels (`Batches.decoded_by`), for decoders round in different ways.
    """

    def __init__(self, root: Path, net: VGG16, precision: str, decoded_by: str = "pillow") -> None:
        self.width = net.feature_count
        settings = f"{weights_digest(net)} {net.preprocessing} {precision} {self.width}"
        if decoded_by != "pillow":  # whose folders were named before there was another
            settings += f" {decoded_by}"
        self.path = root / hashlib.blake2b(settings.encode(), digest_size=16).hexdigest()
        self._shards: list[np.ndarray] = []
        self._places: dict[str, tuple[int, int]] = {}

    def read(self) -> None:
        """Looks what is there, other processes' finished rows included."""
        self._shards, self._places = [], {}
        for file in sorted(self.path.glob("*.f16")):
            keys = file.with_suffix(".keys")
            text = keys.read_bytes() if keys.exists() else b""
            count = min(len(text) // _KEY, file.stat().st_size // (2 * self.width))
            if count == 0:
                continue
            for row in range(count):
                key = text[row * _KEY : row * _KEY + _KEY - 1].decode()
                self._places[key] = (len(self._shards), row)
            self._shards.append(np.memmap(file, dtype=np.float16, mode="r", shape=(count, self.width)))

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def rows(self, keys: Sequence[str]) -> Tensor:
        """(n, width) halves."""
        rows = np.empty((len(keys), self.width), dtype=np.float16)
        for at, (shard, row) in enumerate(self._places[key] for key in keys):
            rows[at] = self._shards[shard][row]
        return torch.from_numpy(rows)

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        """A shard of this process alone."""
        self.path.mkdir(parents=True, exist_ok=True)
        number = 0
        while True:
            keys = (self.path / f"{number}.keys").open("ab")
            try:
                fcntl.flock(keys, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                keys.close()
                number += 1
        with keys, (self.path / f"{number}.f16").open("ab") as features:
            row_bytes = 2 * self.width
            whole = min(keys.tell() // _KEY, features.tell() // row_bytes)
            keys.truncate(whole * _KEY)
            features.truncate(whole * row_bytes)
            yield Writer(features, keys)


class Writer:
    def __init__(self, features: object, keys: object) -> None:
        self._features, self._keys = features, keys

    def append(self, keys: list[str], features: Tensor) -> None:
        """features (n, width), any precision, a key each. Raises TrainingFailed if a half cannot hold
        them.
        """
        halves = features.to(torch.float16).cpu()
        if not torch.isfinite(halves).all():
            raise TrainingFailed(
                "the convolutions give values beyond 65504, which the feature cache cannot hold: "
                "use --no-cache, or weights on their own scale"
            )
        self._features.write(halves.contiguous().numpy().data)
        self._features.flush()
        self._keys.write("".join(f"{key}\n" for key in keys).encode())
        self._keys.flush()
