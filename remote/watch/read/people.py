"""Whose process is it: a person's work, a person's but no work in itself, or the system's."""

import enum
import os
import re
from typing import Callable, List, NamedTuple, Optional, Tuple

from . import services
from .text import read

FIRST_USER = 1000  # login.defs, UID_MIN
# Greeters, DynamicUser=, nobody (systemd.io/UIDS-GIDS).
SYSTEM_RANGE = range(60578, 65536)
UNSET_LOGIN = 4294967295
# Work only for people, though they run as root or as a system user.
SERVANTS = (
    *("dockerd", "containerd", "containerd-shim", "podman", "conmon"),
    *("ollama", "postgres", "mysqld", "mariadbd", "mongod", "redis-server"),
)
# They show or carry work; their own CPU is none. Names are cut to 15 characters by the kernel.
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
MONITORS = ("nvitop", "gpustat", "glances", "nvidia-smi", "bpytop")  # programs or modules run by Python
# Programs of an editor's server, and the language servers among its extensions. Its debugger and its test
# runners run the user's program.
EDITORS = re.compile(
    r"/\.(vscode|cursor|windsurf|vscodium|positron|trae|kiro|antigravity(-ide)?)-server(-insiders)?/|/\.vscode/cli/"
    r"|/\.zed_server/|/JetBrains/RemoteDev|/code-server/"
)
RUNNERS = re.compile(r"/debugpy\b|/vscode_pytest/|/unittestadapter/|/run_pytest_script")
# Programs whose purpose is to carry data; a person's is at work well below the rate that others need.
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
MODULE = re.compile(r"-[bBdEhiIOPqsSuvx]*m(.*)")  # python -m NAME, and other options joined to it


class Kind(enum.Enum):
    WORK = "work"
    ATTENDS = "attends"
    NOBODY = "nobody"


class User(NamedTuple):
    name: str
    uid: int
    home: str
    gid: int = -1  # which no call takes for a group


def users() -> List[User]:
    """Who may log in: root and the ordinary users; for a watcher that is no root, itself alone."""
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


def counting_uid() -> Callable[[int], bool]:
    """Which owners' sockets are people's."""
    me = os.geteuid()
    return _ordinary if me == 0 and not machine_mark() else lambda uid: uid == me


def classifier(*, own: int) -> Callable[[int, int, str], Kind]:
    """classify(pid, uid, name) for the watcher with this pid."""
    me, mark = os.geteuid(), machine_mark()
    above = services.base(_text(1, "cgroup"))

    def classify(pid: int, uid: int, name: str) -> Kind:
        if pid == own or not _peoples(pid, uid, name):
            return Kind.NOBODY
        if name in ATTENDANTS:
            return Kind.ATTENDS
        words = _words(pid)
        program, path = _program(words)
        if program in JUPYTER_SERVERS + MONITORS:
            return Kind.ATTENDS
        if (EDITORS.search(words[0]) or EDITORS.search(path)) and not RUNNERS.search(path):
            return Kind.ATTENDS
        return Kind.NOBODY if words[1:3] == ["-m", "watch"] else Kind.WORK

    def _peoples(pid: int, uid: int, name: str) -> bool:
        if mark:
            return uid == me and "\0%s\0" % mark in "\0%s\0" % _text(pid, "environ")
        if me != 0:
            return uid == me
        if _ordinary(uid) or name in SERVANTS:
            return True
        login = _text(pid, "loginuid")
        if login.isdigit() and _ordinary(int(login)):
            return True  # by sudo
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
    """The name and the path of the program, script or module that a command runs ("", "" for python -c)."""
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
    """On a machine that shares its host with others, the variable that marks this machine's processes."""
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
