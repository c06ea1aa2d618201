"""Prices: asked from AWS, or read from the dated table in infra/."""
