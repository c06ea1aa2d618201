"""`gpu-box tmux` finds the session that runs, whatever happened to its socket or its program since."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests import needs
from tests.paths import REMOTE

SCRIPT = REMOTE / "attach" / "tmux.sh"
pytestmark = needs.programs("tmux", "pkill", "pgrep")
_PATIENCE_S = 120.0


@pytest.fixture
def home() -> Iterator[Path]:
    """With a short path: a socket is in it."""
    folder = Path(tempfile.mkdtemp(prefix="tm-", dir="/tmp"))
    (folder / "work").mkdir()
    (folder / "bin").mkdir()
    yield folder
    tmux(folder, "kill-server", check=False)
    shutil.rmtree(folder)


def environment(home: Path, **more: str) -> dict[str, str]:
    path = f"{home}/bin:/usr/local/bin:/usr/bin:/bin"
    return {"HOME": str(home), "TERM": "xterm", "PATH": path, "TMUX_TMPDIR": str(home), **more}


def tmux(home: Path, *words: str, program: str = "/usr/bin/tmux", check: bool = True) -> str:
    done = subprocess.run([program, *words], env=environment(home), capture_output=True, text=True)
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout


def attached(home: Path, **more: str) -> str:
    """What the session's shell says of a variable that only the first `main` has."""
    child = pexpect.spawn("sh", [str(SCRIPT)], env=environment(home, **more), encoding="utf-8", timeout=60)
    give_up = time.monotonic() + _PATIENCE_S
    try:
        while not tmux(home, "list-clients", check=False):
            assert child.isalive() and time.monotonic() < give_up, child.read()
            time.sleep(0.2)
        return tmux(home, "show-environment", "-t", "main", "MARK", check=False)
    finally:
        child.close(force=True)


def begin(home: Path, program: str = "/usr/bin/tmux") -> None:
    tmux(home, "-f", "/dev/null", "new-session", "-d", "-s", "main", "sleep 600", program=program)
    tmux(home, "set-environment", "-t", "main", "MARK", "first", program=program)


def test_it_makes_the_session_and_finds_it_again(home: Path) -> None:
    assert attached(home) == ""
    tmux(home, "set-environment", "-t", "main", "MARK", "first")
    assert attached(home) == "MARK=first\n"


# tmux#4640, tmux#4994, tmux#2222, tmux#4057: a cleaner of /tmp took the socket, or its folder
@pytest.mark.parametrize("folder", [False, True])
def test_a_socket_that_was_cleaned_away_is_made_again(home: Path, folder: bool) -> None:
    begin(home)
    (socket,) = home.glob("tmux-*/default")
    shutil.rmtree(socket.parent) if folder else socket.unlink()
    assert attached(home) == "MARK=first\n"


# tmux#4711, tmux#4890, tmux#2212, tmux#99: the program was upgraded under the server
def test_a_server_of_the_program_before_an_upgrade_is_attached_to(home: Path) -> None:
    program = home / "bin" / "tmux"
    shutil.copy("/usr/bin/tmux", program)
    begin(home, str(program))
    program.unlink()
    program.write_text("#!/bin/sh\necho 'open terminal failed: not a terminal'\nexit 1\n")
    program.chmod(0o755)
    assert attached(home) == "MARK=first\n"


def test_without_tmux_it_says_so(home: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", SCRIPT],
        env={"PATH": str(home / "bin"), "HOME": str(home)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "tmux is not installed" in done.stderr
