"""The root image of nspawn machines: Debian with systemd and cloud-init, built once by debootstrap.

GPU_BOX_SUITE names the release: bookworm (the default), bookworm-backports or trixie, with systemd 252, 254
and 257; Ubuntu 24.04 has 255. Kept in $GPU_BOX_CACHE or ~/.cache/gpu-box, under a name that changes with the
recipe. 400 MB, 90 s to build.
A process that uses an image holds a shared lock on its folder while it lives. An unused image is removed once
there is a newer one.
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

# By release: the archive's suites, in the order in which packages are looked for.
_SUITES = {
    "bookworm": ("bookworm",),
    "bookworm-backports": ("bookworm-backports", "bookworm"),
    "trixie": ("trixie",),
}
_VERSION = 2  # of `_finish`
_MIRROR = "http://deb.debian.org/debian"
# python3-cffi-backend: python3-cryptography depends on a virtual package that debootstrap cannot resolve.
_PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "openssh-server", "cloud-init", "python3-cffi-backend",
    "python3", "python3-venv", "sudo", "iproute2", "procps", "rsync", "tmux", "curl", "ca-certificates",
)  # fmt: skip
# No network but loopback, no login at the console, and no upgrades that delay a test.
_MASKED = ("console-getty.service", "systemd-networkd.service", "apt-daily.timer", "apt-daily-upgrade.timer")
_TOOLS = {
    "debootstrap": "debootstrap", "systemd-nspawn": "systemd-container", "ip": "iproute2", "mount": "mount"
}  # fmt: skip
_log = logging.getLogger(__name__)
_held: dict[Path, int] = {}  # image -> descriptor of its folder


def require_nspawn() -> None:
    """Raise Failure, with a remedy, if nspawn machines cannot run here."""
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
    """The image's folder, built if it is missing. Raises Failure."""
    require_nspawn()
    cache = _cache()
    suite = _suite()
    image = cache / f"root-{suite}-{_fingerprint()}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"root-{suite}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two daemons the second waits and finds it built
        if not image.is_dir():
            _build(image, _SUITES[suite], lock)
            _remove_others(image)
        _hold(image)
    return image


def _suite() -> str:
    wanted = os.environ.get("GPU_BOX_SUITE") or "bookworm"
    if wanted not in _SUITES:
        raise Failure(
            f"no root image of {wanted!r}",
            where="GPU_BOX_SUITE",
            remedy=f"Use {', '.join(_SUITES)}.",
            bad_input=True,
        )
    return wanted


def _cache() -> Path:
    chosen = os.environ.get("GPU_BOX_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gpu-box"


def _hold(image: Path) -> None:
    """Lock the image until this process ends."""
    if image not in _held:
        _held[image] = os.open(image, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(_held[image], fcntl.LOCK_SH)


def _remove_others(image: Path) -> None:
    """Remove images of other recipes that no process uses, and what an interrupted build left."""
    name, _, fingerprint = image.name.rpartition("-")
    for other in image.parent.glob(f"{name}-{'[0-9a-f]' * len(fingerprint)}*"):
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


def _build(image: Path, suites: tuple[str, ...], lock: IO[bytes]) -> None:
    """suites: of the archive, the release itself last. lock: inherited by the build, which may outlive this
    process.
    """
    unfinished = image.with_name(f"{image.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    _log.info("building the root image %s (90 s or so)", image)
    done = subprocess.run(
        [
            "debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}",
            *([f"--extra-suites={','.join(suites[1:])}"] if suites[1:] else []),
            suites[0], str(unfinished), mirror(),
            *([f"/usr/share/debootstrap/scripts/{suites[-1]}"] if suites[1:] else []),
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
    """Make a machine's file system of it: cloud-init does the rest, and machines share nothing."""
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "etc/machine-id").write_text("")
    (root / "etc/hostname").unlink(missing_ok=True)
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    shutil.rmtree(root / "var/cache/apt/archives", ignore_errors=True)
    (root / "var/cache/apt/archives/partial").mkdir(parents=True)
    (root / "etc/cloud/cloud.cfg.d/99-embedded.cfg").write_text(_cloud_config())
    (root / "etc/apt/apt.conf.d/90-proxy").write_text(_APT_CONFIG)
    # As in Ubuntu's cloud images. Set through cloud-init, it would restart sshd just after the first login.
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
    """The host's own Debian mirror, or the default one."""
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*.*"))]
    for path in sources:
        if path.is_file():
            for url in _mirrors_in(path.read_text(errors="replace")):
                return url
    return _MIRROR


def _mirrors_in(text: str) -> Iterator[str]:
    """URLs of Debian's archive: "deb URL bookworm main", or a paragraph with URIs and Suites."""
    names = "|".join(_SUITES)
    for found in re.finditer(rf"^deb\s+(?:\[[^\]]*\]\s+)?(http\S+)\s+(?:{names})\s", text, re.MULTILINE):
        yield found[1]
    for paragraph in re.split(r"\n\s*\n", text):
        uris = re.search(r"^URIs:\s*(http\S+)", paragraph, re.MULTILINE)
        suites = re.search(r"^Suites:(.*)$", paragraph, re.MULTILINE)
        if uris and suites and _SUITES.keys() & set(suites[1].split()):
            yield uris[1]
