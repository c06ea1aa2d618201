"""Set-up installs packages while others do: the real apt, on a root of its own, with its locks held."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from setup import apt, session
from setup.session import Failed, Session

from .. import needs

pytestmark = needs.programs("apt-get", "dpkg-deb")

# apt and dpkg lock with fcntl.
_HOLD = (
    "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); "
    "print('held', flush=True); sys.stdin.read()"
)


class System:
    """A root for apt with one package in its archive."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in (
            *("lists/partial", "cache/archives/partial", "dpkg/updates", "dpkg/info", "etc/preferences.d"),
            *("etc/apt.conf.d", "etc/trusted.gpg.d", "log", "archive", "package/DEBIAN"),
        ):
            (root / folder).mkdir(parents=True)
        (root / "dpkg/status").touch()
        (root / "package/DEBIAN/control").write_text(
            "Package: nothing\nVersion: 1\nArchitecture: all\nMaintainer: Test <test@localhost>\n"
            "Description: an empty package\n"
        )
        package = root / "archive/nothing_1_all.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-b", str(root / "package"), str(package)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (root / "archive/Packages").write_text(
            (root / "package/DEBIAN/control").read_text()
            + f"Filename: ./{package.name}\nSize: {package.stat().st_size}\n"
            + f"SHA256: {hashlib.sha256(package.read_bytes()).hexdigest()}\n"
        )
        (root / "etc/sources.list").write_text(f"deb [trusted=yes] file:{root}/archive ./\n")

    def write_program(self, name: str, text: str) -> None:
        path = self.root / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)

    @contextlib.contextmanager
    def held(self, lock: str) -> Iterator[threading.Event]:
        """Held by another process until the event is set."""
        path = self.root / lock
        holder = subprocess.Popen(
            [sys.executable, "-c", _HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert holder.stdin and holder.stdout
        holder.stdout.readline()
        free = threading.Event()

        def let_go() -> None:
            free.wait(30)
            holder.communicate()

        thread = threading.Thread(target=let_go)
        thread.start()
        try:
            yield free
        finally:
            free.set()
            thread.join()


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """apt-get on PATH is the real one with its folders elsewhere; its dpkg installs nothing."""
    made = System(tmp_path / "system")
    root, real = made.root, shutil.which("apt-get")
    options = {
        "Dir::State": root,
        "Dir::State::Lists": root / "lists",
        "Dir::State::status": root / "dpkg/status",
        "Dir::Cache": root / "cache",
        "Dir::Etc": root / "etc",
        "Dir::Log": root / "log",
        "Dir::Bin::dpkg": root / "bin/unpack",
    }
    words = " ".join(f"-o {key}={value}" for key, value in options.items())
    made.write_program("apt-get", f'exec {real} {words} "$@"\n')
    made.write_program("unpack", f'echo "$@" >> {root}/unpacked\n')
    monkeypatch.setenv("PATH", f"{root}/bin", prepend=":")
    monkeypatch.setattr(apt, "as_root", list)
    monkeypatch.setattr(apt, "_LOOK_AGAIN_S", 0.05)
    monkeypatch.setattr(session, "LOGS", tmp_path / "logs")
    return made


@pytest.fixture
def run() -> Iterator[Session]:
    with contextlib.closing(Session("tmux")) as made:
        yield made


@pytest.mark.parametrize("lock", ["lists/lock", "cache/archives/lock", "dpkg/lock-frontend"])
def test_set_up_waits_while_another_program_holds_one_of_apts_locks(
    lock: str, system: System, run: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    with system.held(lock) as free:
        threading.Timer(1.5, free.set).start()
        apt.install(run, "nothing")
    assert "nothing_1_all.deb" in (system.root / "unpacked").read_text()
    assert "waiting for another program that installs packages" in capsys.readouterr().out


def test_a_lock_that_is_never_free_is_an_error_with_its_holder(
    system: System, run: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apt, "LOCKED_S", 0.3)
    with system.held("lists/lock"), pytest.raises(Failed, match=r"lists/lock. It is held by process \d+"):
        apt.install(run, "nothing")


def test_a_program_that_calls_apt_itself_is_tried_again(system: System, run: Session) -> None:
    """As ubuntu-drivers does."""
    apt.run(run, "apt-get", "update")
    system.write_program("ubuntu-drivers", "exec apt-get -y install nothing\n")
    with system.held("dpkg/lock-frontend") as free:
        threading.Timer(1.5, free.set).start()
        apt.run(run, "ubuntu-drivers", "install", "--gpgpu")
    assert "nothing_1_all.deb" in (system.root / "unpacked").read_text()


def test_steps_that_install_side_by_side_take_turns(system: System, run: Session) -> None:
    """The turn is held from `update` to the end of `install`, or the one would find the other's lock."""
    apt.run(run, "apt-get", "update")
    real = (system.root / "bin/apt-get").read_text().replace("#!/bin/sh\n", "")
    log = system.root / "turns"
    call = real.replace("exec ", "")
    system.write_program(
        "apt-get", f"echo begin >> {log}\n{call}status=$?\necho end >> {log}\nexit $status\n"
    )
    threads = [threading.Thread(target=apt.install, args=(run, "nothing")) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.read_text().split() == ["begin", "end"] * 6


def test_an_installation_that_was_interrupted_is_finished_first(system: System, run: Session) -> None:
    """A journal in dpkg's `updates` is what makes the real apt refuse; dpkg itself is a stand-in."""
    (system.root / "dpkg/updates/0001").write_text("Package: nothing\n")
    system.write_program("dpkg", f"rm {system.root}/dpkg/updates/*\n")
    apt.install(run, "nothing")
    assert "nothing_1_all.deb" in (system.root / "unpacked").read_text()


def test_another_failure_is_not_tried_again(system: System, run: Session) -> None:
    with pytest.raises(Failed, match="Unable to locate package no-such-thing"):
        apt.install(run, "no-such-thing")
    assert run.log_path.read_text().count("$ env") == 2  # update and install
