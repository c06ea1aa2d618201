"""`up` on a machine whose set-up waits for a reboot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gpu_box.box import project, up
from gpu_box.config.model import Sync
from gpu_box.machine import reboot, setup
from gpu_box.machine.ssh.connection import Connection, connect
from gpu_box.model.machine import JupyterState, MachineState, StepState

from ..aws.conftest import Laptop


def machine(why: str) -> MachineState:
    step = StepState(name="driver", status="needed" if why else "done", line="driver")
    jupyter = JupyterState(port=None, answering=False)
    return MachineState(steps=(step,), jupyter=jupyter, mirror_current=True, gpu="", reboot=why)


@pytest.mark.parametrize("lasts", [False, True])
@pytest.mark.parametrize("work_runs", [False, True])
def test_up_reboots_once_and_goes_on_even_if_the_box_asks_again(
    lasts: bool,
    work_runs: bool,
    laptop: Callable[..., Laptop],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = tmp_path / "project"
    source.mkdir()
    mine = laptop(path=source / "config.yaml", sync=Sync(source=source))
    happened: list[str] = []
    opened: list[Connection] = []

    def state() -> MachineState:
        return machine("" if "reboot" in happened and not lasts else "module for kernel 7")

    def apply(connection: Connection, *_: object) -> MachineState:
        assert connection.run("echo yes").stdout == "yes\n"
        happened.append("apply")
        return state()

    def restart(connection: Connection, why: str, report: object) -> Connection | None:
        happened.append("reboot")
        if work_runs:
            return None
        connection.close()
        opened.append(connect(connection.host))
        return opened[0]

    monkeypatch.setattr(project, "changed_since", lambda config, fingerprint: None)
    monkeypatch.setattr(setup, "check", lambda connection, desired: state())
    monkeypatch.setattr(setup, "apply", apply)
    monkeypatch.setattr(setup, "apply_project", lambda *_: None)
    monkeypatch.setattr(reboot, "reboot", restart)
    assert up.up(mine.cloud, mine.report).changed
    assert happened == (["apply", "reboot"] if work_runs else ["apply", "reboot", "apply"])
    assert not any(connection.alive for connection in opened), "closed at the end"
