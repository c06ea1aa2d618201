"""Addresses of packages that have a name and a password, or a token, in them.

uv starts git with the whole address as an argument, which all users of the machine can read. So git gets them
from private files instead (https://git-scm.com/docs/git-credential-store, by `credential.URL.helper` of
https://git-scm.com/docs/gitcredentials and GIT_CONFIG_COUNT of https://git-scm.com/docs/git-config).
"""

import contextlib
import glob
import os
import re
import shlex
import tempfile
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Set, Tuple
from urllib.parse import quote

from setup import requirement_files, variables

_LOGIN = re.compile(r"(?<=://)[^\s/'\"]+@")
# git+https://LOGIN@HOST/PATH@REVISION#egg=NAME, without the revision. uv needs no git+ before a path that
# ends with .git, and takes any number of slashes.
_GIT = re.compile(r"(git\+|)(https?):[/\\]*([^\s/\\]+)@([^\s/\\@#?]+(?:[/\\][^\s@#?]*)?)", re.IGNORECASE)
_IN_TOML = re.compile(
    r"git(?:\+|\s*=\s*[\"'])https?:[/\\]*[^\s/\"']+@|https?:[/\\]*[^\s/\"']+@[^\s\"'@#?]+\.git\b",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"(?:^|\s)#.*")
_SIGN = re.compile(r"[\s@/?#\\]")
_COPY = "without-logins-"
_IN_MEMORY = "/dev/shm"  # no image of the disk has it, also after a set-up that was killed


def without_logins(text: str) -> str:
    """The text with **** in place of the name and password before each host, for logs and errors."""
    return _LOGIN.sub("****@", text)


def shown_by_git(project: Path) -> bool:
    """Whether this pyproject.toml has a login that uv will pass to git in an argument."""
    return project.is_file() and _IN_TOML.search(requirement_files.text_of(project)) is not None


@contextlib.contextmanager
def listed(
    packages: Sequence[str], env: Dict[str, str], file: Optional[Path] = None
) -> Iterator[Tuple[List[str], Dict[str, str]]]:
    """uv's arguments that name these packages and the requirements file, and its environment, with the user's
    variables.

    What has logins in it is in private files, which are removed afterwards.
    """
    with contextlib.ExitStack() as stack:
        memory = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=memory)))  # mode 0700
        values = {**requirement_files.values(), **env}
        logins, arguments = _Logins(values), []
        if file is not None:
            arguments += ["-r", str(_without_logins(file, logins, stack))]
        if packages:
            names = folder / "packages.txt"
            lines = [requirement_files.expanded(logins.take_from(package), values) for package in packages]
            names.write_text("\n".join(lines) + "\n", encoding="utf-8")
            arguments += ["-r", str(names)]
        yield arguments, logins.given_to_git(folder, {**variables.values(), **env})


class _Logins:
    def __init__(self, values: Dict[str, str]) -> None:
        self._values = values
        self._found: List[Tuple[str, str]] = []  # address, the same with its login

    def take_from(self, text: str) -> str:
        """The text without them. They may be in variables: ${TOKEN}, or a whole ${ADDRESS}."""
        return "\n".join(map(self._take_from_line, text.split("\n")))

    def _take_from_line(self, line: str) -> str:
        comment = _COMMENT.search(line)
        end = comment.start() if comment else len(line)
        written = _GIT.sub(self._take, line[:end])
        whole = requirement_files.expanded(written, self._values)
        taken = _GIT.sub(self._take, whole)
        return (written if taken == whole else taken) + line[end:]

    def _take(self, found: "re.Match[str]") -> str:
        prefix, scheme, login, place = found.groups()
        place = place.replace("\\", "/")
        address = "%s://%s" % (scheme.lower(), requirement_files.expanded(place, self._values))
        if not prefix and not address.lower().endswith(".git"):
            return found.group(0)  # a file, which uv gets itself
        login = requirement_files.expanded(login, self._values)
        # In the forms that git decodes: it takes what is before a second colon for a scheme.
        user, _, password = _SIGN.sub(lambda sign: quote(sign.group(), safe=""), login).partition(":")
        password = password.replace(":", "%3A")
        with_login = address.replace("://", "://%s:%s@" % (user, password), 1)
        self._found.append((address, with_login))
        return "%s%s://%s" % (prefix, scheme, place)

    def given_to_git(self, folder: Path, env: Dict[str, str]) -> Dict[str, str]:
        if not self._found:
            return env
        everything = folder / "logins"  # also for a submodule on the same host
        everything.write_text("".join(line + "\n" for _, line in self._found), encoding="utf-8")
        settings = [("credential.helper", "store --file=%s" % everything)]
        # Git takes the last that matches, also by the beginning of the path: the longest must win.
        for number, (address, line) in enumerate(sorted(self._found, key=lambda each: len(each[0]))):
            own = folder / ("login-%d" % number)
            own.write_text(line + "\n", encoding="utf-8")
            key = "credential.%s.helper" % address
            settings += [(key, ""), (key, "store --file=%s" % own)]  # this one instead of all others
        first = int(env.get("GIT_CONFIG_COUNT") or os.environ.get("GIT_CONFIG_COUNT") or 0)
        for number, (key, value) in enumerate(settings, start=first):
            env["GIT_CONFIG_KEY_%d" % number], env["GIT_CONFIG_VALUE_%d" % number] = key, value
        return {**env, "GIT_CONFIG_COUNT": str(first + len(settings))}


def _without_logins(file: Path, logins: _Logins, stack: contextlib.ExitStack) -> Path:
    """The requirements file itself, or a copy beside it, where relative paths mean the same."""
    texts = {path: requirement_files.text_of(path) for path in requirement_files.with_included(file)}
    for path in texts:
        for left in path.parent.glob("%s????????-%s" % (_COPY, glob.escape(path.name))):
            left.unlink()  # of a set-up that was killed
    without = {path: logins.take_from(text) for path, text in texts.items()}
    changed = {path for path, text in texts.items() if without[path] != text}
    if not changed:
        return file
    size = 0
    while len(changed) > size:  # also the files that include them
        size = len(changed)
        changed |= {path for path, text in texts.items() if changed & _included(path, text)}
    copies = {path: stack.enter_context(_copy(path)) for path in changed}
    for path, copy in copies.items():

        def redirect(found: "re.Match[str]", by: Path = path) -> str:
            other = copies.get(requirement_files.included(by, found.group(2)))
            return found.group(1) + shlex.quote(str(other)) if other else found.group(0)

        copy.write_text(requirement_files.INCLUDE.sub(redirect, without[path]), encoding="utf-8")
    return copies[file]


def _included(path: Path, text: str) -> Set[Path]:
    return {requirement_files.included(path, name) for _, name in requirement_files.INCLUDE.findall(text)}


@contextlib.contextmanager
def _copy(path: Path) -> Iterator[Path]:
    number, name = tempfile.mkstemp(dir=str(path.parent), prefix=_COPY, suffix="-" + path.name)
    os.close(number)
    try:
        yield Path(name)
    finally:
        os.unlink(name)
