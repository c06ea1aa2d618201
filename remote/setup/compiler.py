"""Installs a C compiler and Python's headers, which Triton (for torch.compile) needs."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import List

from setup import apt
from setup.session import Failed, Session


def missing(python: Path) -> List[str]:
    """The distribution packages that Triton lacks under this interpreter."""
    packages: List[str] = []
    # Triton's search: runtime/build.py.
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        packages += ["gcc", "libc6-dev"]
    code = "import sys, sysconfig as s; v = sys.version_info; "
    code += "print(s.get_paths()['include'], 'python%d.%d-dev' % v[:2])"
    answer = subprocess.run([str(python), "-c", code], stdout=subprocess.PIPE).stdout.decode().split()
    # uv's Pythons include their headers.
    if len(answer) == 2 and answer[0].startswith("/usr/include") and not Path(answer[0], "Python.h").exists():
        packages.append(answer[1])
    return packages


def ensure(session: Session, python: Path) -> None:
    """Install the missing packages. A failure is only noted: vgg16 then runs uncompiled."""
    packages = missing(python)
    if not packages:
        return
    names = " ".join(packages)
    if not apt.usable():
        session.note("torch.compile needs %s, which cannot be installed here" % names)
        return
    session.say("installing %s, for torch.compile" % names)
    try:
        apt.install(session, *packages)
    except Failed as problem:
        session.note("torch.compile needs %s: %s" % (names, str(problem).splitlines()[-1]))
