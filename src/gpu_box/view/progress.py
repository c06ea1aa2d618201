"""Progress of steps, some of them side by side: live lines on a terminal, plain lines anywhere else."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from gpu_box.model import Reporter
from gpu_box.pace import Pace
from gpu_box.view import console

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

_REFRESH_PER_S = 8
# Without a terminal: how long a step may be silent (CI services end a job that is silent for 10 minutes).
_SILENT_S = 30.0
# Those that may hold the terminal now.
_open: list[LiveLines] = []


def make_reporter(*, silent: bool = False, cloud: str = "aws") -> Reporter:
    """silent: for --json. On standard error, so that standard output is the result alone.

    cloud: whose steps they are: what each of them took there before tells how long is left.
    """
    if silent:
        return Silent()
    if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        _open.append(LiveLines(Pace(cloud)))
        return _open[-1]
    return PlainLines(Pace(cloud))


def end() -> None:
    """Give the terminal back, cursor and all, also in the middle of a step."""
    while _open:
        _open.pop().close()


class Silent:
    def start(self, step: str, line: str = "") -> None: ...
    def update(self, step: str, line: str) -> None: ...
    def done(self, step: str, line: str = "") -> None: ...
    def failed(self, step: str, line: str = "") -> None: ...
    def note(self, line: str) -> None: ...


class PlainLines:
    """One line when a step is done or has failed, with how long it took; and every note.

    A step that goes on for long says so now and then, in its newest words.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._lock = threading.Lock()
        self._began: dict[str, float] = {}
        self._told: dict[str, float] = {}  # when each step last had a line

    def start(self, step: str, line: str = "") -> None:
        with self._lock:
            self._began[step] = self._told[step] = time.monotonic()

    def update(self, step: str, line: str) -> None:
        with self._lock:
            now = time.monotonic()
            if now - self._told.setdefault(step, now) < _SILENT_S:
                return
            self._told[step] = now
            took = now - self._began.setdefault(step, now)
            told = took_text(took) + left_text(self._pace.usual(step), took)
            print(f"{'...':>6}  {labelled(step, line)}{told}", file=sys.stderr, flush=True)

    def done(self, step: str, line: str = "") -> None:
        self._print("ok", step, line)

    def failed(self, step: str, line: str = "") -> None:
        self._print("failed", step, line)

    def note(self, line: str) -> None:
        with self._lock:
            print(f"  note  {line}", file=sys.stderr, flush=True)

    def _print(self, mark: str, step: str, line: str) -> None:
        with self._lock:
            took = time.monotonic() - self._began.pop(step, time.monotonic())
            print(f"{mark:>6}  {labelled(step, line)}{took_text(took)}", file=sys.stderr, flush=True)
            if mark == "ok":
                self._pace.note(step, took)


class _Running(NamedTuple):
    began: float
    line: str
    usual: float | None  # seconds, of earlier runs


class LiveLines:
    """Each step that runs on a line of its own, with a spinner and its newest words; done ones above."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._lock = threading.RLock()
        self._running: dict[str, _Running] = {}
        # What is drawn, whole and never changed. The thread that draws holds rich's lock while it reads this,
        # and we call rich with ours: were it to ask for ours, each could wait for the other for ever.
        self._shown: tuple[_Running, ...] = ()
        self._live: Live | None = None

    def start(self, step: str, line: str = "") -> None:
        with self._lock:
            usual = self._pace.usual(step)
            self._running[step] = _Running(time.monotonic(), labelled(step, line), usual)
            self._show()

    def update(self, step: str, line: str) -> None:
        with self._lock:
            was = self._running.get(step) or _Running(time.monotonic(), "", self._pace.usual(step))
            self._running[step] = was._replace(line=labelled(step, line))
            self._show()

    def done(self, step: str, line: str = "") -> None:
        self._pace.note(step, self._finish("[good]✓[/]", step, line))

    def failed(self, step: str, line: str = "") -> None:
        self._finish("[bad]✗[/]", step, line)

    def note(self, line: str) -> None:
        from rich.markup import escape

        with self._lock:
            console.progress().print(f"[warn]![/] {escape(line)}")

    def close(self) -> None:
        with self._lock:
            self._running.clear()
            self._show()

    def _finish(self, mark: str, step: str, line: str) -> float:
        """Seconds that it took."""
        from rich.markup import escape

        with self._lock:
            was = self._running.pop(step, _Running(time.monotonic(), step, None))
            took = time.monotonic() - was.began
            console.progress().print(
                f"{mark} {escape(labelled(step, line) if line else was.line)}[quiet]{took_text(took)}[/]"
            )
            self._show()
            return took

    def _show(self) -> None:
        from rich.live import Live

        self._shown = tuple(self._running.values())
        if self._running and self._live is None:
            self._live = Live(
                console=console.progress(),
                get_renderable=self._draw,
                refresh_per_second=_REFRESH_PER_S,
                transient=True,
            )
            self._live.start()
        elif not self._running and self._live is not None:
            # Ended, not left idle: what runs next may want the terminal for itself (ssh, a question).
            self._live.stop()
            self._live = None

    def _draw(self) -> Table:
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 1, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column()  # the one that gives way
        table.add_column(no_wrap=True, style="quiet")
        for step in self._shown:
            # A phase that depends on the clock alone: the table is drawn anew each time.
            spinner = Spinner("dots").render(time.monotonic())
            words = Text(step.line, no_wrap=True, overflow="ellipsis")
            took = time.monotonic() - step.began
            table.add_row(spinner, words, (took_text(took) + left_text(step.usual, took)).strip())
        return table


def labelled(step: str, line: str) -> str:
    """The line, with its step's name before it unless it begins with that anyway."""
    if not line:
        return step
    return line if line.lower().startswith(step.lower()) else f"{step}: {line}"


def left_text(usual: float | None, took: float) -> str:
    """ ", about 40 s left"; nothing where it is not known, or longer than usual already."""
    if usual is None or usual - took < 1:
        return ""
    left = usual - took
    return f", about {left:.0f} s left" if left < 60 else f", about {left / 60:.0f} min left"


def took_text(seconds: float) -> str:
    """ "  3.2 s"; nothing for what was done in a blink."""
    if seconds < 0.1:
        return ""
    return f"  {seconds:.1f} s" if seconds < 60 else f"  {seconds // 60:.0f} min {seconds % 60:02.0f} s"
