"""Starts, stops and queries the box's JupyterLab."""

import contextlib
import http.client
import json
import os
import random
import secrets
import signal
import socket
import time
from pathlib import Path
from typing import Any, List, Optional

from setup import processes, records
from setup.desired import REMOTE, ROOT
from setup.session import Failed
from watch.read.sockets import listener

FOLDER: Path = ROOT / "jupyter"
CONFIG: Path = REMOTE / "jupyter" / "jupyter_server_config.py"
START: Path = REMOTE / "jupyter" / "start.sh"
_TMUX_SESSION = "jupyter"
_ATTEMPTS = 5  # each with a port that was free just before
# 2 s on a warm disk, minutes on a volume from a snapshot, which loads each block from S3 at its first read
# (EBS User Guide, "Initialize Amazon EBS volumes").
_STARTS_WITHIN_S = 300.0


def port() -> Optional[int]:
    """The port of the last start, or None."""
    try:
        return int((FOLDER / "port").read_text())
    except (OSError, ValueError):
        return None


def answers() -> bool:
    """Whether our server answers; another box's on the same loopback has another token."""
    return _get("/api/status") is not None


def running_kernels() -> List[str]:
    """Names of its open notebooks and kernels."""
    sessions = _get("/api/sessions") or []
    return [str(session.get("path") or "a kernel") for session in sessions]


def start(wanted_port: int) -> int:
    """Start it on the first free port from `wanted_port`. Returns the port once it answers. Raises Failed."""
    ensure_token()
    for attempt in range(_ATTEMPTS):
        # Another box on the same loopback may take the first free port: then try a random one.
        free = _free_ports(wanted_port)
        candidate = random.choice(free) if attempt else free[0]
        records.write_atomically(FOLDER / "port", str(candidate) + "\n")
        with contextlib.suppress(FileNotFoundError):
            (FOLDER / "pid").unlink()
        processes.start_in_tmux(_TMUX_SESSION, "jupyterlab", ["sh", str(START)], REMOTE)
        if _wait_until_it_answers():
            return candidate
        stop()
        if "already in use" not in _log_tail(50):
            break  # the port was not the problem
    raise Failed("JupyterLab does not start:\n" + _log_tail(8))


def stop() -> None:
    pid = _pid()
    if pid is not None:
        os.kill(pid, signal.SIGTERM)  # it ends its kernels itself
        deadline = time.monotonic() + 10
        while _pid() == pid and time.monotonic() < deadline:
            time.sleep(0.05)
        if _pid() == pid:
            os.kill(pid, signal.SIGKILL)
    processes.end_in_tmux(_TMUX_SESSION)


def ensure_token() -> None:
    path = FOLDER / "token"
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        records.write_atomically(path, secrets.token_hex(24) + "\n", mode=0o600)


def _wait_until_it_answers() -> bool:
    began = time.monotonic()
    while time.monotonic() - began < _STARTS_WITHIN_S:
        if answers():
            return True
        if time.monotonic() - began > 1 and _pid() is None:
            return False  # it has ended
        time.sleep(0.05)
    return False


def _get(path: str) -> Any:
    """GET a path and return the parsed JSON, or None."""
    where = port()
    if where is None or _pid() is None or not _listens(where):
        return None  # send no token to another user's server
    try:
        token = (FOLDER / "token").read_text().strip()
    except OSError:
        return None
    connection = http.client.HTTPConnection("127.0.0.1", where, timeout=3)
    try:
        connection.request("GET", path, headers={"Authorization": "token " + token})
        answer = connection.getresponse()
        return json.loads(answer.read().decode()) if answer.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def _listens(where: int) -> bool:
    """Whether this user owns the listener: another account may have taken the port meanwhile."""
    try:
        return listener(where) == os.geteuid()
    except (OSError, AttributeError):
        return True  # unknown on macOS


def _pid() -> Optional[int]:
    """The pid of the server that we started, if it runs."""
    try:
        pid = int((FOLDER / "pid").read_text())
    except (OSError, ValueError):
        return None
    command = processes.command_of(pid)
    return pid if str(CONFIG) in command or str(START) in command else None


def _free_ports(wanted: int) -> List[int]:
    free = []
    for candidate in range(wanted, min(wanted + 100, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
        free.append(candidate)
        if len(free) == 10:
            break
    if not free:
        raise Failed("no port is free on the box from %d on" % wanted)
    return free


def _log_tail(lines: int) -> str:
    try:
        return "\n".join((FOLDER / "log").read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"
