"""Decides what to do; pure."""
