"""A box that lies about its files: `pull` writes below its folder and nowhere else.

The lies are published ones: CVE-2007-4559, CVE-2025-4330 and -4517, and python/cpython#149486 (tarfile),
CVE-2019-6111 (scp), CVE-2022-29154 (rsync), CVE-2025-45582 (GNU tar, in two steps), CVE-2021-21300 (git).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from testbed.openssh import OpenSshMachine

from gpu_box.errors import GpuBoxError, InputError, MachineError
from gpu_box.machine import jobs
from gpu_box.machine.files import sync, upload_remote
from gpu_box.machine.files.selection import Selection
from gpu_box.machine.ssh import host_key
from gpu_box.machine.ssh.connection import Connection, connect
from tests.paths import REMOTE

from ..machine.conftest import Recorder, host_of

BEGIN = 1_700_000_000
# The first answer is the lie; the code of the box serves whatever file the laptop then asks for.
HOSTILE = """
import os, sys
if sys.argv[1] == "list":
    sys.stdout.buffer.write(open(os.path.expanduser("~/answer"), "rb").read())
else:
    from sync import honest
"""


class HostileBox:
    def __init__(self, machine: OpenSshMachine, connection: Connection, here: Path) -> None:
        self.loot, self.answer, self.connection = machine.home / "loot", machine.home / "answer", connection
        self.loot.mkdir()
        self.around = here / "a folder" / "of the" / "laptop"
        self.results = self.around / "project" / "results"
        self.results.mkdir(parents=True)
        self.report = Recorder()
        for folder in (self.around, self.around / "project", self.around / ".ssh"):
            folder.mkdir(exist_ok=True)
            (folder / "precious").write_text("precious")
        upload_remote.upload(connection, REMOTE)
        self.code = (machine.home / ".gpu-box/remote").resolve() / "sync"
        (self.code / "__main__.py").rename(self.code / "honest.py")
        (self.code / "__main__.py").write_text(HOSTILE)

    def offer(self, *lies: tuple[str, str] | tuple[str, str, int], single: bool = False) -> None:
        """Each a file with its content and mode, or a link: its target after "->"."""
        body = b""
        for number, (name, content, *mode) in enumerate(lies):
            target = content[2:] if content.startswith("->") else ""
            kind, size = ("l", 1000) if target else ("f", len(content))
            if not target:
                served = f"{self.loot}/{name}"
                with contextlib.suppress(OSError):  # a name that no real folder has
                    os.makedirs(os.path.dirname(served), exist_ok=True)
                    Path(served).write_text(content)
            numbers = f"{kind} {size} {BEGIN + number} {(mode or [0o644])[0]:o} "
            body += os.fsencode(numbers + name) + b"\0" + os.fsencode(target) + b"\0"
        about = {"folder": str(self.loot), "rsync": False, "single": single, "free": 1}
        self.answer.write_bytes(json.dumps(about).encode() + b"\n" + body)

    def pull(self, source: str = "~/work/results") -> None:
        before = self.outside()
        try:
            sync.pull(self.connection, source, self.results, report=self.report)
        finally:
            assert self.outside() == before
            for path in self.results.rglob("*"):
                assert Path(os.path.realpath(path)).is_relative_to(self.results.resolve()), path
                assert path.lstat().st_mode & 0o7000 == 0

    def outside(self) -> dict[str, object]:
        seen: dict[str, object] = {}
        for parent, folders, files in os.walk(self.around):
            for name in folders + files:
                path = Path(parent, name)
                if path != self.results and self.results not in path.parents:
                    found = path.lstat()
                    content = path.read_text() if path.is_file() else ""
                    seen[str(path)] = (stat.filemode(found.st_mode), found.st_ino, content)
        return seen

    @property
    def notes(self) -> str:
        return " ".join(line for _, _, line in self.report.events)


@pytest.fixture
def box(machine: OpenSshMachine, connection: Connection, tmp_path: Path) -> HostileBox:
    return HostileBox(machine, connection, tmp_path)


def long_chain() -> list[tuple[str, str]]:
    """CVE-2025-4517: links through long folder names, until realpath() gives up at PATH_MAX."""
    lies, real, short = [], "", ""
    for letter in "abcdefghijklmnop":
        lies += [(f"{real}{'d' * 247}/x", "x"), (f"{real}{letter}", "->" + "d" * 247)]
        real, short = f"{real}{'d' * 247}/", f"{short}{letter}/"
    up = "../" * 16
    return [
        *lies,
        (f"{short}{'l' * 100}", "->" + up),
        ("escape", f"->{short}{'l' * 100}/../.."),
        ("escape/pwned", "pwned"),
    ]


LIES: dict[str, list[tuple[str, str]]] = {
    "link, then ..": [("a/b/c/up", "->../../.."), ("a/b/c/up/../pwned", "pwned")],
    "link to a link's parent": [
        ("d/l", "->.."),
        ("m", "->d/l/.."),
        ("m/.bash_profile", "pwned"),
    ],
    "the same, in the other order": [("m", "->d/l/.."), ("d/l", "->.."), ("m/pwned", "pwned")],
    "CVE-2025-4330, a chain": [
        ("a/b/c/d/x", "x"),
        ("s", "->a/b/c/d"),
        ("t", "->s/../../../../.."),
        ("t/pwned", "pwned"),
    ],
    "CVE-2025-4517, a chain too long to resolve": long_chain(),
    "CVE-2007-4559, ..": [("../pwned", "pwned")],
    "CVE-2007-4559, below": [("a/../../pwned", "pwned")],
    "CVE-2007-4559, absolute": [("/pwned", "pwned")],
    "CVE-2007-4559, a link to /": [("root", "->/"), ("root/pwned", "pwned")],
    "an existing file beside it": [("../precious", "pwned")],
    "nothing": [("", "->.."), ("/pwned", "pwned")],
    "python/cpython#149486, links without a name": [("", "->.."), ("./", "->../.."), ("./pwned", "pwned")],
    "twice the same name": [("x", "->.."), ("x", "pwned"), ("x/pwned", "pwned")],
    "a file, and a folder of its name": [("x", "x"), ("x/y", "y")],
    "a link to its own parent": [("a/l", "->.."), ("a/l/l2", "->.."), ("a/l/l2/pwned", "pwned")],
    "a part of itself": [(".x.5-1700000001.gpu-box-part", "->../precious"), ("x", "pwned")],
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_names_and_links_writes_nothing_outside(box: HostileBox, lie: str) -> None:
    box.offer(*LIES[lie])
    for _ in range(2):  # what the first left must not help the second
        try:
            box.pull()
        except MachineError as error:
            assert "\n" not in str(error)


def test_a_link_of_an_earlier_pull_is_no_way_out_for_the_next(box: HostileBox) -> None:
    """CVE-2025-45582; older versions of gpu-box made such links."""
    (box.results / "x").symlink_to("../../.ssh")
    (box.results / "deep").mkdir()
    (box.results / "deep/up").symlink_to("../../..")
    box.offer(("x/precious", "pwned"), ("deep/up/precious", "pwned"), ("fine", "fine"))
    before = box.outside()
    sync.pull(box.connection, "~/work/results", box.results, report=box.report)
    assert box.outside() == before
    assert (box.results / "x/precious").read_text() == "pwned"  # in a folder that took the link's place
    assert (box.results / "deep/up/precious").read_text() == "pwned"


def test_a_link_is_not_made_by_way_of_another_that_leads_out(box: HostileBox) -> None:
    (box.results / "big").symlink_to("../..")  # the user's own
    box.offer(("a", "->big/.ssh"), ("fine", "->other"), ("other", "x"))
    sync.pull(box.connection, "~/work/results", box.results, report=box.report)
    assert not (box.results / "a").is_symlink()
    assert os.readlink(box.results / "fine") == "other"
    assert "left out (links out of the folder): a" in box.notes


@pytest.mark.parametrize("sent", [".bashrc", "curve.png/../../pwned", "..", "curve.png2"])
def test_another_file_than_the_one_asked_for_is_refused(box: HostileBox, sent: str) -> None:
    """CVE-2019-6111, CVE-2022-29154."""
    box.offer((sent, "pwned") if sent != ".." else (sent, "->x"), single=True)
    with pytest.raises(MachineError, match="list of files is invalid"):
        box.pull("~/work/curve.png")
    assert list(box.results.iterdir()) == []


def test_the_file_asked_for_arrives(box: HostileBox) -> None:
    box.offer(("curve.png", "png"), single=True)
    box.pull("~/work/curve.png")
    assert (box.results / "curve.png").read_text() == "png"


def test_a_setuid_program_arrives_as_a_plain_one(box: HostileBox) -> None:
    box.offer(("tool", "x", 0o6755), ("sticky", "x", 0o1777), ("big", "x" * 2_000_000, 0o4755))
    box.pull()
    assert [(box.results / name).stat().st_mode & 0o7777 for name in ("tool", "big")] == [0o755, 0o755]


def test_control_characters_do_not_reach_the_terminal(box: HostileBox) -> None:
    box.offer(("\x1b]0;pwned\x07", "x"), ("two\nlines", "x"), ("\x9b2J", "x"), ("fine é", "x"))
    box.pull()
    assert [path.name for path in box.results.iterdir()] == ["fine é"]
    assert "left out (control characters in the name): '\\x1b]0;pwned\\x07', 'two\\nlines'" in box.notes
    assert not any(ord(sign) < 32 for sign in box.notes)


def test_names_of_secrets_and_of_git_are_refused_in_any_case(box: HostileBox) -> None:
    """CVE-2021-21300: on macOS .GIT is .git, whose config runs programs."""
    box.offer((".git/config", "x"), (".GIT/config", "x"), (".Git/hooks/x", "x"), (".SSH/id", "x"), ("a", "x"))
    box.pull()
    assert [path.name for path in box.results.iterdir()] == ["a"]


def test_a_file_longer_than_listed_is_cut_there(box: HostileBox) -> None:
    box.offer(("small", "abc"), ("large", "x" * 3_000_000))
    (box.loot / "small").write_text("abc" + "x" * 5_000_000)
    (box.loot / "large").write_text("x" * 9_000_000)
    box.pull()
    assert (box.results / "small").read_text() == "abc"
    assert (box.results / "large").stat().st_size == 3_000_000


def test_more_than_this_disk_holds_is_said_before_anything_comes(
    box: HostileBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=1_000_000))
    box.offer(("a", "x"))
    box.answer.write_bytes(box.answer.read_bytes().replace(b"f 1 ", b"f 2000000 "))
    with pytest.raises(GpuBoxError, match="this disk is full: 1 MB free, 2 MB needed.*continues"):
        box.pull()
    assert list(box.results.iterdir()) == []


SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda good: b"",
    "no folder": lambda good: b"{}\n",
    "a list": lambda good: b"[]\n",
    "no JSON": lambda good: b"{" + good,
    "deep JSON": lambda good: b"[" * 100_000 + b"\n",
    "infinite": lambda good: good.replace(b'"free": 1', b'"free": Infinity'),
    "no numbers": lambda good: good.replace(b"f 1 ", b"f x "),
    "no fields": lambda good: good + b"f\0\0",
    "less than nothing": lambda good: good.replace(b"f 1 ", b"f -1 "),
    "a size without end": lambda good: good.replace(b"f 1 ", b"f " + b"9" * 4000 + b" "),
    "a time without end": lambda good: good.replace(b" 1700000000 ", b" " + b"9" * 40 + b" "),
}


@pytest.mark.parametrize("how", SPOILT)
def test_an_answer_that_makes_no_sense_is_one_clear_line(box: HostileBox, how: str) -> None:
    box.offer(("a", "x"))
    box.answer.write_bytes(SPOILT[how](box.answer.read_bytes()))
    with pytest.raises(MachineError, match="list of files is invalid; nothing was copied"):
        box.pull()
    assert list(box.results.iterdir()) == []


@pytest.mark.parametrize(
    "stream",
    [
        b"no zlib",
        zlib.compress(b""),
        zlib.compress(b"5\nhello"),  # more than listed
        zlib.compress(b"1\n"),
        zlib.compress(b"x\nx"),
        zlib.compress(bytes(50_000_000)),  # a bomb
        zlib.compress(b"1\nx") + bytes(1000),
    ],
)
def test_a_stream_that_makes_no_sense_is_one_clear_line(box: HostileBox, stream: bytes) -> None:
    box.offer(("a", "x"))
    (box.code / "honest.py").write_text(f"import sys\nsys.stdout.buffer.write({stream!r})\n")
    with pytest.raises(MachineError, match="sent other files than it listed"):
        box.pull()
    assert list(box.results.iterdir()) == []


def test_a_link_here_that_is_a_folder_there_is_replaced(box: HostileBox) -> None:
    elsewhere = box.around / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "metrics.json").write_text("precious")
    (box.results / "r1").symlink_to(elsewhere)
    box.offer(("r1/metrics.json", "new"))
    box.pull()
    assert (box.results / "r1/metrics.json").read_text() == "new"
    assert not (box.results / "r1").is_symlink()


def test_the_rest_of_a_cut_pull_is_not_looked_for_behind_a_link(box: HostileBox) -> None:
    for name, target in (("small", "pwned"), ("large", "x" * 2_000_000)):
        box.offer((name, target))
        (box.results / f".{name}.{len(target)}-{BEGIN}.gpu-box-part").symlink_to("../precious")
        box.pull()
        assert (box.results / name).read_text() == target
    os.link(box.around / "precious", box.results / f".hard.2000000-{BEGIN}.gpu-box-part")
    box.offer(("hard", "y" * 2_000_000))
    box.pull()
    os.mkfifo(box.results / f".pipe.2000000-{BEGIN}.gpu-box-part")
    box.offer(("pipe", "y" * 2_000_000))
    box.pull()
    assert (box.results / "hard").read_text() == (box.results / "pipe").read_text() == "y" * 2_000_000


def test_the_pulled_folder_may_itself_be_a_link_of_the_user_s(box: HostileBox) -> None:
    disk = box.around / "big disk"
    disk.mkdir()
    box.results.rmdir()
    box.results.symlink_to(disk)
    box.offer(("r1/x", "x"), ("l", "->r1/x"), ("../pwned", "pwned"))
    with pytest.raises(MachineError, match="is invalid"):
        sync.pull(box.connection, "~/work/results", box.results, report=box.report)
    box.offer(("r1/x", "x"), ("l", "->r1/x"))
    sync.pull(box.connection, "~/work/results", box.results, report=box.report)
    assert (disk / "l").read_text() == "x"
    assert box.results.is_symlink()


def test_a_file_where_the_folder_should_be_is_one_clear_line(box: HostileBox) -> None:
    box.results.rmdir()
    box.results.write_text("mine")
    box.offer(("a", "x"))
    with pytest.raises(InputError, match="results: cannot pull into this folder: File exists"):
        sync.pull(box.connection, "~/work/results", box.results, report=box.report)
    assert box.results.read_text() == "mine"


def test_a_name_that_is_no_utf_8_can_be_shown(box: HostileBox) -> None:
    (box.results / "latin \udce9").write_text("mine")  # newer
    box.offer(("latin \udce9", "x" * 9))
    box.pull()
    box.notes.encode()
    assert r"not overwritten, newer here: 'latin \udce9'" in box.notes


def make_send(box: HostileBox, code: str) -> None:
    (box.code / "send.py").write_text(f"import sys, time\ndef send_files(name, wanted):\n    {code}\n")
    box.offer(("a", "x"))


@pytest.mark.parametrize("stream", ["stderr", "stdout"])
def test_a_box_that_sends_without_end_does_not_fill_the_memory(box: HostileBox, stream: str) -> None:
    code = f'for _ in range(200): sys.{stream}.write("A" * 10**5)'
    make_send(box, f"{code}; sys.{stream}.flush()\n    time.sleep(30)")
    match = {"stderr": "sent more than 8 MB of text", "stdout": "sent other files than it listed"}
    with pytest.raises(MachineError, match=match[stream]) as refused:
        box.pull()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("where", ["", "sys.stdout.flush(); import os; os.close(1); "])
def test_a_box_that_sends_nothing_does_not_hold_a_pull_for_ever(
    box: HostileBox, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpu_box.machine.files.stream.STALLED_S", 0.5)
    make_send(box, f"{where}time.sleep(30)")
    with pytest.raises(MachineError, match=r"made no progress for 0\.5 s.*to continue"):
        box.pull()


def test_an_sftp_server_that_sends_nothing_does_not_hold_a_pull_for_ever(
    machine: OpenSshMachine, box: HostileBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpu_box.machine.ssh.connection.STALLED_S", 0.5)
    config = machine.folder / "sshd_config"
    config.write_text(re.sub(r"Subsystem sftp .*", "Subsystem sftp /bin/sleep 30", config.read_text()))
    machine.reload_host_keys()
    box.offer(("large", "x" * 2_000_000))
    with connect(host_of(machine)) as box.connection, pytest.raises(MachineError) as refused:
        box.pull()
    assert str(refused.value).startswith("box: SFTP made no progress for 0.5 s")


def test_what_the_box_says_in_an_error_is_shown_and_not_obeyed(box: HostileBox) -> None:
    make_send(box, r'sys.stderr.write("x\x1b]0;pwn\x07\x9b2J\u202e" + 5000 * "A" + "\n"); sys.exit(1)')
    with pytest.raises(MachineError) as refused:
        box.pull()
    assert r"copied: x\x1b]0;pwn\x07\x9b2J\u202eAAA" in str(refused.value)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("start_file", ["printf welcome", "trap 'echo bye' EXIT; echo hello"])
def test_a_start_file_that_prints_has_no_effect(
    machine: OpenSshMachine, connection: Connection, tmp_path: Path, start_file: str
) -> None:
    """sshd has the user's shell run each command, and bash reads ~/.bashrc for it."""
    upload_remote.upload(connection, REMOTE)
    (machine.home / "work/results").mkdir(parents=True)
    (machine.home / "work/results/curve.png").write_text("png")
    (machine.home / ".bashrc").write_text(f"{start_file}\n")
    jobs.start(connection, "greet", "echo one; echo two")
    lines: list[str] = []
    assert jobs.follow(connection.host, "greet", lines.append) == 0
    assert "one\ntwo\n" in "".join(lines)
    assert "\n".join(lines).count("welcome") <= 1  # the job's own shell may read it, too
    assert [job.name for job in jobs.list_jobs(connection)] == ["greet"]
    assert host_key.prepare(connection) != connection.presented_key
    sync.pull(connection, "~/work/results", tmp_path / "here", report=Recorder())
    assert (tmp_path / "here/curve.png").read_text() == "png"
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text("x")
    sync.push(connection, Selection(project), "~/work", report=Recorder())
    assert (machine.home / "work/train.py").read_text() == "x"
