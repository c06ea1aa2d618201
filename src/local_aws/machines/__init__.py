"""The machines behind the instances."""
