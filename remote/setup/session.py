"""What a step has in hand while it is applied: its log, its progress line, and commands that feed both."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Deque, Dict, Optional, Sequence

from setup.desired import LOGS

_STDOUT = threading.Lock()
_LAST_LINES = 12  # of a failed command, for the error


class Failed(Exception):
    """A step cannot go on. The text is for the user; its last lines are the command's own."""


class Session:
    """One step's run. The log ~/.gpu-box/logs/NAME.log is of the last run alone."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.log_path = LOGS / (name + ".log")
        LOGS.mkdir(parents=True, exist_ok=True)
        self._log = self.log_path.open("w", encoding="utf-8", errors="replace")

    def close(self) -> None:
        self._log.close()

    def say(self, line: str) -> None:
        """Show what is going on."""
        self.write_log(line)
        tell(self.name, "update", line)

    def note(self, line: str) -> None:
        """Say something that stays on the screen."""
        self.write_log(line)
        tell(self.name, "note", line)

    def write_log(self, line: str) -> None:
        self._log.write(time.strftime("%H:%M:%S ") + line + "\n")
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
        """Run to its end, each line into the log and (show) the progress line; returns its output.

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
        output = []
        assert process.stdout is not None
        with process.stdout:
            for raw in process.stdout:
                line = raw.decode("utf-8", "replace").rstrip()
                output.append(line)
                self.write_log(line)
                if line:
                    last.append(line)
                    if show and not line.startswith((" ", "WARNING")):  # details, for the log
                        tell(self.name, "update", line)
        status = process.wait()
        timed_out = not killer.is_alive()
        killer.cancel()
        if status != 0:
            how = "did not finish in %d s" % timeout_s if timed_out else "exit status %d" % status
            raise Failed("\n".join(["`%s`: %s" % (" ".join(command[:4]), how), *last]))
        return "\n".join(output)


def tell(step: str, event: str, line: str) -> None:
    """One event for the laptop, as a JSON line. If it has gone, the step goes on all the same."""
    try:
        with _STDOUT:
            sys.stdout.write(json.dumps({"step": step, "event": event, "line": line}) + "\n")
            sys.stdout.flush()
    except (BrokenPipeError, OSError, ValueError):
        pass
