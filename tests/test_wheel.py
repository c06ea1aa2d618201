"""The wheel, as a user has it: built, installed into an empty environment, run from an empty folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gpu_box import __version__
from tests.paths import ROOT

UV = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")

pytestmark = pytest.mark.xdist_group("wheel")  # built once, in one worker


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the wheel in it, and nothing of this checkout's."""

    folder: Path

    def run(self, *words: str, cwd: Path, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        ours = ("PYTHONPATH", "VIRTUAL_ENV", "COVERAGE_PROCESS_START")
        env = {key: value for key, value in os.environ.items() if key not in ours}
        env["PATH"] = f"{self.folder / 'bin'}:{env['PATH']}"
        program = str(self.folder / "bin" / words[0])
        return subprocess.run(
            [program, *words[1:]], cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout_s
        )

    def has(self, module: str, cwd: Path) -> bool:
        """cwd: an empty folder, so that nothing beside the environment is found."""
        source = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
        return self.run("python", "-c", source, cwd=cwd).returncode == 0


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT))
    [built] = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def install(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Environment]:
    def into_an_empty_environment(extra: str = "") -> Environment:
        folder = tmp_path_factory.mktemp("installed") / "venv"
        python = folder / "bin" / "python"
        what = f"gpu-box{extra} @ {wheel.as_uri()}"
        if UV:
            call(UV, "venv", "--quiet", "--python", sys.executable, str(folder))
            call(UV, "pip", "install", "--quiet", "--python", str(python), what)
        else:
            call(sys.executable, "-m", "venv", str(folder))
            call(str(python), "-m", "pip", "install", "--quiet", what)
        return Environment(folder)

    return into_an_empty_environment


@pytest.fixture(scope="module")
def bare(install: Callable[..., Environment]) -> Environment:
    return install()


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty folder"
    folder.mkdir()
    return folder


def call(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("folder", ["infra", "remote"])
def test_it_holds_every_data_file_of_the_repository(wheel: Path, folder: str) -> None:
    kept = tracked(folder)
    assert kept
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if name.startswith(f"gpu_box/_data/{folder}/")}
        for name in kept:
            assert archive.read(f"gpu_box/_data/{name}") == (ROOT / name).read_bytes(), name
    assert not [name for name in inside if "__pycache__" in name or name.endswith(".pyc")]


def test_it_holds_the_example_the_licence_and_the_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        example = archive.read("gpu_box/_data/config.example.yaml")
    assert example == (ROOT / "config.example.yaml").read_bytes()
    assert "gpu_box/py.typed" in names
    assert {"gpu_box/cli/aliases.sh", "gpu_box/cli/SKILL.md"} <= set(names)
    assert f"gpu_box-{__version__}.dist-info/licenses/LICENSE" in names
    assert not [name for name in names if name.startswith(("tests/", "docs/"))]


def test_it_holds_the_embedded_cloud_without_the_machines_of_the_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "local_aws/machines/process/process.py" in names
    assert not [name for name in names if "nspawn" in name]


def test_without_extras_it_brings_neither_torch_nor_the_embedded_cloud(
    bare: Environment, empty: Path
) -> None:
    assert bare.has("boto3", empty)
    assert [name for name in ("torch", "moto", "asyncssh", "flask") if bare.has(name, empty)] == []


def test_version_and_help_work(bare: Environment, empty: Path) -> None:
    version = bare.run("gpu-box", "--version", cwd=empty)
    assert (version.returncode, version.stdout, version.stderr) == (0, f"gpu-box {__version__}\n", "")
    told = bare.run("gpu-box", "--help", cwd=empty)
    assert (told.returncode, told.stderr) == (0, "")
    for command in ("init", "plan", "up", "status", "stop", "down", "train", "--local"):
        assert command in told.stdout


def test_without_the_extra_local_says_in_one_line_how_to_get_it(bare: Environment, empty: Path) -> None:
    done = bare.run("gpu-box", "--local", "plan", cwd=empty)
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("error: the embedded cloud needs packages that are not installed (moto, ")
    assert line.endswith("Install them with: pip install 'gpu-box[local]'")


def test_init_in_an_empty_folder_writes_a_config_that_it_reads(bare: Environment, empty: Path) -> None:
    done = bare.run("gpu-box", "init", "--yes", cwd=empty)
    assert (done.returncode, done.stderr) == (0, "")
    assert (empty / "config.yaml").read_text().startswith("# gpu-box configuration")
    again = bare.run("gpu-box", "init", "--yes", cwd=empty)
    assert (again.returncode, again.stdout) == (2, "")
    assert "config.yaml: already exists" in again.stderr


def test_with_the_extra_local_plans_a_box_from_an_empty_folder(
    install: Callable[..., Environment], empty: Path
) -> None:
    environment = install("[local]")
    try:
        done = environment.run("gpu-box", "--local", "plan", cwd=empty)
        assert (done.returncode, done.stderr) == (0, "")
        assert "gpu-box in us-east-1: g4dn.xlarge" in done.stdout
        assert "an hour running" in done.stdout
        assert not environment.has("torch", empty)
        assert list(empty.iterdir()) == []
    finally:
        stopped = environment.run("gpu-box", "local", "stop", cwd=empty)
    assert stopped.stdout == "The embedded cloud stopped.\n"
    assert "is not running" in environment.run("gpu-box", "local", "status", cwd=empty).stdout


def test_the_source_archive_builds_too(tmp_path: Path) -> None:
    call(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(tmp_path), str(ROOT))
    with tarfile.open(tmp_path / f"gpu_box-{__version__}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= {"pyproject.toml", "config.example.yaml", "infra/gpus.yaml", "LICENSE", "README.md"}


def tracked(folder: str) -> list[str]:
    """The repository's files, not all that lies about in the working folder; all where there is no git."""
    told = subprocess.run(["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True)
    if told.returncode == 0:
        return told.stdout.splitlines()
    return [str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*") if path.is_file()]
