"""A project as it is: uv.lock, requirements.txt, set-up script; with the real uv and an index of our own."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import tarfile
import threading
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pytest
from testbed.openssh import OpenSshMachine

from gpu_box.box import project
from gpu_box.config.model import Config, Ssh, Sync
from gpu_box.errors import MachineUnreachable, StepFailed
from gpu_box.machine import jobs, setup
from gpu_box.machine.files import upload_remote
from gpu_box.machine.setup import Desired
from gpu_box.machine.ssh.connection import connect
from gpu_box.model.machine import MachineState

from .. import needs
from .conftest import Recorder, copy_of_remote, host_of
from .files.test_sync import small_disk

PYPROJECT = (
    '[project]\nname = "mine"\nversion = "0"\nrequires-python = ">=3.11"\ndependencies = ["small<2"]\n'
)


def wheel(index: Path, name: str, version: str, *needs: str, python: str = "", size: int = 0) -> None:
    """The least that an installer takes: https://packaging.python.org/en/latest/specifications/"""
    info = f"{name}-{version}.dist-info"
    requires = "".join(f"Requires-Dist: {need}\n" for need in needs)
    requires += f"Requires-Python: {python}\n" if python else ""
    with zipfile.ZipFile(index / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}/__init__.py", f"version = {version!r}\n")
        file.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}"
        )
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
        file.writestr(f"{name}/data", os.urandom(size))


def sdist(index: Path, name: str, code: str) -> None:
    """One that runs `code` to be built, by a backend in its own tree (PEP 517)."""
    backend = f"def build_wheel(*_, **__):\n    {code}\n"
    pyproject = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    about = f"Metadata-Version: 2.2\nName: {name}\nVersion: 1.0\n"
    files = {"pyproject.toml": pyproject, "backend.py": backend, "PKG-INFO": about}
    with tarfile.open(index / f"{name}-1.0.tar.gz", "w:gz") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(f"{name}-1.0/{path}")
            member.size = len(text)
            archive.addfile(member, BytesIO(text.encode()))


class Index(ThreadingHTTPServer):
    """The folder's wheels as a simple index (PEP 503). cut: a large file ends in the middle."""

    cut = False
    login = ""  # NAME:PASSWORD that it asks for
    logins: dict[str, str]  # the same for paths that begin so
    let_in = False
    processes: frozenset[str] = frozenset()  # every command line while it was asked

    def __init__(self, folder: Path) -> None:
        self.folder, self.logins = folder, {}
        super().__init__(("127.0.0.1", 0), _Answer)
        self.address = f"http://127.0.0.1:{self.server_port}/simple/"


class _Answer(BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        self.server.processes |= {*map(command_line, Path("/proc").glob("[0-9]*"))}
        logins = self.server.logins
        login = next((logins[part] for part in logins if self.path.startswith(part)), self.server.login)
        if login:
            wanted = "Basic " + b64encode(login.encode()).decode()
            if self.headers["Authorization"] != wanted:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="private"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.server.let_in = True
        name = self.path.strip("/").rpartition("/")[2]
        path = self.server.folder / name
        if self.path.startswith("/git/"):
            path = self.server.folder / self.path.partition("?")[0].strip("/")
        if path.is_file():
            body = path.read_bytes()
        else:
            found = [each.name for each in self.server.folder.glob(f"{name}-*")]
            body = "".join(f'<a href="/files/{each}">{each}</a>\n' for each in found).encode()
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "text/html" if not path.is_file() else "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.server.cut and len(body) > 1_000_000 else body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None: ...


def repository(index: Path, name: str) -> None:
    """A package in git, as git's "dumb" protocol reads it from a web server: git-update-server-info(1)."""
    source = index / name
    source.mkdir()
    wheel(source, name, "1.0")
    backend = "import glob, shutil\ndef build_wheel(folder, *_, **__):\n"
    backend += "    [wheel] = glob.glob('*.whl')\n    shutil.copy(wheel, folder)\n    return wheel\n"
    (source / "backend.py").write_text(backend)
    project = f'[project]\nname = "{name}"\nversion = "1.0"\n'
    project += '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    (source / "pyproject.toml").write_text(project)
    bare = index / "git" / f"{name}.git"
    author = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    for words in (
        ("init", "--quiet", "--initial-branch=main", source),
        ("-C", source, "add", "."),
        ("-C", source, *author, "commit", "--quiet", "--message", "one"),
        ("clone", "--quiet", "--bare", source, bare),
        ("-C", bare, "update-server-info"),
    ):
        subprocess.run(["git", *words], check=True)


def command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""  # it has ended


@contextmanager
def served(folder: Path) -> Iterator[Index]:
    with Index(folder) as index:
        thread = threading.Thread(target=index.serve_forever)
        thread.start()
        try:
            yield index
        finally:
            index.shutdown()
            thread.join()


class Box:
    """A machine with gpu-box's code, ~/work and, in place of the set-up steps, only those of the project."""

    def __init__(self, machine: OpenSshMachine, folder: Path) -> None:
        self.home, self.work = machine.home, machine.home / "work"
        self.work.mkdir(exist_ok=True)
        self.index = folder / "index"
        self.index.mkdir()
        for name, version in (("ipykernel", "7.4.0"), ("small", "1.0"), ("small", "2.0"), ("more", "1.0")):
            wheel(self.index, name, version)
        wheel(self.index, "demanding", "1.0", "small>=2")
        wheel(self.index, "modern", "1.0", python=">=3.99")
        self.remote = copy_of_remote(folder, "env")
        text = "from setup.steps import code, env, environment, script\nALL = (code.STEP,)\n"
        (self.remote / "setup/steps/__init__.py").write_text(
            text + "PROJECT = (environment.STEP, script.STEP)\n"
        )
        upload_remote.fingerprint.cache_clear()
        # Where pip's settings are looked for: an index that is a folder, and no other.
        (machine.home / ".config/pip").mkdir(parents=True)
        (machine.home / ".config/pip/pip.conf").write_text(
            f"[global]\nno-index = true\nfind-links = {self.index}\n"
        )
        self.uv = {
            "UV_CONFIG_FILE": str(self.remote / "setup/no_index.toml"),
            "UV_FIND_LINKS": str(self.index),
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
        }
        self.cut = machine.cut_connections
        self._connect = lambda: connect(host_of(machine))
        self.ssh = Ssh(key=machine.user_key)

    def refresh(self) -> None:
        """Send remote/ again, which a test has changed."""
        upload_remote.fingerprint.cache_clear()

    def up(self, report: Recorder | None = None, **asked: object) -> Recorder:
        """What `up` does on the machine after the sync."""
        report = report or Recorder()
        desired = replace(Desired(remote=self.remote), **asked)  # type: ignore[arg-type]
        with self._connect() as connection:
            state = setup.check(connection, desired)
            if not state.mirror_current:
                upload_remote.upload(connection, self.remote)
            setup.apply_project(connection, desired, report)
            after = setup.check(connection, desired)
            assert not after.project_needs_work, after.project_steps
        return report

    def sync(self, config: Config) -> None:
        """The project's folder, as `up` and `sync` send it."""
        with self._connect() as connection:
            upload_remote.upload(connection, self.remote)
            project.push(connection, project.selection(config), Recorder())

    def set_up(self, config: Config, report: Recorder) -> MachineState:
        """The first part of `up` on the machine, with a step that ends when the lock's package is there."""
        (self.remote / "setup/steps/slow.py").write_text(WAITS_FOR_THE_PACKAGE)
        (self.remote / "setup/steps/__init__.py").write_text(
            "from setup.steps import code, environment, script, slow\n"
            "ALL = (code.STEP, slow.STEP)\nPROJECT = (environment.STEP, script.STEP)\n"
        )
        self.refresh()
        desired = Desired(remote=self.remote)
        with self._connect() as connection:
            state = setup.check(connection, desired)
            ahead = project.ahead(connection, config, desired, state.project, report)
            return setup.apply(connection, state, desired, report, ahead)

    def failure(self, report: Recorder | None = None, **asked: object) -> str:
        with pytest.raises(StepFailed) as caught:
            self.up(report, **asked)
        assert caught.value.exit_code == 1
        return str(caught.value)

    def job(self, command: str, name: str = "job") -> list[str]:
        lines: list[str] = []
        with self._connect() as connection:
            jobs.start(connection, name, command)
            jobs.follow(connection.host, name, lines.append)
        return "".join(lines).splitlines()

    def lock(self, pyproject: str = PYPROJECT, folder: Path | None = None) -> None:
        folder = folder or self.work
        (folder / "pyproject.toml").write_text(pyproject)
        subprocess.run([UV, "lock", "--quiet"], cwd=folder, env=self.uv, check=True)

    def own_environment(self) -> None:
        """As step `python` makes it, without packages."""
        venv = [UV, "venv", "--quiet", "--no-project", str(self.home / ".gpu-box/venv")]
        subprocess.run(venv, env=self.uv, check=True)


UV = str(Path(sysconfig.get_path("scripts")) / "uv")
WHICH = "python -c 'import small, sys; print(small.version, sys.prefix)'"


@pytest.fixture
def box(make_machine: Callable[..., OpenSshMachine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)  # this computer's own index
    monkeypatch.setenv("UV_HTTP_RETRIES", "1")
    machine = make_machine()
    (machine.home / ".local/bin").mkdir(parents=True)
    (machine.home / ".local/bin/uv").symlink_to(UV)
    return Box(machine, tmp_path)


def test_a_project_with_a_lock_gets_an_environment_of_its_own(box: Box) -> None:
    box.lock()
    report = box.up(packages=("more",))
    assert "environment" in report.of("done")
    assert box.job(WHICH) == [f"1.0 {box.home}/.gpu-box/project-venv"]
    assert box.job("python -c 'import more, ipykernel'; echo $?") == ["0"]
    kernel = (box.home / ".gpu-box/jupyter/share/kernels/python3/kernel.json").read_text()
    assert f"{box.home}/.gpu-box/project-venv/bin/python" in kernel
    own = (box.home / ".gpu-box/jupyter/share/kernels/gpu-box/kernel.json").read_text()
    assert f"{box.home}/.gpu-box/venv/bin/python" in own

    assert not box.up(packages=("more",)).of("update"), "nothing changed: nothing is installed"
    box.lock(PYPROJECT.replace("small<2", "small>=2"))
    box.up(packages=("more",))
    assert box.job(WHICH)[0].startswith("2.0 ")

    box.up(python="none")
    assert not (box.home / ".gpu-box/project-venv").exists()


def test_uv_run_uses_the_environment_that_up_made(box: Box) -> None:
    box.lock()
    box.up()
    command = "uv run --frozen --offline python -c 'import small, sys; print(sys.prefix)'"
    [prefix] = box.job(command)[-1:]
    assert Path(prefix).resolve() == box.home / ".gpu-box/project-venv"
    box.up(python="none")
    assert not (box.work / ".venv").is_symlink()
    (box.home / "mine").mkdir()
    (box.work / ".venv").symlink_to(box.home / "mine")
    box.up()
    assert (box.work / ".venv").resolve() == box.home / "mine", "the user's own stays"


def test_a_project_whose_version_comes_from_git_is_installed_without_its_history(box: Box) -> None:
    """As setuptools-scm: `.git` is never sent. What it depends on keeps its own version."""
    wheel(box.work, "mine", "0", "built")
    (box.work / "backend.py").write_text(
        "import os, shutil\n"
        "def build_wheel(folder, *_, **__):\n"
        "    there = os.path.exists('.git')\n"
        "    version = '0' if there else os.environ['SETUPTOOLS_SCM_PRETEND_VERSION']\n"
        "    return os.path.basename(shutil.copy(f'mine-{version}-py3-none-any.whl', folder))\n"
        "build_editable = build_wheel\n"
    )
    built = "import os, shutil; assert 'SETUPTOOLS_SCM_PRETEND_VERSION' not in os.environ; "
    built += f"name = 'built-1.0-py3-none-any.whl'; shutil.copy('{box.home}/' + name, _[0]); return name"
    wheel(box.home, "built", "1.0")
    sdist(box.index, "built", built)
    system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    (box.work / ".git").mkdir()
    box.lock(PYPROJECT.replace('version = "0"', 'dynamic = ["version"]').replace("small<2", "built") + system)
    (box.work / ".git").rmdir()
    box.up()
    assert box.job("python -c 'import mine, built; print(mine.version)'") == ["0"]


WAITS_FOR_THE_PACKAGE = """
import shutil, time
from pathlib import Path
from setup.desired import LOGS, PROJECT
from setup.session import Failed
from setup.step import Step, done, needed
def there():
    return list(PROJECT.glob("lib/python3*/site-packages/small"))
def check(desired):
    return done("slow is done") if there() else needed("slow is missing")
def apply(desired, session):
    session.say("working")
    for _ in range(1200):
        log = LOGS / "environment.log"
        if log.exists() and "tried again after set-up" in log.read_text():
            return done("slow is done")
        if there():
            return done("slow is done")
        time.sleep(0.1)
    raise Failed("nothing came beside it")
STEP = Step("slow", check, apply)
"""


@pytest.fixture
def locked(box: Box, tmp_path: Path) -> Config:
    """A project with uv.lock on the laptop."""
    folder = tmp_path / "mine"
    folder.mkdir()
    box.lock(folder=folder)
    return Config(path=folder / "config.yaml", sync=Sync(source=folder), ssh=box.ssh)


def test_the_environment_of_a_lock_is_made_beside_set_up(box: Box, locked: Config) -> None:
    report = Recorder()
    state = box.set_up(locked, report)
    assert not report.of("failed") and report.of("done").count("sync") == 1
    assert project.changed_since(locked, state.project) is None, "nothing is sent again after set-up"
    assert not (box.home / ".gpu-box/project-venv/ready").exists(), "PyTorch was not tried on the card yet"
    box.up(report)
    assert report.of("done").count("environment") == 1
    assert box.job(WHICH) == [f"1.0 {box.home}/.gpu-box/project-venv"]


def test_what_fails_beside_set_up_is_tried_again_after_it(box: Box, locked: Config) -> None:
    there, away = box.index / "small-1.0-py3-none-any.whl", box.home / "small"
    there.rename(away)
    report = Recorder()
    box.set_up(locked, report)
    assert not report.of("failed")
    assert "environment" in box.failure(report)
    away.rename(there)
    box.up()
    assert box.job(WHICH) == [f"1.0 {box.home}/.gpu-box/project-venv"]


class Struck(Recorder):
    """Calls `strike` when set-up works."""

    def __init__(self, strike: Callable[[], object]) -> None:
        super().__init__()
        self._strike = strike

    def update(self, step: str, line: str) -> None:
        super().update(step, line)
        if step == "slow":
            self._strike()


@pytest.mark.parametrize("what", ["Ctrl-C", "a cut connection"])
def test_set_up_that_is_interrupted_goes_on_with_the_lock_s_environment(
    box: Box, locked: Config, what: str
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    strike = interrupt if what == "Ctrl-C" else box.cut
    with pytest.raises((KeyboardInterrupt, MachineUnreachable)):
        box.set_up(locked, Struck(strike))
    report = Recorder()
    box.set_up(locked, report)
    box.up(report)
    assert not report.of("failed")
    assert box.job(WHICH) == [f"1.0 {box.home}/.gpu-box/project-venv"]


@pytest.mark.parametrize("kind", ["requirements.txt", "pyproject.toml"])
def test_requirements_go_on_top_of_the_box_s_own_environment(box: Box, kind: str) -> None:
    box.own_environment()
    (box.work / kind).write_text(PYPROJECT if kind == "pyproject.toml" else "small<2\n")
    box.up()
    assert box.job(WHICH) == [f"1.0 {box.home}/.gpu-box/venv"]
    assert not box.up().of("update")
    (box.work / kind).write_text((box.work / kind).read_text().replace("small<2", "small>=2"))
    box.up()
    assert box.job(WHICH)[0].startswith("2.0 ")


def test_pytorch_is_replaced_only_if_the_file_names_it(box: Box) -> None:
    box.own_environment()
    for version in ("2.13.0", "9.9.9"):
        wheel(box.index, "torch", version)
    wheel(box.index, "greedy", "1.0", "torch>=2")
    venv = [UV, "pip", "install", "--quiet", "torch==2.13.0"]
    own = box.home / ".gpu-box/venv"
    subprocess.run(venv, env={**box.uv, "VIRTUAL_ENV": str(own)}, check=True)
    (box.work / "requirements.txt").write_text("greedy\n")
    box.up()
    assert box.job("python -c 'import torch; print(torch.version)'") == ["2.13.0"]
    # As PowerShell's `pip freeze >requirements.txt` writes it: pip#733, uv#2276
    (box.work / "requirements.txt").write_text("greedy\ntorch==9.9.9\n", encoding="utf-16")
    box.up()
    assert box.job("python -c 'import torch; print(torch.version)'") == ["9.9.9"]


FAILURES: dict[str, tuple[Callable[[Box], object], str]] = {
    "a package that does not exist": (
        lambda box: (box.work / "requirements.txt").write_text("no-such-package\n"),
        "no-such-package",
    ),
    "versions that disagree": (
        lambda box: (box.work / "requirements.txt").write_text("demanding\nsmall<2\n"),
        "demanding",
    ),
    "a package for another Python": (
        lambda box: (box.work / "requirements.txt").write_text("modern\n"),
        "3.99",
    ),
    "a lock of another Python": (
        lambda box: (
            (box.work / "pyproject.toml").write_text(PYPROJECT.replace(">=3.11", ">=3.99")),
            (box.work / "uv.lock").write_text(
                'version = 1\nrevision = 3\nrequires-python = ">=3.99"\n\n'
                '[[package]]\nname = "mine"\nversion = "0"\nsource = { virtual = "." }\n'
            ),
        ),
        ">=3.99",
    ),
    "a package whose build fails": (
        lambda box: (
            sdist(box.index, "native", "import missing_thing"),
            (box.work / "requirements.txt").write_text("native\n"),
        ),
        "missing_thing",
    ),
    "a package that needs a compiler": (
        lambda box: (
            sdist(box.index, "native", NO_COMPILER),
            (box.work / "requirements.txt").write_text("native\n"),
        ),
        "x86_64-linux-gnu-gcc",
    ),
    "a lock that is cut off": (
        lambda box: (box.lock(), (box.work / "uv.lock").write_text("version = 1\n[[pack")),
        "`uv lock` on your computer",
    ),
}


# As setuptools says it: https://github.com/pypa/setuptools/issues/3876
NO_COMPILER = (
    "import sys; sys.exit(\"error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory\")"
)


@pytest.mark.parametrize("what", FAILURES)
def test_what_cannot_be_installed_is_said_with_the_line_that_matters(box: Box, what: str) -> None:
    box.own_environment()
    break_it, said = FAILURES[what]
    break_it(box)
    failure = box.failure()
    assert said in failure and "~/.gpu-box/logs/environment.log" in failure
    assert box.failure() == failure or said in box.failure(), "it is tried again at the next `up`"


def test_a_full_disk_is_said_and_the_next_up_goes_on(box: Box) -> None:
    wheel(box.index, "large", "1.0", size=3_000_000)
    with small_disk(box.home / ".gpu-box/venv", "size=2m"):
        box.own_environment()
        (box.work / "requirements.txt").write_text("large\n")
        failure = box.failure()
        assert "the box's disk is full: raise disk.size_gib" in failure and "`gpu-box up` again" in failure
        subprocess.run(["mount", "-o", "remount,size=20m", box.home / ".gpu-box/venv"], check=True)
        box.up()
        assert box.job("python -c 'import large; print(large.version)'") == ["1.0"]


def test_a_network_that_fails_in_the_middle_is_said_and_the_next_up_goes_on(box: Box) -> None:
    wheel(box.index, "large", "1.0", size=3_000_000)
    box.own_environment()
    (box.work / "requirements.txt").write_text("small<2\nlarge\n")
    with served(box.index) as index:
        (box.home / ".config/pip/pip.conf").write_text(f"[global]\nindex-url = {index.address}\n")
        index.cut = True
        failure = box.failure()
        assert "large" in failure and "`gpu-box up` again" in failure
        index.cut = False
        box.up()
    assert box.job(WHICH)[0].startswith("1.0 ")


def test_a_lock_s_environment_that_failed_is_not_used(box: Box) -> None:
    box.own_environment()
    box.lock()
    (box.index / "small-1.0-py3-none-any.whl").unlink()
    box.failure()
    assert box.job('echo "$VIRTUAL_ENV"') == [f"{box.home}/.gpu-box/venv"]


@pytest.mark.parametrize("name", ["environment.yml", "pixi.lock", "poetry.lock", "Pipfile.lock", "setup.py"])
def test_a_project_of_another_tool_gets_one_line_with_what_to_do(box: Box, name: str) -> None:
    (box.work / name).write_text("")
    report = box.up()
    [note] = [line for kind, _, line in report.events if kind == "note"]
    assert name in note and "not installed by gpu-box" in note


def test_the_user_s_script_runs_once_until_it_changes_and_sees_what_jobs_see(box: Box) -> None:
    script = box.work / "setup.sh"
    script.write_text('#!/bin/sh\necho "$PWD $VIRTUAL_ENV" >>ran\n')
    script.chmod(0o755)
    box.up(setup=("./setup.sh",))
    box.up(setup=("./setup.sh",))
    assert (box.work / "ran").read_text() == f"{box.work} {box.home}/.gpu-box/venv\n"
    script.write_text(script.read_text() + "\n")
    box.up(setup=("./setup.sh",))
    assert len((box.work / "ran").read_text().splitlines()) == 2


def test_secrets_that_a_script_prints_are_masked(box: Box) -> None:
    (box.home / ".gpu-box").mkdir()
    values = "export TOKEN='s3cr3t of mine'\nexport KEY='s3cr3t-begin\ns3cr3t-end'\nexport MODE=debug\n"
    (box.home / ".gpu-box/env.sh").write_text(f"# digest\n{values}")
    asked = {"setup": ('set -x; echo "$TOKEN"; echo "$KEY"; echo $MODE; false',), "env": None}
    report = Recorder()
    failure = box.failure(report, **asked)
    log = (box.home / ".gpu-box/logs/setup.log").read_text()
    assert "s3cr3t" not in failure + log + str(report.events)
    assert "echo '$TOKEN'" in log and "debug" in log


SECRET = "s3cr3t-of-mine"


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("git+http://me:{}@127.0.0.1:{}/private.git", marks=needs.programs("git")),
        "http://me:{}@127.0.0.1:{}/files/{}",
    ],
)
@pytest.mark.parametrize("given", [SECRET, "${PASSWORD}"])
def test_a_password_in_the_address_of_a_package_is_shown_nowhere(
    box: Box, tmp_path: Path, address: str, given: str
) -> None:
    wheel(box.index, "private", "1.0")
    box.lock()
    (box.home / ".gpu-box").mkdir()
    (box.home / ".gpu-box/env.sh").write_text(f"# digest\nexport PASSWORD={SECRET}\n")
    with served(box.index) as index:
        index.login = f"me:{SECRET}"
        package = address.format(given, index.server_port, "private-1.0-py3-none-any.whl")
        asked = {"packages": (f"private @ {package}",), "env": None}
        report = Recorder()
        if address.startswith("git"):  # the server has no repository, but git has asked it with the password
            said = box.failure(report, **asked)
        else:
            said = str(box.up(report, **asked).events)
            assert box.job("python -c 'import private; print(private.version)'") == ["1.0"]
    assert index.let_in and index.processes
    log = (box.home / ".gpu-box/logs/environment.log").read_text()
    assert not [line for line in index.processes if SECRET in line]
    assert SECRET not in said + str(report.events) + log
    assert SECRET not in setup.question(replace(Desired(remote=box.remote), **asked)).command  # type: ignore[arg-type]


@needs.programs("git")
def test_tokens_in_requirements_txt_are_in_no_argument_and_each_goes_to_its_repository(box: Box) -> None:
    for name in ("first", "second"):
        repository(box.index, name)
    box.own_environment()
    (box.home / ".gpu-box/env.sh").write_text(f"# digest\nexport PASSWORD={SECRET}\n")
    (box.work / "more").mkdir()
    with served(box.index) as index:
        index.logins = {"/git/first": f"{SECRET}-1:", "/git/second": f"me:{SECRET}"}
        at = f"127.0.0.1:{index.server_port}/git"
        (box.work / "requirements.txt").write_text(
            f"-r more/git.txt  # private\nfirst @ git+http://{SECRET}-1@{at}/first.git@main\n"
        )
        (box.work / "more/git.txt").write_text(
            f"-c limits.txt\ngit+http://me:${{PASSWORD}}@{at}/second.git#egg=second\nsmall\n"
        )
        (box.work / "more/limits.txt").write_text("small<2\n")
        report = Recorder()
        box.up(report, env=None)
    assert box.job("python -c 'import first, second, small; print(small.version)'") == ["1.0"]
    assert index.let_in and not [line for line in index.processes if SECRET in line]
    assert SECRET not in str(report.events) + (box.home / ".gpu-box/logs/environment.log").read_text()
    assert sorted(path.name for path in box.work.rglob("*.txt")) == [
        "git.txt",
        "limits.txt",
        "requirements.txt",
    ]


@needs.programs("git")
def test_a_token_is_in_no_argument_however_its_address_is_written(box: Box) -> None:
    addresses = {  # as uv accepts them
        "dotgit": "http://me:{secret}@{at}/dotgit.git",
        "capital": "git+HTTP://me:{secret}@{at}/capital.git",
        "slash": "git+http:/me:{secret}@{at}/slash.git",
        "signs": "git+http://me:x@{secret}@{at}/signs.git",
        "variable": "git+http://me:${{SIGNS}}@{at}/variable.git@main  # git+http://old@{at}/variable.git",
        "whole": "git+${{ADDRESS}}",
        "dollars": "git+http://me:$$x{secret}@{at}/dollars.git",
    }
    passwords = {"signs": f"x@{SECRET}", "variable": f"{SECRET}/@:?", "dollars": f"$$x{SECRET}"}
    for name in addresses:
        repository(box.index, name)
    box.own_environment()
    with served(box.index) as index:
        index.logins = {f"/git/{name}": f"me:{passwords.get(name, SECRET)}" for name in addresses}
        at = f"127.0.0.1:{index.server_port}/git"
        address = f"http://me:{SECRET}@{at}/whole.git"
        variables = f"export ADDRESS={address}\nexport SIGNS='{passwords['variable']}'\n"
        (box.home / ".gpu-box/env.sh").write_text(f"# digest\n{variables}")
        lines = [f"{name} @ {text.format(secret=SECRET, at=at)}\n" for name, text in addresses.items()]
        (box.work / "requirements.txt").write_text("".join(lines))
        left = box.work / "without-logins-12345678-requirements.txt"
        left.write_text("of a set-up that was killed")
        report = Recorder()
        box.up(report, env=None)
    assert box.job(f"python -c 'import {', '.join(addresses)}; print(1)'") == ["1"]
    assert index.let_in and not [line for line in index.processes if SECRET in line]
    assert SECRET not in str(report.events) + (box.home / ".gpu-box/logs/environment.log").read_text()
    assert not left.exists()


@needs.programs("git")
def test_a_wrong_token_in_requirements_txt_is_in_no_error(box: Box) -> None:
    repository(box.index, "first")
    box.own_environment()
    with served(box.index) as index:
        index.login = "me:another"
        at = f"127.0.0.1:{index.server_port}/git"
        (box.work / "requirements.txt").write_text(f"first @ git+http://me:{SECRET}@{at}/first.git\n")
        report = Recorder()
        failure = box.failure(report)
    log = (box.home / ".gpu-box/logs/environment.log").read_text()
    assert "Authentication failed" in log or "could not read" in log
    assert SECRET not in failure + str(report.events) + log + "".join(index.processes)
    assert [path.name for path in box.work.iterdir()] == ["requirements.txt"]


@pytest.mark.parametrize(
    "source",
    [
        'more = { git = "https://s3cr3t@127.0.0.1/more.git" }',
        'more = { git = "https://me:s3cr@3t@127.0.0.1/more", branch = "main" }',
    ],
)
def test_a_token_that_cannot_be_hidden_is_said(box: Box, source: str) -> None:
    box.own_environment()
    (box.work / "pyproject.toml").write_text(f"{PYPROJECT}[tool.uv.sources]\n{source}\n")
    [note] = [line for kind, _, line in box.up().events if kind == "note"]
    assert "token" in note and "pyproject.toml" in note and "s3cr3t" not in note


@pytest.mark.parametrize("changed", ["more files.txt", "limits.txt", "last.txt"])
def test_a_file_that_requirements_txt_includes_is_part_of_it(box: Box, changed: str) -> None:
    box.own_environment()
    (box.work / "requirements.txt").write_text(
        "-r 'more files.txt'\n--no-index --constraint=folder/../limits.txt # newest\n"
    )
    (box.work / "more files.txt").write_bytes(b"\xef\xbb\xbfsmall\r\n-r ${PROJECT_ROOT}/requirements.txt\r\n")
    (box.work / "limits.txt").write_text(f"small<2\n-c file://{box.work}/last.txt\n")
    (box.work / "last.txt").write_text("more<2\n")
    (box.work / "folder").mkdir()
    box.up()
    assert not box.up().of("update")
    (box.work / changed).write_text("small>=1,<2\n")
    assert box.up().of("update"), "it is installed again"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("requirements.txt", "-r more.txt\n"),
        ("pyproject.toml", PYPROJECT.replace('"small<2"', '"small<2", "torch==9.9.9"')),
    ],
)
def test_the_project_s_own_pytorch_replaces_the_box_s_wherever_the_files_name_it(
    box: Box, name: str, text: str
) -> None:
    box.own_environment()
    for version in ("2.13.0", "9.9.9"):
        wheel(box.index, "torch", version)
    own = {**box.uv, "VIRTUAL_ENV": str(box.home / ".gpu-box/venv")}
    subprocess.run([UV, "pip", "install", "--quiet", "torch==2.13.0"], env=own, check=True)
    (box.work / name).write_text(text)
    (box.work / "more.txt").write_text("torch==9.9.9\n")
    box.up()
    assert box.job("python -c 'import torch; print(torch.version)'") == ["9.9.9"]


def test_a_private_index_gets_its_password_of_the_variables(box: Box) -> None:
    box.own_environment()
    (box.home / ".gpu-box/env.sh").write_text(f"# digest\nexport INDEX='{box.index}'\n")
    (box.home / ".config/pip/pip.conf").write_text("[global]\nno-index = true\n")
    (box.work / "requirements.txt").write_text("--find-links ${INDEX}\nsmall<2\n")
    box.up(env=None)
    assert box.job(WHICH)[0].startswith("1.0 ")


def test_a_list_of_commands_goes_on_where_it_failed(box: Box) -> None:
    commands = ("echo one >>ran", "test -e allowed && echo two >>ran", "echo three >>ran")
    failure = box.failure(setup=commands)
    assert "`test -e allowed && echo two >>ran`: exit status 1" in failure
    assert "~/.gpu-box/logs/setup.log" in failure
    (box.work / "allowed").touch()
    box.up(setup=commands)
    assert (box.work / "ran").read_text().split() == ["one", "two", "three"]


SCRIPTS = {
    "not executable": (b"#!/bin/sh\n", 0o644, "is not executable: `chmod +x setup.sh`"),
    "from Windows": (b"#!/bin/sh\r\n", 0o755, "has Windows line ends"),
    "missing": (None, 0, "exit status 127"),
    "fails": (b"#!/bin/sh\necho the reason >&2\nexit 7\n", 0o755, "the reason"),
}


@pytest.mark.parametrize("what", SCRIPTS)
def test_a_script_that_cannot_run_is_named_with_the_reason(box: Box, what: str) -> None:
    content, mode, said = SCRIPTS[what]
    if content is not None:
        (box.work / "setup.sh").write_bytes(content)
        (box.work / "setup.sh").chmod(mode)
    failure = box.failure(setup=("./setup.sh",))
    assert said in failure and "setup.sh" in failure
