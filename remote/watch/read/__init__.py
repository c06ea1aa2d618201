"""Reading the machine: one module a signal, joined in `machine`. Nothing here decides anything."""
