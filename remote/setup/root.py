"""How to run commands as root."""

import functools
import os
import shutil
import subprocess
from typing import List, Optional


@functools.lru_cache(maxsize=None)
def as_root() -> Optional[List[str]]:
    """The prefix that runs a command as root: [] as root, else passwordless sudo; None without either."""
    if os.geteuid() == 0:
        return []
    if not shutil.which("sudo"):
        return None
    probe = subprocess.run(["sudo", "-n", "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return ["sudo", "-n"] if probe.returncode == 0 else None
