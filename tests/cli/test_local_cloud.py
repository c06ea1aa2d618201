"""`--local` ignores the user's AWS settings."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local_aws import daemon

from ..user import COMMAND

Run = Callable[..., subprocess.CompletedProcess[str]]
NOWHERE = "http://127.0.0.1:9"
TWICE = "[default]\nregion = eu-west-1\n[default]\nregion = eu-west-2\n"
# localstack#8066, boto3#3179: these end or divert the SDK.
VARIABLES = {
    "proxy": {"HTTP_PROXY": NOWHERE, "http_proxy": NOWHERE, "HTTPS_PROXY": NOWHERE, "ALL_PROXY": NOWHERE},
    "proxy with exceptions": {"HTTP_PROXY": NOWHERE, "http_proxy": NOWHERE, "no_proxy": "example.com"},
    "endpoint of one service": {"AWS_ENDPOINT_URL_EC2": NOWHERE},
    "endpoint": {"AWS_ENDPOINT_URL": NOWHERE},
    "endpoints ignored": {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
    "defaults mode": {"AWS_DEFAULTS_MODE": "fast"},
    "profile": {"AWS_PROFILE": "none", "AWS_SESSION_TOKEN": "spoils"},
}
FILES = {
    "no key": {"credentials": "fake"},
    "section twice": {"config": TWICE},
    "defaults mode": {"config": "[default]\ndefaults_mode = fast\n"},
    "endpoint": {"config": f"[default]\nservices = s\n[services s]\nec2 =\n  endpoint_url = {NOWHERE}\n"},
    "bytes": {"config": "\udcff\udcfe"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("data")
    yield home
    daemon.stop(home)


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Run:
    (tmp_path / "config.yaml").write_text("profile: work\nregion: us-east-1\nssh:\n  key: ./key\n")

    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "GPU_BOX_HOME": str(data), **variables}
        return subprocess.run(
            [COMMAND, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )

    return run


def write_aws(files: dict[str, str]) -> None:
    folder = Path.home() / ".aws"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_bytes(text.encode(errors="surrogateescape"))


@pytest.mark.parametrize("files", FILES.values(), ids=FILES)
def test_the_user_s_files_for_aws_have_no_effect(run: Run, data: Path, files: dict[str, str]) -> None:
    """Neither in this process nor in the daemon, which is started anew."""
    daemon.stop(data)
    write_aws(files)
    done = run("--local", "ls")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


@pytest.mark.parametrize("variables", VARIABLES.values(), ids=VARIABLES)
def test_the_user_s_variables_for_aws_have_no_effect(run: Run, variables: dict[str, str]) -> None:
    done = run("--local", "ls", **variables)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_a_shell_that_runs_local_env_is_rid_of_them_too(run: Run, data: Path) -> None:
    write_aws(FILES["section twice"])
    everything = {name: value for group in VARIABLES.values() for name, value in group.items()}
    found = run("local", "env", **everything)
    assert found.returncode == 0, found.stderr
    code = "import boto3; print(boto3.client('ec2').describe_instances()['Reservations'])"
    shell = subprocess.run(
        ["sh", "-c", f'{found.stdout}\nexec "$0" -c "$1"', sys.executable, code],
        env={**os.environ, **everything}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert shell.stdout == "[]\n", shell.stderr
