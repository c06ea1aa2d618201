"""Real Debian machines in systemd-nspawn, for the tests."""
