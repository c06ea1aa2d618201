"""Published weights: their download, and how a file is recognised as one of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from vgg16 import BadWeights
from vgg16.data.download import DownloadFailed, download
from vgg16.weights import ENTRIES, Entry


def fetch(entry: Entry, path: Path, say: Callable[[str], None]) -> None:
    """Download the entry's file to path. Raises BadWeights."""
    try:
        download(entry.url, path, sha256_prefix=entry.sha256 or _digits(entry.file), say=say)
    except DownloadFailed as error:
        raise BadWeights(
            f"{error}; choose --weights none (random, no download) or --weights FILE (a .pth or "
            ".safetensors that you have)"
        ) from None


def entry_of(path: Path) -> Entry:
    """Recognise a published file under any name by its content; any other is treated as torchvision's.

    Raises BadWeights for a file whose name has other digits than its content.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(_digits(path.name)):
        says = f"its sha256 begins with {digest[:8]}, its name says {_digits(path.name)}"
        raise BadWeights(f"{path}: damaged: {says}; remove it, and it is downloaded again")
    known = (entry for entry in ENTRIES.values() if digest.startswith(_digits(entry.file)))
    return next(known, ENTRIES["imagenet"])


def _digits(name: str) -> str:
    """The eight digits of the sha256 in a published file's name; "" if there are none."""
    found = re.search(r"-([0-9a-f]{8})\.\w+$", name)
    return found[1] if found else ""
