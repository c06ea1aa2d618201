"""A step's tools during apply: its log, its progress line, and commands that write to both."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Deque, Dict, Iterator, List, Optional, Sequence

from setup import addresses, variables
from setup.desired import LOGS

_STDOUT = threading.Lock()
_records: List[int] = []
_LAST_LINES = 12  # of a failed command, for the error
_MOST_IN_FAILURE, _MOST_IN_LINE = 1000, 400  # characters; the first as in src/gpu_box/model/answer.py


class Failed(Exception):
    """A step failed. The text is for the user; its last lines are the command's output."""


class Session:
    """One step's run. ~/.gpu-box/logs/NAME.log holds the log of the last run only."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.log_path = LOGS / (name + ".log")
        LOGS.mkdir(parents=True, exist_ok=True)
        self._log = self.log_path.open("w", encoding="utf-8", errors="replace")

    def close(self) -> None:
        self._log.close()

    def say(self, line: str) -> None:
        """Update the progress line."""
        self.write_log(line)
        tell(self.name, "update", line)

    def note(self, line: str) -> None:
        """Print a line that stays on the screen."""
        self.write_log(line)
        tell(self.name, "note", line)

    def write_log(self, line: str) -> None:
        self._log.write(time.strftime("%H:%M:%S ") + addresses.without_logins(line) + "\n")
        self._log.flush()

    def run(
        self,
        command: Sequence[str],
        *,
        env: Optional[Dict[str, str]] = None,
        cwd: Optional[Path] = None,
        timeout_s: float = 3600,
        show: bool = True,
    ) -> str:
        """Run a command and return its output; each line goes to the log and, with show, to the progress
        line.

        Raises Failed for an exit status other than 0, a missing program, or after timeout_s seconds.
        """
        self.write_log("$ " + " ".join(command))
        try:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(os.environ, **(env or {})),
                cwd=str(cwd) if cwd else None,
                start_new_session=True,
            )
        except OSError as error:
            raise Failed("%s: %s" % (command[0], error.strerror)) from None
        killer = threading.Timer(timeout_s, process.kill)
        killer.daemon = True
        killer.start()
        last: Deque[str] = deque(maxlen=_LAST_LINES)
        output: List[str] = []
        masked = variables.mask()
        assert process.stdout is not None
        with process.stdout:
            for raw in process.stdout:
                output.append(raw.decode("utf-8", "replace").rstrip())
                line = masked(output[-1])
                self.write_log(line)
                if line:
                    last.append(line)
                    if show and not line.startswith((" ", "WARNING")):  # details go only to the log
                        tell(self.name, "update", line)
        status = process.wait()
        timed_out = not killer.is_alive()
        killer.cancel()
        if status != 0:
            how = "did not finish in %d s" % timeout_s if timed_out else "exit status %d" % status
            raise Failed("\n".join(["`%s`: %s" % (" ".join(command[:4]), how), *last]))
        return "\n".join(output)


def shortened(text: str) -> str:
    """The first line and as many of the last as the laptop shows: it cuts a text at the end."""
    head, *lines = [
        line if len(line) <= _MOST_IN_LINE else line[: _MOST_IN_LINE - 3] + "..."
        for line in text.splitlines()
    ] or [""]
    while len("\n".join([head, *lines])) > _MOST_IN_FAILURE and len(lines) > 1:
        lines = lines[1:]
    return "\n".join([head, *lines])


@contextlib.contextmanager
def recorded(file: int) -> Iterator[None]:
    """Also append events to this open file, for another `up` that follows this one."""
    with _STDOUT:
        _records.append(file)
    try:
        yield
    finally:
        with _STDOUT:
            _records.remove(file)


def tell(step: str, event: str, line: str) -> None:
    """Send one event to the laptop as a JSON line. Ignores a lost connection, and a full disk."""
    text = json.dumps({"step": step, "event": event, "line": addresses.without_logins(line)}) + "\n"
    with _STDOUT:
        for file in _records:
            with contextlib.suppress(OSError):
                os.write(file, text.encode())
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.write(text)
            sys.stdout.flush()
