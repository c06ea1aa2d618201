"""Folders of the checkout, for tests at any depth."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
REMOTE = ROOT / "remote"
RECORDED = ROOT.parent / "shared" / "recorded-aws"  # answers of AWS to others; not part of the checkout
# Of the user that gpu-box is in the embedded cloud: one who may make roles in an account of their own.
POLICY = (ROOT / "infra" / "operator-policy.json", ROOT / "infra" / "operator-roles.json")
