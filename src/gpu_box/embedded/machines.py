"""Which kind of machine stands behind instances: GPU_BOX_MACHINES=process (the default) or nspawn."""

from __future__ import annotations

from gpu_box.embedded.machine import MachineKind
from gpu_box.embedded.process import ProcessMachine


def chosen_kind() -> MachineKind:
    return ProcessMachine
