"""Into a running machine for the first time: verified, and with a host key of its own afterwards."""

from __future__ import annotations

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

# Seconds until the machine answers on port 22 after EC2 says `running`: 10-60 s on AWS.
_SSH_WAIT_S = 300.0
_LOOK_AGAIN_S = 20.0  # whether the silent machine is still there


@contextmanager
def enter(cloud: Cloud, observed: Observed, report: Reporter) -> Iterator[tuple[Connection, Host]]:
    """A verified connection to the running machine, its first host key replaced by one made on the machine.

    The first key travelled in user data, which whoever may describe the instance can read; so it serves for
    one connection only. The new key is announced in the instance's tags as pending before it is used, so that
    a crash between the two leaves a box that can still be entered, and verified.
    """
    instance = observed.instance
    assert instance is not None
    report.start("ssh", f"SSH to {instance.address}")
    connection, instance = _reach(cloud, instance, observed.group, report)
    try:
        if find.has_first_host_key(instance):
            report.update("ssh", "replacing the first host key by one made on the box")
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
    """Wait for the machine; the instance as AWS tells it by then: another hand may be at work on it, too."""
    give_up = time.monotonic() + _SSH_WAIT_S
    while True:
        host = find.host_at(cloud.config, instance, group.generation if group else "")
        try:
            left = give_up - time.monotonic()
            return wait_for_ssh(host, timeout_s=min(_LOOK_AGAIN_S, left), report=report), instance
        except HostKeyChanged:
            # Another `up` may have replaced the first key just now: AWS's word on it is what counts.
            now = _still_running(cloud, instance)
            if find.host_key_of(now) == find.host_key_of(instance):
                raise
            instance = now
        except (MachineUnreachable, LoginRefused) as error:
            instance = replace(_still_running(cloud, instance), host_key=instance.host_key)
            if time.monotonic() > give_up:
                if group and isinstance(error, MachineUnreachable):
                    raise _not_let_in(error, group) from error
                raise


def _not_let_in(error: MachineUnreachable, group: SecurityGroup) -> MachineUnreachable:
    """SSH may leave this laptop by another address than HTTPS, by which AWS was asked: a VPN, a proxy."""
    admitted = ", ".join(sorted(map(str, group.ssh_from | group.ssh_from_foreign))) or "no address"
    return MachineUnreachable(
        error.what,
        where=error.where,
        remedy=f"Port 22 lets in {admitted}. If SSH leaves this computer by another address (VPN, proxy), "
        "name it in config.yaml as `network.allow_ssh_from`, then run `gpu-box up` again.",
    )


def _still_running(cloud: Cloud, instance: Instance) -> Instance:
    now = read_instance(cloud, instance.id)
    if now is None and cloud.made.is_new(instance.id):
        return instance
    if now is None or now.state is not InstanceState.RUNNING or not now.address:
        state = now.state if now else InstanceState.TERMINATED
        raise CloudError(
            f"box {cloud.config.name!r} is {state} by now: something else stopped or removed it",
            remedy="`gpu-box why` tells more; `gpu-box up` brings it up again.",
        )
    return now
