"""Classifies processes: a person's work, a person's program that is no work in itself, or the system's."""

import enum
import os
import re
from typing import Callable, List, NamedTuple, Optional, Tuple

from . import services
from .text import read

FIRST_USER = 1000  # login.defs, UID_MIN
# Greeters, DynamicUser=, nobody (systemd.io/UIDS-GIDS).
SYSTEM_RANGE = range(60578, 65536)
ADMINISTRATORS = ("sudo", "wheel", "admin")  # groups
CLOUD_SUDOERS = "/etc/sudoers.d/90-cloud-init-users"  # for the user of the machine's image
UNSET_LOGIN = 4294967295
# Count as people's work although they run as root or a system user.
SERVANTS = (
    *("dockerd", "containerd", "containerd-shim", "podman", "conmon"),
    *("ollama", "postgres", "mysqld", "mariadbd", "mongod", "redis-server"),
)
# Display or carry work; their own CPU is not work. The kernel cuts names to 15 characters.
ATTENDANTS = (
    *("sshd", "sshd-session", "systemd", "(sd-pam)", "dbus-daemon", "gpg-agent", "ssh-agent"),
    *(
        "tmux: server",
        "tmux: client",
        "screen",
        "mosh-server",
        "jupyter-lab",
        "jupyter-server",
        "jupyter-noteboo",
    ),
    *("top", "htop", "btop", "atop", "nvtop", "watch", "nvidia-smi", "glances", "vmstat", "iostat", "dstat"),
)
MONITORS = ("nvitop", "gpustat", "glances", "nvidia-smi", "bpytop")  # scripts or modules run by Python
# Programs of an editor's server and its language servers.
EDITORS = re.compile(
    r"/\.(vscode|cursor|windsurf|vscodium|positron|trae|kiro|antigravity(-ide)?)-server(-insiders)?/|/\.vscode/cli/"
    r"|/\.zed_server/|/JetBrains/RemoteDev|/code-server/"
)
# An editor's debugger and test runners run the user's program, so they do count.
RUNNERS = re.compile(r"/debugpy\b|/vscode_pytest/|/unittestadapter/|/run_pytest_script")
# Programs that transfer data; for these a lower threshold applies (transfer_bps).
CARRIERS = (
    *("rsync", "scp", "sftp", "sftp-server", "curl", "wget", "wget2", "aria2c", "aws", "s5cmd", "rclone"),
    *("git", "git-remote-http", "git-lfs", "dvc", "gsutil", "gcloud", "azcopy", "hf", "huggingface-cli"),
    *("kaggle", "dockerd", "containerd", "podman", "nerdctl", "ollama"),
)
JUPYTER_SERVERS = (
    *("jupyter-lab", "jupyter-server", "jupyter-notebook", "jupyter-labhub", "jupyterhub-singleuser"),
    *("jupyterlab", "jupyter_server", "notebook", "nbclassic"),  # python -m
)
PYTHON = re.compile(r"python[\d.]*$")
MODULE = re.compile(r"-[bBdEhiIOPqsSuvx]*m(.*)")  # python -m NAME, also with other options joined to it


class Kind(enum.Enum):
    WORK = "work"
    ATTENDS = "attends"
    SYSTEM = "system"


class User(NamedTuple):
    name: str
    uid: int
    home: str
    gid: int = -1  # invalid in every call


def users() -> List[User]:
    """The users who can log in: root and ordinary users; without root only the current user."""
    me = os.geteuid()
    if me != 0 or machine_mark():
        return [User(str(me), me, os.path.expanduser("~"), os.getegid())]
    found = []
    for line in read("/etc/passwd", 1 << 20).splitlines():
        words = line.split(":")
        if len(words) != 7 or not (words[2].isdigit() and words[3].isdigit()):
            continue
        if _ordinary(int(words[2])) or words[2] == "0":
            found.append(User(words[0], int(words[2]), words[5], int(words[3])))
    return found


def may_power_off(user: User) -> bool:
    """Whether the user can power the machine off without us: root, who may use sudo, and ourselves."""
    if user.uid in (0, os.geteuid()):
        return True
    try:
        for line in read("/etc/group", 1 << 20).splitlines():
            words = line.split(":")
            if len(words) == 4 and words[0] in ADMINISTRATORS and user.name in words[3].split(","):
                return True
        granted = read(CLOUD_SUDOERS, 1 << 16).splitlines()
    except OSError:
        return False
    return any(line.split()[:1] == [user.name] for line in granted)


def counting_uid() -> Callable[[int], bool]:
    """A function that returns whether sockets of this uid count as people's."""
    me = os.geteuid()
    return _ordinary if me == 0 and not machine_mark() else lambda uid: uid == me


def classifier(*, own: int) -> Callable[[int, int, str], Kind]:
    """A function classify(pid, uid, name) -> Kind. own: the watcher's pid."""
    me, mark = os.geteuid(), machine_mark()
    above = services.base(_text(1, "cgroup"))

    def classify(pid: int, uid: int, name: str) -> Kind:
        if pid == own or not _peoples(pid, uid, name):
            return Kind.SYSTEM
        if name in ATTENDANTS:
            return Kind.ATTENDS
        words = _words(pid)
        program, path = _program(words)
        if program in JUPYTER_SERVERS + MONITORS:
            return Kind.ATTENDS
        if (EDITORS.search(words[0]) or EDITORS.search(path)) and not RUNNERS.search(path):
            return Kind.ATTENDS
        return Kind.SYSTEM if words[1:3] == ["-m", "watch"] else Kind.WORK

    def _peoples(pid: int, uid: int, name: str) -> bool:
        if mark:
            return uid == me and "\0%s\0" % mark in "\0%s\0" % _text(pid, "environ")
        if me != 0:
            return uid == me
        if _ordinary(uid) or name in SERVANTS:
            return True
        login = _text(pid, "loginuid")
        if login.isdigit() and _ordinary(int(login)):
            return True  # through sudo
        return services.of_people(_text(pid, "cgroup"), above, _ordinary)

    return classify


def carries(pid: int, name: str) -> bool:
    """Whether the process is a transfer. name: as the kernel gives it, cut to 15 characters."""
    return name in CARRIERS or bool(PYTHON.match(name)) and _program(_words(pid))[0] in CARRIERS


def is_editor(pid: int) -> bool:
    """Whether the process belongs to an editor's server."""
    return EDITORS.search(_words(pid)[0]) is not None


def runs_jupyter(pid: int) -> bool:
    """Whether the process is a Jupyter server."""
    return _program(_words(pid))[0] in JUPYTER_SERVERS


def _program(words: List[str]) -> Tuple[str, str]:
    """(name, path) of the program, script or module that a command runs; ("", "") for python -c."""
    name = os.path.basename(words[0])
    if not PYTHON.match(name):
        return name, words[0]
    rest = iter(words[1:])
    for word in rest:
        module = MODULE.match(word)
        if module:
            found = module.group(1) or next(rest, "")
            return found.partition(".")[0], found
        if word in ("-W", "-X"):
            next(rest, "")
        elif not word.startswith("-"):
            return os.path.basename(word), word
        elif word.startswith("-c"):
            break
    return "", ""


def machine_mark() -> Optional[str]:
    """The environment variable that marks this machine's processes on a shared host, or None."""
    mark = os.environ.get("GPU_BOX_MACHINE")
    return "GPU_BOX_MACHINE=%s" % mark if mark else None


def _ordinary(uid: int) -> bool:
    return uid >= FIRST_USER and uid not in SYSTEM_RANGE and uid != UNSET_LOGIN


def _words(pid: int) -> List[str]:
    return _text(pid, "cmdline").split("\0")


def _text(pid: int, name: str) -> str:
    try:
        return read("/proc/%d/%s" % (pid, name), 1 << 17)
    except OSError:
        return ""
