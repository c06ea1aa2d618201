"""Smaller services: quotas, pricing, parameters."""
