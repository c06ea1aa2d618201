"""Weights: published, from a file, or random."""
