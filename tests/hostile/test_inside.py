"""The function that writes into one folder, for both directions: any names and links, in any order."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tarfile
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.inside import Folder, is_normal, is_printable, leads_inside

PARTS = st.sampled_from(["a", "b", "A", "..", ".", "", "a\0", "é", "\n", "d" * 247])
PATHS = st.lists(PARTS, min_size=1, max_size=6).map("/".join)
WRITES = st.tuples(st.just("write"), PATHS, st.just(""))
LINKS = st.tuples(st.just("link"), PATHS, PATHS)
REMOVALS = st.tuples(st.just("remove"), PATHS, st.just(""))


@settings(max_examples=200, deadline=None)
@given(st.lists(WRITES | LINKS | LINKS | REMOVALS, max_size=12), st.booleans())
def test_no_sequence_of_names_and_links_leads_out(steps: list[tuple[str, str, str]], before: bool) -> None:
    """before: a link that leads out is there already."""
    with tempfile.TemporaryDirectory() as made:
        around = Path(os.path.realpath(made))
        (around / "a").mkdir()
        (around / "a/b").write_text("precious")
        (around / "x/y/root").mkdir(parents=True)
        root = around / "x/y/root"
        if before:
            (root / "a").symlink_to("../../../a")
        with Folder(os.fsencode(root)) as folder:
            for what, path, target in steps:
                with contextlib.suppress(OSError):
                    if what == "write":
                        folder.write(path.encode(), b"pwned", mtime=1, mode=0o6755)
                    elif what == "link":
                        folder.link(path.encode(), target.encode())
                    else:
                        folder.remove(path.encode())
        outside = sorted(str(p.relative_to(around)) for p in around.rglob("*") if root not in p.parents)
        assert outside == ["a", "a/b", "x", "x/y", "x/y/root"]
        assert (around / "a/b").read_text() == "precious"
        for parent, folders, files in os.walk(root) if not before else ():
            for name in folders + files:
                assert os.lstat(os.path.join(parent, name)).st_mode & 0o7000 == 0, name
                if _goes_round(os.path.join(parent, name)):
                    continue  # it leads nowhere; realpath() makes "/a" of a link `a -> a//a`
                end = os.path.realpath(os.path.join(parent, name))
                assert os.path.commonpath([root, end]) == str(root), (name, end)


@pytest.mark.skipif(not hasattr(tarfile, "data_filter"), reason="a Python without PEP 706")
@settings(max_examples=1000, deadline=None)
@given(PATHS.filter(lambda path: "\0" not in path), PATHS.filter(lambda path: "\0" not in path))
def test_what_pythons_own_data_filter_refuses_is_refused(path: str, target: str) -> None:
    """PEP 706. It lets more through: `a/../b`, and an absolute name without its slash."""
    member = tarfile.TarInfo(path)
    member.type, member.linkname = tarfile.SYMTYPE, target
    with tempfile.TemporaryDirectory() as root:
        try:
            tarfile.data_filter(member, root)
        except tarfile.FilterError:
            assert not is_normal(path.encode()) or not leads_inside(path.encode(), target.encode())


@pytest.mark.parametrize(
    ("path", "target", "inside"),
    [
        ("a", "b", True),
        ("a", "./b//c", True),
        ("d/a", "../b", True),
        ("d/e/a", "../../b/c", True),
        ("a", ".", True),
        ("a", "..", False),
        ("d/a", "../..", False),
        ("d/a", "../../root/b", False),
        ("a", "/etc/passwd", False),
        ("a", "d/../b", False),
        ("d/a", "../d/../..", False),
        ("a", "", False),
        ("a", "b\0", False),
        ("a", "b" * 5000, False),
    ],
)
def test_where_a_link_may_lead(path: str, target: str, inside: bool) -> None:
    assert leads_inside(path.encode(), target.encode()) is inside


def test_which_names_are_refused() -> None:
    for name in ["", "/a", "a/", "a//b", "./a", "a/.", "..", "a/../b", "a\0b", "a/" * 2048 + "a"]:
        assert not is_normal(name.encode()), name
    for name in ["a", "..a", "a..", "...", "a/.b/c", " ", "-rf", "a\\b", "C:x"]:
        assert is_normal(name.encode()) and is_printable(name.encode()), name
    for text in ["\n", "\x1b[2J", "\x7f", "\x9b2J", "a/\r/b"]:
        assert not is_printable(text.encode()), text
    assert is_printable(b"latin-1 \xe9") and is_printable("é…🦊".encode())


@pytest.mark.skipif(sys.platform != "linux", reason="needs two threads that race on one file system")
def test_a_folder_that_turns_into_a_link_meanwhile_leads_nowhere(tmp_path: Path) -> None:
    """Between the look at a path and its use, another process swaps the folder for a link."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (root / "d").mkdir(parents=True)
    (root / "evil").symlink_to(outside)
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                os.rename(root / "d", root / "aside")
                os.rename(root / "evil", root / "d")
            with contextlib.suppress(OSError):
                os.rename(root / "d", root / "evil")
                os.rename(root / "aside", root / "d")
            if not (root / "evil").is_symlink():
                with contextlib.suppress(OSError):
                    (root / "evil").symlink_to(outside)

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        with Folder(os.fsencode(root)) as folder:
            for number in range(2000):
                with contextlib.suppress(OSError):
                    folder.write(b"d/%d" % number, b"x", mtime=1, mode=0o644)
    finally:
        over.set()
        swapping.join()
    assert list(outside.iterdir()) == []


def _goes_round(path: str) -> bool:
    """Whether the kernel gives up following it."""
    try:
        os.stat(path)
    except OSError as error:
        return error.errno == errno.ELOOP
    return False
