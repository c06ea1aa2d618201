"""The user's project: which folder goes to ~/work on the box, and when it has to go again."""

from __future__ import annotations

import re
from pathlib import Path

from gpu_box.config.model import Config
from gpu_box.errors import InputError
from gpu_box.machine.files import sync
from gpu_box.machine.files.selection import Selection
from gpu_box.machine.ssh.connection import Connection
from gpu_box.model.machine import SyncResult
from gpu_box.model.progress import Reporter

WORK = "~/work"


def folder(config: Config) -> Path | None:
    """sync.source beside config.yaml. None without a config file: then there is no project to send.

    Never a home folder or the root: a config.yaml was put there by mistake, and all of it would travel.
    """
    if config.path is None:
        return None
    source = config.sync.source.resolve()
    if source in (Path.home().resolve(), Path(source.anchor)):
        raise InputError(
            f"{source} would be synced whole",
            where="sync.source",
            remedy="Put config.yaml into your project's own folder, or set sync.source to it.",
        )
    if not source.is_dir():
        raise InputError(
            f"no folder {source}", where="sync.source", remedy="Set it to your project's folder."
        )
    return source


def results_folder(config: Config) -> Path:
    """Where `pull` puts ~/work/results."""
    return (config.path.parent if config.path else Path.cwd()) / config.sync.results


def required_folder(config: Config) -> Path:
    source = folder(config)
    if source is None:
        raise InputError(
            "there is no project to sync: no config.yaml here or in a parent folder",
            remedy="Run `gpu-box init` in your project's folder.",
        )
    return source


def excluded(config: Config) -> tuple[str, ...]:
    """What the config excludes; and where they lie in the project, the config, whose webhook is a secret and
    which no box needs, and the key pair.
    """
    source, key = config.sync.source.resolve(), config.ssh.key.resolve()
    own = [key, key.with_name(f"{key.name}.pub")]
    if config.path:
        own.append(config.path.parent.resolve() / config.path.name)
    inside = [path.relative_to(source) for path in own if path.is_relative_to(source)]
    return (*config.sync.exclude, *(f"/{_literal(path)}" for path in inside))


def _literal(path: Path) -> str:
    """As a .gitignore pattern that matches nothing else."""
    return re.sub(r"([\\*?\[\] ])", r"\\\1", path.as_posix())


def push(connection: Connection, selection: Selection, report: Reporter) -> SyncResult:
    """All of it that changed. MachineError when the box's disk is full."""
    result = sync.push(connection, selection, WORK, report=report)
    sync.note_pushed(connection, selection)
    return result


def selection(config: Config) -> Selection:
    """The files that travel. InputError without a project."""
    return Selection(required_folder(config), excluded(config))


def changed_since(config: Config, pushed: str) -> Selection | None:
    """The project, unless the box has it as it is or there is none. pushed: fingerprint of the last push."""
    if folder(config) is None:
        return None
    now = selection(config)
    return None if now.fingerprint == pushed else now
