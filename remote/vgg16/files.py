"""Write files whole or not at all: beside their place, then moved onto it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import BinaryIO

from vgg16 import BadData


def refuse_special(path: Path) -> Path:
    """path itself. Raises BadData for what is no file (a FIFO: its reader may wait for ever)."""
    if path.exists() and not path.is_file():
        raise BadData(f"{path}: not a regular file")
    return path


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Calls write(file); the old content of path stays until the new one is on the disk. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_remains(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.gpu-box-part")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:  # a write on a full disk does not know its file's name
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    write_whole(path, lambda file: file.write(text.encode()))


@contextmanager
def new_folder(path: Path, last: str) -> Iterator[Path]:
    """A folder to fill, which becomes path in one move at the end; on an error nothing is at path.

    last: a file that only a whole one has. If another process has made path meanwhile, that one stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_remains(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.gpu-box-part")
    temporary.mkdir()
    try:
        yield temporary
        try:
            temporary.replace(path)
        except OSError:
            if not (path / last).is_file():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _remove_remains(path: Path) -> None:
    """Remove what killed runs left beside path: each may be as large as the file itself."""
    for left in path.parent.glob(f".{escape(path.name)}.*.gpu-box-part"):
        if not _is_running(left.name.split(".")[-2]):
            with suppress(OSError):
                left.unlink() if left.is_file() else shutil.rmtree(left)


def _is_running(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        pass
    return True
