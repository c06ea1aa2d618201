"""SFTP within limits of memory and time, because the box is not trusted; paramiko has neither.

Its prefetch lists every piece of a file beforehand, and keeps whatever the server sends for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paramiko import Channel, Message, SFTPClient, SFTPFile

_PIECE_BYTES = 32 * 1024  # the largest request that every SFTP server accepts
_AHEAD = 512  # pieces of a file that are asked for and not yet read: 16 MiB, for 1 Gbit/s at 100 ms
_MOST_STRAY = 2_000  # answers in a row to nothing that was asked; a file that is closed early leaves _AHEAD


def client_on(channel: Channel) -> SFTPClient:
    """Raises paramiko's SFTPError, then and later, for an answer that makes no sense."""
    return _client_class()(channel)  # type: ignore[no-any-return]


@cache
def _client_class() -> Any:
    import paramiko

    class Limited(paramiko.SFTPClient):
        """paramiko waits for ever while the answers to other requests come."""

        _stray = 0

        def _read_packet(self) -> tuple[int, bytes]:
            kind, content = super()._read_packet()  # type: ignore[misc]
            known = int.from_bytes(content[:4], "big") in self._expecting  # type: ignore[attr-defined]
            self._stray = 0 if known else self._stray + 1
            if self._stray > _MOST_STRAY:
                raise paramiko.SFTPError("answers to no request")
            return kind, content

    return Limited


def pieces(file: SFTPFile, begin: int, end: int) -> Iterator[bytes]:
    """The bytes of a remote file, from `begin` to `end` or to the file's end if that comes first."""
    ahead = _Ahead(file)
    asked = at = begin
    while at < end:
        if len(ahead) <= _AHEAD // 2:  # many at once: paramiko's threads wait for each other at each request
            while asked < end and len(ahead) < _AHEAD:
                length = min(_PIECE_BYTES, end - asked)
                ahead.ask(asked, length)
                asked += length
        length, piece = ahead.take(at)
        if not piece:
            return
        yield piece
        at += len(piece)
        if len(piece) < length:  # a server may send less than it was asked for
            ahead.ask(at, length - len(piece))


class _Ahead:
    """The pieces of one file that are asked for, or here and not yet taken."""

    def __init__(self, file: SFTPFile) -> None:
        self._file = file
        self._client: Any = file.sftp
        self._asked: dict[int, tuple[int, int]] = {}  # request: offset, length
        self._here: dict[int, tuple[int, bytes | Exception]] = {}  # offset: length asked for, content

    def __len__(self) -> int:
        return len(self._asked) + len(self._here)

    def ask(self, offset: int, length: int) -> None:
        from paramiko.sftp import CMD_READ, int64

        sent = self._client._async_request(self, CMD_READ, self._file.handle, int64(offset), length)
        self._asked[sent] = offset, length

    def take(self, offset: int) -> tuple[int, bytes]:
        """The length that was asked for, and the bytes: none at the end of the file."""
        while offset not in self._here:
            self._client._read_response()
        length, content = self._here.pop(offset)
        if isinstance(content, Exception):
            raise content
        return length, content

    def _async_response(self, kind: int, message: Message, number: int) -> None:
        """paramiko's client calls it with each answer."""
        from paramiko import SFTPError
        from paramiko.sftp import CMD_DATA, CMD_STATUS

        offset, length = self._asked.pop(number)
        content: bytes | Exception
        if kind == CMD_DATA:
            content = message.get_string()
        elif kind == CMD_STATUS:
            content = self._refusal(message)
        else:
            raise SFTPError("expected data")
        if isinstance(content, bytes) and len(content) > length:
            raise SFTPError("more bytes than asked for")
        self._here[offset] = length, content

    def _refusal(self, message: Message) -> bytes | Exception:
        from paramiko import SFTPError

        try:
            self._client._convert_status(message)
        except EOFError:
            return b""
        except OSError as error:
            return error
        return SFTPError("expected data")
