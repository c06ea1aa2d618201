"""A network that goes away without a word: connections through it stay open and carry nothing any more."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class Relay:
    def __init__(self, target: int) -> None:
        """target: port on loopback."""
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._links: list[tuple[threading.Event, socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def silence(self) -> None:
        """What is open now is heard of no more, at either end; what comes later is carried."""
        for dead, *_ in self._links:
            dead.set()

    def cut(self) -> None:
        """What is open now ends without a farewell; what comes later is carried."""
        self.silence()
        for _, *ends in self._links:
            for end in ends:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.silence()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for _, *ends in self._links:
            for end in ends:
                end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                dead = threading.Event()
                self._links.append((dead, client, server))
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=_carry, args=(source, sink, dead), daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket, dead: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            if not dead.is_set():
                sink.sendall(piece)
        if not dead.is_set():
            sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def relay(target: int) -> Iterator[Relay]:
    made = Relay(target)
    yield made
    made.close()
