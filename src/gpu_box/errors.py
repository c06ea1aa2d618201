"""The error types. Each error says what is wrong, where, and what to do about it.

    GpuBoxError                 exit 1
    ├── InputError              exit 2   invalid input; no AWS call was made
    │   └── ConfigError                  every problem of a config.yaml at once
    ├── CloudError                       AWS refused
    │   ├── CredentialsError             missing, expired or rejected
    │   ├── PermissionDenied             the caller lacks a permission
    │   ├── CapacityError                AWS has no capacity for that type there now
    │   ├── UnsupportedError             AWS does not offer that combination there
    │   ├── QuotaError                   a quota of the account is exhausted
    │   └── CloudUnreachable             no answer from the endpoint
    ├── Interrupted         exit 130     Ctrl-C; only of the command line
    └── MachineError                     the machine refused
        ├── MachineUnreachable           no SSH connection, or it broke
        ├── HostKeyChanged               another machine answers at that address
        └── StepFailed                   a set-up step did not finish

Errors are raised where the cause is known, worded for the user, and caught once, in `cli`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# C0 and C1 controls except newline and tab; line separators; bidirectional controls (CVE-2021-42574);
# halves of surrogate pairs, which no encoding can write; tags, which no font shows.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    r"""Escape control characters of untrusted text for the terminal: ESC becomes \x1b."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def one_line(text: object) -> str:
    r"""The same for a path in a message, which may have a newline in it: \n."""
    return printable(str(text)).replace("\n", "\\n").replace("\t", "\\t")


class GpuBoxError(Exception):
    """Base of every error that `cli` turns into one line and an exit code.

    what:   what is wrong, one line, no full stop
    where:  file and key, instance id or command that locates it
    remedy: what the user can do now, a full sentence

    All three are made printable, because they may quote a box, a file or AWS.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, remedy: str | None = None) -> None:
        self.what = printable(what)
        self.where = None if where is None else one_line(where)
        self.remedy = None if remedy is None else printable(remedy)
        super().__init__(self.what)

    def __str__(self) -> str:
        located = f"{self.where}: {self.what}" if self.where else self.what
        if not self.remedy:
            return located
        return f"{located}{'' if located.endswith(('.', '?', '!')) else '.'} {self.remedy}"


class InputError(GpuBoxError):
    """Its `what` stays on one line: it may quote a name or a value with a newline in it."""

    exit_code = 2

    def __init__(self, what: str, *, where: str | None = None, remedy: str | None = None) -> None:
        super().__init__(one_line(what), where=where, remedy=remedy)


class Interrupted(GpuBoxError):
    """Ctrl-C. what: what it leaves behind. job: the job on the box that the command had to do with."""

    exit_code = 130

    def __init__(self, what: str, *, remedy: str | None = None, job: str | None = None) -> None:
        super().__init__(what, remedy=remedy)
        self.job = job


class Unanswered(Exception):
    """Ctrl-C or Ctrl-D at a question, before anything was changed."""


class ReaderGone(Exception):
    """The reader of our output went away (`gpu-box logs | head -1`). Not an OSError, so it is never
    mistaken for a broken link or an unreadable file.
    """


class ConfigError(InputError):
    """All problems of one config file, in file order, one line each."""

    def __init__(self, problems: Sequence[str], *, where: str) -> None:
        super().__init__(problems[0] if len(problems) == 1 else f"{len(problems)} problems", where=where)
        self.problems = tuple(map(one_line, problems))

    def __str__(self) -> str:
        return "\n".join(f"{self.where}: {problem}" for problem in self.problems)


class CloudError(GpuBoxError):
    """AWS refused. `code` is AWS's error code, or "" if there is none."""

    def __init__(
        self, what: str, *, code: str = "", where: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.code = code


class CredentialsError(CloudError):
    pass


class PermissionDenied(CloudError):
    pass


class CapacityError(CloudError):
    pass


class UnsupportedError(CloudError):
    pass


class QuotaError(CloudError):
    pass


class CloudUnreachable(CloudError):
    pass


class MachineError(GpuBoxError):
    pass


class MachineUnreachable(MachineError):
    pass


class HostKeyChanged(MachineError):
    pass


class StepFailed(MachineError):
    pass


def disk_too_small(least_gib: int) -> InputError:
    """The error both before a launch and when AWS refuses one."""
    return InputError(
        f"the disk is too small: this image needs {least_gib} GiB",
        where="disk.size_gib",
        remedy=f"Set disk.size_gib to {least_gib} or more.",
    )
