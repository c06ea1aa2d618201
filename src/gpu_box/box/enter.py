"""Enter a running machine: verify its host key, and replace the first key by one made on the machine."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from gpu_box.aws.client import Cloud
from gpu_box.aws.observe import read_instance
from gpu_box.aws.tags import tag_host_key
from gpu_box.box import find
from gpu_box.errors import CloudError, HostKeyChanged, MachineUnreachable
from gpu_box.machine.ssh import host_key
from gpu_box.machine.ssh.connection import Connection, wait_for_ssh
from gpu_box.machine.ssh.errors import LoginRefused
from gpu_box.model.machine import Host
from gpu_box.model.observed import PENDING_KEY, Instance, InstanceState, Observed, SecurityGroup
from gpu_box.model.progress import Reporter

# Time until port 22 answers after EC2 reports `running`: 10-60 s for most types. Bare metal tests its
# hardware first, and p types start many devices and terabytes of memory, which takes minutes.
_SSH_WAIT_S, _SLOW_SSH_WAIT_S = 300.0, 900.0
_SLOW_TYPE = re.compile(r"p[0-9]|[^.]+\.metal")
_CHECK_AGAIN_S = 20.0  # how often to ask AWS about a silent machine


@contextmanager
def enter(cloud: Cloud, observed: Observed, report: Reporter) -> Iterator[tuple[Connection, Host]]:
    """A verified connection to the running machine, whose first host key is replaced by one made there.

    The first key travelled in user data, which anyone allowed to describe the instance can read, so it is
    used for one connection only. The new key is put into the instance's tags as pending before it is used, so
    that a crash between the two leaves a box that can still be verified and entered.
    """
    instance = observed.instance
    assert instance is not None
    report.start("ssh", f"SSH to {instance.address}")
    connection, instance = _reach(cloud, instance, observed.group, report)
    try:
        if find.has_first_host_key(instance):
            report.update("ssh", "replacing the first host key with one made on the box")
            public_line = host_key.prepare(connection)
            tag_host_key(cloud, instance.id, PENDING_KEY + public_line)
            host_key.activate(connection)
            connection.close()
            instance = replace(instance, host_key=public_line)
            connection, instance = _reach(cloud, instance, observed.group, report)
            if connection.presented_key == public_line:
                tag_host_key(cloud, instance.id, public_line)
        report.done("ssh", f"SSH to {instance.address}, host key verified")
        yield connection, connection.host
    finally:
        connection.close()


def _reach(
    cloud: Cloud, instance: Instance, group: SecurityGroup | None, report: Reporter
) -> tuple[Connection, Instance]:
    """Wait for SSH. Also returns the instance as last read, because another `up` may be changing it."""
    give_up = time.monotonic() + ssh_wait_s(instance.type)
    while True:
        host = find.host_at(cloud.config, instance, group.generation if group else "")
        try:
            left = give_up - time.monotonic()
            return wait_for_ssh(host, timeout_s=min(_CHECK_AGAIN_S, left), report=report), instance
        except HostKeyChanged:
            # Another `up` may just have replaced the first key: AWS's tag decides.
            now = _still_running(cloud, instance)
            if find.host_key_of(now) == find.host_key_of(instance):
                raise
            instance = now
        except (MachineUnreachable, LoginRefused) as error:
            instance = replace(_still_running(cloud, instance), host_key=instance.host_key)
            if time.monotonic() > give_up:
                if group and isinstance(error, MachineUnreachable):
                    raise _not_allowed(error, group) from error
                raise


def ssh_wait_s(instance_type: str) -> float:
    return _SLOW_SSH_WAIT_S if _SLOW_TYPE.match(instance_type) else _SSH_WAIT_S


def _not_allowed(error: MachineUnreachable, group: SecurityGroup) -> MachineUnreachable:
    """SSH may leave this laptop by another address than HTTPS does, for example through a VPN or a proxy."""
    allowed = ", ".join(sorted(map(str, group.ssh_from | group.ssh_from_foreign))) or "no address"
    return MachineUnreachable(
        error.what,
        where=error.where,
        remedy=f"Port 22 allows {allowed}. If SSH leaves this computer by another address (VPN, proxy), "
        "set it in config.yaml as `network.allow_ssh_from`; if the subnet has no route to an internet "
        "gateway, set `network.subnet` to one that has. Then run `gpu-box up` again.",
    )


def _still_running(cloud: Cloud, instance: Instance) -> Instance:
    now = read_instance(cloud, instance.id)
    if now is None and cloud.made.is_new(instance.id):
        return instance
    if now is None or now.state is not InstanceState.RUNNING or not now.address:
        state = now.state if now else InstanceState.TERMINATED
        raise CloudError(
            f"box {cloud.config.name!r} is {state} now: something else stopped or removed it",
            remedy="`gpu-box why` shows more; `gpu-box up` brings it up again.",
        )
    return now
