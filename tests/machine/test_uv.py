"""uv on the box: an old one is not used, and what is brought is the pinned one, by its checksum."""

from __future__ import annotations

import hashlib
import http.server
import io
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from setup import uv
from setup.session import Failed, Session

from .. import needs


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose PATH is `bin` alone, with no uv yet."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(uv, "HOME", tmp_path / "home")
    monkeypatch.setattr(uv, "_OWN", tmp_path / "own")
    monkeypatch.setattr("setup.session.LOGS", tmp_path / "logs")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return tmp_path


@pytest.fixture
def session(box: Path) -> Iterator[Session]:
    one = Session("python")
    yield one
    one.close()


def program(path: Path, says: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{says}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("says", "used"),
    [
        ("echo uv 0.13.9", True),
        ("echo 'uv 0.8.13 (a34b5e4 2025-08-21)'", True),
        ("echo uv 1.0.0", True),
        ("echo uv 0.8.12", False),
        ("echo 'uv 0.6.17 (8414e9f3d 2025-04-25)'", False),
        ("echo uv 0.4.30", False),
        ("echo Python 3.12", False),
        ("echo uv 0.13.9; exit 1", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("place", ["bin/uv", "home/.local/bin/uv", "own/bin/uv"])
def test_a_uv_that_is_too_old_is_not_used(box: Path, place: str, says: str, used: bool) -> None:
    path = program(box / place, says)
    assert uv.find() == (path if used else None)


def test_an_old_one_hides_no_newer_one(box: Path) -> None:
    program(box / "home/.local/bin/uv", "echo uv 0.5.0")
    newer = program(box / "bin/uv", "echo uv 0.13.9")
    assert uv.find() == newer


def test_the_pins_are_those_of_one_version() -> None:
    (version,) = re.findall(r"^uv==(\S+)", uv._PINNED.read_text(), re.MULTILINE)
    assert {name.rpartition("/")[2].split("-")[1] for name in uv._WHEELS.values()} == {version}
    assert tuple(map(int, version.split("."))) >= uv._OLDEST


def test_pip_brings_the_pinned_one_and_it_runs(box: Path, session: Session) -> None:
    try:
        uv._by_pip(session)
    except Failed as problem:
        if "hash" in str(problem).lower():
            raise
        pytest.skip("no package index here")
    found = uv.find()
    assert found == str(box / "own/bin/uv")
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    assert uv._PINNED.read_text().startswith(f"uv=={said.split()[1]} ")


def test_pip_refuses_a_wheel_with_another_checksum(
    box: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wheel of the same name, from a folder that the machine's own settings name."""
    folder = box / "wheels"
    folder.mkdir()
    (version,) = re.findall(r"^uv==(\S+)", uv._PINNED.read_text(), re.MULTILINE)
    with zipfile.ZipFile(folder / f"uv-{version}-py3-none-any.whl", "w") as wheel:
        info = f"uv-{version}.dist-info"
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: uv\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(Failed, match="(?is)hash"):
        uv._by_pip(session)
    assert uv.find() is None


@pytest.fixture
def served(box: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that a server on loopback gives in PyPI's place."""
    folder = box / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *given: object) -> None:
            super().__init__(*given, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setattr(uv, "_FILES", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setattr(uv, "_WHEELS", {"test": "uv.whl"})
        monkeypatch.setattr("platform.machine", lambda: "test")
        monkeypatch.setattr(sys, "platform", "linux")
        yield folder
        server.shutdown()
        thread.join()


def wheel() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as files:
        files.writestr("uv-0.13.9.data/scripts/uv", "#!/bin/sh\necho uv 0.13.9\n")
    return content.getvalue()


@needs.programs("sh")
def test_without_pip_the_wheel_itself_is_fetched(
    box: Path, served: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    (served / "uv.whl").write_bytes(wheel())
    pins = box / "uv.txt"
    pins.write_text(f"uv==0.13.9 --hash=sha256:{hashlib.sha256(wheel()).hexdigest()}\n")
    monkeypatch.setattr(uv, "_PINNED", pins)
    uv._by_download(session)
    assert uv.find() == str(box / "own/bin/uv")


def test_a_wheel_with_another_checksum_is_not_run(box: Path, served: Path, session: Session) -> None:
    (served / "uv.whl").write_bytes(wheel())
    with pytest.raises(Failed, match="its sha256 differs"):
        uv._by_download(session)
    assert uv.find() is None
