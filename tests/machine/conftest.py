"""A cloud whose machines are real systems (systemd-nspawn). Skips, with the reason, where they cannot be."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gpu_box.embedded import daemon, root_image
from gpu_box.errors import InputError

from ..conftest import permit_host
from ..embedded.cloud import Cloud, KeyFile, make_key


@pytest.fixture(scope="session")
def nspawn() -> Iterator[None]:
    """The environment in which a daemon started by a test has nspawn machines."""
    try:
        root_image.require_nspawn()
    except InputError as error:
        pytest.skip(str(error))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GPU_BOX_MACHINES", "nspawn")
        # Of the user, and not of the home folder that tests are given: it takes minutes to build.
        real_home = Path(pwd.getpwuid(os.getuid()).pw_dir)
        patch.setenv("GPU_BOX_CACHE", str(real_home / ".cache" / "gpu-box"))
        # Machines of this very process install what set-up would, and from nowhere else.
        for url in (root_image.mirror(), "https://pypi.org", "https://files.pythonhosted.org"):
            permit_host(str(urlsplit(url).hostname))
        yield


@pytest.fixture(scope="session")
def shared_cloud(nspawn: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    home = tmp_path_factory.mktemp("cloud")
    yield Cloud(home)
    daemon.stop(home)


@pytest.fixture
def cloud(shared_cloud: Cloud) -> Cloud:
    shared_cloud.empty()
    return shared_cloud


@pytest.fixture
def key(tmp_path: Path) -> KeyFile:
    return make_key(tmp_path)
