"""Plants secrets in a box's story and looks for them wherever others can read."""

from __future__ import annotations

import base64
import json
import os
import secrets
import stat
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from ..user import COMMAND, CONFIG, User

pytestmark = [
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="the process list is read from /proc"),
    pytest.mark.timeout(600),  # a whole `up`, with Kaggle's package
]


@dataclass
class ProcessList:
    """Every command line of this machine, as often as it can be read."""

    seen: set[bytes] = field(default_factory=set)
    _end: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> ProcessList:
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.1):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    self.seen.add((process / "cmdline").read_bytes())
                except OSError:
                    continue  # it has ended


@dataclass
class Evidence:
    """One story, and everything that it left where others can read."""

    planted: dict[str, str]
    outputs: str
    processes: set[bytes]
    home: Path  # of the laptop
    cloud: Path  # the embedded cloud's folder
    machine: Path  # the box's home folder
    ec2: Any
    instance: str


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    folder, home = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("home")
    planted = {what: secrets.token_hex(16) for what in ("kaggle", "aws", "job", "webhook", "env", "env_file")}
    (folder / "config.yaml").write_text(
        f"{CONFIG}kaggle: true\nnotify: {{webhook: 'http://127.0.0.1:9/{planted['webhook']}'}}\n"
        "env: [HF_TOKEN, MODE=debug]\nenv_file: .env\n"
    )
    (folder / ".env").write_text(f"WANDB_API_KEY={planted['env_file']}\n")
    (folder / "job.env").write_text(f"API_KEY={planted['job']}\n")
    (home / ".kaggle").mkdir(mode=0o700)
    kaggle = home / ".kaggle" / "kaggle.json"
    kaggle.touch(mode=0o600)
    kaggle.write_text(json.dumps({"username": "me", "key": planted["kaggle"]}))
    environment = {**os.environ, "HOME": str(home), "GPU_BOX_HOME": str(home / "data")}
    user = User(folder, {**environment, "AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": planted["aws"]})
    user.environment["HF_TOKEN"] = planted["env"]
    outputs = []
    with ProcessList() as processes:
        for words in (
            ["up"],
            ["status"],
            ["run", "--job", "secretive", "--", "set -a; . ./job.env; sleep 1; test -n \"$API_KEY\""],
            ["logs", "secretive"],
            ["run", "--job", "values", "--", 'test "$HF_TOKEN$MODE" && test -n "$WANDB_API_KEY"'],
            ["ssh", "--", "true"],
            ["plan"],
            ["--json", "status"],
            ["bake", "--yes"],
        ):  # fmt: skip
            done = user.run("--debug", *words)
            outputs += [done.stdout, done.stderr]
    cloud = home / "data" / "embedded"
    [machine] = (cloud / "machines").iterdir()
    planted["jupyter"] = (machine / "home/.gpu-box/jupyter/token").read_text().strip()
    planted["ssh"] = _middle(folder / "key")
    planted["host"] = _middle(machine / "home/.sshd/ssh_host_ed25519_key")
    printed = subprocess.run(
        [COMMAND, "local", "env"], env=environment, capture_output=True, text=True, check=True
    ).stdout
    exports = dict(line.removeprefix("export ").split("=", 1) for line in printed.splitlines() if "=" in line)
    exports = {name: value.strip("'\"") for name, value in exports.items()}
    planted["embedded"] = exports["AWS_SECRET_ACCESS_KEY"]
    ec2 = boto3.client(
        "ec2",
        endpoint_url=exports["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id=exports["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=exports["AWS_SECRET_ACCESS_KEY"],
    )
    yield Evidence(
        planted, "".join(outputs), processes.seen, home, cloud, machine / "home", ec2, machine.name
    )
    user.run("down", "--yes")
    subprocess.run([COMMAND, "local", "stop"], env=environment, check=True, capture_output=True)


def _middle(private_key: Path) -> str:
    """A line from the middle of a private key: no header, and nothing that the public key has too."""
    lines = private_key.read_text().splitlines()
    return lines[-3]


def test_no_secret_is_printed_not_even_with_debug(reported: Evidence) -> None:
    assert [what for what, secret in reported.planted.items() if secret in reported.outputs] == []


def test_no_secret_is_a_word_of_a_process(reported: Evidence) -> None:
    assert len(reported.processes) > 20
    everything = b"\n".join(reported.processes).decode(errors="replace")
    assert [what for what, secret in reported.planted.items() if secret in everything] == []


def test_no_secret_is_sent_to_aws(reported: Evidence) -> None:
    tags = reported.ec2.describe_tags()["Tags"]
    assert any(tag["ResourceId"] == reported.instance for tag in tags)
    data = reported.ec2.describe_instance_attribute(InstanceId=reported.instance, Attribute="userData")
    user_data = base64.b64decode(data["UserData"]["Value"]).decode()
    console = reported.ec2.get_console_output(InstanceId=reported.instance).get("Output", "")
    everything = json.dumps(tags) + user_data + console
    assert [what for what, secret in reported.planted.items() if secret in everything] == []


def test_the_host_key_sent_to_aws_is_replaced(reported: Evidence) -> None:
    data = reported.ec2.describe_instance_attribute(InstanceId=reported.instance, Attribute="userData")
    user_data = base64.b64decode(data["UserData"]["Value"]).decode()
    now = (reported.machine / ".sshd/ssh_host_ed25519_key.pub").read_text().split()[1]
    assert "OPENSSH PRIVATE KEY" in user_data
    assert now not in user_data


def test_a_baked_image_has_no_secret_of_ours(reported: Evidence) -> None:
    """The private key is no file of ours there; the project's own files are the user's."""
    [image] = (reported.cloud / "images").glob("ami-*")
    kept = [
        f"{what} in {path.relative_to(image)}"
        for path in image.rglob("*")
        if path.is_file() and "venv" not in path.parts
        for what, secret in reported.planted.items()
        if secret.encode() in path.read_bytes() and path.name not in ("job.env", "ssh_host_ed25519_key")
    ]
    assert kept == []


def test_files_with_secrets_are_private(reported: Evidence) -> None:
    """And is no log. On the laptop, in the cloud's folder, and on the box."""
    kept = {}
    for root in (reported.home, reported.machine):
        for path in root.rglob("*"):
            if (
                path.is_symlink()
                or not path.is_file()
                or "venv" in path.parts
                or path.stat().st_size > 2_000_000
            ):
                continue
            content = path.read_bytes()
            for what, secret in reported.planted.items():
                if secret.encode() in content and not path.name.startswith("job.env"):
                    kept[f"{what} in {path.relative_to(reported.home)}"] = path
    assert any("jupyter/token" in where for where in kept)
    logs = [where for where, path in kept.items() if path.suffix == ".log" or path.name == "log"]
    assert logs == []
    open_to_others = [where for where, path in kept.items() if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert open_to_others == []
