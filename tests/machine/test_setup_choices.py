"""What remote/setup chooses by what it finds on the machine: package sources, PyTorch's build, the card."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from setup import apt, card, compiler, jupyter_server, pip_settings, reboot, records, session, torch_build, uv
from setup.desired import Desired
from setup.session import Failed
from setup.steps import jupyter, jupyterlab, packages
from setup.steps.python import REQUIREMENTS
from tests.paths import REMOTE

from .. import needs


@pytest.fixture(autouse=True)
def no_settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the developer's pip nor this machine's."""
    import os

    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_", "XDG_", "SSL_CERT")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(pip_settings, "_files", lambda: [home / "pip.conf"])


def test_pips_settings_hold_for_uv(home: Path) -> None:
    (home / "pip.conf").write_text(
        "[global]\nindex-url = https://mirror.example/simple\ncert = /etc/ca.pem\n"
        "extra-index-url =\n    https://a.example/simple\n    https://b.example/simple\n"
        "[install]\nfind-links = /wheels https://c.example/\ntrusted-host = mirror.example\n"
    )
    assert pip_settings.uv_environment(pip_settings.read()) == {
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "UV_INDEX": "https://a.example/simple https://b.example/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/wheels,https://c.example/",
        "UV_INSECURE_HOST": "mirror.example",
        "SSL_CERT_FILE": "/etc/ca.pem",
    }


def test_variables_win_over_files_and_uvs_own_over_both(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "pip.conf").write_text("[global]\nindex-url = https://file.example\nfind-links = /old\n")
    monkeypatch.setenv("PIP_INDEX_URL", "https://variable.example")
    monkeypatch.setenv("UV_FIND_LINKS", "/own")
    env = pip_settings.uv_environment(pip_settings.read())
    assert env == {"UV_DEFAULT_INDEX": "https://variable.example"}
    assert pip_settings.find_links() == ["/own"]


def test_a_folder_that_may_not_be_entered_holds_no_uv(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uv, "HOME", needs.closed_folder(tmp_path))
    monkeypatch.setattr(uv, "_OWN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert uv.find() is None


def test_without_settings_uv_is_left_alone(home: Path) -> None:
    assert pip_settings.uv_environment(pip_settings.read()) == {}
    (home / "pip.conf").write_text("not an ini file")
    assert pip_settings.read() == {}


def test_without_a_card_a_cuda_build_is_the_last_resort_and_its_size_is_said(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    for mirror in (False, True):
        if mirror:
            (home / "pip.conf").write_text("[global]\nindex-url = https://mirror.example\n")
        found = torch_build.sources([])
        *small, last = found
        assert all(source.requirement.endswith("+cpu") and not source.size for source in small)
        # PyPI has one for each Python; the official index may lack it, or be out of reach.
        assert (last.requirement, last.options) == (f"torch=={torch_build.VERSION}", ())
        assert "GB" in last.size
        # The machine's own index is asked first where it has one: the official one may be out of reach.
        assert ("download.pytorch.org" in " ".join(found[0].options)) is not mirror
    assert "+cpu" not in "".join(source.requirement for source in torch_build.sources(["Tesla T4"]))


def pci(root: Path, name: str, vendor: str, kind: str) -> None:
    device = root / "sys/bus/pci/devices" / name
    device.mkdir(parents=True)
    (device / "vendor").write_text(vendor + "\n")
    (device / "class").write_text(kind + "\n")


def driver(root: Path, loaded: str, on_disk: str) -> None:
    cards = root / "proc/driver/nvidia/gpus"
    for number in (1, 2):
        (cards / f"0000:00:1{number}.0").mkdir(parents=True)
        (cards / f"0000:00:1{number}.0/information").write_text("Model: \t\t Tesla T4\nIRQ:   0\n")
    (root / "proc/driver/nvidia/version").write_text(loaded)
    library = root / "usr/lib/x86_64-linux-gnu"
    library.mkdir(parents=True)
    (library / f"libnvidia-ml.so.{on_disk}").touch()
    (library / "libnvidia-ml.so.1").symlink_to(f"libnvidia-ml.so.{on_disk}")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(card, "ROOT", f"{tmp_path}/root/")
    return tmp_path / "root"


def test_a_machine_without_an_nvidia_card(root: Path) -> None:
    pci(root, "0000:00:02.0", "0x1d0f", "0x030000")  # EC2's own display
    pci(root, "0000:00:03.0", "0x10de", "0x068000")  # NVIDIA's bridge
    assert not card.present()
    assert card.describe() == ""
    assert reboot.reason() == ""


def test_a_card_without_its_driver(root: Path) -> None:
    pci(root, "0000:00:1e.0", "0x10de", "0x030200")
    assert card.present()
    assert card.models() == []
    assert card.module_version() is None


@pytest.mark.parametrize(
    "line",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build  (dvs-builder)\n",
    ],
)
def test_a_driver_whose_library_was_updated_needs_a_reboot(root: Path, line: str) -> None:
    driver(root, line, on_disk="570.86.15")
    assert card.describe() == "2 x Tesla T4"
    assert card.module_version() == "550.54.15"
    assert card.library_version() == "570.86.15"
    assert "updated from 550.54.15 to 570.86.15" in reboot.reason()


def test_a_driver_that_fits(root: Path) -> None:
    driver(root, "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue\n", on_disk="550.54.15")
    assert card.present()
    assert reboot.reason() == ""


def test_a_large_download_is_announced_before_it_begins(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    happened: list[str] = []

    class Session:
        say = staticmethod(lambda line: None)
        note = staticmethod(happened.append)

        def run(self, command: list[str], **_: object) -> str:
            happened.append(command[-1] if command[-1].startswith("torch") else "from an index")
            if any(word.endswith("+cpu") for word in command):
                raise Failed("uv:\nthere is no version of torch==2.13.0+cpu")
            return ""

    assert packages._install(Desired(), Session(), "uv").startswith("torch ")
    assert [happened[0], happened[1], happened[3]] == ["from an index", "torch==2.13.0+cpu", "torch==2.13.0"]
    assert "GB to download" in happened[2]


@pytest.mark.parametrize("refused", [False, True])
def test_the_card_s_decoder_is_installed_where_there_is_a_card_alone_and_missed_without_failing(
    refused: bool, root: Path
) -> None:
    ran: list[list[str]] = []
    said: list[str] = []

    class Session:
        say = staticmethod(said.append)

        def run(self, command: list[str], **_: object) -> str:
            ran.append(command)
            if refused:
                raise Failed("uv:\nno such package")
            return ""

    before = packages._fingerprint(Desired())
    assert packages._install_decoder(Session(), "uv") == "" and ran == []
    driver(root, "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue\n", on_disk="550.54.15")
    line = packages._install_decoder(Session(), "uv")
    assert ran == [["uv", "pip", "install", "nvidia-nvimgcodec-cu12[nvjpeg]==0.9.0.20"]]
    assert line == ("" if refused else ", JPEGs decoded on the card")
    assert refused == (said[-1] == "no JPEG decoder for the card (no such package): the CPU decodes")
    # A box that was set up without it gets it with its next `up`.
    assert packages._fingerprint(Desired()) != before


def test_a_card_gets_what_torch_compile_needs_and_a_machine_without_it_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    asked: list[tuple[str, ...]] = []

    class Session:
        say = note = staticmethod(said.append)

    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho /usr/include/python3.99 python3.99-dev\n")
    python.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(apt, "usable", lambda: False)
    compiler.ensure(Session(), python)
    assert said == ["torch.compile needs gcc libc6-dev python3.99-dev, which cannot be installed here"]
    monkeypatch.setattr(apt, "usable", lambda: True)
    monkeypatch.setattr(apt, "install", lambda session, *names: asked.append(names))
    compiler.ensure(Session(), python)
    assert asked == [("gcc", "libc6-dev", "python3.99-dev")]
    python.write_text("#!/bin/sh\necho /home/ubuntu/pythons/include python3.12-dev\n")
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/" + name)
    assert compiler.missing(python) == [], "a Python of uv's has its headers"


def test_volta_gets_the_build_that_has_its_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is PyTorch's own, of the version that set-up installs."""
    monkeypatch.setattr("sys.platform", "linux")
    if torch.__version__.partition("+")[0] != torch_build.VERSION:
        pytest.skip(f"needs PyTorch {torch_build.VERSION}")
    (build,) = (v for v, by_arch in torch.cuda.PYTORCH_RELEASES_CODE_CC.items() if 70 in by_arch["x86_64"])
    first = torch_build.sources(["Tesla V100-SXM2-16GB"])[0]
    assert first.options == ("--torch-backend", "cu" + build.replace(".", ""))
    assert torch_build.sources(["Tesla T4"])[0].options == ("--torch-backend", "auto")


@pytest.fixture
def applied(root: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Applies step `packages` with the PyTorch of the tests; uv is a stand-in. Returns what uv was asked."""
    if torch.version.cuda is not None:
        pytest.skip("this PyTorch has CUDA")
    monkeypatch.setattr(session, "LOGS", home / "logs")
    monkeypatch.setattr(records, "_STEPS", home / "steps")
    monkeypatch.setattr(packages, "PYTHON", Path(sys.executable))
    monkeypatch.setenv("PYTHONPATH", str(REMOTE))
    tool = home / "uv"
    tool.write_text(f'#!/bin/sh\necho "$@" >> {home}/asked\n')
    tool.chmod(0o755)
    monkeypatch.setattr(uv, "ensure", lambda run: str(tool))

    def apply() -> list[str]:
        with contextlib.closing(session.Session("packages")) as run:
            packages.apply(Desired(), run)
        return (home / "asked").read_text().splitlines()

    return apply


T4 = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue\n"


def test_set_up_fails_in_one_line_where_pytorch_cannot_use_the_card(
    applied: Callable[[], list[str]], root: Path
) -> None:
    """With a build without CUDA, as PyPI or an old driver may bring it."""
    assert len(applied()) == 1  # no card: nothing to try
    driver(root, T4, on_disk="550.54.15")
    with pytest.raises(Failed, match=r"PyTorch \S+ is a build without CUDA") as failed:
        applied()
    assert "\n" not in str(failed.value)


def test_a_build_that_is_there_already_is_replaced_if_the_card_needs_another(
    applied: Callable[[], list[str]], root: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uv takes torch 2.13.0+cpu for torch==2.13.0: a box that got a card would keep it."""
    monkeypatch.setattr(packages, "version_of", lambda package: "2.13.0+cpu")
    driver(root, T4, on_disk="550.54.15")
    with pytest.raises(Failed):
        applied()
    first, second = (home / "asked").read_text().splitlines()
    assert "--reinstall-package" not in first
    assert "--reinstall-package torch torch==2.13.0 --torch-backend auto" in second


def test_on_a_machine_that_is_only_a_process_a_note_is_enough(
    applied: Callable[[], list[str]],
    root: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its driver is the laptop's, where nothing is to be mended."""
    driver(root, T4, on_disk="550.54.15")
    monkeypatch.setenv("GPU_BOX_SSHD_DIR", str(home))
    applied()
    reported = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert any(event["event"] == "note" and "without CUDA" in event["line"] for event in reported)


def test_another_driver_is_a_reason_to_choose_pytorch_again(root: Path) -> None:
    driver(root, "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue\n", on_disk="550.54.15")
    before = packages._fingerprint(Desired())
    version = root / "proc/driver/nvidia/version"
    version.write_text(version.read_text().replace("550.54.15", "580.95.05"))
    assert packages._fingerprint(Desired()) != before


def test_jupyterlab_lives_apart_from_what_the_user_installs() -> None:
    asked = Desired(packages=("tornado<6.5",))
    assert {"packages", "environment"}.isdisjoint(jupyter.STEP.after(asked) + jupyterlab.STEP.after(asked))
    assert "jupyterlab" not in REQUIREMENTS.read_text()


class Clock:
    """In place of the module `time`: sleeping costs nothing."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(("seconds", "answers"), [(2, True), (240, True), (3600, False)])
def test_a_jupyterlab_that_reads_itself_from_a_new_disk_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, seconds: float, answers: bool
) -> None:
    clock = Clock()
    monkeypatch.setattr(jupyter_server, "time", clock)
    monkeypatch.setattr(jupyter_server, "answers", lambda: clock.now >= seconds)
    monkeypatch.setattr(jupyter_server, "_pid", lambda: 4711)
    assert jupyter_server._wait_until_it_answers() is answers
