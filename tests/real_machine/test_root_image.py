"""The root image is built once, even if builds overlap or are interrupted; unused old ones are removed.

A stand-in for debootstrap makes a small tree, slowly: the real one is what the machines here stand on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from testbed.cloud import wait_until

from local_aws.failure import Failure
from local_aws.machines.nspawn.root_image import require_nspawn, root_image

pytestmark = pytest.mark.machine

DEBOOTSTRAP = """#!/bin/sh
for word; do case $word in /*/scripts/*) ;; /*) root=$word ;; esac; done
echo begun >>"$CALLS"
mkdir "$root" || exit 1
while [ -e "$HOLD" ]; do sleep 0.05; done
mkdir -p "$root/etc/ssh/sshd_config.d" "$root/etc/cloud/cloud.cfg.d" "$root/etc/apt/apt.conf.d" \\
    "$root/etc/systemd/system" "$root/var/cache/apt/archives"
"""
USE = """
import sys
from local_aws.machines.nspawn.root_image import root_image
print(root_image(), flush=True)
sys.stdin.read()
"""


class Place:
    """A cache of its own, and processes that use what is in it."""

    def __init__(self, folder: Path) -> None:
        self.cache, self.hold, self._calls = folder / "cache", folder / "hold", folder / "calls"
        tool = folder / "bin" / "debootstrap"
        tool.parent.mkdir()
        tool.write_text(DEBOOTSTRAP)
        tool.chmod(0o755)
        self._environment = {
            **os.environ,
            "PATH": f"{tool.parent}:{os.environ['PATH']}",
            "GPU_BOX_CACHE": str(self.cache),
            "CALLS": str(self._calls),
            "HOLD": str(self.hold),
        }
        self.processes: list[subprocess.Popen[str]] = []

    def use(self, suite: str = "bookworm") -> subprocess.Popen[str]:
        """It asks for the image, prints where it is, and uses it until its input ends."""
        process = subprocess.Popen(
            [sys.executable, "-c", USE], env={**self._environment, "GPU_BOX_SUITE": suite}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def builds(self) -> int:
        return len(self._calls.read_text().splitlines()) if self._calls.exists() else 0

    def folders(self) -> set[str]:
        return {path.name for path in self.cache.iterdir() if path.is_dir()}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    try:
        require_nspawn()
    except Failure as error:
        pytest.skip(str(error))
    place = Place(tmp_path)
    yield place
    place.hold.unlink(missing_ok=True)
    for process in place.processes:
        process.kill()
        process.communicate()


def reported(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return Path(process.stdout.readline().strip()).name


def test_two_at_once_build_one_image(place: Place) -> None:
    place.hold.touch()
    first, second = place.use(), place.use()
    wait_until(lambda: place.builds() == 1)
    place.hold.unlink()
    image = reported(first)
    assert image.startswith("root-bookworm-")
    assert reported(second) == image
    assert place.builds() == 1
    assert place.folders() == {image}


def test_a_killed_build_is_repeated(place: Place) -> None:
    """debootstrap itself lives on for a while: the next must not build beside it."""
    place.hold.touch()
    killed = place.use()
    wait_until(lambda: place.builds() == 1)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    after = place.use()
    with pytest.raises(subprocess.TimeoutExpired):
        after.wait(1)
    assert place.builds() == 1
    place.hold.unlink()
    image = reported(after)
    assert place.folders() == {image}
    assert place.builds() == 2


def test_an_older_image_is_removed_unless_it_is_in_use(place: Place) -> None:
    user = place.use()
    used = reported(user)
    older, unfinished = "root-bookworm-0123456789ab", "root-bookworm-ba9876543210.new"
    for name in (older, unfinished):
        (place.cache / name).mkdir()
    # As if the recipe had changed: what is used now is of an older one.
    (place.cache / used).rename(place.cache / "root-bookworm-aaaaaaaaaaaa")
    assert reported(place.use()) == used
    assert place.folders() == {used, "root-bookworm-aaaaaaaaaaaa"}


def test_images_of_other_releases_are_left_alone_and_are_built_at_the_same_time(place: Place) -> None:
    place.hold.touch()
    suites = ("bookworm", "bookworm-backports", "trixie")
    users = [place.use(suite) for suite in suites]
    wait_until(lambda: place.builds() == 3)
    place.hold.unlink()
    images = [reported(user) for user in users]
    assert [image.rpartition("-")[0] for image in images] == [f"root-{suite}" for suite in suites]
    assert place.folders() == set(images)


def test_an_unknown_release_is_refused(monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
    monkeypatch.setenv("GPU_BOX_SUITE", "sid")
    with pytest.raises(Failure, match="no root image of 'sid'"):
        root_image()
