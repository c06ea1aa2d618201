"""What `down` leaves on this laptop."""

from __future__ import annotations

from collections.abc import Callable

from gpu_box.box import stop
from gpu_box.store import job_names

from ..aws.conftest import Laptop


def test_the_jobs_of_a_removed_box_are_not_offered_any_more(laptop: Callable[..., Laptop]) -> None:
    mine = laptop()
    for box in (mine.config.name, "another"):
        job_names.remember(box, ["train"])
    stop.down(mine.cloud, mine.report)
    assert job_names.names(mine.config.name) == []
    assert job_names.names("another") == ["train"]
