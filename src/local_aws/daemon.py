"""The embedded cloud's daemon, seen from the CLI: start, status, stop.

Standard library alone, and nothing of moto or asyncssh is imported: `gpu-box --help` pays for this module.
The daemon's own process is `server`, run as `python -m local_aws HOME POLICY`.
"""

from __future__ import annotations

import fcntl
import http.client
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from local_aws.api.signature import Request, sign
from local_aws.credentials import OWN_SERVICE, Credentials, account
from local_aws.failure import Failure
from local_aws.files import Files, make_private, write_private

REFUSED_EXIT_CODE = 3  # the daemon could not start, and its last line says why, worded for the user
_NEEDED = ("moto", "flask", "flask_cors", "asyncssh")
_START_TIMEOUT_S = 60.0  # imports take 2 s on a warm disk
_BUILD_TIMEOUT_S = 1200.0  # the root image of nspawn machines, once
_STOP_TIMEOUT_S = 60.0  # machines are asked to end first
_POLL_S = 0.05
_LOG_BYTES = 1_000_000  # at which the log of earlier daemons is put aside
_NOT_PASSED_ON = "AWS_"  # a profile or endpoint meant for AWS must not reach the cloud's own boto3


@dataclass(frozen=True, kw_only=True)
class DaemonStatus:
    """boxes: instances that are not terminated, stopped ones included."""

    pid: int
    port: int
    started: datetime  # aware, UTC
    endpoint: str
    boxes: int


def start(home: Path, policy: Path) -> dict[str, str]:
    """Start the daemon unless it is up, and return the environment that makes an AWS SDK talk to it, as the
    user who may what gpu-box needs, and nothing else.

    policy: a file with the IAM policy of that user; read when the daemon starts.
    Idempotent; two at once start one. Raises Failure where the optional packages are missing, and
    Failure with the daemon's own words where it does not come up.
    """
    files = Files(home)
    running = status(home)
    if running is None:
        _require_packages()
        make_private(files.folder)
        with _turn(files):
            account(files)
            running = status(home) or _spawn(files, policy)
    return _exports(running, account(files).operator)


def start_as_owner(home: Path, policy: Path) -> dict[str, str]:
    """As `start`, for somebody who may do anything there."""
    return start(home, policy) | _keys(account(Files(home)).owner)


def status(home: Path) -> DaemonStatus | None:
    """What the daemon says of itself, or None where none is up for this home."""
    files = Files(home)
    if not _is_alive(files):
        return None
    try:
        card = json.loads(files.card.read_text())
        pid, port = int(card["pid"]), int(card["port"])  # without a pid, it does not listen yet
        told = _ask(port, account(files).owner)
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return None  # it is starting or ending
    return DaemonStatus(
        pid=pid,
        port=port,
        started=datetime.fromisoformat(card["started"]),
        endpoint=_endpoint(port),
        boxes=told["boxes"],
    )


def stop(home: Path) -> bool:
    """End the daemon and with it every machine; the cloud's state and disks stay. False if none was up."""
    files = Files(home)
    if not _is_alive(files):
        return False
    with _turn(files):
        try:
            os.kill(int(json.loads(files.card.read_text())["pid"]), signal.SIGTERM)
        except (OSError, ValueError, KeyError):
            return False  # it ended meanwhile
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while _is_alive(files):
            if time.monotonic() > deadline:
                raise Failure(
                    f"the embedded cloud did not end within {_STOP_TIMEOUT_S:.0f} s",
                    where=str(files.log),
                )
            time.sleep(_POLL_S)
    return True


def _require_packages() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise Failure(
            f"the embedded cloud needs packages that are not installed ({', '.join(missing)})",
            remedy="Install them with: pip install 'gpu-box[local]'",
            bad_input=True,
        )


def _spawn(files: Files, policy: Path) -> DaemonStatus:
    env = {k: v for k, v in os.environ.items() if not k.startswith(_NOT_PASSED_ON)}
    _disown_card(files)
    if files.log.exists() and files.log.stat().st_size > _LOG_BYTES:
        files.log.replace(files.log.with_suffix(".log.old"))
    with files.log.open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "local_aws", str(files.home), str(policy.resolve())],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            cwd=files.folder, env=env, start_new_session=True,
        )  # fmt: skip
    timeout = _BUILD_TIMEOUT_S if env.get("GPU_BOX_MACHINES") == "nspawn" else _START_TIMEOUT_S
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        running = status(files.home)
        if running is not None:
            child.returncode = 0  # it outlives us on purpose: no warning about an unwaited child
            return running
        if (code := child.poll()) is not None:
            what = _last_line(files.log) if code == REFUSED_EXIT_CODE else f"it ended with status {code}"
            raise Failure(f"the embedded cloud did not start: {what}", where=str(files.log))
        time.sleep(_POLL_S)
    child.kill()
    child.wait()
    raise Failure(f"the embedded cloud did not start within {timeout:.0f} s", where=str(files.log))


def _disown_card(files: Files) -> None:
    """Keep the port alone. Until the new daemon listens, another user's program may answer there."""
    try:
        card = json.loads(files.card.read_text())
    except (OSError, ValueError):
        return
    card.pop("pid", None)
    write_private(files.card, json.dumps(card).encode())


def _exports(running: DaemonStatus, own: Credentials) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": running.endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        **_keys(own),
        "GPU_BOX_CHECKIP_URL": f"{running.endpoint}/checkip",
    }


def _keys(own: Credentials) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": own.key_id, "AWS_SECRET_ACCESS_KEY": own.secret}


def _endpoint(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _ask(port: int, owner: Credentials) -> dict[str, Any]:
    """ValueError if it refuses."""
    asked = Request(method="GET", target="/embedded/status", headers={"host": f"127.0.0.1:{port}"})
    # http.client and not urllib: a proxy in the environment has no business with loopback.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(
            asked.method, asked.target, headers=sign(asked, owner, service=OWN_SERVICE, now=datetime.now(UTC))
        )
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
        if response.status != 200:
            raise ValueError(answer)
        return answer
    finally:
        connection.close()


def _is_alive(files: Files) -> bool:
    """Whether a daemon holds its lock: true from before it listens until after its machines have ended."""
    try:
        with files.life.open("rb") as file:
            return not _try_lock(file, shared=True)
    except FileNotFoundError:
        return False


def _try_lock(file: IO[bytes], *, shared: bool) -> bool:
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _turn(files: Files) -> Iterator[None]:
    with files.birth.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no reason given"
