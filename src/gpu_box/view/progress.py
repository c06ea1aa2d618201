"""Progress of steps, some of them side by side: live lines on a terminal, plain lines anywhere else."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from gpu_box.model.progress import Reporter
from gpu_box.view import console

if TYPE_CHECKING:
    from rich.live import Live
    from rich.status import Status
    from rich.table import Table

    from gpu_box.store.timings import Pace

_REFRESH_PER_S = 8
# Without a terminal: how long a step may be silent (CI services end a job that is silent for 10 minutes).
_SILENT_S = 30.0
# Those that may hold the terminal now.
_open: list[LiveLines] = []
_PATIENCE_S = 0.5  # what is shorter needs no sign
_lock = threading.Lock()
_timer: threading.Timer | None = None
_status: Status | None = None


def make_reporter(*, silent: bool = False, pace: Pace | None = None) -> Reporter:
    """silent: for --json. On standard error, so that standard output is the result alone.

    pace: told of each step, and asked how long the rest takes.
    """
    if silent:
        report: Reporter = Silent()
    elif sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        report = LiveLines(pace)
        _open.append(report)
    else:
        report = PlainLines()
    return Paced(report, pace) if pace else report


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


class Paced:
    """Tells the pace what is done, and another reporter everything."""

    def __init__(self, report: Reporter, pace: Pace) -> None:
        self._pace = pace
        self.start, self.update, self.note = report.start, report.update, report.note
        self.failed, self._done = report.failed, report.done

    def done(self, step: str, line: str = "") -> None:
        self._pace.done(step, time.monotonic())
        self._done(step, line)


class PlainLines:
    """One line when a step is done or has failed, with how long it took; and every note.

    A step that goes on for long says so now and then, in its newest words.
    """

    def __init__(self) -> None:
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
            took = took_text(now - self._began.setdefault(step, now))
            print(f"{'...':>6}  {labelled(step, line)}{took}", file=sys.stderr, flush=True)

    def done(self, step: str, line: str = "") -> None:
        self._print("ok", step, line)

    def failed(self, step: str, line: str = "") -> None:
        self._print("failed", step, line)

    def note(self, line: str) -> None:
        with self._lock:
            print(f"  note  {line}", file=sys.stderr, flush=True)

    def _print(self, mark: str, step: str, line: str) -> None:
        with self._lock:
            took = took_text(time.monotonic() - self._began.pop(step, time.monotonic()))
            print(f"{mark:>6}  {labelled(step, line)}{took}", file=sys.stderr, flush=True)


class LiveLines:
    """Each step that runs on a line of its own, with a spinner and its newest words; done ones above."""

    def __init__(self, pace: Pace | None = None) -> None:
        self._lock = threading.RLock()
        self._pace = pace
        self._running: dict[str, tuple[float, str]] = {}
        # What is drawn, whole and never changed. The thread that draws holds rich's lock while it reads this,
        # and we call rich with ours: were it to ask for ours, each could wait for the other for ever.
        self._shown: tuple[tuple[float, str], ...] = ()
        self._live: Live | None = None

    def start(self, step: str, line: str = "") -> None:
        over()
        with self._lock:
            self._running[step] = (time.monotonic(), labelled(step, line))
            self._show()

    def update(self, step: str, line: str) -> None:
        with self._lock:
            began, _ = self._running.get(step, (time.monotonic(), ""))
            self._running[step] = (began, labelled(step, line))
            self._show()

    def done(self, step: str, line: str = "") -> None:
        self._finish("[good]✓[/]", step, line)

    def failed(self, step: str, line: str = "") -> None:
        self._finish("[bad]✗[/]", step, line)

    def note(self, line: str) -> None:
        from rich.markup import escape

        over()
        with self._lock:
            console.progress().print(console.marked("[warn]![/]", escape(line)))

    def close(self) -> None:
        with self._lock:
            self._running.clear()
            self._show()

    def _finish(self, mark: str, step: str, line: str) -> None:
        from rich.markup import escape

        over()
        with self._lock:
            began, last = self._running.pop(step, (time.monotonic(), step))
            took = took_text(time.monotonic() - began)
            told = escape(labelled(step, line) if line else last)
            console.progress().print(console.marked(mark, f"{told}[quiet]{took}[/]"))
            self._show()
            if not self._running:
                begin("looking at what is there now")

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
        for began, line in self._shown:
            # A phase that depends on the clock alone: the table is drawn anew each time.
            spinner = Spinner("dots").render(time.monotonic())
            words = Text(line, no_wrap=True, overflow="ellipsis")
            table.add_row(spinner, words, took_text(time.monotonic() - began).strip())
        left = self._pace.left(time.monotonic()) if self._pace else None
        if left is not None:
            table.add_row("", Text(left_text(left), style="quiet", no_wrap=True, overflow="ellipsis"), "")
        return table


def labelled(step: str, line: str) -> str:
    """The line, with its step's name before it unless it begins with that anyway."""
    if not line:
        return step
    return line if line.lower().startswith(step.lower()) else f"{step}: {line}"


def left_text(seconds: float) -> str:
    """Rounded, as it is no more than what it was the last time."""
    if seconds < 1:
        return "longer than the last time"
    if seconds < 90:
        return f"about {max(5, 5 * round(seconds / 5))} s left, by the last time"
    return f"about {round(seconds / 60)} min left, by the last time"


def took_text(seconds: float) -> str:
    """ "  3.2 s"; nothing for what was done in a blink."""
    if seconds < 0.1:
        return ""
    return f"  {seconds:.1f} s" if seconds < 60 else f"  {seconds // 60:.0f} min {seconds % 60:02.0f} s"


def begin(line: str) -> None:
    """Show the line with a spinner until `over`; another line replaces it."""
    global _timer
    if not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return
    over()
    with _lock:
        _timer = threading.Timer(_PATIENCE_S, _show, [line])
        _timer.daemon = True
        _timer.start()


def over() -> None:
    """The terminal is somebody else's from here on."""
    global _timer, _status
    with _lock:
        if _timer:
            _timer.cancel()
        if _status:
            _status.stop()
        _timer = _status = None


def _show(line: str) -> None:
    global _status
    from rich.markup import escape

    with _lock:
        if _timer is threading.current_thread():  # not over by now
            _status = console.progress().status(f"[quiet]{escape(line)}[/]", spinner_style="quiet")
            _status.start()
