"""Box names for the Tab key a second time, without importing the command line, which takes ten times longer.

`note` keeps what a whole completion found; `answer` repeats it for as long as those names count as fresh.
Anything unusual on the line is left to the whole completion.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Iterable

_FRESH_S = 30.0
_VARIABLES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL")
_PLAIN = re.compile(r"[\w./~ -]*")  # words that a shell leaves as they are
_NAME = re.compile(r"[A-Za-z0-9-]+")
_LARGEST_BYTES = 1_000_000


def answer() -> str | None:
    """What to print for the shell; None to leave it to the whole completion."""
    shell = os.environ.get("_GPU_BOX_COMPLETE", "").removeprefix("complete_")
    line = os.environ.get("COMP_WORDS" if shell == "bash" else "_TYPER_COMPLETE_ARGS", "")
    fish_asks = os.environ.get("_TYPER_COMPLETE_FISH_ACTION", "get-args") == "get-args"
    if shell not in ("bash", "zsh", "fish") or not fish_asks or not _PLAIN.fullmatch(line):
        return None
    words = line.split()
    at = int(os.environ.get("COMP_CWORD", "0")) if shell == "bash" else len(words) - (line[-1:] != " ")
    before, typed = words[1:at], "".join(words[at : at + 1])
    # `run` and `ssh` pass such words to another program.
    if before[-1:] != ["--name"] or {"--local", "run", "ssh"} & {*before}:
        return None
    config = before[before.index("--config") + 1] if "--config" in before[:-1] else None
    names = [name for name in _fresh(config) if name.startswith(typed)]
    if not names or not all(map(_NAME.fullmatch, names)):
        return None
    lines = "\n".join(names if shell != "zsh" else (f'"{name}"' for name in names))
    return f"_arguments '*: :(({lines}))'" if shell == "zsh" else lines


def note(names: Iterable[str], *, config: str | None, read: str | None) -> None:
    """Keep them. config: as typed. read: the file that was read, if there was one. Raises OSError."""
    from gpu_box.files import write_whole
    from gpu_box.store.files import data_home

    kept = {
        "key": _key(config),
        "at": time.time(),
        "names": sorted(names),
        "read": read,
        "state": _state(read),
    }
    write_whole(data_home() / "tab.json", json.dumps(kept))


def _fresh(config: str | None) -> list[str]:
    try:
        kept = json.loads(_own(os.path.join(_home(), "tab.json")))
        fresh = 0 <= time.time() - kept["at"] < _FRESH_S
        if fresh and kept["key"] == _key(config) and kept["state"] == _state(kept["read"]):
            return [str(name) for name in kept["names"]]
    except (OSError, ValueError, LookupError, TypeError):
        pass
    return []


def _key(config: str | None) -> list[str | None]:
    return [config, os.getcwd(), *(os.environ.get(name) for name in _VARIABLES)]


def _state(path: str | None) -> list[int] | None:
    if path is None:
        return None
    found = os.stat(path)
    return [found.st_mtime_ns, found.st_size]


def _home() -> str:
    """As `store.files.data_home`, which takes as long to import as all of this."""
    if own := os.environ.get("GPU_BOX_HOME"):
        return own
    data = os.path.expanduser(os.environ.get("XDG_DATA_HOME", ""))
    return os.path.join(data if os.path.isabs(data) else os.path.expanduser("~/.local/share"), "gpu-box")


def _own(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid():
            raise OSError(f"{path} is no file of ours")
        return file.read(_LARGEST_BYTES)
