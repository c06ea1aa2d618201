"""AWS's HTTP API on loopback."""
