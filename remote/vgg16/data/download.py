"""One file over HTTP: resumed where it broke off, checked before it takes its name."""

from __future__ import annotations

import hashlib
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from vgg16 import Problem

_CHUNK = 1 << 20
_TRIES = 4
_TIMEOUT_S = 30
_SAY_EVERY_S = 2.0


class DownloadFailed(Problem):
    """A file could not be downloaded. The next try continues after what arrived."""


def download(url: str, to: Path, *, sha256_prefix: str = "", say: Callable[[str], None] = print) -> None:
    """Leave the file at `to`, whole and checked. A part of it stays in `to`.part for the next try.

    Raises DownloadFailed: no network, an HTTP error, or another sha256.
    """
    part = to.with_name(to.name + ".part")
    to.parent.mkdir(parents=True, exist_ok=True)
    say(f"fetching {url}")
    for attempt in range(_TRIES):
        try:
            _continue(url, part, say)
            break
        except urllib.error.HTTPError as error:
            if error.code < 500 or attempt == _TRIES - 1:
                raise DownloadFailed(f"{url}: HTTP {error.code} {error.reason}") from None
        except OSError as error:  # URLError, a reset connection, a time-out
            if attempt == _TRIES - 1 or isinstance(getattr(error, "reason", None), PermissionError):
                raise DownloadFailed(f"{url} cannot be reached ({getattr(error, 'reason', error)})") from None
        time.sleep(0.2 * 2**attempt)
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(sha256_prefix):
        part.unlink()
        raise DownloadFailed(
            f"{url}: what came is not the file (sha256 {digest[:8]}..., expected {sha256_prefix[:8]}...)"
        )
    part.replace(to)


def _continue(url: str, part: Path, say: Callable[[str], None]) -> None:
    """Appends what is missing. Raises OSError (URLError, HTTPError) when it breaks off."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and error.headers.get("Content-Range", "") == f"bytes */{have}":
                return  # all of it is here already
            if error.code == 416:
                part.unlink()
            raise
    with answer:
        if answer.status != 206:
            have = 0  # the server does not resume: from the start
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        said = time.monotonic()
        with part.open("ab" if have else "wb") as file:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                if time.monotonic() - said > _SAY_EVERY_S:
                    said = time.monotonic()
                    say(_progress(part.name.removesuffix(".part"), have, total))
            file.flush()
            os.fsync(file.fileno())
    if total is not None and have < total:
        raise ConnectionResetError(f"broke off after {have} of {total} bytes")


def _progress(name: str, have: int, total: int | None) -> str:
    if not total:
        return f"{name}: {have / 1e6:,.0f} MB"
    bar = "#" * (24 * have // total)
    return f"{name}: [{bar:<24}] {have / 1e6:,.0f} of {total / 1e6:,.0f} MB"
