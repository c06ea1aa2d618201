"""AWS's notice that it takes this spot machine back, from the instance metadata service (IMDSv2).

EC2 User Guide, "Spot Instance interruption notices": stopped or terminated two minutes after it at the
soonest, to be looked for every 5 seconds. A token is asked for once, and again when it no longer holds.
"""

import json
import os
import socket
from typing import NamedTuple, Optional, Tuple

from .moment import unix_time

ADDRESS = "http://169.254.169.254"  # of every instance; AWS_EC2_METADATA_SERVICE_ENDPOINT: another one
MOST = 1 << 16  # bytes of an answer
TIMEOUT = 1.0  # s for one request: it is one hop away
TOKEN_TTL = 21600  # s, the longest


class Notice(NamedTuple):
    action: str  # stop, terminate, hibernate
    at: float  # Unix time of it, about


class Metadata:
    def __init__(self, endpoint: str = "") -> None:
        given = endpoint or os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or ADDRESS
        # By hand: urllib costs a megabyte.
        where, _, path = given.rpartition("//")[2].strip("/").partition("/")
        host, _, port = where.partition(":")
        self._path = "/" + path if path else ""
        self._address = (host, int(port or 80))
        self._token = ""

    def notice(self) -> Optional[Notice]:
        """None where there is none. OSError where it does not answer, ValueError for nonsense."""
        status, text = self._get("spot/instance-action")
        if status == 404:
            return None
        if status != 200:
            raise OSError("the instance metadata answer %d" % status)
        return parse(text)

    def _get(self, item: str) -> Tuple[int, str]:
        for fresh in (False, True):
            if fresh or not self._token:
                self._token = self._new_token()
            wanted = "GET %s/latest/meta-data/%s" % (self._path, item)
            status, text = self._ask(wanted, "X-aws-ec2-metadata-token: " + self._token)
            if status != 401:
                break
        return status, text

    def _new_token(self) -> str:
        ttl = "X-aws-ec2-metadata-token-ttl-seconds: %d" % TOKEN_TTL
        status, token = self._ask("PUT %s/latest/api/token" % self._path, ttl)
        if status != 200:
            raise OSError("the instance metadata give no token: %d" % status)
        return token

    def _ask(self, wanted: str, header: str) -> Tuple[int, str]:
        request = "%s HTTP/1.1\r\nHost: %s\r\n%s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        with socket.create_connection(self._address, TIMEOUT) as link:
            link.sendall((request % (wanted, self._address[0], header)).encode())
            answer = b""
            while len(answer) < MOST:
                chunk = link.recv(4096)
                if not chunk:
                    break
                answer += chunk
        head, _, body = answer.partition(b"\r\n\r\n")
        words = head.split(None, 2)
        if len(words) < 2 or not words[1].isdigit():
            raise OSError("the instance metadata answer nothing")
        return int(words[1]), body.decode("utf-8", "replace")


def parse(text: str) -> Notice:
    """Of {"action": "stop", "time": "2026-01-01T02:03:04Z"}. ValueError for anything else."""
    try:
        values = json.loads(text)
        return Notice(str(values["action"]), unix_time(values["time"]))
    except (KeyError, TypeError) as error:
        raise ValueError("no interruption notice: %s" % text[:80]) from error
