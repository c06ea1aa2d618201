"""Set-up of the machine: check it in one round trip, apply what is missing. The steps are in remote/setup."""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gpu_box.config.model import Config
from gpu_box.errors import MachineError, StepFailed
from gpu_box.machine import project_python, watcher
from gpu_box.machine.files import kaggle, secret, upload_remote, variables
from gpu_box.machine.health import parse_health
from gpu_box.machine.ssh.connection import Connection, Result
from gpu_box.machine.ssh.shell import PYTHON, remote_module
from gpu_box.model.answer import Fields, read_object
from gpu_box.model.job import parse_job
from gpu_box.model.machine import JupyterState, MachineState, StepState
from gpu_box.model.policy import WatchPolicy
from gpu_box.model.progress import Reporter
from gpu_box.resources import remote

CHECK_TIMEOUT_S = 60.0
_SILENT_S = 3600.0  # no step is silent for longer
_SILENT_PROJECT_S = 6 * 3600.0  # a script of the user: remote/setup/steps/script.py ends it sooner
# "We recommend that you check for these interruption notices every 5 seconds" (EC2 User Guide).
_NOTICE_EVERY_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Desired:
    """The state that the config asks of the machine. remote: this installation's folder of that name."""

    remote: Path
    packages: tuple[str, ...] = ()
    jupyter_port: int = 8888
    policy: WatchPolicy = WatchPolicy()
    kaggle: tuple[tuple[str, str], ...] = ()  # files of the laptop's ~/.kaggle, with their SHA-256
    notify: bytes = field(default=b"", repr=False)  # content of the box's notify.json; empty: none
    env: bytes | None = field(default=b"", repr=False)  # from variables.content
    python: str = "auto"
    python_version: str = ""  # from project_python
    setup: tuple[str, ...] = ()

    def to_json(self) -> str:
        asked = {
            name: getattr(self, name)
            for name in ("packages", "jupyter_port", "kaggle", "python", "python_version", "setup")
        }
        asked["policy"] = asdict(self.policy)
        asked["watch"] = _as_words(self.policy)
        # Secrets are compared by digest.
        asked["notify"] = hashlib.sha256(self.notify).hexdigest() if self.notify else ""
        asked["env"] = variables.digest(self.env)
        return json.dumps(asked)


def desired(config: Config, *, market: str, env: variables.Variables | None = None) -> Desired:
    """market: the instance's, "spot" or "on-demand". env: if it is read already."""
    return Desired(
        remote=remote(),
        packages=_packages(config),
        jupyter_port=config.jupyter.port,
        policy=_policy(config, market),
        kaggle=kaggle.digests(config),
        notify=notify_settings(config),
        env=variables.content(config, env),
        python=config.python,
        python_version=project_python.wanted(config),
        setup=config.setup,
    )


def _packages(config: Config) -> tuple[str, ...]:
    named = any(re.match(r"kaggle\b(?!-)", package) for package in config.packages)
    return (*config.packages, "kaggle") if config.kaggle and not named else config.packages


def _policy(config: Config, market: str) -> WatchPolicy:
    idle, limits = config.idle, config.limits
    # Times of day are in the laptop's time zone.
    zone = os.environ.get("TZ", "") or os.path.realpath("/etc/localtime").partition("/zoneinfo/")[2]
    return WatchPolicy(
        idle_after=idle.after.total_seconds(),
        stuck_after=idle.stuck_after.total_seconds(),
        max_hours=limits.max_hours.total_seconds() / 3600,
        stop_at=f"{limits.stop_at:%H:%M}" if limits.stop_at else None,
        notice=_NOTICE_EVERY_S if market == "spot" else 0.0,
        tz=(zone or None) if limits.stop_at else None,
    )


def _as_words(policy: WatchPolicy) -> list[str]:
    """In the form that an older gpu-box compares on the box, so that `status` does not report a change."""
    return [
        f"{key}={value:g}" if isinstance(value, float) else f"{key}={'' if value is None else value}"
        for key, value in asdict(policy).items()
    ]


@dataclass(frozen=True, kw_only=True)
class Question:
    """A check: one command with its standard input. `fingerprint`: of our remote/.

    The packages' addresses may have passwords in them: they are in no command line.
    """

    command: str
    stdin: bytes
    fingerprint: str


def question(desired: Desired, *, health: bool = False) -> Question:
    """health: include it, which may take another second."""
    fingerprint = upload_remote.fingerprint(desired.remote)
    asked = {"fingerprint": fingerprint, "desired": json.loads(desired.to_json()), "health": health}
    script = (desired.remote / "setup" / "bootstrap.py").read_bytes()
    return Question(
        command=f"{PYTHON} -",
        stdin=f"ASKED = {json.dumps(json.dumps(asked))}\n".encode() + script,
        fingerprint=fingerprint,
    )


def check(connection: Connection, desired: Desired, *, health: bool = False) -> MachineState:
    """Check the machine in one command. Changes nothing; the box needs only Python 3.8 or newer.

    health: as for `question`.
    """
    asked = question(desired, health=health)
    result = connection.run(asked.command, stdin=asked.stdin, check=False, timeout_s=CHECK_TIMEOUT_S)
    return read_answer(asked, result, connection.host.name)


def read_answer(asked: Question, result: Result, name: str) -> MachineState:
    """Raises MachineError if the check failed."""
    if result.exit_status == 127:
        raise MachineError(
            "there is no python3 on the box",
            where=name,
            remedy="Install Python 3.8 or newer on it (`gpu-box ssh`), or choose another image.",
        )
    try:
        return _machine_state(read_object(result.stdout), asked.fingerprint)
    except ValueError:
        raise MachineError(
            f"the box cannot be checked: {result.said}",
            where=name,
            remedy="Run `gpu-box up` again; look at the box with `gpu-box ssh`.",
        ) from None


def apply(
    connection: Connection,
    state: MachineState,
    desired: Desired,
    report: Reporter,
    beside: AbstractContextManager[object] | None = None,
) -> MachineState:
    """Copy this installation's remote/ to the box and apply what `state` lacks. Returns the new state.

    An interrupted set-up continues the next time. Raises StepFailed for the first failed step, once all
    others have ended. beside: entered once remote/ is on the box, left when all is applied.
    """
    if not state.mirror_current:
        report.start("upload", "copying gpu-box's own code to the box")
        upload_remote.upload(connection, desired.remote)
        report.done("upload", "gpu-box's own code is on the box")
    credentials = state.step("kaggle")
    if desired.kaggle and (credentials is None or credentials.status == "needed"):
        kaggle.push(connection, desired.kaggle)
    notices = state.step("notify")
    if desired.notify and (notices is None or notices.status == "needed"):
        secret.put(connection, *_NOTIFY_FILE, desired.notify)
    environment = state.step("env")
    if desired.env and (environment is None or environment.status == "needed"):
        variables.push(connection, desired.env)
    with beside or nullcontext():
        _run_steps(connection, "apply", desired, report, silent_s=_SILENT_S)
    return check(connection, desired)


def apply_ahead(connection: Connection, desired: Desired, report: Reporter) -> None:
    """Do what `apply_project` would do and what does not depend on `apply`, beside that."""
    _run_steps(connection, "ahead", desired, report, silent_s=_SILENT_PROJECT_S)


def apply_project(connection: Connection, desired: Desired, report: Reporter) -> None:
    """Run what follows the sync: the project's packages and its set-up commands, where they changed.

    May be cut anywhere: the next one goes on. Raises StepFailed as `apply` does.
    """
    _run_steps(connection, "project", desired, report, silent_s=_SILENT_PROJECT_S)


def _run_steps(
    connection: Connection, command: str, desired: Desired, report: Reporter, *, silent_s: float
) -> None:
    events = _Events(report)
    result = connection.run(
        remote_module("setup", command),
        stdin=desired.to_json().encode(),
        on_line=events.take,
        check=False,
        timeout_s=None,
        stall_s=silent_s,
    )
    if events.failed:
        raise events.failed[0]
    if result.exit_status != 0:
        raise StepFailed(f"set-up ended: {result.said}", where=connection.host.name, remedy=_REMEDY)


_NOTIFY_FILE = ".gpu-box", "notify.json"
_REMEDY = "Run `gpu-box up` again: it continues."


class _Events:
    """Passes the JSON lines of `python3 -m setup apply` to the reporter."""

    def __init__(self, report: Reporter) -> None:
        self._report = report
        self._started: set[str] = set()
        self.failed: list[StepFailed] = []

    def take(self, line: str) -> None:
        try:
            event = read_object(line)
            step, kind, text = event.text("step"), event.text("event"), event.text("line", lines=True)
        except ValueError:
            return  # printed by a program that set-up runs
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
        head, *last_lines = text.splitlines() or ["no reason given"]
        self._report.failed(step, head)
        for line in last_lines:
            self._report.note(f"{step}: {line}")
        last = f": {last_lines[-1].strip()}" if last_lines else ""
        self.failed.append(
            StepFailed(
                f"set-up step {step} failed: {head}{last}",
                remedy=f"Its log on the box is ~/.gpu-box/logs/{step}.log. {_REMEDY}",
            )
        )


def _machine_state(found: Fields, wanted: str) -> MachineState:
    """Raises Malformed. An older copy of remote/ leaves fields out."""
    jupyter = found.inside("jupyter")
    return MachineState(
        steps=_steps(found.array("steps")),
        project_steps=_steps(found.array("project_steps")),
        jupyter=JupyterState(
            port=jupyter.whole_or_none("port", most=65535), answering=jupyter.flag("answering")
        ),
        mirror_current=found.text("mirror") == wanted,
        gpu=found.text("gpu", ""),
        scratch_lost=found.whole("scratch_lost", 0),
        jobs=tuple(job for each in found.array("jobs") if (job := parse_job(each, datetime.now(UTC)))),
        project=found.text("project", ""),
        reboot=found.text("reboot", ""),
        watch=watcher.parse(found.inside("watch")) if found.has("watch") else None,
        health=parse_health(found.inside("health")) if found.has("health") else None,
    )


def _steps(found: list[Any]) -> tuple[StepState, ...]:
    steps = map(Fields, found)
    return tuple(
        StepState(name=step.text("name"), status=step.text("status"), line=step.text("line"))
        for step in steps
    )


def notify_settings(config: Config) -> bytes:
    """The content of ~/.gpu-box/notify.json; empty if no webhook is configured."""
    if config.notify.webhook is None:
        return b""
    settings = {"box": config.name, "webhook": config.notify.webhook, "format": config.notify.format}
    return json.dumps({key: value for key, value in settings.items() if value}).encode()
