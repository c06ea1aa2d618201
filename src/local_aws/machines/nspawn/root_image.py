"""What nspawn machines start from: Debian with systemd and cloud-init, built once by debootstrap.

Kept in $GPU_BOX_CACHE or ~/.cache/gpu-box, under a name that changes with the recipe. 400 MB, 90 s to build.
Who uses an image holds a shared lock on its folder for as long as the process lives; one that nobody holds
is removed once there is a newer one.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import IO

from local_aws.failure import Failure

_SUITE = "bookworm"
_VERSION = 2  # of what `_finish` does
_MIRROR = "http://deb.debian.org/debian"
# python3-cffi-backend: python3-cryptography depends on a virtual package of it, which debootstrap cannot
# resolve.
_PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "openssh-server", "cloud-init", "python3-cffi-backend",
    "python3", "python3-venv", "sudo", "iproute2", "procps", "rsync", "tmux", "curl", "ca-certificates",
)  # fmt: skip
# No network but loopback, nobody at the console, and no upgrades that a test would wait for.
_MASKED = ("console-getty.service", "systemd-networkd.service", "apt-daily.timer", "apt-daily-upgrade.timer")
_TOOLS = {
    "debootstrap": "debootstrap", "systemd-nspawn": "systemd-container", "ip": "iproute2", "mount": "mount"
}  # fmt: skip
_log = logging.getLogger(__name__)
_held: dict[Path, int] = {}  # image -> descriptor of its folder


def require_nspawn() -> None:
    """Raise Failure, with what to do about it, where nspawn machines cannot be."""
    where = "GPU_BOX_MACHINES=nspawn"
    if platform.system() != "Linux" or os.geteuid() != 0:
        raise Failure(
            "nspawn machines need root on Linux",
            where=where,
            remedy="Use GPU_BOX_MACHINES=process.",
            bad_input=True,
        )
    missing = [package for tool, package in _TOOLS.items() if shutil.which(tool) is None]
    if missing:
        raise Failure(
            f"nspawn machines need {', '.join(missing)}",
            where=where,
            remedy=f"Install with: apt-get install {' '.join(missing)}",
            bad_input=True,
        )


def root_image() -> Path:
    """The image's folder, built if it is not there. Raises Failure."""
    require_nspawn()
    cache = _cache()
    image = cache / f"root-{_SUITE}-{_fingerprint()}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "root.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two daemons at once: the second waits and finds it made
        if not image.is_dir():
            _build(image, lock)
            _remove_others(image)
        _hold(image)
    return image


def _cache() -> Path:
    chosen = os.environ.get("GPU_BOX_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gpu-box"


def _hold(image: Path) -> None:
    """Say, until this process ends, that it uses the image."""
    if image not in _held:
        _held[image] = os.open(image, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(_held[image], fcntl.LOCK_SH)


def _remove_others(image: Path) -> None:
    """Images of other recipes, unless somebody holds them, and what an interrupted build left."""
    for other in image.parent.glob(f"root-{_SUITE}-*"):
        if other == image:
            continue
        folder = os.open(other, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(other, ignore_errors=True)
        except BlockingIOError:
            _log.info("%s is old, and still used", other)
        finally:
            os.close(folder)


def _build(image: Path, lock: IO[bytes]) -> None:
    """lock: handed on, so that what goes on building after this process was killed holds it, too."""
    unfinished = image.with_name(f"{image.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    _log.info("building the root image %s (90 s or so)", image)
    done = subprocess.run(
        [
            "debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}",
            _SUITE, str(unfinished), mirror(),
        ],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        pass_fds=(lock.fileno(),),
    )  # fmt: skip
    if done.returncode != 0:
        lines = done.stdout.strip().splitlines()
        raise Failure(
            f"debootstrap failed: {lines[-1] if lines else done.returncode}",
            where=str(unfinished / "debootstrap" / "debootstrap.log"),
        )
    _finish(unfinished)
    unfinished.rename(image)


def _finish(root: Path) -> None:
    """What makes a machine of it: cloud-init settles the rest, and nothing is shared between machines."""
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "etc/machine-id").write_text("")
    (root / "etc/hostname").unlink(missing_ok=True)
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    shutil.rmtree(root / "var/cache/apt/archives", ignore_errors=True)
    (root / "var/cache/apt/archives/partial").mkdir(parents=True)
    (root / "etc/cloud/cloud.cfg.d/99-embedded.cfg").write_text(_cloud_config())
    (root / "etc/apt/apt.conf.d/90-proxy").write_text(_APT_CONFIG)
    # As in Ubuntu's cloud images. Told through cloud-init, it would restart sshd just after the first login.
    (root / "etc/ssh/sshd_config.d/60-cloudimg-settings.conf").write_text("PasswordAuthentication no\n")
    for unit in _MASKED:
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")


_APT_CONFIG = """// The only way out is the proxy on this machine's own loopback, one request a connection.
Acquire::http::Proxy "http://127.0.0.1:3128";
Acquire::https::Proxy "http://127.0.0.1:3128";
Acquire::http::Pipeline-Depth "0";
"""


def _cloud_config() -> str:
    return files(__package__).joinpath("cloud.cfg").read_text(encoding="utf-8")


def _fingerprint() -> str:
    recipe = repr((_VERSION, _PACKAGES, _MASKED, _APT_CONFIG, _cloud_config(), mirror()))
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def mirror() -> str:
    """The host's own Debian mirror, where it has one."""
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*.*"))]
    for path in sources:
        if path.is_file():
            for url in _mirrors_in(path.read_text(errors="replace")):
                return url
    return _MIRROR


def _mirrors_in(text: str) -> Iterator[str]:
    """URLs that serve the suite: "deb URL bookworm main", or a paragraph with URIs and Suites."""
    for found in re.finditer(rf"^deb\s+(?:\[[^\]]*\]\s+)?(http\S+)\s+{_SUITE}\s", text, re.MULTILINE):
        yield found[1]
    for paragraph in re.split(r"\n\s*\n", text):
        uris = re.search(r"^URIs:\s*(http\S+)", paragraph, re.MULTILINE)
        suites = re.search(r"^Suites:(.*)$", paragraph, re.MULTILINE)
        if uris and suites and _SUITE in suites[1].split():
            yield uris[1]
