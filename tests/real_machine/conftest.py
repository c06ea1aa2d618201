"""A cloud whose machines are real systems (systemd-nspawn). Skips, with the reason, where they cannot be."""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from testbed.cloud import Cloud, KeyFile, make_key
from testbed.leash import leashed

from local_aws.failure import Failure
from local_aws.machines.nspawn.root_image import require_nspawn, root_image

# Before the session takes such variables away: `GPU_BOX_SUITE=trixie pytest tests/real_machine/...`.
_SUITE = os.environ.get("GPU_BOX_SUITE", "bookworm")


@pytest.fixture(scope="module")
def nspawn(request: pytest.FixtureRequest) -> Iterator[None]:
    """The environment in which a daemon started by a test has nspawn machines; others have theirs.

    Their Debian is the module's SUITE, else GPU_BOX_SUITE.
    """
    try:
        require_nspawn()
    except Failure as error:
        pytest.skip(str(error))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GPU_BOX_MACHINES", "nspawn")
        patch.setenv("GPU_BOX_SUITE", getattr(request.module, "SUITE", _SUITE))
        # Of the user, and not of the home folder that tests are given: it takes minutes to build.
        real_home = Path(pwd.getpwuid(os.getuid()).pw_dir)
        patch.setenv("GPU_BOX_CACHE", str(real_home / ".cache" / "gpu-box"))
        try:
            root_image()
        except Failure as error:
            pytest.skip(f"no root image: {error}")
        yield


@pytest.fixture(scope="module")
def shared_cloud(nspawn: None) -> Iterator[Cloud]:
    home = new_home()
    with leashed(home):
        yield Cloud(home)


@pytest.fixture
def cloud(shared_cloud: Cloud) -> Cloud:
    shared_cloud.empty()
    return shared_cloud


@pytest.fixture
def key(tmp_path: Path) -> KeyFile:
    return make_key(tmp_path)


def new_home() -> Path:
    """A cloud's folder outside pytest's, which keeps the disks of its last three runs."""
    return Path(tempfile.mkdtemp(prefix="gpu-box-machines-"))
