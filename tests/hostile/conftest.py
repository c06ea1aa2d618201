"""The real SSH server of tests/machine."""

from ..machine.conftest import connection, home, machine, report  # noqa: F401
