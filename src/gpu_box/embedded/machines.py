"""The kinds of machine that can stand behind an instance."""

from __future__ import annotations

from functools import partial

from gpu_box.embedded.machine import MachineKind
from gpu_box.errors import InputError


def kind_of(name: str) -> MachineKind:
    """Raises InputError for another word than process and nspawn, and where nspawn machines cannot be."""
    if name == "process":
        from gpu_box.embedded.process import ProcessMachine

        return ProcessMachine
    if name == "nspawn":
        from gpu_box.embedded.nspawn import NspawnMachine
        from gpu_box.embedded.root_image import root_image

        return partial(NspawnMachine, root_image())
    raise InputError(
        f"no kind of machine {name!r}", where="GPU_BOX_MACHINES", remedy="Use process or nspawn."
    )
