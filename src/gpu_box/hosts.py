"""Where a running instance is reached, and the host keys that it may answer with."""

from __future__ import annotations

from gpu_box.config import Config
from gpu_box.model import PENDING_KEY, Host, Instance
from gpu_box.readable import require_readable


def host_of(config: Config, instance: Instance, generation: str) -> Host:
    """Where it is reached, and the host keys that it may answer with. generation: of the security group.

    Raises CloudError if a tag that it takes cannot be read.
    """
    require_readable(config.name, instance)
    assert instance.address is not None
    host_keys: list[str] = []
    if instance.host_key:
        host_keys.append(key_of(instance))
    if is_first(instance):
        from gpu_box.machine import keys  # with the libraries that it needs: 50 ms

        host_keys.append(keys.first_host_key(config.ssh.key, config.name, generation).public_line)
    return Host(
        name=config.name,
        address=instance.address,
        port=instance.ssh_port,
        user=config.image.user,
        key=config.ssh.key,
        host_keys=tuple(host_keys),
    )


def is_first(instance: Instance) -> bool:
    return instance.host_key is None or instance.host_key.startswith(PENDING_KEY)


def key_of(instance: Instance) -> str:
    return (instance.host_key or "").removeprefix(PENDING_KEY)
