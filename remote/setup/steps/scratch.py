"""Installs the unit that prepares ~/scratch at each boot; see remote/scratch."""

import getpass
import os
import shutil
from pathlib import Path

from scratch import scratch as nvme
from setup import apt, records, watcher
from setup.desired import HOME, ROOT, Desired, fingerprint
from setup.root import as_root
from setup.session import Failed, Session
from setup.step import State, Step, done, needed, unavailable
from watch import place
from watch.read.scratch import scratch

_PATH = HOME / "scratch"
_SOURCE = Path(nvme.__file__).parent
_UNIT = "gpu-box-scratch.service"
_FOLDER = "~/scratch is a folder of the disk"


def check(desired: Desired) -> State:
    if not _has_unit():
        return done(_FOLDER) if _PATH.exists() else needed("~/scratch is missing")
    record, found = records.read("scratch"), nvme.read_record()
    if record is None or record["fingerprint"] != _fingerprint() or "mount" not in found:
        return needed("~/scratch is not ready")
    there = scratch()
    if there is None:
        if not _PATH.exists():
            return needed("~/scratch is missing")
        return unavailable("%s: %s" % (_FOLDER, found["why"])) if found.get("why") else done(_FOLDER)
    if os.path.realpath(str(_PATH)) == there.mount:
        return done("~/scratch is %.0f GB of local NVMe, erased at every stop" % (there.size / 1e9))
    if not _PATH.exists() or (_PATH.is_dir() and not _PATH.is_symlink() and not os.listdir(str(_PATH))):
        return needed("~/scratch is not on the local NVMe")
    return unavailable("~/scratch is yours; the local NVMe is %s, erased at every stop" % there.mount)


def apply(desired: Desired, session: Session) -> State:
    prefix = as_root()
    if not _has_unit() or prefix is None:
        nvme.link(str(HOME))
        return check(desired)
    if len(nvme.instance_store()) > 1 and not os.path.ismount(nvme.DLAMI) and not shutil.which("mkfs.btrfs"):
        if apt.usable():
            apt.install(session, "btrfs-progs")
        else:
            session.note("without btrfs-progs, only one of the local NVMe devices is used")
    unit = ROOT / _UNIT
    records.write_atomically(unit, _unit())
    install = [*prefix, "install", "-D", "-m", "644"]
    session.run([*install, str(_SOURCE / "scratch.py"), place.CODE + "/scratch.py"])
    session.run([*install, str(unit), place.UNITS + "/" + _UNIT])
    session.run([*prefix, "systemctl", "daemon-reload"])
    session.run([*prefix, "systemctl", "enable", _UNIT])
    session.run([*prefix, "systemctl", "restart", _UNIT], timeout_s=900)
    records.write("scratch", _fingerprint(), "")
    state = check(desired)
    if state.status == "needed":
        raise Failed("%s; `journalctl -u %s` on the box says why" % (state.line, _UNIT))
    return state


def _has_unit() -> bool:
    """A process of the laptop has no devices of its own; without root or systemd nothing can be mounted."""
    return not watcher.shares_its_host() and place.systemd() and as_root() is not None


def _unit() -> str:
    return (_SOURCE / _UNIT).read_text(encoding="utf-8").replace("@USER@", getpass.getuser())


def _fingerprint() -> str:
    return fingerprint((_SOURCE / "scratch.py").read_text(encoding="utf-8"), _unit())


STEP = Step("scratch", check, apply)
