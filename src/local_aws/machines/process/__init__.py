"""Machines that are processes of the current user."""
