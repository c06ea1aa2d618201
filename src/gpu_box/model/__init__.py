"""Frozen facts that pass between the packages."""
