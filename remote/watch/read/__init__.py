"""Reads the machine: one module per signal, combined in `machine`. Makes no decisions."""
