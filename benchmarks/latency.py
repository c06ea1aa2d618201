"""A TCP relay on loopback that hands on every byte so many milliseconds later, in a process of its own.

    python -m benchmarks.latency PORT ROUND_TRIP_MS

It prints the port that it listens on, and at each line that it is given, how many bytes went to PORT so far.
What is under way is bounded by memory alone, so bandwidth is not: `python -m benchmarks.latency` prints it.
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
        """Bytes that went to the machine since it was made."""
        assert self._process.stdin
        print(file=self._process.stdin, flush=True)
        return self._number()

    def _number(self) -> int:
        assert self._process.stdout
        return int(self._process.stdout.readline())


@contextmanager
def link(port: int, round_trip_ms: float) -> Iterator[Link]:
    words = [sys.executable, "-m", "benchmarks.latency", str(port), str(round_trip_ms)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Link(process)
        finally:
            process.terminate()


class _Relay:
    def __init__(self, port: int, one_way_s: float) -> None:
        self._port, self._one_way_s = port, one_way_s
        self.sent = 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            near, _ = self.listener.accept()
            far = socket.create_connection(("127.0.0.1", self._port))
            for source, sink, up in ((near, far, True), (far, near, False)):
                sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                way: queue.Queue[tuple[float, bytes]] = queue.Queue(UNDER_WAY)
                threading.Thread(target=self._take, args=(source, way, up), daemon=True).start()
                threading.Thread(target=self._give, args=(way, sink), daemon=True).start()

    def _take(self, source: socket.socket, way: queue.Queue[tuple[float, bytes]], up: bool) -> None:
        piece = b"-"
        while piece:
            try:
                piece = source.recv(CHUNK_BYTES)
            except OSError:
                piece = b""
            self.sent += len(piece) * up
            way.put((time.monotonic() + self._one_way_s, piece))

    def _give(self, way: queue.Queue[tuple[float, bytes]], sink: socket.socket) -> None:
        try:
            while True:
                due, piece = way.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not piece:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(piece)
        except OSError:  # it is gone: what still comes has nowhere to go
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
    relay = _Relay(int(sys.argv[1]), float(sys.argv[2]) / 2000)
    print(relay.listener.getsockname()[1], flush=True)
    for _ in sys.stdin:
        print(relay.sent, flush=True)
