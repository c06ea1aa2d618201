"""What EC2 is asked to make, as one function each: `up` sends it, and `doctor` tries the same by DryRun.

RunInstances, which takes more than this, is in `launch`.
"""

from __future__ import annotations

from typing import Any

from gpu_box.aws import tags
from gpu_box.config.model import Config


def key_pair(config: Config, public_key: str) -> dict[str, Any]:
    """Of ImportKeyPair. public_key: an OpenSSH line."""
    return {
        "KeyName": tags.resource_name(config),
        "PublicKeyMaterial": public_key.encode(),
        "TagSpecifications": [tags.tag_specification("key-pair", config)],
    }


def security_group(config: Config, *, vpc_id: str, generation: str) -> dict[str, Any]:
    """Of CreateSecurityGroup."""
    own = {tags.GENERATION: generation}
    return {
        "GroupName": tags.resource_name(config),
        "Description": f"gpu-box {config.name}: SSH from the address of its owner only",
        "VpcId": vpc_id,
        "TagSpecifications": [tags.tag_specification("security-group", config, **own)],
    }
