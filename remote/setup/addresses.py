"""Addresses of packages that have a name and a password, or a token, in them.

uv starts git with the whole address as an argument, so git gets them from a private file instead
(https://git-scm.com/docs/git-credential-store; GIT_CONFIG_COUNT: https://git-scm.com/docs/git-config).
"""

import contextlib
import re
import tempfile
from pathlib import Path
from string import Template
from typing import Dict, Iterator, List, Sequence, Tuple

from setup import variables

_LOGIN = re.compile(r"(?<=://)[^\s/@'\"]+@")
_GIT = re.compile(r"(git\+)(https?://)([^\s/@]+)@([^\s/]+)")


def without_logins(text: str) -> str:
    """The text with **** in place of each name and password, as uv writes it."""
    return _LOGIN.sub("****@", text)


@contextlib.contextmanager
def listed(packages: Sequence[str], env: Dict[str, str]) -> Iterator[Tuple[List[str], Dict[str, str]]]:
    """uv's arguments that name these packages, and its environment, with the user's variables.

    The packages are in a private file, which is removed afterwards: no image has it.
    """
    values = variables.values()
    env = {**values, **env}
    if not packages:
        yield [], env
        return
    with tempfile.TemporaryDirectory() as folder:  # mode 0700
        logins, names = Path(folder) / "logins", Path(folder) / "packages.txt"
        kept: List[str] = []

        def keep(found: "re.Match[str]") -> str:
            user, _, password = found.group(3).partition(":")
            kept.append("%s%s:%s@%s" % (found.group(2), user, password, found.group(4)))
            return found.group(1) + found.group(2) + found.group(4)

        lines = [_GIT.sub(keep, Template(package).safe_substitute(values)) for package in packages]
        names.write_text("\n".join(lines) + "\n", encoding="utf-8")
        if kept:
            logins.write_text("\n".join(kept) + "\n", encoding="utf-8")
            setting = "store --file=" + str(logins)
            env.update(GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="credential.helper", GIT_CONFIG_VALUE_0=setting)
        yield ["-r", str(names)], env
