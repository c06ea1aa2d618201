"""Patterns of a .gitignore against git itself, and those that a usual translation would never finish."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from random import Random

import pytest

from gpu_box.errors import InputError
from gpu_box.machine.files import git
from gpu_box.machine.files.ignore import Patterns
from gpu_box.machine.files.selection import Selection, exclusion

from ... import needs

_SIGNS = [
    "a", "b", "ab", "é", "-", ".", "*", "*", "**", "**/", "/", "/", "?", "[ab]", "[!a]", "[^ab-]", "[a-]",
    "[z-a]", "[]a]", "[[:alpha:]]", "[[:upper:]b]", "[\\]a]", "\\*", "\\a", " ", "\\ ", "#", "!",
]  # fmt: skip
_NAMES = ["a", "b", "ab", "ba", "aab", "é", "a-", "z", "a*", "a.b", "]", "a b", "#a", "B"]


@needs.programs("git")
def test_random_patterns_ignore_what_git_ignores(tmp_path: Path) -> None:
    draw = Random(7)
    lines = ["".join(draw.choices(_SIGNS, k=draw.randint(1, 6))) for _ in range(1500)]
    # A slash within brackets or behind a backslash is read otherwise; it never matches in git either.
    patterns = sorted({line for line in lines if "!!" not in line})
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    asked: list[tuple[str, str]] = []  # pattern, path
    for number, pattern in enumerate(patterns):
        folder = tmp_path / f"f{number}"
        folder.mkdir()
        (folder / ".gitignore").write_text(f"{pattern}\n")
        for _ in range(12):
            asked.append((pattern, "/".join(draw.choices(_NAMES, k=draw.randint(1, 4)))))
    whole = [f"f{patterns.index(pattern)}/{path}" for pattern, path in asked]
    said = subprocess.run(
        ["git", "-C", tmp_path, "check-ignore", "--no-index", "-z", "-v", "-n", "--stdin"],
        input="\0".join(whole).encode(),
        capture_output=True,
    ).stdout.split(b"\0")
    rows = [said[at : at + 4] for at in range(0, len(said) - 1, 4)]
    assert len(rows) == len(asked)
    matched = 0
    for (pattern, path), (_, _, found, _) in zip(asked, rows, strict=True):
        ignored = bool(found) and not found.startswith(b"!")
        matched += ignored
        try:
            ours = Patterns.of([pattern]).ignores(path)
        except ValueError:
            ours = False  # incomplete: git ignores it, too
        assert ours == ignored, f"{pattern!r} and {path!r}: git says {ignored}"
    assert matched > 500


SLOW = [
    "*a" * 20 + "b",
    "a*" * 30 + "b",
    "/".join(["**"] * 20) + "/b",
    "**/a/" * 15 + "b",
    "*a*/" * 8 + "b",
    "**/*a*a*a*a*a*a*a*/" * 4 + "b",
    "?*" * 20 + "b",
    "[ab]*" * 20 + "c",
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("pattern", SLOW)
def test_no_pattern_takes_more_than_its_length_times_the_path_s(pattern: str) -> None:
    patterns = Patterns.of([pattern])
    began = time.process_time()
    for path in ("a" * 250, "a/" * 120 + "a", ("a" * 100 + "/") * 20 + "a"):
        assert not patterns.ignores(path)
    assert time.process_time() - began < 15


def test_a_range_that_is_upside_down_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "list_files", lambda folder: None)
    (tmp_path / ".gitignore").write_text("[z-a]\n*.log\n")
    for name in ("z", "a", "m", "b.log"):
        (tmp_path / name).write_text("")
    # As git: the first letter counts, the second does not.
    assert [entry.path for entry in Selection(tmp_path).entries] == [".gitignore", "a", "m"]


@pytest.mark.parametrize("pattern", ["[a", "a\\", "!", "/", "[[:no:]]"])
def test_an_incomplete_pattern_in_the_config_is_named(pattern: str) -> None:
    with pytest.raises(InputError) as refused:
        exclusion([pattern])
    assert refused.value.where == "sync.exclude"


def test_a_name_that_is_no_text_is_matched_by_its_bytes() -> None:
    assert Patterns.of(["*.bin"]).ignores(os.fsdecode(b"\xff.bin"))
    assert not Patterns.of(["?.bin"]).ignores("é.bin")  # as git: two bytes
