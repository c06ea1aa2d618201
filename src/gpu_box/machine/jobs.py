"""Jobs on the box that outlive the laptop: started, listed, followed, stopped. Kept by remote/jobs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gpu_box.errors import InputError, MachineError, MachineUnreachable
from gpu_box.machine.ssh.connection import TIMEOUT_S, Connection, Result, connect
from gpu_box.machine.ssh.shell import PYTHON, LineSplitter, quote
from gpu_box.model.answer import NONSENSE, read_json
from gpu_box.model.machine import Host

_REFUSED = 3  # exit status of remote/jobs for what cannot be done
_NO_CODE = 4  # of our own `cd`: the box has no copy of remote/
_PATIENCE_S = 300.0  # for a lost link to come back while a log is followed
_LONGEST_PAUSE_S = 10.0


@dataclass(frozen=True, kw_only=True)
class JobState:
    """exit_status: None while it runs; 128 + N if signal N ended it."""

    name: str
    command: str
    started: datetime  # aware, UTC
    exit_status: int | None

    @property
    def running(self) -> bool:
        return self.exit_status is None


def start(connection: Connection, name: str, command: str, *, cwd: str = "~/work", again: str = "") -> None:
    """Run a command line of the machine's shell as the job `name`; returns once it runs.

    again: the command line after a spot interruption, if it differs.

    Raises InputError while a job of that name runs, for a name that cannot be one, and for a missing folder.
    """
    asked = {"name": name, "command": command, "cwd": cwd, **({"again": again} if again else {})}
    _call(connection, "start", stdin=json.dumps(asked).encode())


def list_jobs(connection: Connection) -> list[JobState]:
    """Every job that was started on this box and its disk, the oldest first."""
    states = [state for each in _answer(connection, "list") if (state := _state(each))]
    return sorted(states, key=lambda state: (state.started, state.name))


def _state(told: dict[str, Any]) -> JobState | None:
    """None for a job that has not begun, or whose folder on the box makes no sense."""
    try:
        ended = told["exit_status"]
        return JobState(
            name=str(told["name"]),
            command=str(told["command"]),
            started=datetime.strptime(told["started"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC),
            exit_status=None if ended is None else int(ended),
        )
    except NONSENSE:
        return None


def stop(connection: Connection, name: str) -> int:
    """End the job (SIGTERM, SIGKILL after 10 s); returns the exit status it ended with. Ended is fine."""
    return int(_answer(connection, "stop", name, kind=int))


def resume(connection: Connection, *, launched: datetime) -> dict[str, str]:
    """Start again the jobs that a spot interruption ended before this launch of the machine (aware).

    By name: "", or why it cannot be started again.
    """
    resumed = _answer(connection, "resume", f"{launched.timestamp():.0f}")
    return {str(each.get("name")): str(each.get("problem")) for each in resumed if isinstance(each, dict)}


def follow(
    host: Host,
    name: str,
    on_line: Callable[[str], None],
    *,
    on_lost: Callable[[str], None] | None = None,
    patience_s: float = _PATIENCE_S,
) -> int:
    """The job's log from its beginning, each line to on_line, until it ends; returns its exit status.

    A lost connection is made again, and the log goes on at the byte where it broke; on_lost hears of it.
    Raises MachineUnreachable once it has been lost for patience_s seconds.
    """
    splitter = LineSplitter()
    seen_bytes = 0
    lost_at: float | None = None
    pause_s = 0.5

    def take(piece: bytes) -> None:
        nonlocal seen_bytes, lost_at, pause_s
        seen_bytes += len(piece)
        lost_at, pause_s = None, 0.5
        for line in splitter.feed(piece):
            on_line(line)

    while True:
        try:
            with connect(host) as connection:
                result = _call(connection, "follow", name, str(seen_bytes), on_data=take, timeout_s=None)
        except MachineUnreachable as lost:
            lost_at = lost_at or time.monotonic()
            if time.monotonic() - lost_at > patience_s:
                raise
            if on_lost:
                on_lost(lost.what)
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            continue
        if rest := splitter.rest():
            on_line(rest)
        try:
            return int(read_json(result.stderr.splitlines()[-1])["exit"])
        except NONSENSE:
            raise MachineError(f"the log of job {name} ended: {result.said}", where=host.name) from None


def _answer(connection: Connection, *words: str, kind: type = list) -> Any:
    """The last line as JSON, and of that kind: a login may print before it."""
    result = _call(connection, *words)
    try:
        found = read_json(result.stdout.splitlines()[-1])
        if isinstance(found, kind):
            return found
    except NONSENSE:
        pass
    raise MachineError(
        f"jobs {words[0]}: the box's answer makes no sense: {result.said[:80]!r}", where=connection.host.name
    )


def _call(
    connection: Connection,
    *words: str,
    stdin: bytes | None = None,
    on_data: Callable[[bytes], None] | None = None,
    timeout_s: float | None = TIMEOUT_S,
) -> Result:
    command = f"cd ~/.gpu-box/remote 2>/dev/null || exit {_NO_CODE}; exec {PYTHON} -m jobs {quote(*words)}"
    result = connection.run(command, stdin=stdin, on_data=on_data, check=False, timeout_s=timeout_s)
    if result.exit_status == _NO_CODE:
        raise MachineError(
            "the box is not set up yet", where=connection.host.name, remedy="`gpu-box up` does it."
        )
    if result.exit_status == _REFUSED:
        raise InputError(result.said)
    if result.exit_status != 0:
        raise MachineError(f"jobs {words[0]} failed: {result.said}", where=connection.host.name)
    return result
