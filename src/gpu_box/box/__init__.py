"""Implements each command from start to end."""
