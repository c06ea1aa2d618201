"""The NoCloud seed of an nspawn machine: the instance's user data, id and public key.

Source: https://docs.cloud-init.io/en/latest/reference/datasources/nocloud.html
"""

from __future__ import annotations

from pathlib import Path

import yaml

from local_aws.machines.machine import Boot

_EMPTY = b"#cloud-config\n{}\n"


def write_seed(root: Path, boot: Boot) -> None:
    folder = root / "var/lib/cloud/seed/nocloud-net"
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {
        "instance-id": boot.instance_id,  # the same at each boot, so that "once per instance" runs once
        "local-hostname": boot.instance_id,
        "public-keys": [boot.public_key.strip()],
    }
    (folder / "meta-data").write_text(yaml.safe_dump(metadata))
    (folder / "user-data").write_bytes(boot.user_data or _EMPTY)
    (folder / "user-data").chmod(0o600)  # it holds the host key
