"""Replaces the machine's first host key by one made on the machine. For the first key, see `keys`.

In two commands, so that `box` can publish the new key (as a tag) before the machine presents it. Each can be
run again at any point. The new private key never leaves the machine.
"""

from __future__ import annotations

from gpu_box.errors import MachineError
from gpu_box.machine.ssh.connection import Connection
from gpu_box.model.public_key import is_public_key

# sshd's own folder; a machine that is only a process has another (GPU_BOX_SSHD_DIR), and no sudo.
_PRELUDE = """
set -eu
umask 077
folder=${GPU_BOX_SSHD_DIR:-/etc/ssh}
as=; [ -w "$folder" ] || as='sudo -n'
key=$folder/ssh_host_ed25519_key
# One process at a time. Without flock (macOS), the moves below are safe except for a kill between them.
if command -v flock >/dev/null; then exec 9<"$HOME"; flock -w 20 9; fi
"""

_PREPARE = (
    _PRELUDE
    + """
now=$($as ssh-keygen -y -f "$key")
set -- $now
# The key was replaced since this connection began, so it is the machine's own already.
if [ "$1 $2" != "$answered" ]; then echo "$now"; exit; fi
if ! $as test -f "$key.pending"; then
    new=$key.new.$$
    $as ssh-keygen -q -t ed25519 -N '' -C gpu-box -f "$new" </dev/null
    $as rm -f "$new.pub"
    $as mv -n "$new" "$key.pending"   # the first of two wins
    $as rm -f "$new"
fi
$as ssh-keygen -y -f "$key.pending"
"""
)

_ACTIVATE = (
    _PRELUDE
    + """
if $as test -f "$key.pending"; then
    $as ssh-keygen -y -f "$key.pending" | $as tee "$key.pub.new" >/dev/null
    $as chmod 644 "$key.pub.new"
    $as mv "$key.pub.new" "$key.pub"
    $as mv "$key.pending" "$key"
fi
# Without systemd, sshd reads its key at each connection.
if [ -z "${GPU_BOX_SSHD_DIR:-}" ] && [ -d /run/systemd/system ]; then
    $as systemctl reload-or-restart ssh 2>/dev/null || $as systemctl reload-or-restart sshd
fi
"""
)


def prepare(connection: Connection) -> str:
    """Make a pending key, or return the pending or active one. Returns its OpenSSH line."""
    script = f"answered='{connection.presented_key}'\n{_PREPARE}"  # a key line contains no quote
    result = connection.run("sh -s", stdin=script.encode(), timeout_s=30)
    line = " ".join(result.stdout.split()[:2])
    if not is_public_key(line):
        raise MachineError(
            f"the box returned {line[:60]!r} instead of a host key",
            where=connection.host.name,
            remedy="Run the command again; if that does not help, make a new box: `gpu-box down`, then `up`.",
        )
    return line


def activate(connection: Connection) -> None:
    """Present the prepared key to new connections; this one stays open. Does nothing if there is none."""
    connection.run("sh -s", stdin=_ACTIVATE.encode(), timeout_s=30)
