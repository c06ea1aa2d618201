"""The hardware of an instance type, for images that depend on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Hardware:
    type: str
    architectures: frozenset[str]  # EC2's names: "x86_64", "arm64"
    accelerator: str = ""  # maker and name: "NVIDIA L4", "AMD Radeon Pro V520"; "": CPU only
    share: int = 1  # 8: an eighth of a card
