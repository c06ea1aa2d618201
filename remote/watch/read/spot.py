"""AWS's spot interruption notice and rebalance recommendation, from the instance metadata service (IMDSv2).

AWS stops or terminates the instance two minutes after the notice at the earliest and recommends polling every
5 seconds (EC2 User Guide, "Spot Instance interruption notices"). The recommendation says that the risk has
risen; it comes before the notice or with it ("EC2 instance rebalance recommendations").
"""

import json
import os
import socket
from typing import NamedTuple, Optional, Tuple

from .moment import unix_time

ADDRESS = "http://169.254.169.254"  # AWS_EC2_METADATA_SERVICE_ENDPOINT overrides it
MOST = 1 << 16  # bytes of an answer
TIMEOUT = 1.0  # s for one request, one hop away
TOKEN_TTL = 21600  # s, the maximum


class Notice(NamedTuple):
    action: str  # stop, terminate, hibernate
    at: float  # approximate Unix time of the action


class Metadata:
    def __init__(self, endpoint: str = "") -> None:
        given = endpoint or os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or ADDRESS
        # urllib would cost a megabyte of memory.
        where, _, path = given.rpartition("//")[2].strip("/").partition("/")
        host, _, port = where.partition(":")
        self._path = "/" + path if path else ""
        self._address = (host, int(port or 80))
        self._token = ""

    def notice(self) -> Optional[Notice]:
        """The current notice or None. Raises OSError without an answer, ValueError for an invalid one."""
        text = self._get("spot/instance-action")
        return None if text is None else parse(text)

    def recommendation(self) -> Optional[float]:
        """Unix time of AWS's rebalance recommendation, or None. Raises as `notice`."""
        text = self._get("events/recommendations/rebalance")
        return None if text is None else parse_recommendation(text)

    def _get(self, item: str) -> Optional[str]:
        """The item's text, or None if it does not exist."""
        for fresh in (False, True):
            if fresh or not self._token:
                self._token = self._new_token()
            wanted = "GET %s/latest/meta-data/%s" % (self._path, item)
            status, text = self._ask(wanted, "X-aws-ec2-metadata-token: " + self._token)
            if status != 401:
                break
        if status not in (200, 404):
            raise OSError("the instance metadata service answers %d" % status)
        return text if status == 200 else None

    def _new_token(self) -> str:
        ttl = "X-aws-ec2-metadata-token-ttl-seconds: %d" % TOKEN_TTL
        status, token = self._ask("PUT %s/latest/api/token" % self._path, ttl)
        if status != 200:
            raise OSError("the instance metadata service gives no token: %d" % status)
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
            raise OSError("the instance metadata service gives no answer")
        return int(words[1]), body.decode("utf-8", "replace")


def parse(text: str) -> Notice:
    """Parse {"action": "stop", "time": "2026-01-01T02:03:04Z"}. Raises ValueError for anything else."""
    try:
        values = json.loads(text)
        return Notice(str(values["action"]), unix_time(values["time"]))
    except (KeyError, TypeError) as error:
        raise ValueError("no interruption notice: %s" % text[:80]) from error


def parse_recommendation(text: str) -> float:
    """Parse {"noticeTime": "2026-01-01T02:03:04Z"}. Raises ValueError for anything else."""
    try:
        return unix_time(json.loads(text)["noticeTime"])
    except (KeyError, TypeError) as error:
        raise ValueError("no rebalance recommendation: %s" % text[:80]) from error
