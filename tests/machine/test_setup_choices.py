"""What remote/setup chooses by what it finds on the machine: package sources, PyTorch's build, the card."""

from __future__ import annotations

from pathlib import Path

import pytest

from setup import card, pip_settings, torch_build, uv
from setup.desired import Desired
from setup.session import Failed
from setup.steps import jupyter, packages

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
        found = torch_build.sources(gpu=False)
        *small, last = found
        assert all(source.requirement.endswith("+cpu") and not source.size for source in small)
        # PyPI has one for each Python; the official index may lack it, or be out of reach.
        assert (last.requirement, last.options) == (f"torch=={torch_build.VERSION}", ())
        assert "GB" in last.size
        # The machine's own index is asked first where it has one: the official one may be out of reach.
        assert ("download.pytorch.org" in " ".join(found[0].options)) is not mirror
    assert "+cpu" not in "".join(source.requirement for source in torch_build.sources(gpu=True))


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
    assert not card.needs_reboot()


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
    assert card.needs_reboot()


def test_a_driver_that_fits(root: Path) -> None:
    driver(root, "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue\n", on_disk="550.54.15")
    assert card.present()
    assert not card.needs_reboot()


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


def test_jupyterlab_waits_for_packages_that_may_replace_what_it_runs_on_but_not_for_pytorch() -> None:
    assert "packages" not in jupyter.STEP.after(Desired())
    assert "packages" in jupyter.STEP.after(Desired(packages=("tornado<6.5",)))
