"""Two terminals at one box at once: a handful of interleavings; `make walk` does 50 of each pair."""

from __future__ import annotations

import pytest

from ..faults.conftest import one_stage, stage  # noqa: F401
from ..faults.stage import Stage
from . import pairs
from .pairs import PAIRS

SEEDS = range(2)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("seed", SEEDS)
def test_two_hands_at_one_box_leave_one_right_state(name: str, seed: int, stage: Stage) -> None:  # noqa: F811
    done = pairs.run(stage, name, seed)
    print(done.how)
    assert done.outcome.defects == (), done.how
    assert done.outcome.seconds.unguarded == 0
