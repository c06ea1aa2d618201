"""A check of `doctor`."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_box.errors import GpuBoxError


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of `doctor`, also its JSON form."""

    name: str
    ok: bool
    line: str  # the finding
    remedy: str = ""  # what to do; may be set for a passed check that could be better

    @classmethod
    def failed(cls, name: str, error: GpuBoxError) -> Check:
        where = f"{error.where}: " if error.where else ""
        return cls(name=name, ok=False, line=where + error.what, remedy=error.remedy or "")
