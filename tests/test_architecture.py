"""The house's rules: who may import whom, where a vendor's library stays. Held by reading every import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "gpu_box"

# A room may import itself and these. `aws` and `machine` do not know each other.
FOUNDATION = {
    "config", "model", "errors", "units", "resources", "home", "steps", "public_key", "spending", "stopped",
    "forgotten", "readable", "limits",
}  # fmt: skip
MAY_IMPORT = {
    "config": set(),
    "config_values": {"model", "units"},
    "config_yaml": {"errors"},
    "config_place": {"errors"},
    "limits": {"config", "errors", "model", "steps", "units"},
    "config_file": {"config", "config_place", "config_values", "config_yaml", "errors"},
    "units": {"errors"},
    "errors": set(),
    "model": {"errors", "units"},
    "resources": {"errors"},
    "steps": {"model"},
    "public_key": set(),
    "spending": set(),
    "stopped": {"model"},
    "forgotten": {"model", "stopped"},
    "readable": {"errors", "model"},
    "budget": FOUNDATION,
    "initialize": FOUNDATION | {"config_file", "config_values"},
    "offers": FOUNDATION | {"initialize", "aws"},
    "plan": FOUNDATION | {"budget"},
    "image_plan": FOUNDATION | {"plan"},
    "aws": FOUNDATION,
    "machine": FOUNDATION,
    "view": FOUNDATION | {"plan", "aws", "machine", "report", "cost", "offers", "pace"},
    "hosts": FOUNDATION | {"machine"},
    "entry": FOUNDATION | {"hosts", "aws", "machine"},
    "look": FOUNDATION | {"budget", "hosts", "aws", "machine", "ledger", "last_seen"},
    "box": FOUNDATION
    | {
        "budget",
        "entry",
        "image_plan",
        "look",
        "plan",
        "project",
        "aws",
        "machine",
        "last_seen",
        "last_project",
    },
    "bake": FOUNDATION | {"box", "look", "image_plan", "plan", "aws"},
    "resize": FOUNDATION | {"bake", "box", "look", "plan", "aws"},
    "running_jobs": FOUNDATION | {"look", "machine"},
    "stopping": FOUNDATION | {"box", "last_seen", "look", "budget", "plan", "aws", "machine"},
    "doctor": FOUNDATION | {"hosts", "aws", "machine"},
    "project": FOUNDATION | {"machine"},
    "work": FOUNDATION | {"look", "project", "machine"},
    "home": set(),
    "pace": {"home"},
    "ledger": {"home", "spending"},
    "last_seen": {"home", "model"},
    "last_project": {"home"},
    "cost": FOUNDATION | {"look", "budget", "aws"},
    "boxes": FOUNDATION,
    "cluster": FOUNDATION | {"box", "boxes", "look", "project", "work", "aws", "machine"},
    "afterwards": FOUNDATION | {"box", "work"},
    "known": FOUNDATION | {"aws", "machine"},
    "notices": {"config"},
    "herald": FOUNDATION | {"look", "budget", "machine", "notices"},
    "watching": FOUNDATION | {"look", "herald", "machine"},
    "report": FOUNDATION | {"look", "budget", "project", "aws", "machine"},
    "cli": FOUNDATION
    | {
        "config_file",
        "config_place",
        "aws",
        "view",
        "box",
        "boxes",
        "look",
        "work",
        "bake",
        "resize",
        "running_jobs",
        "stopping",
        "doctor",
        "embedded",
        "initialize",
        "offers",
    }
    | {"afterwards", "cluster", "cost", "home", "herald", "known", "notices", "pace", "report", "watching"},
    # Reached over its endpoint only; `cli` starts it and nothing else knows it.
    "embedded": FOUNDATION,
    "__main__": {"cli"},
    "__init__": set(),
}
VENDORS = {
    "boto3": ("aws", "embedded"),
    "botocore": ("aws", "embedded"),
    "fabric": ("machine/connection.py",),
    "paramiko": ("machine/connection.py",),
    "invoke": ("machine/connection.py",),
    "typer": ("cli",),
    "rich": ("cli", "view"),
    "moto": ("embedded",),
    "asyncssh": ("embedded",),
    "werkzeug": ("embedded",),
    "torch": (),
}


def imports(path: Path) -> Iterator[str]:
    """Dotted names, `from gpu_box import plan` as gpu_box.plan; typing-only ones count too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_one_way(path: Path) -> None:
    own = room(path)
    allowed = MAY_IMPORT[own] | {own, "__version__"}
    for name in imports(path):
        if name.startswith("gpu_box."):
            assert name.split(".")[1] in allowed, f"{own} may not import {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_vendor_stays_in_its_room(path: Path) -> None:
    inside = path.relative_to(SOURCE).as_posix()
    for name in imports(path):
        homes = VENDORS.get(name.split(".")[0])
        if homes is not None:
            assert inside.startswith(homes), f"{inside} may not import {name}"


def test_what_runs_on_the_box_runs_alone() -> None:
    for path in (ROOT / "remote").rglob("*.py"):
        assert not [n for n in imports_lenient(path) if n.startswith("gpu_box")], path


@pytest.mark.parametrize("folder", ["watch", "setup", "jobs", "sync"])
def test_what_runs_on_a_bare_machine_needs_only_the_standard_library_of_python_3_8(folder: str) -> None:
    import sys

    own = {p.name for p in (ROOT / "remote").iterdir() if p.is_dir()}
    for path in (ROOT / "remote" / folder).rglob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))
        for name in imports_lenient(path):
            top = name.split(".")[0]
            assert top in sys.stdlib_module_names or top in own, f"{path}: {name}"


def imports_lenient(path: Path) -> Iterator[str]:
    """As `imports`, but relative imports are inside the folder and need no rule."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
