"""Copies this installation's remote/ to the box as ~/.gpu-box/remote, atomically."""

from __future__ import annotations

import hashlib
import io
import tarfile
from functools import cache
from pathlib import Path

from gpu_box.machine.ssh.connection import Connection
from gpu_box.machine.ssh.shell import quote

# Versions lie side by side, and one rename switches a link, so that running code never sees half a copy.
# The previous version is kept for programs that still have it open.
_UNPACK = """
set -eu
umask 022
mkdir -p ~/.gpu-box/remotes
cd ~/.gpu-box/remotes
new=$1.new.$$
trap 'rm -rf "$new"' EXIT
mkdir "$new"
tar -xf - -C "$new"
printf '%s\\n' "$1" >"$new/.fingerprint"
# A folder with this name is complete, because it was renamed; and a set-up may be running from it.
[ -d "$1" ] || mv "$new" "$1"
before=$(readlink ../remote || true)
ln -s "remotes/$1" "../remote.new.$$"
if [ -d ../remote ] && [ ! -L ../remote ]; then mv ../remote "../remotes/before.$$"; fi
mv -T "../remote.new.$$" ../remote 2>/dev/null || mv -fh "../remote.new.$$" ../remote
for old in *; do
    case "remotes/$old" in "remotes/$1" | "$before" | *.new.*) ;; *) rm -rf "./$old" ;; esac
done
"""


@cache
def fingerprint(remote: Path) -> str:
    """One hash of its whole content."""
    digest = hashlib.sha256()
    for file in _files(remote):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(remote).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def upload(connection: Connection, remote: Path) -> None:
    """Send a tar archive on the standard input of the command that unpacks it: one round trip."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file in _files(remote):
            archive.add(file, arcname=file.relative_to(remote).as_posix(), filter=_as_anybody)
    connection.run(
        quote("sh", "-c", _UNPACK, "sh", fingerprint(remote)), stdin=buffer.getvalue(), timeout_s=120
    )


def _files(remote: Path) -> list[Path]:
    return sorted(
        file
        for file in remote.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and not file.name.startswith(".")
    )


def _as_anybody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Drop the laptop's user names and ids."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
