"""`env` and `env_file` on the box: private, in every shell and job, gone when no longer asked for."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest
from testbed.openssh import OpenSshMachine

from gpu_box.config.model import Config
from gpu_box.machine import jobs
from gpu_box.machine.files import secret
from gpu_box.machine.ssh.connection import connect

from .conftest import copy_of_remote, host_of, set_up

VALUE = "a'b\"c $HOME\nü s3cr3t"


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return copy_of_remote(tmp_path, "env")


def test_variables_come_change_and_go(machine: OpenSshMachine, remote: Path) -> None:
    commands: list[str] = []
    there = machine.home / ".gpu-box" / "env.sh"
    state = set_up(machine, remote, Config(env=(f"TOKEN={VALUE}", "MODE=debug")), commands)
    [step] = [step for step in state.steps if step.name == "env"]
    assert (step.status, step.line) == ("done", "2 environment variables set")
    assert stat.S_IMODE(there.stat().st_mode) == 0o600

    there.chmod(0o644)
    set_up(machine, remote, Config(env=(f"TOKEN={VALUE}", "MODE=debug")), commands)
    assert stat.S_IMODE(there.stat().st_mode) == 0o600

    set_up(machine, remote, Config(env=("TOKEN=another s3cr3t",)), commands)
    assert "another s3cr3t" in there.read_text() and "MODE" not in there.read_text()

    set_up(machine, remote, Config(env=("TOKEN=another s3cr3t", "NOT_SET_HERE")), commands)
    assert "another s3cr3t" in there.read_text(), "a shell without the values does not take them away"

    there.with_name("env.sh.new").write_text("s3cr3t of a transfer that was cut")
    set_up(machine, remote, Config(), commands)
    assert not there.exists()
    assert not any("s3cr3t" in command for command in commands)
    for log in (machine.home / ".gpu-box").rglob("*"):
        assert not log.is_file() or b"s3cr3t" not in log.read_bytes()


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh", "fish", "a job"])
def test_a_value_is_the_same_in_every_shell_and_job(
    machine: OpenSshMachine, remote: Path, shell: str
) -> None:
    if shell != "a job" and not shutil.which(shell):
        pytest.skip(f"needs {shell}")
    long = "l" * (64 << 10)
    set_up(machine, remote, Config(env=(f"TOKEN={VALUE}", "EMPTY=", f"LONG={long}", "MODE=debug")), [])
    show = "printenv TOKEN MODE; printenv EMPTY | wc -c; printenv LONG | wc -c"
    with connect(host_of(machine)) as connection:
        if shell == "a job":
            (machine.home / "work").mkdir(exist_ok=True)
            jobs.start(connection, "show", show)
            lines: list[str] = []
            assert jobs.follow(connection.host, "show", lines.append) == 0
            said = "".join(lines)
        else:
            suffix = "fish" if shell == "fish" else "sh"
            source = f". ~/.gpu-box/remote/setup/shell.{suffix}; {show}"
            said = connection.run(f"env -i HOME=$HOME PATH=$PATH {shell} -c '{source}'").stdout
    *shown, count, long_count = said.split("\n")[: VALUE.count("\n") + 4]
    assert "\n".join(shown) == f"{VALUE}\ndebug"
    assert count.strip() == "1", "an empty value is there, and empty"
    assert long_count.strip() == str(len(long) + 1)


def test_variables_of_python_reach_jobs_and_do_not_stop_what_gpu_box_runs(
    machine: OpenSshMachine, remote: Path, tmp_path: Path
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/json.py").write_text("raise SystemExit('not the standard library')")
    (machine.home / "work").mkdir()
    (machine.home / ".bashrc").write_text(". ~/.gpu-box/remote/setup/shell.sh\n")
    asked = Config(env=(f"PYTHONPATH={tmp_path / 'lib'}", "PYTHONHOME=/nowhere"))
    set_up(machine, remote, asked, [])
    assert not set_up(machine, remote, asked, []).needs_work
    with connect(host_of(machine)) as connection:
        jobs.start(connection, "show", 'echo "$PYTHONPATH $PYTHONHOME"')
        lines: list[str] = []
        assert jobs.follow(connection.host, "show", lines.append) == 0
    assert "".join(lines) == f"{tmp_path / 'lib'} /nowhere\n"


def test_an_image_has_none_of_our_secrets(machine: OpenSshMachine, remote: Path) -> None:
    set_up(machine, remote, Config(env=(f"TOKEN={VALUE}",)), [])
    ours = [".gpu-box/notify.json", ".gpu-box/jupyter/token", ".kaggle/kaggle.json", ".kaggle/access_token"]
    for name in ours:
        (machine.home / name).parent.mkdir(parents=True, exist_ok=True)
        (machine.home / name).write_text("s3cr3t")
        (machine.home / f"{name}.new").write_text("s3cr3t of a transfer that was cut")
    with connect(host_of(machine)) as connection:
        secret.remove_all(connection)
        secret.remove_all(connection)  # none left: no error
    files = [Path(top) / name for top, _, names in os.walk(machine.home) for name in names]
    assert [path for path in files if path.is_file() and b"s3cr3t" in path.read_bytes()] == []
