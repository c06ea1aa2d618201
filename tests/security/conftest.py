"""The real SSH server of tests/machine_ssh."""

from ..machine_ssh.conftest import connection, home, machine, report  # noqa: F401
