"""Jobs on the box that outlive the laptop: start, list, follow, cancel. remote/jobs keeps them."""

from __future__ import annotations

import codecs
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from gpu_box.errors import InputError, MachineError, MachineUnreachable
from gpu_box.machine.ssh.connection import TIMEOUT_S, Connection, Result, connect
from gpu_box.machine.ssh.errors import not_set_up
from gpu_box.machine.ssh.shell import NO_CODE, remote_module
from gpu_box.model.answer import Fields, Malformed, as_list, read_json, read_object
from gpu_box.model.job import LAST_STATUS, Cancelled, JobState, Queue, known_state, parse_job
from gpu_box.model.machine import Host
from gpu_box.units import format_bytes

_LONGEST_BYTES = 1_000_000  # of a command: remote/jobs/job.py reads 1 MiB
_REFUSED = 3  # exit status of remote/jobs for an impossible request
_PATIENCE_S = 300.0  # for a lost link to return while a log is followed
_LONGEST_PAUSE_S = 10.0
_MISSING = re.compile(
    rb"\[gpu-box\] [0-9.]+ MB of this log are missing here \(bytes ([0-9]{1,15}) to ([0-9]{1,15})\)"
)
_LONGEST_MISSING = 120  # bytes of such a line


def start(
    connection: Connection,
    name: str,
    command: str,
    *,
    cwd: str = "~/work",
    again: str = "",
    queue: Queue | None = None,
    then_stop: bool = False,
    pull: Sequence[str] = (),
    check: bool = False,
) -> tuple[str, tuple[str, ...]]:
    """Start a command line of the machine's shell as the job `name`; return once it runs or waits.

    again: the command line after a spot interruption, if it differs. then_stop: the box stops itself when no
    job runs or waits any more. pull: patterns of files to copy here. check: only refuse what cannot start.
    Raises InputError if a job of that name runs or waits, for an invalid name, a missing folder, and more
    GPUs than the box has.

    Returns its name and the jobs that it waits for.
    """
    size = len(os.fsencode(command))
    if size > _LONGEST_BYTES:
        raise InputError(
            f"the command is {format_bytes(size)} long; at most {format_bytes(_LONGEST_BYTES)} are possible",
            remedy="Put it into a script in your project, `gpu-box sync`, and run that.",
        )
    asked: dict[str, Any] = {"name": name, "command": command, "cwd": cwd}
    asked |= {"again": again} if again else {}
    asked |= {"queued": True, "gpus": queue.gpus, "number": queue.number} if queue else {}
    asked |= {"then_stop": True} if then_stop else {}
    asked |= {"pull": list(pull)} if pull else {}
    asked |= {"check": True} if check else {}
    said = _call(connection, "start", stdin=json.dumps(asked).encode())
    if not said.stdout.strip():  # an older copy of remote/
        return name, ()
    try:
        fields = read_object(said.stdout)
        return fields.text("name"), fields.texts("behind")
    except ValueError:
        raise _invalid(connection, "start", said) from None


def list_jobs(connection: Connection, *, gpus: bool = False) -> list[JobState]:
    """Every job of this disk, the oldest first; then those that wait, in their order.

    gpus: also on which GPUs those compute that were given none, which takes longer.
    """
    now = datetime.now(UTC)
    states = [
        state
        for each in _list(connection, "list", *(["gpus"] if gpus else []))
        if (state := parse_job(each, now))
    ]
    waiting = [state for state in states if state.started is None]
    begun = [(state.started, state.name, state) for state in states if state.started]
    return [state for *_, state in sorted(begun, key=lambda one: one[:2])] + waiting


def cancel(connection: Connection, name: str) -> Cancelled:
    """End the job and its processes (SIGTERM, SIGKILL after 10 s). A job that has ended is fine."""
    said = _call(connection, "cancel", name)
    try:
        fields = read_object(said.stdout)
        status = fields.whole_or_none("exit_status", most=LAST_STATUS)
        return Cancelled(
            job=name,
            was=known_state(fields.text("was"), status),
            exit_status=status,
            left=fields.whole("left"),
        )
    except ValueError:
        raise _invalid(connection, "cancel", said) from None


def resume(connection: Connection, *, launched: datetime) -> dict[str, str]:
    """Restart the jobs that a spot interruption ended before this launch of the machine (aware).

    Returns for each name "", or why it cannot be restarted.
    """
    resumed = {}
    for each in _list(connection, "resume", f"{launched.timestamp():.0f}"):
        with suppress(Malformed):
            fields = Fields(each)
            resumed[fields.text("name")] = fields.text("problem")
    return resumed


def follow(
    host: Host,
    name: str,
    on_text: Callable[[str], None],
    *,
    on_lost: Callable[[str], None] | None = None,
    patience_s: float = _PATIENCE_S,
) -> int:
    """Pass the job's log from its beginning to on_text as it arrives; return the job's exit status.

    The box keeps the first and last part of a long log; a line says how much is missing between them. A lost
    connection is restored, and the log continues at the same byte; on_lost is called with the reason. Raises
    MachineUnreachable if the link stays lost for patience_s seconds.
    """
    decoder, place = codecs.getincrementaldecoder("utf-8")(errors="replace"), _Place()
    lost_at: float | None = None
    pause_s = 0.5

    def take(piece: bytes) -> None:
        nonlocal lost_at, pause_s
        place.take(piece)
        lost_at, pause_s = None, 0.5
        on_text(decoder.decode(piece))

    while True:
        try:
            with connect(host) as connection:
                result = _call(connection, "follow", name, str(place.at), on_data=take, timeout_s=None)
        except MachineUnreachable as lost:
            lost_at = lost_at or time.monotonic()
            if time.monotonic() - lost_at > patience_s:
                raise
            if on_lost:
                on_lost(lost.what)
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            continue
        if rest := decoder.decode(b"", final=True):
            on_text(rest)
        status = _ending(host, name, result)
        if status is None:
            raise MachineError(f"the log of job {name} ended: {result.said}", where=host.name)
        return status


def read_log(connection: Connection, name: str, on_text: Callable[[str], None]) -> int | None:
    """The job's log as it is now, to on_text; its exit status, None while it runs."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    result = _call(
        connection, "show", name, on_data=lambda piece: on_text(decoder.decode(piece)), timeout_s=None
    )
    if rest := decoder.decode(b"", final=True):
        on_text(rest)
    return _ending(connection.host, name, result)


def _ending(host: Host, name: str, result: Result) -> int | None:
    """The exit status on the last line of standard error; None for a job that runs."""
    try:
        answer = read_object(result.stderr.rstrip("\n").rpartition("\n")[2])
        return answer.whole_or_none("exit", most=LAST_STATUS)
    except ValueError:
        raise MachineError(f"the log of job {name} ended: {result.said}", where=host.name) from None


class _Place:
    """The position of the next byte in the box's log, which may have a hole (remote/jobs/log.py)."""

    def __init__(self) -> None:
        self.at = 0
        self._line_at = 0  # where the current line began
        self._line = b""  # its first _LONGEST_MISSING bytes

    def take(self, piece: bytes) -> None:
        *ended, rest = piece.split(b"\n")
        for part in ended:
            self._add(part)
            self.at += 1
            hole = _MISSING.fullmatch(self._line)
            # A similar line written by the job itself does not name its own position.
            if hole and int(hole[1]) == self._line_at:
                self.at = int(hole[2])
            self._line_at, self._line = self.at, b""
        self._add(rest)

    def _add(self, part: bytes) -> None:
        self.at += len(part)
        self._line += part[: _LONGEST_MISSING - len(self._line)]


def _list(connection: Connection, *words: str) -> list[Any]:
    said = _call(connection, *words)
    try:
        return as_list(read_json(said.stdout))
    except ValueError:
        raise _invalid(connection, words[0], said) from None


def _invalid(connection: Connection, asked: str, said: Result) -> MachineError:
    return MachineError(
        f"jobs {asked}: invalid answer from the box: {said.said[:80]!r}",
        where=connection.host.name,
        remedy="Look at the box (`gpu-box ssh`); `gpu-box up` restores its own code.",
    )


def _call(
    connection: Connection,
    *words: str,
    stdin: bytes = b"",
    on_data: Callable[[bytes], None] | None = None,
    timeout_s: float | None = TIMEOUT_S,
) -> Result:
    command = remote_module("jobs", *words)
    result = connection.run(command, stdin=stdin, on_data=on_data, check=False, timeout_s=timeout_s)
    if result.exit_status == NO_CODE:
        raise not_set_up(connection.host)
    refused = result.exit_status == _REFUSED and result.said.startswith("usage:")
    if refused or "unexpected keyword argument" in result.said:
        raise MachineError(
            f"the box has an older version of gpu-box, which cannot do this (jobs {words[0]})",
            where=connection.host.name,
            remedy="`gpu-box up` updates it; running jobs go on.",
        )
    if result.exit_status == _REFUSED:
        raise InputError(result.said)
    if result.exit_status != 0:
        raise MachineError(f"jobs {words[0]} failed: {result.said}", where=connection.host.name)
    return result
