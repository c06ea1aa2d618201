"""The machine set up: what is there, in one round trip; what is missing, applied. Steps: remote/setup."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gpu_box.config.model import Config
from gpu_box.errors import MachineError, StepFailed
from gpu_box.machine import watcher
from gpu_box.machine.files import kaggle, secret, upload_remote
from gpu_box.machine.health import parse_health
from gpu_box.machine.ssh.connection import Connection, Result
from gpu_box.machine.ssh.shell import PYTHON, quote
from gpu_box.model.answer import NONSENSE, read_json
from gpu_box.model.machine import JupyterState, MachineState, StepState
from gpu_box.model.policy import WatchPolicy
from gpu_box.model.progress import Reporter
from gpu_box.resources import remote

CHECK_TIMEOUT_S = 60.0
_SILENT_S = 3600.0  # longer than any step says nothing
# "We recommend that you check for these interruption notices every 5 seconds" (EC2 User Guide).
_NOTICE_LOOKS_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Desired:
    """What the config asks of the machine. remote: the folder of that name of this installation."""

    remote: Path
    packages: tuple[str, ...] = ()
    jupyter_port: int = 8888
    policy: WatchPolicy = WatchPolicy()
    kaggle: tuple[tuple[str, str], ...] = ()  # files of the laptop's ~/.kaggle, and their sha256
    notify: bytes = field(default=b"", repr=False)  # what the box's notify.json holds; empty: no notices

    def to_json(self) -> str:
        asked = {name: getattr(self, name) for name in ("packages", "jupyter_port", "kaggle")}
        asked["policy"] = asdict(self.policy)
        asked["watch"] = _as_words(self.policy)
        # Secrets are compared by digest: this travels in a command's words.
        asked["notify"] = hashlib.sha256(self.notify).hexdigest() if self.notify else ""
        return json.dumps(asked)


def desired(config: Config, *, market: str) -> Desired:
    """market: of the instance, "spot" or "on-demand"."""
    return Desired(
        remote=remote(),
        packages=_packages(config),
        jupyter_port=config.jupyter.port,
        policy=_policy(config, market),
        kaggle=kaggle.digests(config),
        notify=notify_settings(config),
    )


def _packages(config: Config) -> tuple[str, ...]:
    named = any(re.match(r"kaggle\b(?!-)", package) for package in config.packages)
    return (*config.packages, "kaggle") if config.kaggle and not named else config.packages


def _policy(config: Config, market: str) -> WatchPolicy:
    idle, limits = config.idle, config.limits
    # A time of day is the laptop's, wherever the box stands.
    zone = os.environ.get("TZ", "") or os.path.realpath("/etc/localtime").partition("/zoneinfo/")[2]
    return WatchPolicy(
        idle_after=idle.after.total_seconds(),
        stuck_after=idle.stuck_after.total_seconds(),
        max_hours=limits.max_hours.total_seconds() / 3600,
        stop_at=f"{limits.stop_at:%H:%M}" if limits.stop_at else None,
        notice=_NOTICE_LOOKS_S if market == "spot" else 0.0,
        tz=(zone or None) if limits.stop_at else None,
    )


def _as_words(policy: WatchPolicy) -> list[str]:
    """As a box that an older gpu-box set up compares it, so that `status` finds that box as it is."""
    told = {key: "" if value is None else value for key, value in asdict(policy).items()}
    return [
        f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in told.items()
    ]


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a check asks: one command, with `script` on its standard input. `fingerprint`: of our remote/."""

    command: str
    script: Path
    fingerprint: str


def question(desired: Desired, *, health: bool = False) -> Question:
    """health: ask for that too, which may take a second more."""
    fingerprint = upload_remote.fingerprint(desired.remote)
    asked = {"fingerprint": fingerprint, "desired": json.loads(desired.to_json()), "health": health}
    return Question(
        command=f"{PYTHON} - " + quote(json.dumps(asked)),
        script=desired.remote / "setup" / "bootstrap.py",
        fingerprint=fingerprint,
    )


def check(connection: Connection, desired: Desired, *, health: bool = False) -> MachineState:
    """Look, in one command; changes nothing, and needs nothing on the box but Python 3.8 or newer.

    health: as of `question`.
    """
    asked = question(desired, health=health)
    result = connection.run(
        asked.command, stdin=asked.script.read_bytes(), check=False, timeout_s=CHECK_TIMEOUT_S
    )
    return read_answer(asked, result, connection.host.name)


def read_answer(asked: Question, result: Result, name: str) -> MachineState:
    """Raises MachineError where the machine could not tell."""
    if result.exit_status == 127:
        raise MachineError(
            "there is no python3 on the box",
            where=name,
            remedy="Install Python 3.8 or newer on it (`gpu-box ssh`), or choose another image.",
        )
    try:
        found = read_json(result.stdout.splitlines()[-1])  # a login may print before it
        return _machine_state(found, asked.fingerprint)
    except NONSENSE:
        raise MachineError(
            f"the box cannot be looked at: {result.said}",
            where=name,
            remedy="Run `gpu-box up` again; `gpu-box ssh` lets you look yourself.",
        ) from None


def apply(connection: Connection, state: MachineState, desired: Desired, report: Reporter) -> MachineState:
    """Bring this installation's remote/ to the box, and run there what `state` lacks. Returns what is then.

    May be cut anywhere: the next one goes on. Raises StepFailed for the first step that failed, once every
    other has ended.
    """
    if not state.mirror_current:
        report.start("upload", "bringing gpu-box's own code to the box")
        upload_remote.upload(connection, desired.remote)
        report.done("upload", "gpu-box's own code is on the box")
    credentials = state.step("kaggle")
    if desired.kaggle and (credentials is None or credentials.status == "needed"):
        kaggle.push(connection, desired.kaggle)
    notices = state.step("notify")
    if desired.notify and (notices is None or notices.status == "needed"):
        secret.put(connection, *_NOTIFY_FILE, desired.notify)
    events = _Events(report)
    result = connection.run(
        f"cd ~/.gpu-box/remote && exec {PYTHON} -m setup apply",
        stdin=desired.to_json().encode(),
        on_line=events.take,
        check=False,
        timeout_s=None,
        stall_s=_SILENT_S,
    )
    if events.failed:
        raise events.failed[0]
    if result.exit_status != 0:
        raise StepFailed(f"set-up ended: {result.said}", where=connection.host.name, remedy=_REMEDY)
    return check(connection, desired)


_NOTIFY_FILE = ".gpu-box", "notify.json"
_REMEDY = "Run `gpu-box up` again: it resumes."


class _Events:
    """The JSON lines of `python3 -m setup apply`, told to the reporter as they come."""

    def __init__(self, report: Reporter) -> None:
        self._report = report
        self._started: set[str] = set()
        self.failed: list[StepFailed] = []

    def take(self, line: str) -> None:
        try:
            event = read_json(line)
            step, kind, text = (str(event[key]) for key in ("step", "event", "line"))
        except NONSENSE:
            return  # something on the box prints at each login
        if kind in ("start", "waiting") or (kind != "skipped" and step not in self._started):
            if step not in self._started:
                self._report.start(step, text.partition("\n")[0])
            self._started.add(step)
        if kind in ("update", "waiting"):
            self._report.update(step, text)
        elif kind == "note":
            self._report.note(f"{step}: {text}")
        elif kind in ("done", "reboot"):
            self._report.done(step, text)
        elif kind == "failed":
            self._fail(step, text)

    def _fail(self, step: str, text: str) -> None:
        head, *last_lines = text.splitlines() or ["no reason was given"]
        self._report.failed(step, head)
        for line in last_lines:
            self._report.note(f"{step}: {line}")
        last = f": {last_lines[-1].strip()}" if last_lines else ""
        self.failed.append(
            StepFailed(
                f"set-up step {step} failed: {head}{last}",
                remedy=f"Its log is on the box, ~/.gpu-box/logs/{step}.log. {_REMEDY}",
            )
        )


def _machine_state(found: dict[str, Any], wanted: str) -> MachineState:
    jupyter = found.get("jupyter", {})
    port = jupyter.get("port")
    return MachineState(
        steps=tuple(
            StepState(name=str(step["name"]), status=str(step["status"]), line=str(step["line"]))
            for step in found.get("steps", ())
        ),
        jupyter=JupyterState(
            port=None if port is None else int(port), answering=bool(jupyter.get("answering"))
        ),
        mirror_current=found["mirror"] == wanted,
        gpu=str(found.get("gpu", "")),
        project=str(found.get("project", "")),
        reboot_needed=bool(found.get("reboot_needed")),
        watch=watcher.parse(found["watch"]) if found.get("watch") else None,
        health=parse_health(found["health"]) if found.get("health") else None,
    )


def notify_settings(config: Config) -> bytes:
    """Contents of ~/.gpu-box/notify.json; empty if no webhook is named."""
    if config.notify.webhook is None:
        return b""
    told = {"box": config.name, "webhook": config.notify.webhook, "format": config.notify.format}
    return json.dumps({key: value for key, value in told.items() if value}).encode()
