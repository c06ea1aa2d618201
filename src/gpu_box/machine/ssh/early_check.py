"""Starts a check of the machine while AWS is still being asked for its address.

It connects to the box's last known address; its answer counts only if AWS confirms the address.
"""

from __future__ import annotations

import subprocess
from contextlib import ExitStack

from gpu_box.machine import setup
from gpu_box.machine.setup import Desired
from gpu_box.machine.ssh import errors, ssh_config
from gpu_box.machine.ssh.command import Result
from gpu_box.machine.ssh.system_ssh import SystemSsh
from gpu_box.model.machine import Host, MachineState


class EarlyCheck:
    """For a `with` block, at whose end the check is killed."""

    def __init__(self, name: str, desired: Desired) -> None:
        self._desired = desired
        self._to = ssh_config.last_private_files(name)
        self._ends = ExitStack()
        self._ssh: SystemSsh | None = None
        if self._to:
            asked = setup.question(desired)
            self._ssh = self._ends.enter_context(SystemSsh(self._to.config, name, asked.command))
            self._ssh.send(asked.stdin)

    def __enter__(self) -> EarlyCheck:
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def answer(self, host: Host, desired: Desired) -> MachineState | None:
        """Wait for the result; None if the address or the question was wrong, or the check failed.

        Raises MachineError as `setup.check` does.
        """
        if not self._ssh or self._to != ssh_config.private_files(host) or self._desired != desired:
            return None
        asked = setup.question(desired)
        try:
            said = self._ssh.output(setup.CHECK_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise errors.timed_out(host, asked.command, setup.CHECK_TIMEOUT_S, None) from None
        return setup.read_answer(asked, Result.of(0, *said), host.name) if said else None
