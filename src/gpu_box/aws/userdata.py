"""User data: what the machine is told before anybody reaches it. The template is infra/user-data.yaml."""

from __future__ import annotations

from gpu_box.config import Config
from gpu_box.resources import infra


def render_user_data(config: Config, *, host_private_key: str, host_public_key: str) -> str:
    """The same text for the same input, byte for byte: a retried launch must not differ from the first.

    host_private_key: PEM. host_public_key: OpenSSH line.
    """
    template = infra("user-data.yaml").read_text(encoding="utf-8")
    indented = host_private_key.strip().replace("\n", "\n    ")
    return template.replace("@HOST_PRIVATE_KEY@", indented).replace("@HOST_PUBLIC_KEY@", host_public_key)
