"""`run NOTEBOOK.ipynb`: the job that executes a notebook on the box (remote/jupyter/execute.py)."""

from __future__ import annotations

import keyword
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gpu_box.box import project
from gpu_box.config.model import Config
from gpu_box.errors import InputError, MachineError
from gpu_box.machine.ssh.connection import Connection
from gpu_box.machine.ssh.shell import quote

_PYTHON = "~/.gpu-box/jupyter-venv/bin/python"
_EXECUTE = "~/.gpu-box/remote/jupyter/execute.py"
_REFUSED = 3  # exit status of `execute.py --check`; the reason is on standard error
_NO_CODE = 4  # our own: the box lacks one of the two
# A volume from a snapshot loads slowly at first (EBS User Guide, "Initialize Amazon EBS volumes").
_CHECKED_WITHIN_S = 300.0


@dataclass(frozen=True)
class Notebook:
    path: PurePosixPath  # below ~/work
    parameters: tuple[str, ...]  # NAME=VALUE

    @property
    def line(self) -> str:
        """The job's command line, in ~/work."""
        return f"exec {quote(_PYTHON, _EXECUTE)} {self._words}"

    @property
    def _words(self) -> str:
        return shlex.join([str(self.path), *(word for each in self.parameters for word in ("-p", each))])

    def check(self, connection: Connection) -> None:
        """Raise InputError for what would stop it at once: no such notebook or kernel."""
        result = connection.run(
            f"[ -x {quote(_PYTHON)} ] && [ -f {quote(_EXECUTE)} ] || exit {_NO_CODE}; "
            f"cd {quote(project.WORK)} && exec {quote(_PYTHON, _EXECUTE)} --check {self._words}",
            check=False,
            timeout_s=_CHECKED_WITHIN_S,
        )
        if result.exit_status == _REFUSED:
            raise InputError(result.said)
        if result.exit_status == _NO_CODE:
            raise MachineError("JupyterLab is not set up on this box yet", remedy="`gpu-box up` finishes it.")
        if result.exit_status:
            raise MachineError(f"the notebook cannot be checked: {result.said}", where=connection.host.name)


def requested(config: Config, command: Sequence[str], parameters: Sequence[str]) -> Notebook | None:
    """The notebook that the command names; None for any other command.

    parameters: NAME=VALUE, which may also follow the notebook as `-p NAME=VALUE`. Raises InputError.
    """
    if not command:
        raise InputError(
            "there is no command", where="run", remedy="`gpu-box run -- python train.py`, for example."
        )
    word, *rest = command
    # Words with blanks are a shell's command line, or the name of a file that is here.
    if not word.lower().endswith(".ipynb") or (len(word.split()) > 1 and not _is_here(config, word)):
        if parameters:
            raise InputError(
                "-p sets parameters of a notebook, and this command is none",
                where=word,
                remedy="`gpu-box run lesson1.ipynb -p epochs=3`, for example.",
            )
        return None
    return Notebook(_below_work(config, word), tuple(map(_checked, [*parameters, *_trailing(rest)])))


def _trailing(words: Sequence[str]) -> list[str]:
    found, left = [], list(words)
    while left:
        word = left.pop(0)
        if word == "-p" and left:
            found.append(left.pop(0))
        elif word.startswith("-p") and len(word) > 2:
            found.append(word[2:])
        else:
            raise InputError(
                "only `-p NAME=VALUE` can follow a notebook",
                where=word,
                remedy="`gpu-box run lesson1.ipynb -p epochs=3`, for example.",
            )
    return found


def _checked(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    if not equals or not name.isidentifier() or keyword.iskeyword(name):
        raise InputError(
            "not a notebook's parameter", where=f"-p {parameter}", remedy="Write it as -p NAME=VALUE."
        )
    return parameter


def _below_work(config: Config, word: str) -> PurePosixPath:
    path = Path(word)
    source = project.folder(config)
    if path.is_absolute() and source is not None and path.is_relative_to(source):
        path = path.relative_to(source)
    if path.is_absolute() or ".." in path.parts:
        raise InputError(
            "the notebook must be in your project, which is ~/work on the box",
            where=word,
            remedy="Give its path in there: `gpu-box run notebooks/lesson1.ipynb`, for example.",
        )
    return PurePosixPath(path)


def _is_here(config: Config, word: str) -> bool:
    source = project.folder(config)
    with suppress(OSError):  # too long for a file's name
        return source is not None and (source / word).is_file()
    return False
