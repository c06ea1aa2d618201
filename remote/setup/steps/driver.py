"""Verifies, repairs or (on Ubuntu) installs the NVIDIA driver.

Never installs one driver over another. If the module needs the next boot's kernel, the laptop reboots the
machine once and continues.
"""

import os
import platform
import re
import shutil
from typing import List, Optional, Tuple

from setup import apt, card, reboot, ubuntu_driver, watcher
from setup.desired import Desired
from setup.root import as_root
from setup.session import Failed, Session
from setup.step import State, Step, done, needed, unavailable

_QUERY = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]


def check(desired: Desired) -> State:
    if not card.present():
        return done("no NVIDIA card: CPU only")
    why, version = reboot.reason(), card.module_version()
    if why:
        return needed("%s: a reboot is needed" % why)
    if _runs():
        if ubuntu_driver.is_unfinished():
            return needed("the NVIDIA driver's set-up is not complete")
        return done("%s, driver %s" % (card.describe() or "NVIDIA card", version))
    if watcher.shares_its_host():
        return unavailable("the NVIDIA card's driver does not run on this computer: CPU only")
    if card.driver_on_disk():
        return needed("the NVIDIA driver is installed and does not run")
    return needed("an NVIDIA card without its driver")


def apply(desired: Desired, session: Session) -> State:
    if not _runs() and not reboot.wanted():
        _bring_up(session)
    why = reboot.wanted()
    if why:
        return needed("%s: a reboot is needed" % why)
    if ubuntu_driver.is_unfinished():
        ubuntu_driver.finish(session)
    return done(_verified(session))


def _runs() -> bool:
    return card.module_version() is not None and shutil.which("nvidia-smi") is not None


def _bring_up(session: Session) -> None:
    """Install, build or load what is missing, unless a reboot is needed first. Raises Failed."""
    if ubuntu_driver.is_begun() or not card.driver_on_disk():
        session.say("installing the NVIDIA driver: some minutes")
        ubuntu_driver.install(session)
    if reboot.wanted():
        return
    if card.module_version() is None:
        if platform.release() not in card.kernels_with_module():
            _build_module(session, platform.release())
        _load_module(session)
    if not shutil.which("nvidia-smi"):
        _install_tools(session)


def _build_module(session: Session, kernel: str) -> None:
    """Build the module for `kernel` from the driver's DKMS sources, or install Ubuntu's prebuilt one."""
    session.say("getting the NVIDIA module for kernel %s: some minutes" % kernel)
    source, dkms = _source(), shutil.which("dkms")
    branch = None if source and dkms else _branch(session)
    if source and dkms:
        if not os.path.exists(card.ROOT + "lib/modules/%s/build" % kernel) and apt.usable():
            apt.install(session, "linux-headers-" + kernel)
        command = ["dkms", "install", "/".join(source), "-k", kernel, "--force"]
        session.run([*(as_root() or []), *command], timeout_s=1800)
    elif branch and apt.usable():
        apt.install(session, "linux-modules-nvidia-%s-%s" % (branch, kernel))
    if kernel not in card.kernels_with_module():
        raise Failed(
            "the NVIDIA driver on this machine has no module for kernel %s, and nothing here can build one "
            "(no DKMS sources in /usr/src, no Ubuntu package): choose another image" % kernel
        )


def _source() -> Optional[Tuple[str, str]]:
    """DKMS name and version of the sources that match the libraries, otherwise of the newest."""
    found: List[Tuple[str, str]] = []
    for folder in card.sources():
        settings = card.read(folder + "/dkms.conf")
        words = [re.search(r'^PACKAGE_%s="?([^"\n]+)"?' % key, settings, re.M) for key in ("NAME", "VERSION")]
        if all(words):
            found.append((words[0].group(1), words[1].group(1)))  # type: ignore[union-attr]
    wanted = card.library_version()
    return max(found, key=lambda one: (one[1] == wanted, _numbers(one[1])), default=None)


def _numbers(version: str) -> List[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _branch(session: Session) -> Optional[str]:
    return ubuntu_driver.branch(session) if ubuntu_driver.usable() else None


def _load_module(session: Session) -> None:
    try:
        session.run([*(as_root() or []), "modprobe", "nvidia"], timeout_s=300)
    except Failed as problem:
        raise Failed(_refused(session, str(problem).splitlines()[-1])) from None


def _install_tools(session: Session) -> None:
    branch = _branch(session)
    if branch is None:
        raise Failed(
            "NVIDIA driver %s runs, but nvidia-smi is missing, and gpu-box installs it on Ubuntu only: "
            "install the driver's tools, or choose another image" % card.module_version()
        )
    apt.install(session, "nvidia-utils-" + branch.replace("-open", ""))


def _verified(session: Session) -> str:
    """A line with name, memory and driver version, from nvidia-smi. Raises Failed in one line."""
    try:
        lines = session.run(_QUERY, timeout_s=120, show=False).splitlines()
    except Failed as problem:
        raise Failed(_refused(session, "nvidia-smi: " + str(problem).splitlines()[-1])) from None
    rows = [line.split(",") for line in lines if line.count(",") == 2]  # skip warnings
    if not rows:
        raise Failed(_refused(session, "nvidia-smi: %s" % (lines[0] if lines else "no answer")))
    name, version, memory = (part.strip() for part in rows[0])
    return "%s, %s, driver %s" % (card.describe() or name, memory, version)


def _refused(session: Session, said: str) -> str:
    """An error message with the driver's lines in the kernel log and the remedy."""
    try:
        log = session.run([*(as_root() or []), "dmesg"], show=False)
    except Failed:
        log = ""
    lines = re.findall(r"NVRM: (.+)", log)
    begins = [number for number, line in enumerate(lines) if line.startswith("The NVIDIA GPU")]
    kernel = " ".join(line.strip() for line in lines[begins[-1] : begins[-1] + 4]) if begins else ""
    why = "%s (kernel: %s)" % (said, kernel) if kernel else said
    return "the NVIDIA driver does not run: %s. Choose another image or GPU type, or see `dmesg`" % why


STEP = Step("driver", check, apply)
