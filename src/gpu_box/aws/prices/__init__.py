"""Prices, live from AWS or from the dated table in infra/."""
