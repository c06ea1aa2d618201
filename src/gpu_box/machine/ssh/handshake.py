"""A new connection: to the pinned host key alone, with the config's key alone, within its time."""

from __future__ import annotations

import base64
import contextlib
import io
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

from gpu_box.machine.ssh.errors import host_key_changed, login_refused, no_answer
from gpu_box.model.machine import Host
from gpu_box.model.public_key import fingerprint

if TYPE_CHECKING:
    import fabric
    import paramiko

# An SSH keepalive this often keeps NAT tables warm; a peer that acknowledges nothing for the second is gone.
_KEEPALIVE_S = 15
_DEAD_PEER_MS = 45_000
WINDOW_BYTES = 4 * 1024 * 1024  # paramiko's 2 MiB holds a link of 100 ms to 20 MB/s
_STAGES = 3  # of a connection, each with the limit of all: version, keys, login
# What paramiko raises for a packet whose fields make no sense.
MALFORMED = (
    ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError, MemoryError,
    struct.error,
)  # fmt: skip


def open_connection(host: Host, timeout_s: float) -> fabric.Connection:
    """Connected, verified and logged in. Nothing of the user's own SSH or fabric settings takes part."""
    import logging

    import fabric
    import paramiko

    # paramiko logs each broken connection with a traceback; we raise our own errors for them.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)

    class Pinned(paramiko.MissingHostKeyPolicy):  # no known_hosts is loaded: every key is asked of it
        def missing_host_key(self, client: object, hostname: str, key: paramiko.PKey) -> None:
            _verify(host, key)

    def make_transport(sock: socket.socket, **settings: Any) -> paramiko.Transport:
        transport = paramiko.Transport(sock, default_window_size=WINDOW_BYTES, **settings)
        transport.handshake_timeout = timeout_s
        _ask_for_pinned_kinds(transport, host)
        return transport

    link = _open_socket(host, timeout_s)
    connection = fabric.Connection(
        host.address,
        user=host.user,
        port=host.port,
        config=fabric.Config(lazy=True, ssh_config=paramiko.SSHConfig()),
        connect_timeout=timeout_s,
        connect_kwargs={
            "pkey": _private_key(host),
            "sock": link,
            "allow_agent": False,
            "look_for_keys": False,
            "banner_timeout": timeout_s,
            "auth_timeout": timeout_s,
            "transport_factory": make_transport,
        },
    )
    connection.client.set_missing_host_key_policy(Pinned())
    # paramiko's own limits are for silence: a version that is sent without end would keep it here.
    late = threading.Timer(_STAGES * timeout_s, lambda: _shut_down(link))
    late.daemon = True
    late.start()
    try:
        connection.open()
        connection.transport.set_keepalive(_KEEPALIVE_S)
        return connection
    except paramiko.ssh_exception.IncompatiblePeer:
        connection.client.close()
        raise host_key_changed(host, "of another kind") from None
    except paramiko.AuthenticationException:
        connection.client.close()
        raise login_refused(host) from None
    except (paramiko.SSHException, EOFError, OSError, *MALFORMED) as error:
        connection.client.close()
        raise no_answer(host, error) from error
    except BaseException:
        connection.client.close()
        raise
    finally:
        late.cancel()


def _shut_down(link: socket.socket) -> None:
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)


def _private_key(host: Host) -> paramiko.PKey:
    """paramiko reads fewer kinds of files than OpenSSH and we do."""
    import paramiko

    from gpu_box.machine.ssh import keys

    text = keys.openssh_text(host.key)
    kind = paramiko.RSAKey if keys.read_key_pair(host.key).line.startswith("ssh-rsa") else paramiko.Ed25519Key
    return kind(file_obj=io.StringIO(text))


def _open_socket(host: Host, timeout_s: float) -> socket.socket:
    try:
        link = socket.create_connection((host.address, host.port), timeout=timeout_s)
    except OSError as error:
        raise no_answer(host, error) from None
    # Without this, a command on an open connection takes 48 ms instead of 5.
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; elsewhere the system's own, minutes
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_PEER_MS)
    return link


def _ask_for_pinned_kinds(transport: paramiko.Transport, host: Host) -> None:
    """A machine has keys of several kinds and would present one that we have not pinned."""
    pinned = {line.split()[0] for line in host.host_keys}
    if "ssh-rsa" in pinned:
        pinned |= {"rsa-sha2-512", "rsa-sha2-256"}
    options = transport.get_security_options()
    options.key_types = [kind for kind in options.key_types if kind in pinned]


def _verify(host: Host, presented: paramiko.PKey) -> None:
    if any(base64.b64decode(line.split()[1]) == presented.asbytes() for line in host.host_keys):
        return
    raise host_key_changed(host, fingerprint(f"{presented.get_name()} {presented.get_base64()}"))
