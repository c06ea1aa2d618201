"""Progress of steps, some of them parallel: live lines on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from gpu_box.errors import printable
from gpu_box.model.progress import Reporter
from gpu_box.view import console, hints

if TYPE_CHECKING:
    from rich.live import Live
    from rich.status import Status
    from rich.table import Table

    from gpu_box.store.timings import Estimate

_REFRESH_PER_S = 8
# Without a terminal: the longest silence of a step. CI services end a job that is silent for 10 minutes.
_SILENT_S = 30.0
# Reporters that may be drawing now.
_open: list[LiveLines] = []
_DELAY_S = 0.5  # a shorter wait shows no status line
_lock = threading.Lock()
_timer: threading.Timer | None = None
_status: Status | None = None


def make_reporter(*, silent: bool = False, estimate: Estimate | None = None) -> Reporter:
    """A reporter on standard error, so that standard output holds only the result.

    silent: for --json. estimate: records each step and predicts the time left.
    """
    if silent:
        report: Reporter = Silent()
    elif sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        report = LiveLines(estimate)
        _open.append(report)
    else:
        report = PlainLines()
    return TimedReporter(report, estimate) if estimate else report


def close() -> None:
    """Give the terminal back, with its cursor, also in the middle of a step."""
    while _open:
        _open.pop().close()


class Silent:
    def start(self, step: str, line: str = "") -> None: ...
    def update(self, step: str, line: str) -> None: ...
    def done(self, step: str, line: str = "") -> None: ...
    def failed(self, step: str, line: str = "") -> None: ...
    def note(self, line: str) -> None: ...


class TimedReporter:
    """Records in the estimate when each step is done, and passes everything on to another reporter."""

    def __init__(self, report: Reporter, estimate: Estimate) -> None:
        self._estimate = estimate
        self.start, self.update, self.note = report.start, report.update, report.note
        self.failed, self._done = report.failed, report.done

    def done(self, step: str, line: str = "") -> None:
        self._estimate.done(step, time.monotonic())
        self._done(step, line)


class PlainLines:
    """One line when a step is done or has failed, with its duration; and every note.

    A long step prints its latest line now and then.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began: dict[str, float] = {}
        self._printed: dict[str, float] = {}  # when each step last printed a line

    def start(self, step: str, line: str = "") -> None:
        with self._lock:
            self._began[step] = self._printed[step] = time.monotonic()

    def update(self, step: str, line: str) -> None:
        with self._lock:
            now = time.monotonic()
            if now - self._printed.setdefault(step, now) < _SILENT_S:
                return
            self._printed[step] = now
            took = format_took(now - self._began.setdefault(step, now))
            _print_line(f"{'...':>6}  {with_step(step, line)}{took}")

    def done(self, step: str, line: str = "") -> None:
        self._print("ok", step, line)

    def failed(self, step: str, line: str = "") -> None:
        self._print("failed", step, line)

    def note(self, line: str) -> None:
        with self._lock:
            _print_line(f"  note  {hints.complete(line)}")

    def _print(self, mark: str, step: str, line: str) -> None:
        with self._lock:
            took = format_took(time.monotonic() - self._began.pop(step, time.monotonic()))
            _print_line(f"{mark:>6}  {with_step(step, line)}{took}")


def _print_line(line: str) -> None:
    with console.reader():
        print(printable(line), file=sys.stderr, flush=True)


class LiveLines:
    """A line with a spinner for each running step; finished steps above them."""

    def __init__(self, estimate: Estimate | None = None) -> None:
        self._lock = threading.RLock()
        self._estimate = estimate
        self._running: dict[str, tuple[float, str]] = {}
        # An immutable copy for drawing. The drawing thread holds rich's lock; if it also took ours, it could
        # deadlock with a call that holds ours and waits for rich's.
        self._shown: tuple[tuple[float, str], ...] = ()
        self._live: Live | None = None

    def start(self, step: str, line: str = "") -> None:
        clear_status()
        with self._lock:
            self._running[step] = (time.monotonic(), with_step(step, line))
            self._show()

    def update(self, step: str, line: str) -> None:
        with self._lock:
            began, _ = self._running.get(step, (time.monotonic(), ""))
            self._running[step] = (began, with_step(step, line))
            self._show()

    def done(self, step: str, line: str = "") -> None:
        self._finish("[good]✓[/]", step, line)

    def failed(self, step: str, line: str = "") -> None:
        self._finish("[bad]✗[/]", step, line)

    def note(self, line: str) -> None:
        from rich.markup import escape

        clear_status()
        with self._lock:
            console.progress().print(console.marked("[warn]![/]", escape(hints.complete(line))))

    def close(self) -> None:
        with self._lock:
            self._running.clear()
            self._show()

    def _finish(self, mark: str, step: str, line: str) -> None:
        from rich.markup import escape

        clear_status()
        with self._lock:
            began, last = self._running.pop(step, (time.monotonic(), step))
            took = format_took(time.monotonic() - began)
            text = escape(with_step(step, line) if line else last)
            console.progress().print(console.marked(mark, f"{text}[quiet]{took}[/]"))
            self._show()
            if not self._running:
                show_status("checking the current state")

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
            # Stopped, not idle: ssh or a question may need the terminal next.
            self._live.stop()
            self._live = None

    def _draw(self) -> Table:
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 1, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column()  # shrinks on a narrow terminal
        table.add_column(no_wrap=True, style="quiet")
        for began, line in self._shown:
            # The frame depends on the clock only, because the table is built anew each time.
            spinner = Spinner("dots").render(time.monotonic())
            words = Text(line, no_wrap=True, overflow="ellipsis")
            table.add_row(spinner, words, format_took(time.monotonic() - began).strip())
        left = self._estimate.left(time.monotonic()) if self._estimate else None
        if left is not None:
            table.add_row("", Text(format_left(left), style="quiet", no_wrap=True, overflow="ellipsis"), "")
        return table


def with_step(step: str, line: str) -> str:
    """The line, prefixed with its step's name unless it already begins with it."""
    line = hints.complete(line)
    if not line:
        return step
    return line if line.lower().startswith(step.lower()) else f"{step}: {line}"


def format_left(seconds: float) -> str:
    """Rounded, because it is only an estimate."""
    if seconds < 1:
        return "taking longer than before"
    if seconds < 90:
        return f"about {max(5, 5 * round(seconds / 5))} s left (from earlier runs)"
    return f"about {round(seconds / 60)} min left (from earlier runs)"


def format_took(seconds: float) -> str:
    """ "  3.2 s", or "" for less than 0.1 s."""
    if seconds < 0.1:
        return ""
    return f"  {seconds:.1f} s" if seconds < 60 else f"  {seconds // 60:.0f} min {seconds % 60:02.0f} s"


def show_status(line: str) -> None:
    """Show the line with a spinner, after half a second, until `clear_status` or another line."""
    global _timer
    if not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return
    clear_status()
    with _lock:
        _timer = threading.Timer(_DELAY_S, _show_now, [line])
        _timer.daemon = True
        _timer.start()


def clear_status() -> None:
    """Remove the status line: the terminal is needed for something else."""
    global _timer, _status
    with _lock:
        if _timer:
            _timer.cancel()
        if _status:
            _status.stop()
        _timer = _status = None


def _show_now(line: str) -> None:
    global _status
    from rich.markup import escape

    with _lock:
        if _timer is threading.current_thread():  # not cleared meanwhile
            _status = console.progress().status(f"[quiet]{escape(line)}[/]", spinner_style="quiet")
            _status.start()
