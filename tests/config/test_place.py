"""Which config.yaml applies in a folder: the nearest, up to the git root or the home folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_box.box import project
from gpu_box.config.read import load
from gpu_box.errors import InputError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a project that has a subfolder."""
    found = tmp_path / "home"
    (found / "project" / "src" / "deep").mkdir(parents=True)
    (found / "project" / "config.yaml").write_text("name: mine\nlimits: {max_hours: 2h, budget: 20}\n")
    monkeypatch.setenv("HOME", str(found))
    return found


def ruling(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str | None:
    """The name in this folder's config; None for all defaults."""
    monkeypatch.chdir(folder)
    config = load()
    return config.name if config.path else None


def test_a_sub_folder_has_the_limits_the_key_and_the_project_of_its_project(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = home / "project"
    (root / "config.yaml").write_text("ssh: {key: ./key}\nsync: {results: out}\nlimits: {budget: 20}\n")
    monkeypatch.chdir(root)
    there = load()
    monkeypatch.chdir(root / "src" / "deep")
    assert load() == there
    assert there.limits.budget == 20
    assert (there.path, project.folder(there)) == (root / "config.yaml", root)
    assert (there.ssh.key, project.results_folder(there)) == (root / "key", root / "out")


def test_the_nearest_one_counts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "project" / "src" / "config.yaml").write_text("name: inner\n")
    assert ruling(home / "project" / "src" / "deep", monkeypatch) == "inner"
    assert ruling(home / "project", monkeypatch) == "mine"


@pytest.mark.parametrize("kind", ["folder", "file of a worktree"])
def test_the_search_ends_at_the_git_root(home: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    git = home / "project" / "src" / ".git"
    git.mkdir() if kind == "folder" else git.write_text("gitdir: /elsewhere\n")
    assert ruling(home / "project" / "src" / "deep", monkeypatch) is None
    (home / "project" / "src" / "config.yaml").write_text("name: root\n")
    assert ruling(home / "project" / "src" / "deep", monkeypatch) == "root", "the root itself counts"


def test_the_search_ends_at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home.parent / "config.yaml").write_text("name: above\n")
    (home / "other").mkdir()
    assert ruling(home / "other", monkeypatch) is None
    (home / "config.yaml").write_text("name: home\n")
    assert ruling(home / "other", monkeypatch) == "home"
    assert ruling(home, monkeypatch) == "home"


def test_home_ends_it_also_inside_a_larger_repository(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home.parent / ".git").mkdir()
    (home.parent / "config.yaml").write_text("name: above\n")
    (home / "other").mkdir()
    assert ruling(home / "other", monkeypatch) is None


def test_outside_of_home_only_a_repository_has_sub_folders(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data" / "src").mkdir(parents=True)
    (tmp_path / "data" / "config.yaml").write_text("name: data\n")
    assert ruling(tmp_path / "data", monkeypatch) == "data"
    assert ruling(tmp_path / "data" / "src", monkeypatch) is None
    (tmp_path / "data" / ".git").mkdir()
    assert ruling(tmp_path / "data" / "src", monkeypatch) == "data"
    assert ruling(Path("/"), monkeypatch) is None


def test_a_link_to_a_folder_counts_as_the_folder(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(home / "project" / "src")
    assert ruling(tmp_path / "link", monkeypatch) == "mine"
    (tmp_path / "linked-home").symlink_to(home)
    monkeypatch.setenv("HOME", str(tmp_path / "linked-home"))
    assert ruling(tmp_path / "linked-home" / "project" / "src", monkeypatch) == "mine"


@pytest.mark.parametrize("name", ["config.yml", "Config.yaml", "CONFIG.YAML", "Config.YML"])
def test_another_spelling_is_refused_by_name_and_not_passed_over(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    wrong = home / "project" / "src" / name
    wrong.write_text("name: inner\n")
    with pytest.raises(InputError) as refused:
        ruling(home / "project" / "src" / "deep", monkeypatch)
    assert refused.value.exit_code == 2
    assert refused.value.where == str(wrong)
    assert refused.value.remedy and refused.value.remedy.startswith("Rename it to config.yaml")
    assert load(wrong).name == "inner", "--config wins"
    (home / "project" / "src" / "config.yaml").write_text("name: right\n")
    assert load().name == "right", "beside the right name it is another program's"


def test_one_that_cannot_be_read_is_refused_and_not_passed_over(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for make in (lambda path: path.mkdir(), lambda path: path.symlink_to("/nowhere/config.yaml")):
        path = home / "project" / "src" / "config.yaml"
        make(path)
        with pytest.raises(InputError) as refused:
            ruling(home / "project" / "src" / "deep", monkeypatch)
        assert str(path) in str(refused.value)
        path.rmdir() if path.is_dir() else path.unlink()


# Everything is imported before the process becomes a user who may be unable to read this checkout.
AS_ANOTHER_USER = """
import contextlib, io, os, sys
from gpu_box.cli.main import main
with contextlib.redirect_stderr(io.StringIO()):
    main(["--config", "/nowhere", "stop", "--yes"])
    main(["--config", "/dev/null", "init", "--yes"])
folder, closed, mode, *words = sys.argv[1:]
os.chdir(folder)
os.chmod(closed, int(mode, 8))
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
sys.exit(main(words))
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A repository that any user may enter, unlike pytest's own folders."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        root = Path(name)
        (root / ".git").mkdir()
        (root / "src" / "deep").mkdir(parents=True)
        (root / "config.yaml").write_text("name: mine\n")
        if os.geteuid() == 0:
            for path in (root, *root.rglob("*")):
                os.chown(path, 65534, 65534)
        yield root
        for path in (root, root / "src"):
            path.chmod(0o700)


@pytest.mark.parametrize("start", ["src", "src/deep"])
@pytest.mark.parametrize(
    ("closed", "mode"), [(".", "000"), (".", "600"), ("src", "000"), ("src", "300"), ("src", "100")]
)
@pytest.mark.parametrize("words", [["init", "--yes"], ["stop", "--yes"]])
def test_a_folder_that_may_not_be_read_is_named_and_no_other_box_is_taken(
    open_folder: Path, start: str, closed: str, mode: str, words: list[str]
) -> None:
    where = open_folder / closed
    program = [sys.executable, "-c", AS_ANOTHER_USER, str(open_folder / start), str(where), mode, *words]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    said = " ".join(done.stderr.split())
    assert said.startswith(f"error: {where}: cannot look for config.yaml: permission denied. Change ")


def test_init_into_a_folder_that_may_not_be_entered_is_refused(open_folder: Path) -> None:
    where = open_folder / "src"
    words = ["--config", str(where / "config.yaml"), "init", "--yes"]
    program = [sys.executable, "-c", AS_ANOTHER_USER, str(open_folder), str(where), "000", *words]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "cannot be written: Permission denied" in " ".join(done.stderr.split())
