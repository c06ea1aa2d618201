"""Smaller services: quotas, prices, parameters."""
