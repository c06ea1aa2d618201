"""The few error types. Each says what is wrong, where, and what to do about it.

    GpuBoxError                 exit 1
    ├── InputError              exit 2   what the user typed or wrote; no AWS call was made
    │   └── ConfigError                  every problem of a config.yaml at once
    ├── CloudError                       AWS said no
    │   ├── CredentialsError             none, expired, or not accepted
    │   ├── PermissionDenied             the caller may not do this
    │   ├── CapacityError                AWS has none of that type there now
    │   ├── QuotaError                   the account may not have that many
    │   └── CloudUnreachable             no answer from the endpoint
    └── MachineError                     the machine said no
        ├── MachineUnreachable           no SSH connection, or it broke
        ├── HostKeyChanged               somebody else answers at that address
        └── StepFailed                   a set-up step did not finish

Raised where the cause is known and worded for the one who types; caught once, in `cli`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# C0 and C1 controls but newline and tab; line separators; what turns the direction of text (CVE-2021-42574).
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""Text from elsewhere that a terminal shows and does not obey: ESC becomes \x1b."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


class GpuBoxError(Exception):
    """Base of everything that `cli` turns into one line and an exit code.

    what:   what is wrong, one line, no full stop
    where:  file and key, instance id, command: whatever locates it
    remedy: what the user can do now, a full sentence

    All three are made printable: they may quote what a box, a file or AWS said.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, remedy: str | None = None) -> None:
        self.what = printable(what)
        self.where = None if where is None else printable(where)
        self.remedy = None if remedy is None else printable(remedy)
        super().__init__(self.what)

    def __str__(self) -> str:
        located = f"{self.where}: {self.what}" if self.where else self.what
        if not self.remedy:
            return located
        return f"{located}{'' if located.endswith(('.', '?', '!')) else '.'} {self.remedy}"


class InputError(GpuBoxError):
    exit_code = 2


class Unanswered(Exception):
    """Ctrl-C or Ctrl-D at a question, before anything was begun."""


class ConfigError(InputError):
    """All problems of one config file, in file order; each is a line of its own."""

    def __init__(self, problems: Sequence[str], *, where: str) -> None:
        super().__init__(problems[0] if len(problems) == 1 else f"{len(problems)} problems", where=where)
        self.problems = tuple(printable(problem) for problem in problems)

    def __str__(self) -> str:
        return "\n".join(f"{self.where}: {problem}" for problem in self.problems)


class CloudError(GpuBoxError):
    """AWS refused. `code` is AWS's own error code where there was one."""

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
    """As it is said before a launch, and where AWS says it."""
    return InputError(
        f"the disk is too small: this image needs {least_gib} GiB",
        where="disk.size_gib",
        remedy=f"Set disk.size_gib to {least_gib} or more.",
    )
