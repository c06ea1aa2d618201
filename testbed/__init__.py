"""Embedded clouds and machines for tests and benchmarks."""
