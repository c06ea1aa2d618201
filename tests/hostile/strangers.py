"""A neighbour and a web page: what each tries at the embedded cloud of another user of the computer.

    python strangers.py MOVE HOME ENDPOINT

The neighbour is a program of its own, started by root, which becomes another user. Each move prints what it
got: nothing, if all is well.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

BODY = b"Action=DescribeInstances&Version=2016-11-15"
STOP = b"Action=TerminateInstances&Version=2016-11-15&InstanceId.1=i-1"


def ask(url: str, body: bytes | None = None, **headers: str) -> str:
    """The answer's text; empty if it is refused."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, named), timeout=60) as answer:
            return f"{answer.status} {answer.headers} {answer.read(1000)!r}"
    except (urllib.error.URLError, OSError):
        return ""


def _files(home: Path) -> str:
    try:
        return " ".join(path.read_text(errors="replace") for path in home.rglob("*") if path.is_file())
    except OSError:
        return ""


def _listed(home: Path) -> str:
    try:
        return " ".join(os.listdir(home / "embedded"))
    except OSError:
        return ""


def _planted(home: Path) -> str:
    try:
        (home / "embedded" / "state").write_bytes(b"mine")
    except OSError:
        return ""
    return "written"


_FORGED = (
    "AWS4-HMAC-SHA256 Credential=AKIA/20261129/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0"
)
NEIGHBOUR: dict[str, Callable[[Path, str], str]] = {
    "reads the files of the cloud": lambda home, url: _files(home),
    "lists its folder": lambda home, url: _listed(home),
    "writes its state": lambda home, url: _planted(home),
    "asks without a signature": lambda home, url: ask(url, BODY),
    "forges a signature": lambda home, url: ask(url, BODY, Authorization=_FORGED),
    "ends an instance": lambda home, url: ask(url, STOP, Authorization=_FORGED),
    "changes the cloud's weather": lambda home, url: ask(f"{url}/embedded/weather", b"{}"),
    "reads moto's data": lambda home, url: ask(f"{url}/moto-api/data.json"),
}
EVIL = "https://evil.example"
WEB_PAGE: dict[str, Callable[[str], str]] = {
    "a form that posts": lambda url: ask(
        url, STOP, Origin=EVIL, Content_Type="application/x-www-form-urlencoded", Sec_Fetch_Site="cross-site"
    ),
    "a script that reads": lambda url: ask(url, Origin=EVIL, Sec_Fetch_Mode="cors"),
    "an image": lambda url: ask(f"{url}/checkip", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors"),
    "a name that leads to loopback": lambda url: ask(f"{url}/checkip", Host="evil.example"),
    "a page of another local port": lambda url: ask(
        f"{url}/checkip", Origin="http://127.0.0.1:8888", Sec_Fetch_Site="same-site"
    ),
    "a file of this computer": lambda url: ask(f"{url}/checkip", Origin="null"),
}

if __name__ == "__main__":
    "x".encode("idna")  # all that Python reads: its folder may be closed to others
    os.setgid(65534)
    os.setuid(65534)
    print(NEIGHBOUR[sys.argv[1]](Path(sys.argv[2]), sys.argv[3]))
