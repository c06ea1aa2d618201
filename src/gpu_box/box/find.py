"""Find a box and its resources in AWS. Changes nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime

from gpu_box.aws.client import Cloud, meanwhile
from gpu_box.aws.console import read_console_record
from gpu_box.aws.observe import Need, observe
from gpu_box.config.model import Config
from gpu_box.errors import CloudError, CredentialsError
from gpu_box.machine.ssh.connection import load_libraries
from gpu_box.model.machine import Host
from gpu_box.model.observed import PENDING_KEY, Instance, InstanceState, Observed, Stopped
from gpu_box.model.stop_reason import why
from gpu_box.plan.readable import require_readable
from gpu_box.store import ledger


def observe_box(cloud: Cloud, *, need: Need = "everything") -> Observed:
    """The box's resources in AWS, plus this laptop's record of removed instances."""
    observed = observe(cloud, need=need)
    # AWS shows terminated instances for an hour, but no longer returns the tags with their cost.
    there = [instance.id for instance in observed.instances if instance.exists]
    there += [snapshot.id for snapshot in observed.snapshots]
    return replace(observed, gone=tuple(sorted(ledger.gone(cloud.memory("ledger"), there).items())))


def locate(cloud: Cloud, *, entering: bool = True) -> Observed:
    """Observe instance and security group only. entering: load the SSH libraries at the same time."""
    if not entering:
        return observe(cloud, need="enter")
    return meanwhile(cloud, lambda: observe(cloud, need="enter"), load_libraries)


def find_host(cloud: Cloud, *, entering: bool = True) -> Host:
    """How to reach the running box. Starts nothing. Raises CloudError if it is not running."""
    return host_of(cloud.config, locate(cloud, entering=entering))


def host_or_state(cloud: Cloud) -> Host | InstanceState:
    """How to reach the box, or its state if it is not running (terminated: there is none)."""
    try:
        observed = locate(cloud, entering=False)  # the SSH libraries are loaded already
    except CredentialsError:
        cloud.forget_credentials()
        raise
    instance = observed.instance
    if instance is None:
        return InstanceState.TERMINATED
    if instance.state is InstanceState.RUNNING and instance.address:
        return host_of(cloud.config, observed)
    return InstanceState.PENDING if instance.state is InstanceState.RUNNING else instance.state


def host_of(config: Config, observed: Observed) -> Host:
    instance = observed.instance
    if instance is None:
        raise CloudError(f"there is no box {config.name!r}", remedy="`gpu-box up` creates it.")
    if instance.state is not InstanceState.RUNNING or not instance.address:
        raise CloudError(f"box {config.name!r} is {instance.state}", remedy="`gpu-box up` starts it.")
    return host_at(config, instance, observed.group.generation if observed.group else "")


def stopped_because(cloud: Cloud, observed: Observed) -> Stopped | None:
    """Why it is stopped, with the record on its console; None if it is not stopped."""
    instance = observed.instance
    if instance is None or instance.state not in (InstanceState.STOPPING, InstanceState.STOPPED):
        return None
    return why(instance, observed.deadline, read_console_record(cloud, instance.id), now=datetime.now(UTC))


def foreign_lines(rules: Collection[str]) -> list[str]:
    """Notices about rules that were added to the security group by hand."""
    kept = "added by hand and kept: `gpu-box up --remove-foreign-rules` removes it"
    return [f"the security group also allows {rule} ({kept})" for rule in rules]


def kept_lines(kept: Collection[str]) -> list[str]:
    """Notices about limits that are tighter on the running box."""
    return [f"{line}: the box keeps its own until `gpu-box up` changes it" for line in kept]


def host_at(config: Config, instance: Instance, generation: str) -> Host:
    """How to reach it, and the host keys it may present. generation: the security group's.

    Raises CloudError if a required tag cannot be read.
    """
    require_readable(config.name, instance)
    assert instance.address is not None
    host_keys: list[str] = []
    if instance.host_key:
        host_keys.append(host_key_of(instance))
    if has_first_host_key(instance):
        from gpu_box.machine.ssh import keys  # its libraries take 50 ms to import

        host_keys.append(keys.first_host_key(config.ssh.key, config.name, generation).public_line)
    return Host(
        name=config.name,
        address=instance.address,
        port=instance.ssh_port,
        user=config.image.user,
        key=config.ssh.key,
        host_keys=tuple(host_keys),
    )


def has_first_host_key(instance: Instance) -> bool:
    return instance.host_key is None or instance.host_key.startswith(PENDING_KEY)


def host_key_of(instance: Instance) -> str:
    return (instance.host_key or "").removeprefix(PENDING_KEY)
