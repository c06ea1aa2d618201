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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
_ANSWER_TIMEOUT_S = 30.0  # for a daemon that listens already
_KILL_TIMEOUT_S = 5.0
_AWS = "AWS_"  # what the SDK's own variables begin with
# The user's files and variables are meant for AWS. They have no effect here, and need not even be readable.
_NO_FILES = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


@dataclass(frozen=True, kw_only=True)
class DaemonStatus:
    """boxes: instances that are not terminated, stopped ones included."""

    pid: int
    port: int
    started: datetime  # aware, UTC
    endpoint: str
    boxes: int


def _silent(line: str) -> None: ...


def start(home: Path, policy: Path, *, note: Callable[[str], None] = _silent) -> dict[str, str]:
    """Start the daemon unless it is up, and return the environment that makes an AWS SDK talk to it, as the
    user who may what gpu-box needs, and nothing else.

    policy: a file with the IAM policy of that user; read when the daemon starts.
    note: is given a line where the endpoint is not the one of before.
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
            running = _found(files) or _spawn(files, policy, note)
    return _exports(running, account(files).operator)


def start_as_owner(home: Path, policy: Path, *, note: Callable[[str], None] = _silent) -> dict[str, str]:
    """As `start`, for somebody who may do anything there."""
    return start(home, policy, note=note) | _keys(account(Files(home)).owner)


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


def is_up(home: Path) -> bool:
    """Whether a daemon runs, be it one that does not answer."""
    return _is_alive(Files(home))


def stop(home: Path) -> bool:
    """End the daemon and with it every machine; the cloud's state and disks stay. False if none was up.

    A daemon that does not end by itself is killed: its state is on disk before a call is answered.
    """
    files = Files(home)
    if not _is_alive(files):
        return False
    with _turn(files):
        if _ends(files, signal.SIGTERM, within=_STOP_TIMEOUT_S):
            return True
        if not _ends(files, signal.SIGKILL, within=_KILL_TIMEOUT_S):
            raise Failure(
                f"the embedded cloud did not end within {_STOP_TIMEOUT_S:.0f} s", where=str(files.log)
            )
        _end_machines(files)
    return True


def _ends(files: Files, number: signal.Signals, *, within: float) -> bool:
    """Whether the daemon ends within those seconds after one signal."""
    deadline, sent = time.monotonic() + within, False
    while _is_alive(files):
        if time.monotonic() > deadline:
            return False
        if not sent:
            with suppress(OSError, ValueError):  # it ended meanwhile, or is about to write its pid
                os.kill(int(files.life.read_text()), number)
                sent = True
        time.sleep(_POLL_S)
    return True


def _end_machines(files: Files) -> None:
    """The programs of a killed daemon's process machines."""
    from local_aws.machines.process import census

    for folder in files.machines.glob("i-*"):
        census.end_all(folder.name, set())


def _require_packages() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise Failure(
            f"the embedded cloud needs packages that are not installed ({', '.join(missing)})",
            remedy="Install them with: pip install 'gpu-box[local]'",
            bad_input=True,
        )


def _found(files: Files) -> DaemonStatus | None:
    """The daemon that runs already, once it answers; None if none does. Raises Failure if it stays silent."""
    began = time.monotonic()
    while _is_alive(files):
        if running := status(files.home):
            return running
        starting = "pid" not in _card(files)
        if time.monotonic() - began > (_start_timeout_s() if starting else _ANSWER_TIMEOUT_S):
            raise Failure(
                "the embedded cloud runs but does not answer",
                where=str(files.log),
                remedy="Run `gpu-box local stop`, then try again.",
            )
        time.sleep(_POLL_S)
    return None


def _spawn(files: Files, policy: Path, note: Callable[[str], None]) -> DaemonStatus:
    """Only while no daemon runs."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(_AWS)} | _NO_FILES
    before = _card(files).get("port")
    _forget_pid(files)
    with files.log.open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "local_aws", str(files.home), str(policy.resolve())],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            cwd=files.folder, env=env, start_new_session=True,
        )  # fmt: skip
    timeout = _start_timeout_s()
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        running = status(files.home)
        if running is not None:
            child.returncode = 0  # it outlives us on purpose: no warning about an unwaited child
            if before not in (None, running.port):
                note(
                    f"Another program has port {before}: the embedded cloud is now at {running.endpoint}. "
                    'Run `eval "$(gpu-box local env)"` again in each shell that uses the old address.'
                )
            return running
        if (code := child.poll()) is not None:
            what = _last_line(files.log) if code == REFUSED_EXIT_CODE else f"it ended with status {code}"
            raise Failure(f"the embedded cloud did not start: {what}", where=str(files.log))
        time.sleep(_POLL_S)
    child.kill()
    child.wait()
    raise Failure(f"the embedded cloud did not start within {timeout:.0f} s", where=str(files.log))


def _start_timeout_s() -> float:
    return _BUILD_TIMEOUT_S if os.environ.get("GPU_BOX_MACHINES") == "nspawn" else _START_TIMEOUT_S


def _forget_pid(files: Files) -> None:
    """Keep the port alone. Until the new daemon listens, another user's program may answer there."""
    files.life.write_bytes(b"")
    if card := _card(files):
        card.pop("pid", None)
        write_private(files.card, json.dumps(card).encode())


def _card(files: Files) -> dict[str, Any]:
    try:
        card: dict[str, Any] = json.loads(files.card.read_text())
    except (OSError, ValueError):
        return {}
    return card


def _exports(running: DaemonStatus, own: Credentials) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": running.endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        **_keys(own),
        **_NO_FILES,
        **_past_proxies(),
        "GPU_BOX_CHECKIP_URL": f"{running.endpoint}/checkip",
    }


def _past_proxies() -> dict[str, str]:
    """A proxy cannot reach this computer's loopback. Programs read one name or the other."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return {}
    before = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host for host in before.split(",") if host]
    if not {"*", "127.0.0.1"} & {host.strip() for host in hosts}:
        hosts.append("127.0.0.1")
    return dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(hosts))


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
