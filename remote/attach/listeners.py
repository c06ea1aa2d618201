"""The TCP servers of this user's processes that answer on the loopback address."""

import json
import os
import select
import sys
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

_LISTEN = "0A"  # TCP_LISTEN in include/net/tcp_states.h, as /proc/net/tcp prints it
_LOOK_MS = 1000
_MOST = 200  # servers in an answer
_LONGEST_NAME = 60
# Servers for a kernel, an editor, a login or gpu-box itself.
_INTERNAL_PROGRAMS = ("ipykernel_launcher", "gpu-box", "gpu_box", "local_aws", "sshd", "sshd-session")
_INTERNAL_FOLDERS = ("/.vscode-server/", "/.cursor-server/", "/.zed_server/")
_JUPYTER_PORT = Path.home() / ".gpu-box" / "jupyter" / "port"


class Server(NamedTuple):
    port: int
    program: str


def show() -> None:
    """Print the servers as a JSON line, now and at each change, until the reader is gone."""
    reader = select.poll()
    reader.register(sys.stdout.fileno(), 0)  # reports only that the other end is closed
    parent = os.getppid()
    seen = None  # type: Optional[Dict[str, int]]
    shown = None  # type: Optional[List[Server]]
    while True:
        ports = dict(_sockets())
        if ports != seen:  # a look at every process takes 20 ms, which would soon be use
            seen = ports
            found = _servers(ports)
            if found != shown:
                print(json.dumps([one._asdict() for one in found]), flush=True)
                shown = found
        if reader.poll(_LOOK_MS) or os.getppid() != parent:
            return


def _servers(ports: Dict[str, int]) -> List[Server]:
    """One for each port, in order, without those of kernels, editors and gpu-box. ports: by inode."""
    jupyter = _jupyter_port()
    found = {}  # type: Dict[int, str]
    for inode, words in _holders(set(ports)):
        program = _program(words)
        if ports[inode] != jupyter and not _is_internal(program, words):
            found.setdefault(ports[inode], program)
    return [Server(port, found[port]) for port in sorted(found)[:_MOST]]


def _sockets() -> Iterator[Tuple[str, int]]:
    """(inode, port) of each listener of this user that 127.0.0.1 or ::1 reaches."""
    uid = str(os.getuid())
    for table in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", table).read_text().splitlines()[1:]
        except OSError:  # no IPv6
            continue
        for line in lines:
            fields = line.split()
            address, _, port = fields[1].partition(":")
            if fields[3] == _LISTEN and fields[7] == uid and is_local(address):
                yield fields[9], int(port, 16)


def is_local(address: str) -> bool:
    """Whether it is a loopback address or any address. address: as /proc/net/tcp prints it, in 32-bit
    words of the processor's byte order.
    """
    raw = b"".join(
        int(address[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(address), 8)
    )
    any_4, local_4 = bytes(4), b"\x7f\0\0\1"
    mapped = bytes(10) + b"\xff\xff"  # prefix of an IPv4 address in an IPv6 socket
    return raw in (any_4, local_4, bytes(16), bytes(15) + b"\1", mapped + any_4, mapped + local_4)


def _holders(inodes: Set[str]) -> Iterator[Tuple[str, List[str]]]:
    """(inode, command line) of each process that has one of these sockets open, the oldest first."""
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        folder = "/proc/%d" % pid
        try:
            links = [os.readlink(entry.path) for entry in os.scandir(folder + "/fd")]
            words = Path(folder, "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # another user's, or it has ended
            continue
        for inode in inodes & {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}:
            yield inode, words


def _program(words: List[str]) -> str:
    """`tensorboard` for `python -m tensorboard.main` and for `python /venv/bin/tensorboard`."""
    name, rest = os.path.basename(words[0]), words[1:]
    if name.startswith("python") and rest:
        if rest[0] == "-m" and len(rest) > 1:
            name = rest[1].partition(".main")[0]
        elif not rest[0].startswith("-"):
            name = os.path.basename(rest[0])
    return name[:_LONGEST_NAME]


def _is_internal(program: str, words: List[str]) -> bool:
    title = os.path.basename(words[0].partition(":")[0])  # "sshd: ubuntu@pts/0"
    if {title, program.partition(".")[0]} & set(_INTERNAL_PROGRAMS):
        return True
    return any(folder in word for word in words for folder in _INTERNAL_FOLDERS)


def _jupyter_port() -> Optional[int]:
    """The port of the JupyterLab that gpu-box runs, which has a command of its own."""
    try:
        return int(_JUPYTER_PORT.read_text()[:10])
    except (OSError, ValueError):
        return None
