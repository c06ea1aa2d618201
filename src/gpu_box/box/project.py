"""The user's project: the folder that is synced to ~/work, and when to sync it again."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gpu_box.config.model import Config
from gpu_box.errors import GpuBoxError, InputError, one_line
from gpu_box.machine import setup
from gpu_box.machine.files import sync
from gpu_box.machine.files.selection import Selection
from gpu_box.machine.ssh.connection import Connection
from gpu_box.model.machine import SyncResult
from gpu_box.model.progress import Reporter

WORK = "~/work"
_FRESH_S = 5.0
_NONE: tuple[float, Selection | None] = (0.0, None)
_listed: dict[str, tuple[float, Selection | None]] = {}


def folder(config: Config) -> Path | None:
    """sync.source, relative to config.yaml. None without a config file, which means no project.

    Raises InputError for a home folder or the root: a config.yaml there is a mistake, and everything would be
    sent.
    """
    if config.path is None:
        return None
    source = config.sync.source.resolve()
    if source in (Path.home().resolve(), Path(source.anchor)):
        raise InputError(
            f"all of {one_line(source)} would be synced",
            where="sync.source",
            remedy="Put config.yaml into your project's own folder, or set sync.source to it.",
        )
    if not os.path.isdir(source):  # Path.is_dir raises for a folder that may not be entered
        raise InputError(
            f"no folder {one_line(source)}", where="sync.source", remedy="Set it to your project's folder."
        )
    return source


def results_folder(config: Config) -> Path:
    """The folder into which `pull` copies ~/work/results."""
    return (config.path.parent if config.path else Path.cwd()) / config.sync.results


def require_results_folder(config: Config) -> None:
    """Raise InputError if `pull` could not copy into it, because a file is in the way."""
    results = results_folder(config)
    for path in (results, *results.parents):
        if os.path.lexists(path):
            if not os.path.isdir(path):
                raise InputError(
                    f"{one_line(path)} is no folder",
                    where="sync.results",
                    remedy="Set it to the folder that shall get ~/work/results.",
                )
            return


def required_folder(config: Config) -> Path:
    source = folder(config)
    if source is None:
        raise InputError(
            "there is no project to sync: no config.yaml here or in a parent folder",
            remedy="Run `gpu-box init` in your project's folder.",
        )
    return source


def excluded(config: Config) -> tuple[str, ...]:
    """sync.exclude, plus config.yaml (it may hold secrets), env_file and the key pair."""
    source, key = config.sync.source.resolve(), config.ssh.key.resolve()
    own = [key, key.with_name(f"{key.name}.pub")]
    if config.env_file:
        own.append(config.env_file.parent.resolve() / config.env_file.name)
    if config.path:
        own.append(config.path.parent.resolve() / config.path.name)
    inside = [path.relative_to(source) for path in own if path.is_relative_to(source)]
    return (*config.sync.exclude, *(f"/{_literal(path)}" for path in inside))


def _literal(path: Path) -> str:
    """A .gitignore pattern that matches only this path."""
    return re.sub(r"([\\*?\[\] ])", r"\\\1", path.as_posix())


def push(connection: Connection, selection: Selection, report: Reporter) -> SyncResult:
    """Send all changed files. Raises MachineError if the box's disk is full."""
    return sync.push(connection, selection, WORK, report=report)


@contextmanager
def ahead(
    connection: Connection, config: Config, desired: setup.Desired, pushed: str, report: Reporter
) -> Iterator[None]:
    """Send a project with uv.lock and make its environment while the block sets the machine up.

    Only a head start: what fails here is tried again, and reported, after set-up.
    pushed: the last push's fingerprint.
    """
    source = folder(config)
    if source is None or config.python == "none" or not (source / "uv.lock").is_file():
        yield  # other packages go on top of the box's own environment
        return

    def work() -> None:
        with suppress(GpuBoxError, OSError):
            if to_sync := changed_since(config, pushed):
                push(connection, to_sync, report)
            setup.apply_ahead(connection, desired, report)

    thread = threading.Thread(target=work, name="ahead", daemon=True)
    thread.start()
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException:
        thread.join()
        raise
    thread.join()


def selection(config: Config) -> Selection:
    """The files to send. Raises InputError without a project."""
    now, (began, before) = Selection(required_folder(config), excluded(config)), _listed.pop("", _NONE)
    return before if before and before == now and time.monotonic() - began < _FRESH_S else now


def offer(listed: Selection) -> None:
    """Let the next `selection` be this one, if it comes within seconds: a large folder is listed once."""
    _listed[""] = time.monotonic(), listed


def changed_since(config: Config, pushed: str) -> Selection | None:
    """The project, or None if there is none or the box is up to date. pushed: the last push's fingerprint."""
    if folder(config) is None:
        return None
    now = selection(config)
    return None if now.fingerprint == pushed else now
