"""`ssh NAME`, scp, rsync and editors' remote modes: a managed file in ~/.ssh for each box, and its Include.

    ~/.ssh/config                        the user's, with one line of ours put first: Include gpu-box.d/*.conf
    ~/.ssh/gpu-box.d/NAME.conf           how to reach the box
    ~/.ssh/gpu-box.d/NAME.known_hosts    the only host keys that it may present

`gpu-box ssh` and sync use the same in gpu-box's own folder, so they work with `ssh.config: false`. NAME.key
there is a copy of a key file that OpenSSH cannot read as it is.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import pwd
import re
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gpu_box.errors import InputError, MachineError
from gpu_box.files import make_folder, read_own, write_whole
from gpu_box.machine.ssh import key_file
from gpu_box.model.machine import Host
from gpu_box.model.public_key import is_public_key
from gpu_box.store.files import data_home

_FOLDER = "gpu-box.d"
_REMEDY = "Make it a folder that you can write to, or set ssh.config: false."
_WINDOWS_INCLUDE = f"Include {_FOLDER}/*.conf\n".encode()
_WINDOWS = "windows-folder"  # a file in gpu-box's own folder, with the last path of `write_windows`
_SOCKET_PATH_LIMIT = 104  # bytes of a Unix socket's path on macOS; 108 on Linux
_SOCKET_NAME = b"/cm-" + 40 * b"x" + 18 * b"x"  # %C is a SHA-1 in hex; ssh appends 17 characters at first
# ssh_config(5): SSH_AUTH_SOCK is the agent of the user's shell; IdentitiesOnly still keeps its keys from
# being offered to the box.
FORWARDED = (("IdentityAgent", "SSH_AUTH_SOCK"), ("ForwardAgent", "yes"))


@dataclass(frozen=True, kw_only=True)
class BoxFiles:
    """A box's config file, its text, and the text of its known_hosts."""

    config: Path
    text: str
    known_hosts: str


def write(host: Host, *, forward_agent: bool = False) -> None:
    """Make `ssh NAME` reach this host. Raises InputError if ~/.ssh cannot be written.

    forward_agent: sessions there may use this laptop's SSH agent.
    """
    with _locked() as folder:
        _write_box(folder, host, share_connections=True, forward_agent=forward_agent)
        config, ours = _user_config(), os.fsencode(_include())
        theirs = _read_bytes(config)
        if theirs is None or ours not in map(bytes.strip, theirs.split(b"\n")):
            # First: an Include inside a Host block would apply to that host only.
            _write(config, ours + b"\n" + (b"" if theirs is None else b"\n" + theirs))


def require_writable() -> None:
    """Raise InputError for what `write` would fail at: something else in the way, or no permission."""
    folder, config = _ssh_folder(), _user_config()
    try:
        for path, wanted in ((folder, "folder"), (folder / _FOLDER, "folder"), (config, "file")):
            if not path.exists() or (path.is_dir() if wanted == "folder" else path.is_file()):
                continue
            what = "a folder" if path.is_dir() else "no folder" if wanted == "folder" else "no regular file"
            raise InputError(
                f"~/{path.relative_to(folder.parent)} is {what}",
                where="ssh.config",
                remedy="Move it away, or set ssh.config: false.",
            )
        theirs = _read_bytes(config)
        # The config is replaced by a new file beside the one that it may link to.
        ours = theirs is not None and os.fsencode(_include()) in map(bytes.strip, theirs.split(b"\n"))
        for needed in (folder / _FOLDER, *([] if ours else [config.resolve().parent])):
            there = next(each for each in (needed, *needed.parents) if each.exists())
            if not os.access(there, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "not writable", str(there))
    except OSError as error:
        raise _not_kept(error, folder, _REMEDY) from None


def remove(name: str) -> None:
    """Remove the box's files, and with the last box our line in the user's config. No files are fine."""
    if not (_ssh_folder() / _FOLDER).is_dir() and not (_private_folder() / f"{name}.conf").exists():
        return
    with contextlib.suppress(OSError):  # what is in the way is none of ours
        for suffix in (".conf", ".known_hosts", ".key"):
            (_private_folder() / (name + suffix)).unlink(missing_ok=True)
    _remove_windows(name)
    with _locked() as folder:
        for suffix in (".conf", ".known_hosts"):
            (folder / (name + suffix)).unlink(missing_ok=True)
        if any(folder.glob("*.conf")):
            return
        config, ours = _user_config(), os.fsencode(_include())
        found = _read_bytes(config) or b""
        if found == ours + b"\n":  # there was none before
            config.resolve().unlink()
        elif found.startswith(ours + b"\n\n"):
            _write(config, found[len(ours) + 2 :])
        elif ours in map(bytes.strip, found.split(b"\n")):  # moved or changed by hand since
            rest = b"".join(line for line in found.splitlines(keepends=True) if line.strip() != ours)
            _write(config, rest)


def write_windows(host: Host, home: Path, home_there: str) -> None:
    """The same, from WSL, for Windows' own ssh, which its editors use: files in the Windows user's ~/.ssh,
    with a copy of the key, because that ssh reads no file of Linux. `remove` removes them.

    home: the Windows user's home folder here (/mnt/c/Users/ada); home_there: as Windows names it. Raises
    InputError.
    """
    folder = home / ".ssh" / _FOLDER

    def there(path: Path) -> str:
        below = path.relative_to(home).as_posix()
        return _quoted(Path(home_there.replace("\\", "/")) / below)

    try:
        key = folder / f"{host.name}.key"
        write_whole(key, key_file.read(key_file.for_openssh(host.key, key)))
        _write_box(folder, replace(host, key=key), share_connections=False, shown=there)
        config = home / ".ssh" / "config"
        theirs = _read_bytes(config) or b""
        if _WINDOWS_INCLUDE.strip() not in map(bytes.strip, theirs.split(b"\n")):
            write_whole(config, _WINDOWS_INCLUDE + (b"\n" + theirs if theirs else b""), mode=None)
        write_whole(_private_folder() / _WINDOWS, str(folder))
    except OSError as error:
        raise _not_kept(error, folder, "Make it a folder that you can write to.") from None


def _remove_windows(name: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        folder = Path(read_own(_private_folder() / _WINDOWS))
        for suffix in (".conf", ".known_hosts", ".key"):
            (folder / (name + suffix)).unlink(missing_ok=True)
        config = folder.parent / "config"
        found = _read_bytes(config) or b""
        if not any(folder.glob("*.conf")) and found.startswith(_WINDOWS_INCLUDE):
            write_whole(config, found.removeprefix(_WINDOWS_INCLUDE).removeprefix(b"\n"), mode=None)


def known() -> list[str]:
    """The boxes for which `write` or `private_config` was called, and not `remove`."""
    folders = _private_folder(), _ssh_folder() / _FOLDER
    return sorted({path.stem for folder in folders if folder.is_dir() for path in folder.glob("*.conf")})


def private_config(host: Host) -> Path:
    """A config for `ssh -F` that contains only this host, in gpu-box's own folder. Raises InputError."""
    try:
        return _write_box(_private_folder(), host, share_connections=False)
    except OSError as error:
        raise _not_kept(error, _private_folder(), "Make room there, or remove what is in the way.") from None


def private_files(host: Host) -> BoxFiles:
    """The files that `private_config` would write; writes nothing."""
    return _files_of_box(_private_folder(), host, share_connections=False)


def own_socket(name: str) -> str:
    """A ControlPath for a connection to the box that gpu-box's own commands share: another one for another
    address, user, key or host key, none of which ssh looks at when it takes a connection.

    It is in no folder of the user's, which its socket would keep busy. Raises InputError, OSError.
    """
    files = last_private_files(name)
    if files is None:
        raise InputError("the box has not been reached from here", where=name)
    distinct = os.fsencode(f"{files.config}\n{files.text}\n{files.known_hosts}")
    digest = hashlib.sha256(distinct).hexdigest()
    return _quoted(_temporary() / f"own-{digest[:32]}")


def forget_address(name: str) -> None:
    """Another machine may get the address of a box that does not run. Errors are ignored."""
    with contextlib.suppress(OSError):
        (_private_folder() / f"{name}.known_hosts").unlink(missing_ok=True)


def last_private_files(name: str) -> BoxFiles | None:
    """The last files that it wrote for the box; None if there are none or its address was forgotten."""
    config, known_hosts = (_private_folder() / (name + suffix) for suffix in (".conf", ".known_hosts"))
    try:
        return BoxFiles(config=config, text=read_own(config), known_hosts=read_own(known_hosts))
    except (OSError, ValueError):
        return None


def _write_box(
    folder: Path,
    host: Host,
    *,
    share_connections: bool,
    forward_agent: bool = False,
    shown: Callable[[Path], str] | None = None,
) -> Path:
    """shown: how a path is written, quoted, if not as it is."""
    files = _files_of_box(
        folder, host, share_connections=share_connections, forward_agent=forward_agent, shown=shown
    )
    _write(folder / f"{host.name}.known_hosts", files.known_hosts)
    _write(files.config, files.text)
    return files.config


def _files_of_box(
    folder: Path,
    host: Host,
    *,
    share_connections: bool,
    forward_agent: bool = False,
    shown: Callable[[Path], str] | None = None,
) -> BoxFiles:
    _require_plain(host)
    shown = shown or _quoted
    known_hosts = folder / f"{host.name}.known_hosts"
    options = [
        ("HostName", host.address),
        ("Port", str(host.port)),
        ("User", host.user),
        ("IdentityFile", shown(key_file.for_openssh(host.key, _private_folder() / f"{host.name}.key"))),
        ("IdentitiesOnly", "yes"),
        *(FORWARDED if forward_agent else (("IdentityAgent", "none"),)),
        ("HostKeyAlias", _alias(host.name)),
        ("UserKnownHostsFile", shown(known_hosts)),
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


def _require_plain(host: Host) -> None:
    """Raise MachineError for a value that could end its line: the next line would be an option of its own."""
    wrong = ""
    for what, text, shape in (
        ("user name", host.user, r"[A-Za-z_][A-Za-z0-9_.-]*"),
        ("name", host.name, r"[A-Za-z0-9][A-Za-z0-9_.-]*"),
        ("address", host.address, r"[0-9A-Fa-f.:]+"),
    ):
        if not re.fullmatch(shape, text):
            wrong = what
    if not all(is_public_key(line) and line.isprintable() for line in host.host_keys):
        wrong = "host key"
    if wrong:
        raise MachineError(
            f"the {wrong} of {host.name!r} is malformed, so it is not passed to SSH",
            where=f"{host.address[:60]!r}",
            remedy="It comes from AWS: `gpu-box status` shows what AWS says; a proxy may have changed it.",
        )


def _sockets(folder: Path) -> Path:
    """The folder for shared connections: private to the user, with a path short enough for a socket."""
    return folder if len(os.fsencode(folder) + _SOCKET_NAME) <= _SOCKET_PATH_LIMIT else _temporary()


def _temporary() -> Path:
    above = tempfile.gettempdir()
    usual = (os.environ.get("TMPDIR"), "/tmp", "/var/tmp")
    if above == os.getcwd() and above not in usual:  # the current folder is its last resort
        raise InputError("no temporary folder can be written", where="/tmp", remedy="Set TMPDIR.")
    short = Path(above) / f"gpu-box-{os.getuid()}"
    short.mkdir(mode=0o700, exist_ok=True)
    found = short.lstat()  # anyone could put a link there, to a folder with a socket of theirs
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise InputError(
            "the folder for SSH's sockets is not private to you", where=str(short), remedy="Remove it."
        )
    return short


@contextlib.contextmanager
def _locked() -> Iterator[Path]:
    """gpu-box.d, locked for one gpu-box at a time; errors of the file system become InputError."""
    folder = _ssh_folder() / _FOLDER
    try:
        for each in (_ssh_folder().resolve(), folder):
            make_folder(each)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    except OSError as error:
        raise _not_kept(error, _ssh_folder(), _REMEDY) from None


def _not_kept(error: OSError, where: Path, remedy: str) -> InputError:
    return InputError(f"the SSH config cannot be written ({error})", where=str(where), remedy=remedy)


def _write(path: Path, text: str | bytes) -> None:
    """Write atomically, readable by the user only; follows a link, because dotfiles may be links."""
    target = path.resolve()
    content = text if isinstance(text, bytes) else os.fsencode(text)
    if _read_bytes(target) == content:
        return
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
    write_whole(target, content, mode=mode, durable=True)


def _read_bytes(path: Path) -> bytes | None:
    """None where there is no file, nor one behind the link."""
    try:
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, f"{path.name} is no regular file")
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _include() -> str:
    """Relative, for a config shared between laptops; ssh uses the account's home folder, never $HOME."""
    account = Path(pwd.getpwuid(os.getuid()).pw_dir)
    if account.resolve() == Path.home().resolve():
        return f"Include {_FOLDER}/*.conf"
    return f'Include {_quoted(_ssh_folder() / _FOLDER)[:-1]}/*.conf"'


def _alias(name: str) -> str:
    return f"gpu-box.{name}"


def _quoted(path: Path) -> str:
    """Quoted for ssh_config, which interprets % as the start of a token, except in our %C.

    Raises InputError.
    """
    if re.search(rb'[\x00-\x1f\x7f"]', os.fsencode(path)):
        raise InputError("SSH's config cannot name this file", where=ascii(str(path)), remedy="Rename it.")
    return '"' + str(path).replace("%", "%%").replace("%%C", "%C") + '"'


def _ssh_folder() -> Path:
    return Path.home() / ".ssh"


def _user_config() -> Path:
    return _ssh_folder() / "config"


def _private_folder() -> Path:
    return data_home() / "ssh"
