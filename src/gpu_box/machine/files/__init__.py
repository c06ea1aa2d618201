"""Files that travel between the laptop and the machine."""
