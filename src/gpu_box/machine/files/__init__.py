"""File transfer between the laptop and the machine."""
