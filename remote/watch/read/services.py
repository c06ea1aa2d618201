"""Recognises people's services and containers by a process's control group (cgroups(7)).

A service counts as a person's if its unit is a regular file in /etc/systemd/system or a transient unit of
systemd-run (systemd.unit(5), "Unit File Load Path"). The distribution's units are in /usr/lib; their entries
in /etc are links.
"""

import os
import re
import stat
from typing import Callable, Dict, Iterator, Tuple

# docker, podman, nerdctl, containerd and CRI-O with systemd's cgroup driver; FOLDER: with cgroupfs.
SCOPE = re.compile(r"/(docker|libpod|nerdctl|cri-containerd|crio)-[^/]+\.scope(/|$)")
FOLDER = re.compile(
    r"/(docker|libpod_parent|default|k8s\.io|buildkit|lxc[^/]*|kubepods[^/]*|machine\.slice)/"
)
LOGIN = re.compile(r"/user\.slice/user-(\d+)\.slice/")
UNIT = re.compile(r"/([^/]+\.service)(?=/|$)")
UNITS = ("etc/systemd/system", "run/systemd/transient", "usr/local/lib/systemd/system")
# Regular files in /etc that are not a person's: ours, snapd's, the agents of cloud images.
AGENTS = re.compile(r"(gpu-box-|snap\.|amazon-|aws-|ec2-|dlami-|nvidia-|cloud-)")


def of_people(text: str, above: Dict[str, str], is_person: Callable[[int], bool], *, root: str = "/") -> bool:
    """Whether a process belongs to a person's login, service or container.

    text: its /proc/PID/cgroup. above: from `base`. root: the parent of /etc and /run.
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
    """The prefix of this machine's groups by controllers; in a container it is below the host's.

    text: /proc/1/cgroup.
    """
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
    """Whether it is a regular file and no link."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def _lines(text: str) -> Iterator[Tuple[str, str]]:
    """(controllers, path) of each line; systemd's units have the controllers "" or "name=systemd"."""
    for line in text.splitlines():
        words = line.split(":", 2)
        if len(words) == 3:
            yield words[1], words[2]
