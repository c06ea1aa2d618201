"""The machines of the instances."""
