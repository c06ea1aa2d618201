"""The site builds without warnings, covers every command and key, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator, Mapping
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import typer

from gpu_box.cli.app import app
from gpu_box.cli.main import main
from gpu_box.config.read import SCHEMA
from tests.paths import ROOT

# Attributes with which a browser loads something, unlike a link.
LOADS = re.compile(r"""<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=["']?((?:https?:)?//[^"'\s>]+)""")
STYLE_LOADS = re.compile(r"""(?:url\(|@import )["']?((?:https?:)?//[^"')\s]+)""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


def text(path: Path) -> str:
    return unescape(re.sub(r"<[^>]+>", "", path.read_text(encoding="utf-8")))


def test_it_loads_nothing_from_elsewhere(site: Path) -> None:
    loaded = [
        (path.relative_to(site), url)
        for pattern, kind in ((LOADS, "*.html"), (STYLE_LOADS, "*.css"), (STYLE_LOADS, "*.html"))
        for path in site.rglob(kind)
        for url in pattern.findall(path.read_text(encoding="utf-8"))
    ]
    assert loaded == []


def test_every_command_has_a_page_with_each_of_its_options(site: Path) -> None:
    group: Any = typer.main.get_command(app)
    context = typer.Context(group)
    assert len(group.commands) > 20
    for name in group.commands:
        command = group.get_command(context, name)
        page = text(site / "commands" / name / "index.html")
        inner = getattr(command, "commands", {}).values()
        for one in (command, *inner):
            assert " ".join(one.help.replace("`", "").split())[:40] in " ".join(page.split()), name
            options = [word for part in one.params for word in part.opts if word.startswith("--")]
            assert [word for word in options if word not in page] == [], name


def keys(schema: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in schema.items():
        if isinstance(value, Mapping):
            yield from keys(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def test_every_key_of_the_config_is_explained(site: Path) -> None:
    page = (site / "config" / "index.html").read_text(encoding="utf-8")
    anchors = set(re.findall(r'<h3 id="([^"]+)"', page))
    assert {key.replace(".", "-") for key in keys(SCHEMA)} == anchors


def test_no_page_links_to_a_file_of_the_repository_that_is_not_on_the_site(site: Path) -> None:
    front = (site / "index.html").read_text(encoding="utf-8")
    assert not re.search(r'href="[^"]*(CONTRIBUTING|docs/|\.md")', front)


def test_every_command_has_examples_that_the_program_accepts(capsys: pytest.CaptureFixture[str]) -> None:
    examples = runpy.run_path(str(ROOT / "docs" / "examples.py"))["EXAMPLES"]
    group: Any = typer.main.get_command(app)
    assert set(examples) == set(group.commands)
    for name, lines in examples.items():
        for typed, _ in lines:
            words = typed.partition(" >")[0].split()
            before = words[: words.index("--")] if "--" in words else words
            assert name in words and main([*before, "--help"]) == 0, typed
            assert f"Usage: gpu-box {name}" in capsys.readouterr().out or name == "help", typed


def test_every_promise_about_security_names_tests_that_exist() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = page.partition("## Who may attack what")[2].partition("What remains")[0].splitlines()
    promises = [row.split("|")[1:-1] for row in rows if row.startswith("|")][2:]
    assert len(promises) > 15
    for who, *rest, shown_by in promises:
        names = re.findall(r"`([^`]+)`", shown_by)
        assert names, rest
        folder = ROOT
        for name in names:  # a name alone is in the folder of the one before
            path = ROOT / name if "/" in name else folder / name
            assert path.is_file(), (who, name)
            folder = path.parent
