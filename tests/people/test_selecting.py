"""Which files of a project travel: as git has it, and whatever cannot travel is named."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpu_box.machine.files import git
from gpu_box.machine.files.selection import Selection
from gpu_box.machine.files.sync import _name_left

from .. import needs
from ..aws.conftest import Recorder


@pytest.fixture(params=["git", "no git"])
def by_git(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both ways are held to the same."""
    needs.require_programs("git")
    if request.param == "no git":
        monkeypatch.setattr(git, "list_files", lambda folder: None)
    return bool(request.param == "git")


def write(folder: Path, **files: str | bytes) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def checkout(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    run(folder, "init", "-q")
    return folder


def run(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True)


def sent(folder: Path, *exclude: str) -> set[str]:
    return {entry.path for entry in Selection(folder, exclude).entries}


def as_git(folder: Path) -> set[str]:
    command = ["git", "-C", str(folder), "ls-files", "-z", "-co", "--exclude-standard"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")) - {""}


# libgit2#5071
def test_a_gitignore_with_a_byte_order_mark_counts_from_its_first_line(tmp_path: Path, by_git: bool) -> None:
    write(
        checkout(tmp_path),
        **{".gitignore": b"\xef\xbb\xbfsecret.txt\r\n*.log\r\n", "secret.txt": "", "a.log": "", "b": ""},
    )
    assert sent(tmp_path) == as_git(tmp_path) == {".gitignore", "b"}


# pathspec#74
def test_a_gitignore_that_lists_what_is_wanted(tmp_path: Path, by_git: bool) -> None:
    write(
        checkout(tmp_path),
        **{
            ".gitignore": "*\n!*/\n!*.py\n",
            "a.py": "",
            "a.bin": "",
            "pkg/m.py": "",
            "pkg/deep/n.py": "",
            "pkg/x": "",
        },
    )
    assert sent(tmp_path) == as_git(tmp_path) == {"a.py", "pkg/m.py", "pkg/deep/n.py"}


# ungit#36: typed by half, during `sync --watch`
@pytest.mark.parametrize("half", ["!", "[", "\\", "a[", "!!", "/", "**", "[!", "   "])
def test_a_half_typed_pattern_ends_nothing(tmp_path: Path, by_git: bool, half: str) -> None:
    write(checkout(tmp_path), **{".gitignore": f"*.log\n{half}", "a.log": "", "b.py": ""})
    assert sent(tmp_path) == as_git(tmp_path)


# globby#86, sublime_merge#10
def test_a_sub_folder_of_a_checkout_has_its_parent_s_rules(tmp_path: Path) -> None:
    needs.require_programs("git")
    write(
        checkout(tmp_path),
        **{".gitignore": "*.ckpt\n/app/data/\n", "app/a.ckpt": "", "app/data/x": "", "app/m.py": ""},
    )
    assert sent(tmp_path / "app") == as_git(tmp_path / "app") == {"m.py"}


def test_info_exclude_the_user_s_own_file_and_tracked_files_count(tmp_path: Path, _own_home: Path) -> None:
    needs.require_programs("git")
    project = checkout(tmp_path / "project")
    write(
        project,
        **{
            ".gitignore": "*.bin\n",
            "kept.bin": "",
            "left.bin": "",
            "by info": "",
            "by config": "",
            "by default": "",
            "a": "",
        },
    )
    (project / ".git/info/exclude").write_text("by info\n")
    run(project, "add", "-f", "kept.bin")
    write(_own_home, **{".config/git/ignore": "by default\n", "mine": "by config\n"})
    assert "by default" not in sent(project)
    run(project, "config", "core.excludesFile", str(_own_home / "mine"))
    assert sent(project) == as_git(project)
    assert {"kept.bin", "by default", "a"} == sent(project) - {".gitignore"}


def test_a_repository_within_counts_by_its_own_rules(tmp_path: Path) -> None:
    needs.require_programs("git")
    write(checkout(tmp_path / "in/lib"), **{".gitignore": "*.o\n", "x.o": "", "x.c": ""})
    write(checkout(tmp_path), a="")
    assert sent(tmp_path) == {"a", "in/lib/.gitignore", "in/lib/x.c"}


# A relative: a repository of dotfiles around the home folder ignores everything
def test_a_project_that_a_checkout_above_ignores_is_sent(tmp_path: Path) -> None:
    needs.require_programs("git")
    write(
        checkout(tmp_path),
        **{".gitignore": "*\n", "work/m.py": "", "work/.gitignore": "*.log\n", "work/a.log": ""},
    )
    assert sent(tmp_path / "work") == {".gitignore", "m.py"}


def test_a_hook_s_variables_do_not_lead_to_another_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs.require_programs("git")
    write(checkout(tmp_path / "here"), **{".gitignore": "x\n", "x": "", "y": ""})
    checkout(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    assert sent(tmp_path / "here") == {".gitignore", "y"}


def test_exclude_and_what_never_travels_hold_in_a_checkout_too(tmp_path: Path, by_git: bool) -> None:
    write(
        checkout(tmp_path),
        **{"data/huge": "", "a.zip": "", ".venv/x": "", "results/r": "", "kaggle.json": "", "m.py": ""},
    )
    run(tmp_path, "add", "-f", "kaggle.json", "data/huge")
    assert sent(tmp_path, "data/", "*.zip") == {"m.py"}


@contextmanager
def as_ordinary_user(folder: Path) -> Iterator[None]:
    """Root may read everything: for a while we are an ordinary user, whose the folder is."""
    if os.geteuid() != 0:
        yield
        return
    for parent in [*folder.parents][:-2]:
        parent.chmod(parent.stat().st_mode | 0o011)
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, 65534, 65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


# docker-netlify-cli#123
def test_what_cannot_be_read_is_named_and_the_rest_is_sent(tmp_path: Path, by_git: bool) -> None:
    write(
        checkout(tmp_path),
        **{"closed/x": "", "file": "", "sub/.gitignore": "*.log\n", "sub/y": "", "m.py": ""},
    )
    for name in ("closed", "file", "sub/.gitignore"):
        (tmp_path / name).chmod(0)
    with as_ordinary_user(tmp_path):
        found = Selection(tmp_path).scan
    assert {entry.path for entry in found.entries} == {"sub/y", "m.py"}
    assert set(found.left["cannot be read"]) == {"closed", "file", "sub/.gitignore"}


# kagglehub PR 246
def test_links_that_lead_out_empty_folders_and_pipes_are_named(tmp_path: Path, by_git: bool) -> None:
    project = checkout(tmp_path / "project")
    write(project, **{"m.py": "", "pkg/n.py": ""})
    for link, target in {
        "absolute": "/etc/hostname", "up": "../outside", "pkg/inside": "../m.py", "dangling": "nowhere",
        "data": str(tmp_path), "pkg/loop": "loop",
    }.items():  # fmt: skip
        (project / link).symlink_to(target)
    (project / "empty/deep").mkdir(parents=True)
    os.mkfifo(project / "pipe")
    found = Selection(project).scan
    assert {entry.path for entry in found.entries} == {
        "m.py",
        "pkg/n.py",
        "pkg/inside",
        "dangling",
        "pkg/loop",
    }
    assert found.left["links out of the project"] == ["absolute", "data", "up"]
    assert found.left["empty folder"] in (["empty"], ["empty/deep"])


# ungit#36: folders come and go
def test_a_file_that_goes_away_meanwhile_ends_nothing(tmp_path: Path, by_git: bool) -> None:
    write(checkout(tmp_path), a="", b="")
    run(tmp_path, "add", "a", "b")
    (tmp_path / "a").unlink()
    assert sent(tmp_path) == {"b"}


def test_a_broken_line_of_gitignore_is_named_and_the_file_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git, "list_files", lambda folder: None)
    write(tmp_path, **{".gitignore": "*.log\n!\n[\n\\\n/\n", "a.log": "", "b": ""})
    report = Recorder()
    _name_left(Selection(tmp_path), report)
    assert sent(tmp_path) == {".gitignore", "b"}
    assert report.lines == [
        ".gitignore: line 2: pattern '!' is ignored",
        ".gitignore: line 3: pattern '[' is ignored",
        ".gitignore: line 4: pattern '\\\\' is ignored",
        "ignored patterns of .gitignore files: 1 more",
    ]
