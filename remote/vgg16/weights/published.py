"""Downloads published weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vgg16 import BadWeights
from vgg16.data.download import DownloadFailed, download
from vgg16.weights import Entry


def fetch(entry: Entry, path: Path, say: Callable[[str], None]) -> None:
    """Download the entry's file to path. Raises BadWeights."""
    try:
        download(entry.url, path, sha256_prefix=entry.sha256, say=say)
    except DownloadFailed as error:
        raise BadWeights(
            f"{error}; choose --weights none (random, no download) or --weights FILE (a .pth or "
            ".safetensors that you have)"
        ) from None
