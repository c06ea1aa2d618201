"""The house's rules: who may import whom, where a vendor's library stays. Held by reading every import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import REMOTE, ROOT

SOURCE = ROOT / "src" / "gpu_box"
LOCAL_AWS = ROOT / "src" / "local_aws"

# A package may import itself and these:
# cli -> view -> box -> {aws, machine, plan} -> {store, config} -> model.
BASE = {"errors", "units", "resources", "files", "home", "polling", "nearest"}
FACTS = BASE | {"model"}
OWN = FACTS | {"store", "config"}
MAY_IMPORT = {
    "errors": set(),
    "units": {"errors"},
    "resources": {"errors"},
    "files": set(),
    "home": set(),
    "polling": set(),
    "nearest": set(),
    "model": BASE,
    "store": FACTS,
    "config": FACTS,
    "plan": FACTS | {"config"},  # pure: decides from the facts that it is handed
    "aws": OWN | {"plan"},  # the steps that it carries out
    "machine": OWN,
    "box": OWN | {"aws", "machine", "plan"},
    "view": OWN | {"aws", "machine", "plan", "box"},
    "cli": OWN | {"aws", "machine", "plan", "box", "view"},
    "api": OWN | {"aws", "box", "view"},
    "__main__": {"cli"},
    "__init__": {"api", "errors"},
}
# Only `cli` starts and stops the embedded cloud's daemon; everything else reaches it over its endpoint.
STARTS_LOCAL_AWS = {"cli"}
VENDORS = {
    "boto3": ("aws/",),
    "botocore": ("aws/",),
    "fabric": ("machine/ssh/",),
    "paramiko": ("machine/ssh/",),
    "invoke": ("machine/ssh/",),
    "typer": ("cli/",),
    "rich": ("cli/", "view/"),
    "moto": (),
    "asyncssh": (),
    "werkzeug": (),
    "torch": (),
}


def imports(path: Path) -> Iterator[str]:
    """Dotted names, `from gpu_box import plan` as gpu_box.plan.box; typing-only ones count too."""
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
        if name.split(".")[0] == "local_aws":
            assert own in STARTS_LOCAL_AWS, f"{own} may not import {name}"


@pytest.mark.parametrize("path", sorted(LOCAL_AWS.rglob("*.py")), ids=lambda p: str(p.relative_to(LOCAL_AWS)))
def test_the_embedded_cloud_knows_nothing_of_gpu_box(path: Path) -> None:
    assert not [name for name in imports(path) if name.split(".")[0] == "gpu_box"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_vendor_stays_in_its_room(path: Path) -> None:
    inside = path.relative_to(SOURCE).as_posix()
    for name in imports(path):
        homes = VENDORS.get(name.split(".")[0])
        if homes is not None:
            assert inside.startswith(homes), f"{inside} may not import {name}"


def test_what_runs_on_the_box_runs_alone() -> None:
    for path in (REMOTE).rglob("*.py"):
        assert not [n for n in imports_lenient(path) if n.startswith("gpu_box")], path


@pytest.mark.parametrize("folder", ["watch", "setup", "jobs", "sync", "attach"])
def test_what_runs_on_a_bare_machine_needs_only_the_standard_library_of_python_3_8(folder: str) -> None:
    import sys

    own = {p.name for p in (REMOTE).iterdir() if p.is_dir()}
    for path in (REMOTE / folder).rglob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))
        for name in imports_lenient(path):
            top = name.split(".")[0]
            assert top in sys.stdlib_module_names or top in own, f"{path}: {name}"


DOCUMENTED = {"_asdict", "_exit", "_field_defaults", "_fields", "_replace"}  # of named tuples and os
# May use a private name of a library's object. What is needed of each library is in a test of its own.
INSIDE = {
    "remote/jupyter/recorder.py",
    "src/gpu_box/aws/answers.py",
    "src/gpu_box/aws/sign_in.py",
    "src/gpu_box/aws/trust.py",
    "src/gpu_box/machine/ssh/sftp_limits.py",
    "src/local_aws/moto_inside.py",
}


@pytest.mark.parametrize("folder", ["src", "remote"])
def test_private_names_of_a_library_are_used_in_one_place(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not _is_own(node):
                assert str(path.relative_to(ROOT)) in INSIDE, f"{path}:{node.lineno}: {node.attr}"


def _is_own(node: ast.Attribute) -> bool:
    """Of self or the like, or documented: __name__, os._exit, a named tuple's _replace."""
    documented = node.attr.startswith("__") or node.attr in DOCUMENTED
    return documented or ast.unparse(node.value) in ("self", "cls", "super()")


def test_the_lesson_is_read_in_one_sitting() -> None:
    """Modules at the top of vgg16; what belongs together has a folder."""
    assert len(list((REMOTE / "vgg16").glob("*.py"))) <= 20


# Helpers and measurements: a test may be read without a benchmark, and the other way round.
BESIDE_EACH_OTHER = {"testbed": ("tests", "benchmarks"), "benchmarks": ("tests",), "docs": ("tests",)}


@pytest.mark.parametrize("folder", BESIDE_EACH_OTHER)
def test_benchmarks_and_the_testbed_run_without_the_tests(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        for name in imports_lenient(path):
            assert name.split(".")[0] not in BESIDE_EACH_OTHER[folder], f"{path}: {name}"


# What saves a round trip or a wait is behind a function of `aws` or `machine`, with its switch.
_TIME_SAVERS = {
    "Expected", "Rsync", "early_check", "early_rsync", "expected", "last_seen", "make_clients",
    "system_ssh",
}  # fmt: skip


@pytest.mark.parametrize("path", sorted((ROOT / "src/gpu_box/box").glob("*.py")), ids=lambda path: path.name)
def test_a_command_does_not_know_what_saves_its_time(path: Path) -> None:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names |= {getattr(node, key, None) for key in ("id", "attr", "arg", "name")}
        names |= set((getattr(node, "module", None) or "").split("."))
    assert not names & _TIME_SAVERS


def imports_lenient(path: Path) -> Iterator[str]:
    """As `imports`, but relative imports are inside the folder and need no rule."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def test_a_command_makes_its_session_of_the_sdk_at_the_top() -> None:
    """All below are handed the Cloud, or share its session."""
    makers = {
        path.relative_to(SOURCE).as_posix()
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Cloud"
    }
    assert makers == {"api.py", "aws/client.py", "cli/completion.py", "cli/context.py", "cli/init.py"}


def test_a_command_shows_what_its_function_returned() -> None:
    """`cli` copies no fields from one result to another."""
    tree = ast.parse((SOURCE / "model" / "results.py").read_text(encoding="utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.ClassDef)} | {
        "Plan",
        "Up",
        "Swept",
        "Removed",
    }
    made = {
        (path.name, node.func.id)
        for path in (SOURCE / "cli").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
    }
    assert made == {
        ("box.py", "Gone"),  # without a call: nothing is there
        ("report.py", "ReportFile"),  # the page is drawn by `view`
        ("local_cloud.py", "LocalCloud"),  # only `cli` knows the embedded cloud
        ("local_cloud.py", "LocalStopped"),
    }


@pytest.mark.parametrize("path", sorted((SOURCE / "plan").glob("*.py")), ids=lambda p: p.name)
def test_a_plan_asks_neither_a_clock_nor_anybody(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            assert called not in {"now", "utcnow", "today", "time", "open", "read_text", "token_hex"}, called
    asking = {"os", "time", "secrets", "random", "socket", "subprocess", "pathlib"}
    assert not asking & {name.split(".")[0] for name in imports(path)}
