"""Services and containers that people started, by the control group of a process (cgroups(7)).

A service is a person's when its unit is a file of theirs: one that an administrator wrote into
/etc/systemd/system, or the transient unit of systemd-run (systemd.unit(5), "Unit File Load Path"). The
distribution's own lie in /usr/lib, and their names in /etc are links there.
"""

import os
import re
import stat
from typing import Callable, Dict, Iterator, Tuple

# docker, podman, nerdctl, containerd and CRI-O under systemd's driver; below, where cgroupfs puts them.
SCOPE = re.compile(r"/(docker|libpod|nerdctl|cri-containerd|crio)-[^/]+\.scope(/|$)")
FOLDER = re.compile(
    r"/(docker|libpod_parent|default|k8s\.io|buildkit|lxc[^/]*|kubepods[^/]*|machine\.slice)/"
)
LOGIN = re.compile(r"/user\.slice/user-(\d+)\.slice/")
UNIT = re.compile(r"/([^/]+\.service)(?=/|$)")
UNITS = ("etc/systemd/system", "run/systemd/transient", "usr/local/lib/systemd/system")
# Regular files in /etc by other hands: our own, snapd's, the agents and helpers of the cloud's images.
AGENTS = re.compile(r"(gpu-box-|snap\.|amazon-|aws-|ec2-|dlami-|nvidia-|cloud-)")


def of_people(text: str, above: Dict[str, str], is_person: Callable[[int], bool], *, root: str = "/") -> bool:
    """Whether a process with these control groups is in a person's login, service or container.

    text: its /proc/PID/cgroup. above: of `base`. root: where /etc and /run are.
    """
    for controllers, path in _lines(text):
        outer = above.get(controllers, "")
        inside = path[len(outer) :] if outer and path.startswith(outer + "/") else path
        user = LOGIN.match(inside)
        if user and (user.group(1) == "0" or is_person(int(user.group(1)))):
            return True
        if SCOPE.search(inside) or FOLDER.match(inside):
            return True
        if controllers in ("", "name=systemd") and _is_installed(inside, root):
            return True
    return False


def base(text: str) -> Dict[str, str]:
    """Where this machine's groups begin: in a container, below the host's. text: /proc/1/cgroup."""
    return {controllers: re.sub(r"/?(init\.scope)?$", "", path) for controllers, path in _lines(text)}


def _is_installed(path: str, root: str) -> bool:
    units = UNIT.findall(path)
    if not units or not path.startswith("/system.slice/") or AGENTS.match(units[-1]):
        return False
    template = re.sub(r"@[^/]*\.service$", "@.service", units[-1])
    return any(
        _is_file(os.path.join(root, folder, name)) for folder in UNITS for name in {units[-1], template}
    )


def _is_file(path: str) -> bool:
    """And no link to one."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def _lines(text: str) -> Iterator[Tuple[str, str]]:
    """(controllers, path); systemd names its units where the controllers are "" or "name=systemd"."""
    for line in text.splitlines():
        words = line.split(":", 2)
        if len(words) == 3:
            yield words[1], words[2]
