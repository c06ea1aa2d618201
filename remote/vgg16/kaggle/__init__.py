"""The competition."""
