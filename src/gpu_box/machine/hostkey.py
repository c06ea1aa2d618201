"""The machine's first host key, replaced by one made on the machine. For the first key, see `keys`.

Two commands, so that `box` can announce the new key (as a tag) before the machine presents it; each is safe
to run again at any point. The new private key never leaves the machine.
"""

from __future__ import annotations

from gpu_box.machine.connection import Connection

# The folder is sshd's own; a machine that is only a process has its own (GPU_BOX_SSHD_DIR), and no sudo.
_PRELUDE = """
set -eu
umask 077
folder=${GPU_BOX_SSHD_DIR:-/etc/ssh}
as=; [ -w "$folder" ] || as='sudo -n'
key=$folder/ssh_host_ed25519_key
"""

_PREPARE = (
    _PRELUDE
    + """
if ! $as test -f "$key.pending"; then
    new=$key.new.$$
    $as ssh-keygen -q -t ed25519 -N '' -C gpu-box -f "$new" </dev/null
    $as rm -f "$new.pub"
    $as mv -n "$new" "$key.pending"   # of two at once, the first stays
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
# Where nothing supervises sshd, it reads its key at each connection.
if [ -z "${GPU_BOX_SSHD_DIR:-}" ] && [ -d /run/systemd/system ]; then
    $as systemctl reload-or-restart ssh 2>/dev/null || $as systemctl reload-or-restart sshd
fi
"""
)


def prepare(connection: Connection) -> str:
    """Make a key that waits to be activated, or find it made already. Returns its OpenSSH public line."""
    result = connection.run("sh -s", stdin=_PREPARE.encode(), timeout_s=30)
    return " ".join(result.stdout.splitlines()[-1].split()[:2])  # a login may print before it


def activate(connection: Connection) -> None:
    """Let new connections be answered with the prepared key; this one goes on. Nothing to do is fine."""
    connection.run("sh -s", stdin=_ACTIVATE.encode(), timeout_s=30)
