"""python and pip in the user's shells: those of jobs and notebooks, by a marked block in their start files.

On top, because Debian's and Ubuntu's ~/.bashrc returns early in a shell that is not interactive, and so that
whatever the user activates further down comes before ours. Not links in /usr/local/bin: root's PATH has that
folder too, and the system's own tools must keep the system's Python.

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
_DONE = "python there is that of jobs and notebooks"


def check(desired: Desired) -> State:
    lacking = [path for path in _files() if not path.exists() or _block(path) not in path.read_bytes()]
    if not lacking:
        return done(_DONE)
    names = ", ".join("~/%s" % path.relative_to(HOME) for path in lacking)
    if all(_is_read_only(path) for path in lacking):
        return unavailable("%s cannot be written: python may be the system's in shells" % names)
    return needed("python in shells is not that of jobs: %s" % names)


def apply(desired: Desired, session: Session) -> State:
    for path in _files():
        if not _is_read_only(path):
            _put_block(path)
    return check(desired)


def without_block(text: bytes) -> bytes:
    """A start file as the user wrote it."""
    return re.sub(re.escape(_FIRST) + b"\n.*?" + re.escape(_LAST) + b"\n", b"", text, flags=re.DOTALL)


def _put_block(path: Path) -> None:
    """Changes nothing but the block: neither the file's other bytes nor its mode; a link stays one."""
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
    """~/.bashrc and ~/.profile, made if missing; another login file of bash, which would be read instead."""
    files = [HOME / ".bashrc", HOME / ".profile"]
    files += [path for path in (HOME / ".bash_profile", HOME / ".bash_login") if path.exists()]
    if shutil.which("zsh"):
        files.append(HOME / ".zshenv")
    if shutil.which("fish"):
        files.append(HOME / ".config" / "fish" / "conf.d" / "gpu-box.fish")
    return files


def _is_read_only(path: Path) -> bool:
    """Such as a link into a store of packages, as home-manager makes them."""
    real = Path(os.path.realpath(str(path)))
    while not real.exists():
        real = real.parent
    return not os.access(str(real), os.W_OK)


STEP = Step("shell", check, apply)
