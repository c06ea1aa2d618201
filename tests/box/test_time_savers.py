"""Optimizations do not change behaviour: with each switched off, every command says and does the same."""

from __future__ import annotations

import contextlib
import io
import json
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from botocore.client import BaseClient

from gpu_box.aws import client, last_seen, observe
from gpu_box.box import find, up
from gpu_box.cli.main import main
from gpu_box.machine import setup, state
from gpu_box.machine.files import rsync, sync, upload_remote
from gpu_box.machine.ssh import early_check, system_ssh
from gpu_box.machine.ssh.connection import Connection
from gpu_box.model.machine import MachineState
from tests.paths import REMOTE

from ..faults.apart import impatient

STORY = (
    "plan", "status", "up --yes", "up --yes", "sync", "status", "plan", "stop", "status", "plan", "up --yes",
    "status", "stop", "stop", "down --yes", "status", "plan",
)  # fmt: skip
LIBRARIES, EARLY_CHECK, EARLY_RSYNC, SHARING = "load_libraries", "SystemSsh", "Rsync", "_sharing"


@dataclass
class Outcome:
    """results: what each command printed, as JSON. calls: how often each function was called."""

    results: list[tuple[str, Any]] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)


# How to switch it off, and the calls that show that it was off.
SWITCHES: dict[str, tuple[ModuleType, str, Callable[[Counter[str], Counter[str]], bool]]] = {
    "the memory of how the box was left": (
        last_seen, "REMEMBER", lambda on, off: on["DescribeKeyPairs"] < off["DescribeKeyPairs"],
    ),
    "reads are left out that the command does not need": (
        observe, "SKIP", lambda on, off: on["DescribeVolumes"] < off["DescribeVolumes"],
    ),
    "clients and libraries are made ready meanwhile": (
        client, "MEANWHILE", lambda on, off: on[LIBRARIES] > 0 == off[LIBRARIES],
    ),
    "rsync logs in before it is known what is to travel": (
        sync, "EARLY_RSYNC", lambda on, off: not rsync.usable() or on[EARLY_RSYNC] > 0 == off[EARLY_RSYNC],
    ),
    "the machine is asked before AWS has answered": (
        state, "EARLY",
        lambda on, off: shutil.which("sshd") is None or on[EARLY_CHECK] > 0 == off[EARLY_CHECK],
    ),
    "the system's ssh keeps its connection": (
        system_ssh, "SHARE",
        lambda on, off: shutil.which("sshd") is None or on[SHARING] > 0 == off[SHARING],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def usual(embedded_exports: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return tell(tmp_path_factory.mktemp("usual"), embedded_exports)


@pytest.mark.parametrize("switch", SWITCHES)
def test_without_it_every_command_prints_the_same(
    usual: Outcome,
    switch: str,
    embedded_exports: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, name, shows = SWITCHES[switch]
    monkeypatch.setattr(module, name, False)
    outcome = tell(tmp_path, embedded_exports)
    assert outcome.results == usual.results
    assert shows(usual.calls, outcome.calls), "it was not off"


def tell(folder: Path, exports: dict[str, str]) -> Outcome:
    """The life of one box, by one laptop whose files are all in `folder`."""
    outcome, name = Outcome(), f"box-{secrets.token_hex(4)}"
    project = folder / "project"
    project.mkdir()
    (project / "train.py").write_text("print(1)")
    (project / "config.yaml").write_text(
        f"name: {name}\nregion: us-east-1\nssh: {{key: {folder / 'key'}, config: false}}\n"
        "network: {allow_ssh_from: [127.0.0.1]}\n"
    )
    environment = {**exports, "HOME": str(folder), "GPU_BOX_HOME": str(folder / "own")}
    with pytest.MonkeyPatch.context() as patch, impatient():
        for variable, value in environment.items():
            patch.setenv(variable, value)
        _without_set_up(patch)
        _count(patch, outcome.calls)
        try:
            for words in STORY:
                shown = run(project, words)
                outcome.results.append((words, _settled(shown, {str(folder): "HERE", name: "BOX"})))
        finally:
            run(project, "down --yes")
    return outcome


def run(project: Path, words: str) -> Any:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["--config", str(project / "config.yaml"), "--json", *words.split()])
    assert code == 0, f"{words}: {err.getvalue()}"
    return json.loads(out.getvalue())


def _without_set_up(patch: pytest.MonkeyPatch) -> None:
    """It takes minutes, and has no part in this: the machine gets the code that sync and the checks need."""
    check = setup.check

    def looked(connection: Connection, desired: setup.Desired) -> MachineState:
        upload_remote.upload(connection, REMOTE)
        return check(connection, desired)

    patch.setattr(setup, "check", looked)
    patch.setattr(MachineState, "needs_work", False)


def _count(patch: pytest.MonkeyPatch, calls: Counter[str]) -> None:
    make_call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def called(self: Any, operation: str, parameters: Any) -> Any:
        calls[operation] += 1
        return make_call(self, operation, parameters)

    patch.setattr(BaseClient, "_make_api_call", called)
    for module, name in (
        (up, LIBRARIES),
        (find, LIBRARIES),
        (early_check, EARLY_CHECK),
        (sync, EARLY_RSYNC),
        (system_ssh, SHARING),
    ):
        original = getattr(module, name)

        def counted(*words: Any, _original: Any = original, _name: str = name) -> Any:
            calls[_name] += 1
            return _original(*words)

        patch.setattr(module, name, counted)


# Differs between boxes or seconds.
_MOVES = {"address", "ssh_port", "uptime", "usd_session", "usd_today", "usd_month"}
_ID = re.compile(r"\b([a-z]{1,6})-[0-9a-f]{8,}")


def _settled(value: Any, names: dict[str, str], key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _settled(each, names, name) for name, each in value.items()}
    if isinstance(value, list):
        return [_settled(each, names) for each in value]
    if value is not None and key in _MOVES:
        return "SOME"
    if not isinstance(value, str):
        return value
    with contextlib.suppress(ValueError):
        return f"{(datetime.fromisoformat(value) - datetime.now(UTC)).total_seconds() / 3600:.0f} h from now"
    for name, stands_for in names.items():
        value = value.replace(name, stands_for)
    return _ID.sub(r"\1-ID", value)
