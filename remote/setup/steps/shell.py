"""Gives the user's shells the python and pip of jobs and notebooks, by a marked block in their start files.

The block is at the top, because Debian's and Ubuntu's ~/.bashrc returns early in a non-interactive shell, and
so that environments activated further down take precedence. Links in /usr/local/bin would also be in root's
PATH, where the system's tools need the system's Python.

bash(1), INVOCATION: a login shell reads the first of ~/.bash_profile, ~/.bash_login and ~/.profile; other
interactive shells, and a command over SSH, read ~/.bashrc. zsh(1): every zsh reads ~/.zshenv.
"""

import os
import re
import shutil
from pathlib import Path
from typing import List

from setup import records
from setup.desired import HOME, Desired
from setup.session import Session
from setup.step import State, Step, done, needed, unavailable

_FIRST = b"# >>> gpu-box >>> python and pip of jobs and notebooks"
_LAST = b"# <<< gpu-box <<<"
_SOURCE = b"[ ! -r ~/.gpu-box/remote/setup/shell.sh ] || . ~/.gpu-box/remote/setup/shell.sh"
_DONE = "shells use the python of jobs and notebooks"


def check(desired: Desired) -> State:
    lacking = [path for path in _files() if not path.exists() or _block(path) not in path.read_bytes()]
    if not lacking:
        return done(_DONE)
    names = ", ".join("~/%s" % path.relative_to(HOME) for path in lacking)
    if all(_is_read_only(path) for path in lacking):
        return unavailable("%s is read-only: shells may use the system's python" % names)
    return needed("shells do not use the python of jobs: %s" % names)


def apply(desired: Desired, session: Session) -> State:
    for path in _files():
        if not _is_read_only(path):
            _put_block(path)
    return check(desired)


def without_block(text: bytes) -> bytes:
    """A start file without our block."""
    return re.sub(re.escape(_FIRST) + b"\n.*?" + re.escape(_LAST) + b"\n", b"", text, flags=re.DOTALL)


def _put_block(path: Path) -> None:
    """Add or update the block. Keeps the file's other bytes, its mode and its links."""
    there = path.read_bytes() if path.exists() else b""
    block = _block(path)
    if block in there:
        return
    real = Path(os.path.realpath(str(path)))
    mode = real.stat().st_mode & 0o7777 if real.exists() else 0o644
    real.parent.mkdir(parents=True, exist_ok=True)
    records.write_atomically(real, block + without_block(there), mode)
    real.chmod(mode)


def _block(path: Path) -> bytes:
    source = _SOURCE.replace(b".sh", b".fish") if path.suffix == ".fish" else _SOURCE
    return b"%s\n%s\n%s\n" % (_FIRST, source, _LAST)


def _files() -> List[Path]:
    """The start files: ~/.bashrc and ~/.profile, and existing files that bash would read instead."""
    files = [HOME / ".bashrc", HOME / ".profile"]
    files += [path for path in (HOME / ".bash_profile", HOME / ".bash_login") if path.exists()]
    if shutil.which("zsh"):
        files.append(HOME / ".zshenv")
    if shutil.which("fish"):
        files.append(HOME / ".config" / "fish" / "conf.d" / "gpu-box.fish")
    return files


def _is_read_only(path: Path) -> bool:
    """Whether the file cannot be written, such as home-manager's links into its store."""
    real = Path(os.path.realpath(str(path)))
    while not real.exists():
        real = real.parent
    return not os.access(str(real), os.W_OK)


STEP = Step("shell", check, apply)
