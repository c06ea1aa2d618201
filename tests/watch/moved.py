"""Bytes over this machine's own address (not loopback)."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from pathlib import Path

PYTHON = sys.executable


def own_address() -> str | None:
    for line in Path("/proc/net/fib_trie").read_text().split("\n"):
        words = line.split()
        if words[:1] == ["|--"] and not words[1].startswith(("127.", "0.")):
            probe = socket.socket()
            try:
                probe.bind((words[1], 0))
                return words[1]
            except OSError:
                continue
            finally:
                probe.close()
    return None


@contextlib.contextmanager
def moved(address: str, size: int, port: int = 0):
    """Send and receive this many bytes over the address in a process that keeps its connection open."""
    code = """
import socket, sys, threading
listener = socket.create_server((sys.argv[1], int(sys.argv[3])))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
threading.Thread(target=server.sendall, args=(b"x" * int(sys.argv[2]),)).start()
left = int(sys.argv[2])
while left:
    left -= len(client.recv(1 << 16))
print("moved", flush=True)
sys.stdin.read()
"""
    argv = [PYTHON, "-c", code, address, str(size), str(port)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"moved\n"
        yield
        process.stdin.close()
        process.wait(60)
