"""A real machine with the stop guarantee armed at thresholds of seconds."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import tarfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from testbed.cloud import KeyFile, make_key
from testbed.ssh import Ssh as Client
from testbed.ssh import reach

from gpu_box.aws import tags
from gpu_box.aws.client import Cloud as Aws
from gpu_box.aws.deadline import read_deadline
from gpu_box.aws.launch import render_user_data
from gpu_box.box.up import bring_up
from gpu_box.config.model import Config, Limits, Ssh
from gpu_box.machine.ssh import keys
from gpu_box.model.observed import Stopped
from gpu_box.resources import remote
from gpu_box.view.progress import Silent

from .fleet import Fleet

IDLE = 20  # s; a terminal's stamp of its last input has a grain of 8 s
STUCK = 15
GUARD = 15
LATE = 120.0  # s that a loaded machine may be late by, its shutdown included: late is slow, and no failure
POLICY = {
    "idle_after": IDLE,
    "stuck_after": STUCK,
    "settle": 0,
    "interval": 2,  # with a dozen boxes on two cores, looking every second would be their work
    "slow": 2,
    "probe_timeout": 2,
    "window": 6,
    "gpu_window": 6,
    "warn": "8,3",
    "guard_after": GUARD,
}


class Box:
    """A running instance. `ssh` runs a command in it as its login user."""

    def __init__(self, fleet: Fleet, config: Config, instance: str, host_key: str) -> None:
        self.fleet = fleet
        self.config = config
        self.instance = instance
        self._host_key = host_key
        self._client: Client | None = None
        self._sessions: list[subprocess.Popen[bytes]] = []

    @property
    def root(self) -> Path:
        """Its file system, as the host sees it."""
        return self.fleet.cloud.machine_folder(self.instance) / "root"

    def wait_for_ssh(self) -> None:
        """Until its boot is over. Its address differs after each start."""
        assert self.fleet.is_within(self.instance, "running", 120), self.reported()
        key = KeyFile(self.config.ssh.key, "")
        self._client = reach(self.fleet.cloud, self.instance, key, host_key=self._host_key)
        deadline = time.monotonic() + 120
        while (tried := self.ssh(_BOOTED, check=False, seconds=120)).returncode == _NO_CONNECTION:
            assert time.monotonic() < deadline, f"{tried.stderr}\n{self.reported()}"
            self.fleet.pause(0.5)

    def arm(self, **policy: Any) -> None:
        """What set-up does first: the watch folder over SSH, and install."""
        settings = " ".join(f"{key}={value}" for key, value in {**POLICY, **policy}.items())
        said = self.ssh(_INSTALL + settings, input=folders("watch")).stdout
        assert "watcher: armed" in said and "guard: armed" in said and "fuse: armed" in said, said
        self.wait_for_watcher()

    def wait_for_watcher(self) -> None:
        healthy = "for _ in $(seq 240); do gpu-box-watch healthy >/dev/null && exit; sleep 0.5; done; exit 1"
        self.ssh(f"until [ -e /run/gpu-box/healthy ]; do sleep 0.2; done; {healthy}", seconds=120)

    def ssh(
        self, command: str, *, check: bool = True, seconds: float = 60, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(self._argv(command), capture_output=True, timeout=seconds, **_text(options))
        assert not check or done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
        return done

    def session(self, *words: str) -> subprocess.Popen[bytes]:
        """`ssh` with these further words, left open; its input is a pipe."""
        options = tuple(word for word in words if word.startswith("-"))
        process = subprocess.Popen(
            self._argv(*(word for word in words if not word.startswith("-")), options=options),
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._sessions.append(process)
        return process

    def status(self) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self.ssh("gpu-box-watch status --json").stdout)
        return shown

    def is_off_within(self, seconds: float) -> bool:
        """Whether EC2 says `stopped` before then."""
        return self.fleet.is_within(self.instance, "stopped", seconds)

    def why(self) -> Stopped | None:
        """As `gpu-box status` says it."""
        mine = Aws(self.config) if self.has_deadline else None
        return self.fleet.why(self.instance, read_deadline(mine)[0] if mine else None)

    @property
    def has_deadline(self) -> bool:
        return self.config.limits != Limits()

    def reported(self) -> str:
        """Details from EC2 and the machine, for a failure's message."""
        seen = self.fleet.cloud.see(self.instance)
        said = self.fleet.cloud.ec2.get_console_output(InstanceId=self.instance).get("Output", "")
        return f"{seen['State']} {seen['StateReason']} {seen['Tags']}\n{said[-2000:]}"

    def close(self) -> None:
        for session in self._sessions:
            session.kill()
            session.wait(60)
            if session.stdin:
                with contextlib.suppress(BrokenPipeError):
                    session.stdin.close()

    def _argv(self, *words: str, options: tuple[str, ...] = ()) -> list[str]:
        assert self._client is not None, "wait_for_ssh comes first"
        return self._client.command(
            *words, options=("-o", "LogLevel=ERROR", "-o", "ServerAliveInterval=15", *options)
        )


@contextlib.contextmanager
def running(
    fleet: Fleet, folder: Path, name: str, *, fuse: str, max_hours: timedelta | None, reached: bool = True
) -> Iterator[Box]:
    """A running box; reached: wait until SSH answers.

    max_hours: let gpu-box make the AWS resources, including its deadline.
    """
    folder.mkdir()
    limits = Limits() if max_hours is None else Limits(max_hours=max_hours)
    config = Config(name=name, ssh=Ssh(key=folder / "key"), limits=limits)
    with contextlib.ExitStack() as whole:
        with fleet.booting:
            box = _run(fleet, config, fuse) if max_hours is None else _bring_up(fleet, config)
            whole.callback(fleet.cloud.ec2.terminate_instances, InstanceIds=[box.instance])
            whole.callback(box.close)
            if reached:
                box.wait_for_ssh()
        yield box


def _run(fleet: Fleet, config: Config, fuse: str) -> Box:
    """One call: what an `up` that dies right after RunInstances leaves."""
    cloud, key = fleet.cloud, make_key(config.ssh.key.parent)
    host = make_key(config.ssh.key.parent, "host")
    document = render_user_data(
        config, host_private_key=host.path.read_text(), host_public_key=host.public
    ).replace("span=1800s", f"span={fuse}")
    cloud.ec2.import_key_pair(KeyName=config.name, PublicKeyMaterial=key.public.encode())
    group = cloud.ec2.create_security_group(GroupName=config.name, Description="box")["GroupId"]
    cloud.admit(group, "127.0.0.1/32")
    instance = cloud.run(
        KeyName=config.name,
        SecurityGroupIds=[group],
        UserData=document,
        InstanceInitiatedShutdownBehavior="stop",
        TagSpecifications=[tags.tag_specification("instance", config)],
    )
    return Box(fleet, config, instance, host.public)


def _bring_up(fleet: Fleet, config: Config) -> Box:
    key = keys.ensure_key_pair(config.ssh.key)
    _, observed, _ = bring_up(Aws(config), key.line, Silent())
    assert observed.instance is not None and observed.group is not None and observed.deadline is not None
    host = keys.first_host_key(config.ssh.key, config.name, observed.group.generation)
    return Box(fleet, config, observed.instance.id, host.public_line)


_BOOTED = "cloud-init status --wait"
_NO_CONNECTION = 255  # ssh(1), "EXIT STATUS"
_INSTALL = (
    "mkdir -p .gpu-box/remote && tar -x -C .gpu-box/remote && cd .gpu-box/remote && python3 -m watch install "
)


def folders(*names: str) -> bytes:
    """These folders of remote/ as a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            archive.add(
                remote() / name, name, filter=lambda info: None if "__pycache__" in info.name else info
            )
    return buffer.getvalue()


def _text(options: dict[str, Any]) -> dict[str, Any]:
    """Text out, and text in unless the input is bytes."""
    if isinstance(options.get("input"), bytes):
        return {**options, "input": options["input"].decode("latin-1"), "encoding": "latin-1"}
    return {**options, "text": True}
