"""2,000 malformed answers to each question that the laptop asks a box.

Each is a value, or one MachineError of one line that names the box; and nothing that is then drawn moves a
terminal's cursor, sets a style, or cannot be printed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from rich.console import RenderableType

from gpu_box.aws.console import find_record
from gpu_box.errors import MachineError
from gpu_box.machine import jobs, setup, watcher
from gpu_box.machine.files import listing
from gpu_box.machine.setup import Desired
from gpu_box.machine.ssh.connection import Result
from gpu_box.model.answer import read_object
from gpu_box.model.machine import JupyterState, MachineState
from gpu_box.model.results import StatusView
from gpu_box.view import console
from gpu_box.view.json import dumps
from gpu_box.view.panel import Panel
from gpu_box.view.progress import PlainLines
from gpu_box.view.status import status_lines
from gpu_box.view.training import JobLog, _parse
from gpu_box.view.why import why_lines
from tests.hostile.malformed import mutations
from tests.paths import REMOTE

COUNT = 2000
NOW = 1.8e9
RECORD = {
    "layer": "watcher", "reason": "idle 30 min", "wall": NOW, "signals": {"gpu": "gpu 0 %"},
    "last_used": {"what": "kernel", "wall": NOW - 60},
}  # fmt: skip
KERNEL = {"name": "a.ipynb", "state": "busy", "cores": 0.9, "gpu": True}
WATCH = {
    "verdict": {"state": "idle", "reason": "idle for 3 min", "stops_in": 1620.0, "cause": "idle"},
    "signals": {
        "gpu": {"text": "gpu 0 %", "quiet": 12.0, "held": False, "reading": [0.0]},
        "jupyter": {"text": "1 kernel", "quiet": None, "held": True, "reading": {"kernels": [KERNEL]}},
        "job": {"text": "1 job", "quiet": 0.5, "held": False, "reading": [{"name": "train", "cores": 2.0}]},
    },
    "layers": {"fuse": {"armed": True, "detail": "active"}, "guard": {"armed": False, "detail": "dead"}},
    "stopped": RECORD, "complaints": ["policy.json: no number"], "deadline": NOW + 3600,
}  # fmt: skip
JOBS = [
    {"name": "train", "command": "python train.py\n", "started": "2026-11-23T14:02:11Z", "exit_status": 0,
     "ended": "2026-11-23T15:02:11Z", "state": "done", "queued": True, "gpus": [0, 1]},
    {"name": "next", "command": "true", "started": "", "exit_status": None, "ended": "", "state": "waiting",
     "queued": True, "gpus": []},
]  # fmt: skip
STATE = {
    "steps": [{"name": "driver", "status": "needed", "line": "no driver"}], "mirror": "abc", "gpu": "T4",
    "jupyter": {"port": 8888, "answering": True}, "scratch_lost": 5, "project": "x", "reboot": "",
    "watch": WATCH, "jobs": JOBS,
    "health": {"disk": {"size": 9, "free": 5, "files": 9, "files_free": 9},
               "card": {"kernel": "6.8", "module": True, "exit": 0, "said": "ok"}},
}  # fmt: skip
LOOK = {
    "at": NOW, "status": WATCH, "cores": 4, "load": 1.5, "memory": [1e9, 4e9],
    "gpus": [{"name": "Tesla T4", "percent": 98.0, "memory": [1e9, 16e9], "celsius": 60.0}],
}  # fmt: skip
CHANGES = {
    "changes": [
        {"wall": NOW, "event": "boot"},
        {"wall": NOW, "state": "idle", "stop": True, "reason": "idle", "stops_in": 5, "signals": {}},
    ],
    "stopped": RECORD,
}  # fmt: skip
ACTIVITY = {
    "spans": [[NOW, NOW + 60, "active", ["gpu"]]], "gpu": [[NOW, 50.0]], "cpu": [[NOW, 1.5]],
    "stops": [[NOW, "idle"]],
}  # fmt: skip
EVENT = {"step": "driver", "event": "failed", "line": "no\nlines"}
SERVED = {"folder": "/home/u", "rsync": True, "single": False, "free": 9, "deleted": 0, "sends": True}
PROGRESS = {
    "phase": "fit", "epoch": 1, "epochs": 5, "step": 3, "steps": 12, "loss": 0.3, "accuracy": 0.9,
    "images_per_s": 5.0, "dollars": 0.1,
}  # fmt: skip


@dataclass
class Named:
    name: str = "box"


@dataclass
class Box:
    """Stands for the connection to a box that gives one answer to everything."""

    said: str
    host: Named = field(default_factory=Named)

    def run(self, command: str, **options: Any) -> Result:
        if on_data := options.get("on_data"):
            on_data(self.said.encode())
        return Result.of(0, self.said.encode(), self.said.encode())


def state(box: Any) -> None:
    found = setup.read_answer(setup.question(Desired(remote=REMOTE)), box.run(""), "box")
    assert found.needs_work in (True, False)
    show(status_lines(view_of(found)))


def look(box: Any) -> None:
    try:
        found = watcher.parse_reading(read_object(box.said))
    except ValueError:
        return
    view = view_of(MachineState(steps=(), jupyter=NO_JUPYTER, mirror_current=True, gpu=""))
    show(Panel(view=view, reading=found, trouble="", clock=lambda: datetime.fromtimestamp(NOW, UTC)))


def why(box: Any) -> None:
    changes, stopped = watcher.history(box)
    show(why_lines("box", "running", stopped=stopped, watch=None, changes=changes))


def activity(box: Any) -> None:
    try:
        check(repr(watcher.parse_activity(watcher.ask_activity(box))))
    except ValueError as error:
        check(str(error))


def list_jobs(box: Any) -> None:
    check(dumps(jobs.list_jobs(box)))


def set_up(box: Any) -> None:
    events = setup._Events(PlainLines())
    events.take(box.said)
    if events.failed:
        raise events.failed[0]


def progress(box: Any) -> None:
    with JobLog() as log:
        if parsed := _parse("@progress " + box.said):
            log._draw(parsed)


NO_JUPYTER = JupyterState(port=None, answering=False)
QUESTIONS: dict[str, tuple[Any, Callable[[Any], object]]] = {
    "state": (STATE, state),
    "look": (LOOK, look),
    "why": (CHANGES, why),
    "activity": (ACTIVITY, activity),
    "jobs": (JOBS, list_jobs),
    "cancel": ({"was": "running", "exit_status": 143, "left": 0}, lambda box: jobs.cancel(box, "x")),
    "resume": ([{"name": "a", "problem": ""}], lambda box: jobs.resume(box, launched=datetime.now(UTC))),
    "console": (RECORD, lambda box: check(repr(find_record(f"gpu-box-stopped {box.said}")))),
    "set-up": (EVENT, set_up),
    "files": (SERVED, lambda box: listing.ask(box, ["list", "x"])),
    "progress": (PROGRESS, progress),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_malformed_answer_is_one_clear_line(question: str, capsys: pytest.CaptureFixture[str]) -> None:
    right, ask = QUESTIONS[question]
    said = ""
    try:
        for said in mutations(right, count=COUNT):
            try:
                ask(Box(said))
            except MachineError as error:
                assert "\n" not in str(error)
                assert len(str(error)) < 3000
                check(str(error))
    except Exception as error:
        error.add_note(f"the box's answer: {ascii(said)[:2000]}")
        raise
    check("".join(capsys.readouterr()))


_drawn = 0


def view_of(state: MachineState) -> StatusView:
    return StatusView(
        box="box", state="running", region="us-east-1", instance="i-1", type="t", zone="z", address="1",
        watch=state.watch, gpu=state.gpu, scratch_lost=state.scratch_lost, jobs=state.jobs, steps=state.steps,
        notices=state.watch.complaints if state.watch else (), observed=None,  # type: ignore[arg-type]
    )  # fmt: skip


def show(drawn: RenderableType) -> None:
    """Every fourth: to draw takes twenty times as long as to decode."""
    global _drawn
    _drawn += 1
    if _drawn % 4:
        return
    ours = console._console(stderr=False)
    ours.file, ours.width, ours.soft_wrap = StringIO(), 80, False  # as on a terminal
    ours.print(drawn)
    check(ours.file.getvalue())


OBEYED = {
    chr(number)
    for begin, end in (
        (0x00, 0x0A), (0x0B, 0x20), (0x7F, 0xA0), (0x61C, 0x61D), (0x200E, 0x2010), (0x2028, 0x202F),
        (0x2066, 0x206A), (0xE0000, 0xE0080),
    )
    for number in range(begin, end)
}  # fmt: skip


def check(text: str) -> None:
    text.encode()
    assert not OBEYED & set(text), ascii(text)
