"""Connections to the machine: keys, host keys, SSH config, tunnels."""
