"""A TCP relay on loopback that delays every byte, in a separate process.

    python -m benchmarks.latency PORT ROUND_TRIP_MS ADDRESS [handshake]

handshake: TCP's handshake takes a round trip, too. The kernel accepts at once on loopback, so the first byte
waits for that long instead: nothing can be sent on a real line before.
ADDRESS: of loopback, where it listens and where PORT is.
It prints its port and, for each line of input, the number of bytes sent to PORT so far. Only memory bounds
the data in flight, so bandwidth is not limited: `python -m benchmarks.latency` prints it.
"""

from __future__ import annotations

import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

CHUNK_BYTES = 256 * 1024
UNDER_WAY = 1024  # chunks at most; 256 MB


class Link:
    """port: connect there instead."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.port = self._number()

    def sent(self) -> int:
        """Bytes sent to the machine so far."""
        assert self._process.stdin
        print(file=self._process.stdin, flush=True)
        return self._number()

    def _number(self) -> int:
        assert self._process.stdout
        return int(self._process.stdout.readline())


@contextmanager
def link(
    port: int, round_trip_ms: float, *, handshake: bool = False, address: str = "127.0.0.1"
) -> Iterator[Link]:
    words = [sys.executable, "-m", "benchmarks.latency", str(port), str(round_trip_ms), address]
    words += ["handshake"] if handshake else []
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Link(process)
        finally:
            process.terminate()


class _Relay:
    def __init__(self, port: int, one_way_s: float, *, handshake: bool, address: str) -> None:
        self._port, self._one_way_s, self._address = port, one_way_s, address
        self._handshake_s = 2 * one_way_s if handshake else 0.0
        self.sent = 0
        self.listener = socket.create_server((address, 0), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            near, _ = self.listener.accept()
            far = socket.create_connection((self._address, self._port))
            for source, sink, up in ((near, far, True), (far, near, False)):
                sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                way: queue.Queue[tuple[float, bytes]] = queue.Queue(UNDER_WAY)
                # A server that speaks first, such as sshd, does so once the handshake's last part is there.
                opens = time.monotonic() + self._handshake_s * (1.0 if up else 1.5)
                threading.Thread(target=self._take, args=(source, way, up, opens), daemon=True).start()
                threading.Thread(target=self._give, args=(way, sink), daemon=True).start()

    def _take(
        self, source: socket.socket, way: queue.Queue[tuple[float, bytes]], up: bool, opens: float
    ) -> None:
        """opens: when the first byte can be sent, in monotonic seconds."""
        piece = b"-"
        while piece:
            try:
                piece = source.recv(CHUNK_BYTES)
            except OSError:
                piece = b""
            self.sent += len(piece) * up
            way.put((max(time.monotonic(), opens) + self._one_way_s, piece))

    def _give(self, way: queue.Queue[tuple[float, bytes]], sink: socket.socket) -> None:
        try:
            while True:
                due, piece = way.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not piece:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(piece)
        except OSError:  # the receiver is gone
            while way.get()[1]:
                pass


def _bandwidth(round_trip_ms: float) -> float:
    """MB/s of one connection through it."""
    total = 1000 * 1_000_000
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        link(server.getsockname()[1], round_trip_ms) as way,
    ):
        client = socket.create_connection(("127.0.0.1", way.port))
        far, _ = server.accept()

        def send() -> None:
            piece, left = bytes(1_000_000), total
            while left:
                client.sendall(piece)
                left -= len(piece)
            client.close()

        began = time.monotonic()
        threading.Thread(target=send, daemon=True).start()
        while far.recv(1 << 20):
            pass
        return total / 1e6 / (time.monotonic() - began)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        for ms in (0, 50):
            print(f"{ms} ms: {_bandwidth(ms):.0f} MB/s")
        sys.exit()
    port, round_trip_ms, address, *rest = sys.argv[1:]
    relay = _Relay(int(port), float(round_trip_ms) / 2000, handshake=rest == ["handshake"], address=address)
    print(relay.listener.getsockname()[1], flush=True)
    for _ in sys.stdin:
        print(relay.sent, flush=True)
