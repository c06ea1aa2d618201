"""Folders of the checkout, for tests at any depth."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
REMOTE = ROOT / "remote"
POLICY = ROOT / "infra" / "operator-policy.json"  # of the user that gpu-box is
