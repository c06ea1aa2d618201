"""The stop guarantee on real machines: systemd, cloud-init, SSH, real loads and faults, within seconds.

Each story has its own machine; they run in parallel. At the end a table shows which layer stopped which box.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from testbed.cloud import QUICK, Cloud
from testbed.leash import leashed

from . import stories_of_faults, stories_of_hostility, stories_of_use  # noqa: F401 - they enter their stories
from .conftest import new_home
from .fleet import Fleet
from .guaranteed import running
from .story import STORIES, Outcome, Untold

# One process begins all stories: with pytest-xdist, `--dist loadfile` keeps them together.
pytestmark = [pytest.mark.machine, pytest.mark.timeout(600)]

# A machine takes 7 inotify instances of the 128 that Linux gives a user (fs.inotify.max_user_instances);
# where there are none left, its systemd hangs. This leaves room for others beside these.
SIDE_BY_SIDE, BOOTING = 10, 3
_LONGEST_S = 540.0
# The longest first, so that none is left over at the end.
_FIRST = (
    "a_reboot_lights_the_fuse_again",
    "a_healthy_watcher_cuts_the_fuse",
    "its_network_cut_and_no_layer_on_it_that_minds",
    "a_jupyter_kernel_behind_an_open_tunnel",
    "an_idle_box_that_was_stopped_and_started",
    "a_tty_being_typed_at",
)
NAMES = [*_FIRST, *(name for name in STORIES if name not in _FIRST)]


@pytest.fixture(scope="module")
def reported(nspawn: None, request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Outcome]]]:
    """The selected stories, started in one cloud."""
    asked = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
    home = new_home()
    folder = home / "stories"
    with leashed(home), pytest.MonkeyPatch.context() as patch:
        cloud = Cloud(home)
        folder.mkdir()
        cloud.weather(delays=QUICK, quotas={"L-DB2E81BA": 1000})
        for name, value in cloud.exports.items():
            patch.setenv(name, value)
        with Fleet(cloud, side_by_side=SIDE_BY_SIDE, booting=BOOTING).at_work() as fleet:
            yield {name: fleet.begin(_telling(fleet, folder, name)) for name in NAMES if name in asked}


def _telling(fleet: Fleet, folder: Path, name: str) -> Callable[[], Outcome]:
    reported, box_name = STORIES[name], f"story-{NAMES.index(name)}"

    def tell() -> Outcome:
        with running(
            fleet,
            folder / box_name,
            box_name,
            fuse=reported.fuse,
            max_hours=reported.max_hours,
            reached=reported.reached,
        ) as box:
            return reported.play(box)

    return tell


@pytest.mark.parametrize("name", NAMES)
def test_the_right_layer_stops_it(
    reported: dict[str, Future[Outcome]], name: str, record_property: Callable[[str, object], None]
) -> None:
    try:
        outcome = reported[name].result(timeout=_LONGEST_S)
    except Untold as reason:
        pytest.skip(str(reason))
    record_property("stopped", [name.replace("_", " "), *outcome])
    assert outcome.layer == STORIES[name].stopped_by, outcome
    assert outcome.reason
