"""The kinds of machine: process and nspawn."""

from __future__ import annotations

from functools import partial

from local_aws.failure import Failure
from local_aws.machines.machine import MachineKind


def kind_of(name: str) -> MachineKind:
    """Raises Failure for an unknown kind, and if nspawn machines cannot run here."""
    if name == "process":
        from local_aws.machines.process.process import ProcessMachine

        return ProcessMachine
    if name == "nspawn":
        try:
            from local_aws.machines.nspawn.nspawn import NspawnMachine
            from local_aws.machines.nspawn.root_image import root_image
        except ModuleNotFoundError:
            raise Failure(
                "nspawn machines are not in the installed package",
                where="GPU_BOX_MACHINES=nspawn",
                remedy="Run gpu-box from a checkout, or use GPU_BOX_MACHINES=process.",
                bad_input=True,
            ) from None

        return partial(NspawnMachine, root_image())
    raise Failure(
        f"no kind of machine {name!r}",
        where="GPU_BOX_MACHINES",
        remedy="Use process or nspawn.",
        bad_input=True,
    )
