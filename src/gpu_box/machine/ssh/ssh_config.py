"""`ssh NAME`, scp, rsync and editors' remote modes: a managed file in ~/.ssh for each box, and its Include.

    ~/.ssh/config                        the user's, with one line of ours put first: Include gpu-box.d/*.conf
    ~/.ssh/gpu-box.d/NAME.conf           how to reach the box
    ~/.ssh/gpu-box.d/NAME.known_hosts    the only host keys that it may present

What `gpu-box ssh` and sync use is the same, in gpu-box's own folder: they work with `ssh.config: false`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gpu_box.errors import InputError
from gpu_box.files import write_whole
from gpu_box.model.machine import Host
from gpu_box.store.files import data_home

_FOLDER = "gpu-box.d"
_SOCKET_PATH_LIMIT = 104  # bytes of a Unix socket's path on macOS; 108 on Linux
_SOCKET_NAME = "/cm-" + 40 * "x" + 18 * "x"  # %C is a SHA-1 in hex; ssh appends 17 while it makes the socket


@dataclass(frozen=True, kw_only=True)
class BoxFiles:
    """A box's config, what is in it, and in its known_hosts."""

    config: Path
    text: str
    known_hosts: str


def write(host: Host) -> None:
    """Make `ssh NAME` reach this host. Raises InputError where ~/.ssh cannot be written."""
    with _locked() as folder:
        _write_box(folder, host, share_connections=True)
        config = _user_config()
        lines = _read(config).splitlines(keepends=True)
        if _include() not in (line.strip() for line in lines):
            # First: an Include inside a Host block would hold for that host alone.
            _write(config, _include() + "\n" + ("\n" if lines else "") + "".join(lines))


def remove(name: str) -> None:
    """Forget the box; with the last one, our line in the user's config goes too. Nothing there is fine."""
    if not (_ssh_folder() / _FOLDER).is_dir() and not (_private_folder() / f"{name}.conf").exists():
        return
    for suffix in (".conf", ".known_hosts"):
        (_private_folder() / (name + suffix)).unlink(missing_ok=True)
    with _locked() as folder:
        for suffix in (".conf", ".known_hosts"):
            (folder / (name + suffix)).unlink(missing_ok=True)
        if any(folder.glob("*.conf")):
            return
        config = _user_config()
        lines = _read(config).splitlines(keepends=True)
        ours = [at for at, line in enumerate(lines) if line.strip() == _include()]
        if ours:
            rest = [line for at, line in enumerate(lines) if at not in ours]
            if rest and ours[0] == 0 and not rest[0].strip():
                rest = rest[1:]  # the blank line that came with ours
            if rest:
                _write(config, "".join(rest))
            else:
                config.unlink()


def known() -> list[str]:
    """The boxes that `write` or `private_config` was called for, and `remove` was not."""
    folders = _private_folder(), _ssh_folder() / _FOLDER
    return sorted({path.stem for folder in folders if folder.is_dir() for path in folder.glob("*.conf")})


def private_config(host: Host) -> Path:
    """A config for `ssh -F` that knows this host alone, in gpu-box's own folder."""
    folder = _private_folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return _write_box(folder, host, share_connections=False)


def private_files(host: Host) -> BoxFiles:
    """What `private_config` would write; writes nothing."""
    return _files_of_box(_private_folder(), host, share_connections=False)


def forget_address(name: str) -> None:
    """It does not run: what answers there now is somebody else's. Never fails a command."""
    with contextlib.suppress(OSError):
        (_private_folder() / f"{name}.known_hosts").unlink(missing_ok=True)


def last_private_files(name: str) -> BoxFiles | None:
    """What it wrote last of that box, wherever that then was; None where there is nothing, or it has left."""
    config, known_hosts = (_private_folder() / (name + suffix) for suffix in (".conf", ".known_hosts"))
    if not config.exists() or not known_hosts.exists():
        return None
    return BoxFiles(config=config, text=_read(config), known_hosts=_read(known_hosts))


def _write_box(folder: Path, host: Host, *, share_connections: bool) -> Path:
    files = _files_of_box(folder, host, share_connections=share_connections)
    _write(folder / f"{host.name}.known_hosts", files.known_hosts)
    _write(files.config, files.text)
    return files.config


def _files_of_box(folder: Path, host: Host, *, share_connections: bool) -> BoxFiles:
    known_hosts = folder / f"{host.name}.known_hosts"
    options = [
        ("HostName", host.address),
        ("Port", str(host.port)),
        ("User", host.user),
        ("IdentityFile", _quoted(host.key)),
        ("IdentitiesOnly", "yes"),
        ("IdentityAgent", "none"),
        ("HostKeyAlias", _alias(host.name)),
        ("UserKnownHostsFile", _quoted(known_hosts)),
        ("GlobalKnownHostsFile", "/dev/null"),
        ("StrictHostKeyChecking", "yes"),
        ("UpdateHostKeys", "no"),
        ("CheckHostIP", "no"),
        ("ServerAliveInterval", "15"),
        ("ServerAliveCountMax", "3"),
        ("ConnectTimeout", "10"),
    ]
    if share_connections:
        options += [
            ("ControlMaster", "auto"),
            ("ControlPath", _quoted(_sockets(folder) / "cm-%C")),
            ("ControlPersist", "30"),
        ]
    text = "# Written by gpu-box at each `up`; removed by `down`.\n"
    text += f"Host {host.name}\n" + "".join(f"    {key} {value}\n" for key, value in options)
    return BoxFiles(
        config=folder / f"{host.name}.conf",
        text=text,
        known_hosts="".join(f"{_alias(host.name)} {line}\n" for line in host.host_keys),
    )


def _sockets(folder: Path) -> Path:
    """Where connections are shared: a folder of the user alone, its path short enough for a socket."""
    if len(str(folder) + _SOCKET_NAME) <= _SOCKET_PATH_LIMIT:
        return folder
    short = Path(tempfile.gettempdir()) / f"gpu-box-{os.getuid()}"
    short.mkdir(mode=0o700, exist_ok=True)
    found = short.lstat()  # anyone can put a link there, to a folder of ours with a socket of theirs
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise InputError(
            "the folder for SSH's sockets is not a private one of yours",
            where=str(short),
            remedy="Remove it.",
        )
    return short


@contextlib.contextmanager
def _locked() -> Iterator[Path]:
    """gpu-box.d, for one gpu-box at a time; errors of the file system are the user's to see."""
    folder = _ssh_folder() / _FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"the SSH config cannot be kept ({error})",
            where=str(_ssh_folder()),
            remedy="Make it writable, or set ssh.config: false.",
        ) from None


def _write(path: Path, text: str) -> None:
    """Whole or not at all, readable by the user alone, through a link where dotfiles are linked."""
    target = path.resolve()
    if _read(target) == text and target.exists():
        return
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
    write_whole(target, text, mode=mode, durable=True)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _include() -> str:
    """Relative, so that a config shared between laptops holds; ssh takes the account's home, never $HOME."""
    account = Path(pwd.getpwuid(os.getuid()).pw_dir)
    if account.resolve() == Path.home().resolve():
        return f"Include {_FOLDER}/*.conf"
    return f'Include {_quoted(_ssh_folder() / _FOLDER)[:-1]}/*.conf"'


def _alias(name: str) -> str:
    return f"gpu-box.{name}"


def _quoted(path: Path) -> str:
    """As ssh_config wants it; a % would begin one of its own tokens, except in our %C."""
    return '"' + str(path).replace("%", "%%").replace("%%C", "%C") + '"'


def _ssh_folder() -> Path:
    return Path.home() / ".ssh"


def _user_config() -> Path:
    return _ssh_folder() / "config"


def _private_folder() -> Path:
    return data_home() / "ssh"
