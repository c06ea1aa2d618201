"""Reboot the machine once if set-up finds that only a reboot helps, and wait for it."""

from __future__ import annotations

import time

from gpu_box.errors import MachineError, MachineUnreachable
from gpu_box.machine.ssh.connection import Connection, wait_for_ssh
from gpu_box.machine.ssh.errors import LoginRefused
from gpu_box.machine.ssh.shell import PYTHON
from gpu_box.model.progress import Reporter

# A large bare-metal instance takes some 10 minutes to boot; others a minute.
_BACK_WITHIN_S = 900.0
_TRY_S = 20.0
_CHECK_AGAIN_S = 1.0
_BOOT = "cat /proc/sys/kernel/random/boot_id"


def reboot(connection: Connection, why: str, report: Reporter) -> Connection | None:
    """A new connection after the reboot; None, with a note, if the box's own work forbids a reboot.

    why: from `MachineState.reboot`. Closes the old connection if the machine reboots. Raises MachineError if
    it is not back in time.
    """
    before = connection.run(_BOOT).stdout.strip()
    report.start("reboot", why)
    try:
        asked = connection.run(f"cd ~/.gpu-box/remote && exec {PYTHON} -m setup reboot", check=False)
    except MachineUnreachable:
        pass  # it is rebooting already
    else:
        if asked.exit_status == 1:
            report.done("reboot", f"{asked.said}; when that has ended, run `gpu-box stop`, then `up`")
            return None
    connection.close()
    host, give_up = connection.host, time.monotonic() + _BACK_WITHIN_S
    while time.monotonic() < give_up:
        try:
            again = wait_for_ssh(host, timeout_s=_TRY_S, report=report)
        except (MachineUnreachable, LoginRefused):
            continue
        try:
            if again.run(_BOOT).stdout.strip() != before:
                report.done("reboot", f"rebooted: {why}")
                return again
        except MachineError:  # it was still shutting down
            pass
        again.close()
        time.sleep(_CHECK_AGAIN_S)
    raise MachineError(
        f"the box was rebooted and does not answer after {_BACK_WITHIN_S / 60:.0f} min",
        where=host.name,
        remedy="Run `gpu-box up` again; if it still does not answer, `gpu-box stop`, then `up`.",
    )
