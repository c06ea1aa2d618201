"""The estimate of an `up`'s remaining time: from an earlier one of the same kind, or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_box.store.timings import Estimate, Run, read, remember

FRESH = Run(steps=(("key pair", 1), ("instance", 3), ("instance#2", 30), ("ssh", 40), ("python", 100)), s=120)
STARTED = Run(steps=(("deadline", 1), ("instance", 2), ("instance#2", 20), ("ssh", 24)), s=26)


def at(pace: Estimate, *steps: tuple[str, float]) -> float | None:
    for step, now in steps:
        pace.done(step, now)
    return pace.left(now)


def test_the_first_one_has_no_estimate() -> None:
    assert at(Estimate((), 0), ("key pair", 1.0)) is None


@pytest.mark.parametrize("earlier", [(FRESH, STARTED), (STARTED, FRESH)])
def test_from_nothing_and_from_stopped_have_their_own_estimates(earlier: tuple[Run, ...]) -> None:
    assert at(Estimate(earlier, 0), ("key pair", 2.0), ("instance", 5.0)) == 117
    assert at(Estimate(earlier, 0), ("deadline", 2.0), ("instance", 5.0), ("instance", 15.0)) == 6


def test_it_runs_down_and_never_below_nothing() -> None:
    pace = Estimate((FRESH,), 100)
    pace.done("key pair", 102)
    assert (pace.left(112), pace.left(900)) == (109, 0)


def test_a_step_that_is_new_leaves_the_estimate_as_it_was() -> None:
    assert at(Estimate((FRESH,), 0), ("key pair", 1.0), ("resize", 11.0)) == 109


def test_what_is_remembered_is_read_back_the_newest_first(tmp_path: Path) -> None:
    path = tmp_path / "new" / "up.json"
    assert read(path) == ()
    for run in (FRESH, *[STARTED] * 9):
        remember(path, run)
    assert read(path) == (STARTED,) * 8
    remember(path, FRESH)
    assert read(path)[0] == FRESH
    path.write_text('{"another": "file"}')
    assert read(path) == ()


def test_a_folder_that_cannot_be_written_costs_the_estimate_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    remember(tmp_path / "file" / "up.json", FRESH)
