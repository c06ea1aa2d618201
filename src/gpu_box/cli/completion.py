"""What the shell offers after Tab, without a call to AWS: it must be there at once."""

from __future__ import annotations


def box_names(incomplete: str) -> list[str]:
    """Boxes that this laptop has brought up and not taken down."""
    from gpu_box import known

    return [name for name in known.names() if name.startswith(incomplete)]


def instance_types(incomplete: str) -> list[str]:
    from gpu_box.aws.catalogue import gpu_types

    return [name for name in gpu_types() if name.startswith(incomplete)]
