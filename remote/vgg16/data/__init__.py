"""Pictures and features."""
