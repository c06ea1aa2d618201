"""When notebooks and jobs keep a box awake, from reports of other idle stops: all as they should be."""

from __future__ import annotations

import pytest

from watch.judge import State, Verdict, step, verdict
from watch.policy import Policy
from watch.sample import Gpu, Job, Jupyter, Kernel, Rate, Sample, Used

MINUTE = 60.0
POLICY = Policy()
QUIET = Sample(
    boot="a", mono=0.0, wall=1e9, up=3600.0, over=15.0, cpu=Rate(0.0, ""), disk=Rate(0.0, ""), ssh=(), job=()
)


def watched(*spans: tuple[float, dict[str, object]]) -> tuple[Verdict, float]:
    """The last verdict, and the minutes until it. spans: minutes, each with its readings."""
    state, at = step(State(), QUIET._replace(cpu=Rate(2.0, "python")), POLICY), 0.0
    for minutes, readings in spans:
        for _ in range(int(minutes * 4)):
            at += 15.0
            sample = QUIET._replace(mono=at, wall=1e9 + at, up=3600.0 + at, **readings)
            state = step(state, sample, POLICY)
            if (said := verdict(state, POLICY)).stop:
                return said, at / MINUTE
    return verdict(state, POLICY), at / MINUTE


def kernel(state: str, quiet: float | None = 9e9, cores: float = 0.0) -> dict[str, object]:
    return {
        "jupyter": Jupyter((Kernel("lesson1.ipynb", state, quiet, cores),), (Used("lesson1.ipynb", 9e9),))
    }


# jupyterhub#1498: a cell of five hours, its page closed, was ended after two
def test_a_long_cell_without_a_browser_is_work() -> None:
    said, _ = watched((300, kernel("busy", cores=0.9)))
    assert said.state == "active"


# notebook#3896: the idle time began when the cell began, not when it ended
def test_after_a_long_cell_the_whole_idle_time_is_left() -> None:
    said, at = watched((120, kernel("busy", cores=0.9)), (90, kernel("idle", quiet=9e9)))
    assert said.stop and at >= 120 + POLICY.idle_after / MINUTE


# sagemaker lifecycle-config-samples PR 81, #16; nebari#974, jupyterlab#9778: a kernel that never started, or
# an idle one with an open page, kept the machine up for ever
@pytest.mark.parametrize(
    "state", ["starting", "restarting", "autorestarting", "dead", "unknown", "idle", "None"]
)
def test_a_kernel_that_does_nothing_keeps_no_box(state: str) -> None:
    said, at = watched((120, kernel(state)))
    assert said.stop and at <= POLICY.idle_after / MINUTE + 2


# ipykernel#400, jupyterlab#6196: input() waits for ever; skypilot#10628: a stalled loop; skypilot#1306: a
# notebook server as a job
@pytest.mark.parametrize(
    "readings",
    [kernel("busy"), {"job": (Job("train", quiet=9e9),)}, {"job": (Job("jupyter-lab", quiet=9e9),)}],
)
def test_what_waits_for_ever_stops_at_last(readings: dict[str, object]) -> None:
    said, at = watched((600, readings))
    assert said.stop and said.cause == "idle"
    assert at <= (POLICY.idle_after + POLICY.stuck_after) / MINUTE + 2


def use(name: str, quiet: float) -> dict[str, object]:
    return {"ssh": (Used(name, quiet),)}


# coder#12012, coder#6755, devpod#1649, vscode-remote-release#8339, cloud9-to-power-vscode-blog#8: an editor
# or a terminal that is only connected kept the machine up
@pytest.mark.parametrize("name", ["vscode-server", "pts/0"])
def test_a_connection_that_is_not_used_keeps_no_box(name: str) -> None:
    said, at = watched((240, use(name, 9e9)))
    assert said.stop and at <= POLICY.idle_after / MINUTE + 2


# gitpod#11488, gitpod#13370, gitpod#9629, devpod#795, coder#3191, cloud9-to-power-vscode-blog#3 and #17:
# stopped while a person typed or saved
@pytest.mark.parametrize("name", ["vscode-server", "pts/0"])
def test_typing_and_saving_are_use(name: str) -> None:
    said, _ = watched((300, use(name, 60.0)))
    assert not said.stop


# coder#5049: a remote desktop through a tunnel; devpod#863, skypilot#715: a long build or set-up;
# coder#15515: a training without a connection
@pytest.mark.parametrize(
    "readings",
    [
        {"network": Rate(2e6, "sshd")},
        {"cpu": Rate(1.0, "apt-get")},
        {"disk": Rate(5e7, "dpkg")},
        {"gpu": (Gpu(0, 97.0, True, (812,)),)},
    ],
)
def test_work_without_a_person_is_use(readings: dict[str, object]) -> None:
    said, _ = watched((300, readings))
    assert said.state == "active"


# sagemaker-studio-auto-shutdown-extension#7 and #20, devpod#901, devpod#776: nothing was ever started
def test_a_box_on_which_nothing_was_started_stops() -> None:
    said, at = watched((240, {}))
    assert said.stop and at <= POLICY.idle_after / MINUTE + 2
