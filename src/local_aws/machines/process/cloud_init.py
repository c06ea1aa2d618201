"""Reads the one part of an instance's user data that a process machine uses: the SSH host key.

The rest of cloud-init (packages, write_files, bootcmd, runcmd, units) needs root and is not run on a process
machine: its /etc, /var and /home are those of this computer, so a bootcmd that removes jobs from /home would
remove this computer's. nspawn machines run the real cloud-init with the same user data.
"""

from __future__ import annotations

import email
import gzip
from collections.abc import Iterator

import yaml


def host_key(user_data: bytes) -> str | None:
    """The private ed25519 key (PEM) under `ssh_keys` in a #cloud-config document; None without one."""
    for document in _cloud_configs(user_data):
        try:
            config = yaml.safe_load(document)
        except yaml.YAMLError:
            continue  # as cloud-init does, after logging it
        keys = config.get("ssh_keys") if isinstance(config, dict) else None
        if isinstance(keys, dict) and isinstance(private := keys.get("ed25519_private"), str):
            return private
    return None


def _cloud_configs(user_data: bytes) -> Iterator[bytes]:
    """The #cloud-config documents in plain, gzipped or MIME multipart user data."""
    if user_data.startswith(b"\x1f\x8b"):
        user_data = gzip.decompress(user_data)
    if user_data.startswith(b"#cloud-config"):
        yield user_data
    elif user_data[:200].lower().lstrip().startswith((b"content-type:", b"mime-version:")):
        for part in email.message_from_bytes(user_data).walk():
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes) and payload.startswith(b"#cloud-config"):
                yield payload
