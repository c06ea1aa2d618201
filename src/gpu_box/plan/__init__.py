"""Decides what to do. Pure."""
