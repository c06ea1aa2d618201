"""The NVIDIA driver: verified where it is, installed on Ubuntu where it is missing.

The images for deep learning come with it; plain Ubuntu does not.
Source: https://documentation.ubuntu.com/server/how-to/graphics/install-nvidia-drivers/
"""

import platform
import re
import shutil
import subprocess

from setup import card
from setup.desired import Desired
from setup.root import apt_install, as_root, can_apt
from setup.session import Failed, Session
from setup.step import State, Step, done, needed, unavailable

_QUERY = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
_REBOOT = "the NVIDIA driver was updated: a reboot is needed before the card works"


def check(desired: Desired) -> State:
    if not card.present():
        return done("no NVIDIA card here: CPU only")
    if card.needs_reboot():
        return needed(_REBOOT)
    version = card.module_version()
    if version is None or not shutil.which("nvidia-smi"):
        if not _can_install():
            return unavailable("an NVIDIA card, but no driver, and it cannot be installed here: CPU only")
        return needed("an NVIDIA card without its driver")
    return done("%s, driver %s" % (card.describe() or "NVIDIA card", version))


def apply(desired: Desired, session: Session) -> State:
    if not card.needs_reboot() and not _works():
        session.say("installing the NVIDIA driver: some minutes")
        _install(session)
    if card.needs_reboot():
        return needed(_REBOOT)
    lines = session.run(_QUERY, timeout_s=120, show=False).splitlines()
    rows = [line.split(",") for line in lines if line.count(",") == 2]  # nvidia-smi warns in between
    if not rows:
        raise Failed("nvidia-smi shows no card: %s" % (lines[0] if lines else "no answer"))
    name, version, memory = (part.strip() for part in rows[0])
    return done("%s, %s, driver %s" % (card.describe() or name, memory, version))


def _works() -> bool:
    if not shutil.which("nvidia-smi"):
        return False
    try:
        return subprocess.run(_QUERY, stdout=subprocess.DEVNULL, timeout=120).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _can_install() -> bool:
    return can_apt() and "ubuntu" in _os_release()


def _os_release() -> str:
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            return file.read().lower()
    except OSError:
        return ""


def _install(session: Session) -> None:
    if not _can_install():
        raise Failed("this system has no NVIDIA driver, and gpu-box installs it on Ubuntu with sudo only")
    prefix = as_root() or []
    apt_install(session, "ubuntu-drivers-common", "linux-headers-" + platform.release())
    session.run(prefix + ["ubuntu-drivers", "install", "--gpgpu"], timeout_s=3600)
    # The server drivers leave nvidia-smi to a package of its own, of the same branch.
    installed = session.run(["dpkg-query", "-W", "-f", "${Package} ${Status}\\n", "nvidia-*"], show=False)
    branches = re.findall(
        r"^nvidia-(?:headless|driver|kernel-common)\S*?-(\d{3})(-server)?(?:-open)? .* installed",
        installed,
        re.M,
    )
    if not branches:
        raise Failed("ubuntu-drivers found no driver for this card")
    branch = max(branches, key=lambda found: int(found[0]))
    apt_install(session, "nvidia-utils-" + "".join(branch))
    session.run(prefix + ["modprobe", "nvidia"], timeout_s=120)


STEP = Step("driver", check, apply)
