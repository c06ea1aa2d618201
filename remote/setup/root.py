"""Whether and how to act as root."""

import functools
import os
import shutil
import subprocess
from typing import Dict, List, Optional

from setup.session import Session

APT_ENV: Dict[str, str] = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}
# A machine that boots for the first time updates itself: wait for its lock, in seconds.
_APT = ["apt-get", "-y", "-q", "-o", "DPkg::Lock::Timeout=600"]


@functools.lru_cache(maxsize=None)
def as_root() -> Optional[List[str]]:
    """What makes a command root's: [] for root, sudo without a password, or None where neither is."""
    if os.geteuid() == 0:
        return []
    if not shutil.which("sudo"):
        return None
    probe = subprocess.run(["sudo", "-n", "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return ["sudo", "-n"] if probe.returncode == 0 else None


def can_apt() -> bool:
    """Whether packages of the distribution can be installed here.

    A machine that is only a process (GPU_BOX_SSHD_DIR is set) shares its system with the laptop: never there.
    """
    return (
        "GPU_BOX_SSHD_DIR" not in os.environ and shutil.which("apt-get") is not None and as_root() is not None
    )


def apt_install(session: Session, *packages: str) -> None:
    prefix = as_root() or []
    env = ["env"] + ["%s=%s" % item for item in APT_ENV.items()]
    session.run(prefix + env + _APT + ["update"], timeout_s=900)
    session.run(prefix + env + _APT + ["install", "--no-install-recommends", *packages], timeout_s=3600)
