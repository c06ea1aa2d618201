"""Installs the NVIDIA driver from Ubuntu's archive on a machine without one.

Sources: https://documentation.ubuntu.com/server/how-to/graphics/install-nvidia-drivers/ (ubuntu-drivers,
Fabric Manager), https://docs.nvidia.com/deploy/driver-persistence/ (the daemon). Prebuilt modules match one
kernel release, so the kernel and driver packages are held: upgrading one of them would break the driver.
"""

import re
from pathlib import Path
from typing import List, Optional

from setup import apt, card, records
from setup.desired import ROOT
from setup.root import as_root
from setup.session import Failed, Session

_BEGUN, _FINISHED = "begun", "finished"
_HELD = re.compile(
    r"linux-(?:aws|generic|virtual|image|headers|modules|objects|signatures)\b"
    r"|(?:lib)?nvidia-|xserver-xorg-video-nvidia-"
)
_UNIT = "lib/systemd/system/nvidia-persistenced.service"
_DROP_IN = "/etc/systemd/system/nvidia-persistenced.service.d/gpu-box.conf"


def usable() -> bool:
    return apt.usable() and "ubuntu" in card.read(card.ROOT + "etc/os-release").lower()


def is_begun() -> bool:
    """Whether our installation was interrupted or waits for a reboot."""
    return _progress() == _BEGUN


def is_unfinished() -> bool:
    """The same, or our driver on a box that was resized to a type with NVSwitches."""
    lacks_manager = card.has_nvswitch() and not Path(card.ROOT + "usr/bin/nv-fabricmanager").exists()
    return is_begun() or (_progress() == _FINISHED and lacks_manager)


def install(session: Session) -> None:
    """Install the packages; the module may need a reboot into another kernel. Raises Failed."""
    if not usable():
        raise Failed(
            "this machine has no NVIDIA driver, and gpu-box installs one on Ubuntu only: choose an image "
            "that has one (image.family: deep-learning)"
        )
    records.write("driver", _BEGUN, "")
    apt.install(session, "ubuntu-drivers-common")
    apt.run(session, "ubuntu-drivers", "install", "--gpgpu")
    found = branch(session)
    if found is None:
        records.write("driver", "", "")  # a driver that the user installs now is not ours
        raise Failed(
            "ubuntu-drivers found no driver for this card: choose another GPU type, or an image that has a "
            "driver (image.family: deep-learning)"
        )
    # For server drivers nvidia-smi is in a separate package of the same branch.
    apt.install(session, "nvidia-utils-" + found.replace("-open", ""))


def finish(session: Session) -> None:
    """Complete the set-up of a running driver. Raises Failed."""
    if card.has_nvswitch():
        _install_fabric_manager(session)
    _keep_cards_awake(session)
    _hold(session)
    records.write("driver", _FINISHED, "")


def _progress() -> str:
    """_BEGUN or _FINISHED; "" for the image's own driver."""
    record = records.read("driver")
    return record["fingerprint"] if record else ""


def branch(session: Session) -> Optional[str]:
    """The installed driver's branch ("535-server", "570-server-open"); None if it is not Ubuntu's."""
    names = "\n".join(_installed(session))
    # The modules' package name shows whether they are the open ones.
    for pattern in (
        r"^linux-(?:modules|objects)-nvidia-(\d{3})(-server)?(-open)?-",
        r"^nvidia-(?:headless|driver|dkms|kernel-common)\S*?-(\d{3})(-server)?(-open)?$",
    ):
        found = re.findall(pattern, names, re.MULTILINE)
        if found:
            return "".join(max(found, key=lambda parts: int(parts[0])))
    return None


def _install_fabric_manager(session: Session) -> None:
    """Install the exact version of the driver, or it refuses ("don't match with driver version")."""
    session.say("installing Fabric Manager for the NVSwitches")
    driver = card.module_version() or ""
    package = "nvidia-fabricmanager-" + driver.partition(".")[0]
    offered = re.findall(
        r"^\s*\S+\s*\|\s*(\S+)\s*\|", apt.run(session, "apt-cache", "madison", package), re.M
    )
    version = next((version for version in offered if version.partition("-")[0] == driver), None)
    if version is None:
        raise Failed(
            "the archive has no %s of the driver's version %s (it has %s), which these cards need: choose an "
            "image that has both (image.family: deep-learning)"
            % (package, driver, ", ".join(offered) or "none")
        )
    apt.install(session, "%s=%s" % (package, version))
    session.run([*(as_root() or []), "systemctl", "enable", "--now", "nvidia-fabricmanager"], timeout_s=300)


def _keep_cards_awake(session: Session) -> None:
    """Turn on persistence mode: without it, as with Ubuntu's daemon, nvidia-smi restarts all cards."""
    prefix = as_root() or []
    unit = Path(card.ROOT + "usr/" + _UNIT)
    text = unit.read_text(encoding="utf-8") if unit.exists() else ""
    command = re.search(r"^ExecStart=(.*--no-persistence-mode.*)$", text, re.M)
    try:
        if command:
            _change_daemon(session, command.group(1).replace("--no-persistence-mode", "--persistence-mode"))
        session.run([*prefix, "nvidia-smi", "-pm", "1"], timeout_s=300)
    except Failed as problem:
        session.note("persistence mode is off, and nvidia-smi slow: %s" % str(problem).splitlines()[-1])


def _change_daemon(session: Session, command: str) -> None:
    prefix = as_root() or []
    changed = ROOT / "persistence.conf"
    records.write_atomically(changed, "[Service]\nExecStart=\nExecStart=%s\n" % command)
    session.run([*prefix, "install", "-D", "-m", "644", str(changed), _DROP_IN])
    session.run([*prefix, "systemctl", "daemon-reload"])
    session.run([*prefix, "systemctl", "restart", "nvidia-persistenced"], timeout_s=300)


def _hold(session: Session) -> None:
    names = [name for name in _installed(session) if _HELD.match(name)]
    apt.run(session, "apt-mark", "hold", *names)


def _installed(session: Session) -> List[str]:
    listed = session.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\\n"], show=False)
    return [
        name
        for status, _, name in (line.partition(" ") for line in listed.splitlines())
        if status == "installed"
    ]
