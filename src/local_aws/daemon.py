"""The embedded cloud's daemon, seen from the CLI: start, status, stop.

Standard library alone, without moto and asyncssh: `gpu-box --help` imports this module.
The daemon's own process is `server`, run as `python -m local_aws HOME POLICY...`.
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local_aws.api.signature import Request, sign
from local_aws.credentials import OWN_SERVICE, Credentials, account
from local_aws.failure import Failure
from local_aws.files import Files, make_private, write_private

REFUSED_EXIT_CODE = 3  # the daemon could not start, and its last line says why
_NEEDED = ("moto", "flask", "flask_cors", "asyncssh")
_START_TIMEOUT_S = 60.0  # imports take 2 s on a warm disk
_BUILD_TIMEOUT_S = 1200.0  # the root image of nspawn machines, once
_STOP_TIMEOUT_S = 60.0  # machines are asked to end first
_POLL_S = 0.05
_ANSWER_TIMEOUT_S = 30.0  # for a daemon that already listens
_KILL_TIMEOUT_S = 5.0
_AWS = "AWS_"  # the prefix of the SDK's variables
# The user's AWS files and variables have no effect here, and need not even be readable.
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


def start(home: Path, policies: Sequence[Path], *, note: Callable[[str], None] = _silent) -> dict[str, str]:
    """Start the daemon unless it runs, and return the environment variables that point an AWS SDK at it, with
    the keys of the operator, who may do what gpu-box needs and nothing else.

    policies: files with the operator's IAM policies; read when the daemon starts.
    note: called with a line if the endpoint has changed.
    Idempotent; of two calls at once one starts it. Raises Failure if the optional packages are missing, and
    Failure with the daemon's own message if it does not start.
    """
    files = Files(home)
    running = status(home)
    if running is None:
        _require_packages()
        make_private(files.folder)
        with _turn(files):
            account(files)
            running = _found(files) or _spawn(files, policies, note)
    return _exports(running, account(files).operator)


def start_as_owner(
    home: Path, policies: Sequence[Path], *, note: Callable[[str], None] = _silent
) -> dict[str, str]:
    """As `start`, with the keys of the account owner, who may do anything."""
    return start(home, policies, note=note) | _keys(account(Files(home)).owner)


def status(home: Path) -> DaemonStatus | None:
    """The daemon's status; None if none runs for this home."""
    files = Files(home)
    if not _is_alive(files):
        return None
    try:
        card = read_card(files)
        pid, port = int(card["pid"]), int(card["port"])  # without a pid, it does not listen yet
        answer = _ask(port, account(files).owner)
        started, endpoint = datetime.fromisoformat(card["started"]), f"http://127.0.0.1:{port}"
        return DaemonStatus(pid=pid, port=port, started=started, endpoint=endpoint, boxes=answer["boxes"])
    except (OSError, ValueError, LookupError, TypeError, OverflowError, http.client.HTTPException):
        return None  # it is starting or ending, or the card is damaged


def is_up(home: Path) -> bool:
    """Whether a daemon runs, even one that does not answer."""
    return _is_alive(Files(home))


def stop(home: Path) -> bool:
    """End the daemon and every machine; the cloud's state and disks stay. False if none was running.

    A daemon that does not end is killed: it saves its state before it answers a call.
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
    """Send the signal. Whether the daemon ends within `within` seconds."""
    deadline, sent = time.monotonic() + within, False
    while _is_alive(files):
        if time.monotonic() > deadline:
            return False
        if not sent:
            with suppress(OSError, ValueError):  # it has ended, or has not written its pid yet
                pid = int(files.life.read_text())
                if pid > 1:  # 0 and below name groups, and all that this user runs
                    os.kill(pid, number)
                sent = True
        time.sleep(_POLL_S)
    return True


def _end_machines(files: Files) -> None:
    """End the programs of a killed daemon's process machines."""
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
    """The running daemon, once it answers; None if none runs. Raises Failure if it does not answer."""
    began = time.monotonic()
    while _is_alive(files):
        if running := status(files.home):
            return running
        starting = "pid" not in read_card(files)
        if time.monotonic() - began > (_start_timeout_s() if starting else _ANSWER_TIMEOUT_S):
            raise Failure(
                "the embedded cloud runs but does not answer",
                where=str(files.log),
                remedy="Run `gpu-box local stop`, then try again.",
            )
        time.sleep(_POLL_S)
    return None


def _spawn(files: Files, policies: Sequence[Path], note: Callable[[str], None]) -> DaemonStatus:
    """Start a daemon. Call it only while none runs."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(_AWS)} | _NO_FILES
    before = read_card(files).get("port")
    _forget_pid(files)
    with files.log.open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "local_aws", str(files.home), *(str(one.resolve()) for one in policies)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            cwd=files.folder, env=env, start_new_session=True,
        )  # fmt: skip
    timeout = _start_timeout_s()
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        running = status(files.home)
        if running is not None:
            child.returncode = 0  # it outlives this process: no warning about an unwaited child
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
    """Keep only the port. Until the new daemon listens, another user's program may answer there."""
    files.life.write_bytes(b"")
    if card := read_card(files):
        card.pop("pid", None)
        write_private(files.card, json.dumps(card).encode())


def read_card(files: Files) -> dict[str, Any]:
    """`Files.card`; empty if it is missing or damaged."""
    try:
        card: dict[str, Any] = json.loads(files.card.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return card if isinstance(card, dict) else {}


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
    """NO_PROXY for loopback, which a proxy cannot reach. Programs read one name or the other."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return {}
    before = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host for host in before.split(",") if host]
    if not {"*", "127.0.0.1"} & {host.strip() for host in hosts}:
        hosts.append("127.0.0.1")
    return dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(hosts))


def _keys(own: Credentials) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": own.key_id, "AWS_SECRET_ACCESS_KEY": own.secret}


def _ask(port: int, owner: Credentials) -> dict[str, Any]:
    """Raises ValueError if the daemon refuses."""
    asked = Request(method="GET", target="/embedded/status", headers={"host": f"127.0.0.1:{port}"})
    # http.client, not urllib, which would use a proxy from the environment.
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
    """Whether a daemon holds its lock: from before it listens until after its machines have ended."""
    try:
        with files.life.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


@contextmanager
def _turn(files: Files) -> Iterator[None]:
    with files.birth.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no reason given"
