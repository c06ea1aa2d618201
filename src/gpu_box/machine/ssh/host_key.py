"""The machine's first host key, replaced by one made on the machine. For the first key, see `keys`.

Two commands, so that `box` can announce the new key (as a tag) before the machine presents it; each is safe
to run again at any point. The new private key never leaves the machine.
"""

from __future__ import annotations

from gpu_box.errors import MachineError
from gpu_box.machine.ssh.connection import Connection
from gpu_box.model.public_key import is_public_key

# The folder is sshd's own; a machine that is only a process has its own (GPU_BOX_SSHD_DIR), and no sudo.
_PRELUDE = """
set -eu
umask 077
folder=${GPU_BOX_SSHD_DIR:-/etc/ssh}
as=; [ -w "$folder" ] || as='sudo -n'
key=$folder/ssh_host_ed25519_key
# One hand at a time; where there is no flock (macOS), the moves below hold for all but a kill in between.
if command -v flock >/dev/null; then exec 9<"$HOME"; flock -w 20 9; fi
"""

_PREPARE = (
    _PRELUDE
    + """
now=$($as ssh-keygen -y -f "$key")
set -- $now
# Another hand replaced it since this connection was answered: that key is the machine's own already.
if [ "$1 $2" != "$answered" ]; then echo "$now"; exit; fi
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
    """Make a key that waits to be activated, or find it made, or active already. Returns its OpenSSH line."""
    script = f"answered='{connection.presented_key}'\n{_PREPARE}"  # a key's line has no quote in it
    result = connection.run("sh -s", stdin=script.encode(), timeout_s=30)
    line = " ".join(" ".join(result.stdout.splitlines()[-1:]).split()[:2])  # a login may print before it
    if not is_public_key(line):
        raise MachineError(
            f"the box names no host key of its own, but {line[:60]!r}",
            where=connection.host.name,
            remedy="Run the command again; if it stays so, make a new box: `gpu-box down`, then `up`.",
        )
    return line


def activate(connection: Connection) -> None:
    """Let new connections be answered with the prepared key; this one goes on. Nothing to do is fine."""
    connection.run("sh -s", stdin=_ACTIVATE.encode(), timeout_s=30)
