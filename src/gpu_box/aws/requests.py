"""Requests that `up` sends and `doctor` tries by DryRun, one function each.

RunInstances is in `launch`.
"""

from __future__ import annotations

from typing import Any

from gpu_box.aws import tags
from gpu_box.config.model import Config


def key_pair(config: Config, public_key: str) -> dict[str, Any]:
    """Arguments of ImportKeyPair. public_key: an OpenSSH line."""
    return {
        "KeyName": tags.resource_name(config),
        "PublicKeyMaterial": public_key.encode(),
        "TagSpecifications": [tags.tag_specification("key-pair", config)],
    }


def security_group(config: Config, *, vpc_id: str, generation: str) -> dict[str, Any]:
    """Arguments of CreateSecurityGroup."""
    own = {tags.GENERATION: generation}
    return {
        "GroupName": tags.resource_name(config),
        "Description": f"gpu-box {config.name}: SSH from the address of its owner only",
        "VpcId": vpc_id,
        "TagSpecifications": [tags.tag_specification("security-group", config, **own)],
    }
