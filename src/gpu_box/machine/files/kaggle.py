"""The laptop's Kaggle credentials, copied to the box only with `kaggle: true`, readable by its user only.

The copies are compared by digest. The secret is sent once, on standard input, never in a command line.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from gpu_box.config.model import Config
from gpu_box.errors import InputError
from gpu_box.machine.files import secret
from gpu_box.machine.ssh.connection import Connection

_FILES = ("kaggle.json", "access_token")


def require_credentials(config: Config) -> None:
    """Raise InputError if the config asks for credentials and this laptop has no readable ones."""
    if config.kaggle and not _credentials():
        raise InputError(
            "kaggle: true, but there are no Kaggle credentials on this machine",
            where=str(_folders()[0]),
            remedy="Save kaggle.json or access_token there (https://www.kaggle.com/settings), "
            "or set kaggle: false.",
        )


def digests(config: Config) -> tuple[tuple[str, str], ...]:
    """Each file's name and the SHA-256 of its content; empty if the box needs none."""
    if not config.kaggle:
        return ()
    return tuple((name, hashlib.sha256(content).hexdigest()) for name, content in _credentials().items())


def push(connection: Connection, wanted: tuple[tuple[str, str], ...]) -> None:
    """Copy the files of `digests` to the box's ~/.kaggle, mode 0600."""
    for name, content in _credentials().items():
        if name in dict(wanted):
            secret.put(connection, ".kaggle", name, content)


def _credentials() -> dict[str, bytes]:
    """The credentials in the first folder that has any."""
    for folder in _folders():
        try:
            found = {name: (folder / name).read_bytes() for name in _FILES if (folder / name).is_file()}
        except OSError as error:
            raise InputError(
                f"the Kaggle credentials cannot be read: {error.strerror}",
                where=str(error.filename),
                remedy="Make them readable to you, or set kaggle: false.",
            ) from None
        if found:
            return found
    return {}


def _folders() -> list[Path]:
    """The folders that Kaggle's own package searches."""
    named = os.environ.get("KAGGLE_CONFIG_DIR")
    home = [Path.home() / ".kaggle", Path.home() / ".config" / "kaggle"]
    return [Path(named).expanduser(), *home] if named else home
