"""GetConsoleOutput: late, cut to 64 KB, and gone after an hour (EC2 API reference, "GetConsoleOutput").

"By default, the console output returns buffered information that was posted shortly after an instance
transition state"; the weather's delay `console` says how long after. "Available for at least one hour after
the most recent post. Only the most recent 64 KB". `Latest` reads the current console, "on instance types that
use the Nitro hypervisor".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from moto.ec2.exceptions import EC2ClientError

from local_aws.ec2 import catalogue
from local_aws.ec2.extra import extra, now
from local_aws.faults import weather

_KEPT_BYTES = 64 * 1024
_read: Callable[[str], bytes] = lambda instance_id: b""  # noqa: E731


def read_consoles_with(read: Callable[[str], bytes]) -> None:
    """Set the function that reads a machine's console."""
    global _read
    _read = read


def output(instance: Any, *, latest: bool) -> bytes:
    if latest:
        if not catalogue.is_nitro(instance.instance_type):
            raise EC2ClientError(
                "UnsupportedOperation",
                "This instance type does not support retrieving the latest console logs.",
            )
        return b"" if _is_gone(instance) else _screen(instance)
    mark = extra(instance)
    late = bool(weather().delay("console"))
    if late:
        kept = mark.posted_at and now() - mark.posted_at <= weather().delay("console-kept")
        return mark.posted if kept else b""
    return b"" if _is_gone(instance) else _screen(instance)


def updated(instance: Any, *, latest: bool) -> datetime:
    """When the output was last updated."""
    mark = extra(instance)
    return now() if latest else mark.posted_at or mark.changed or now()


def changed(instance: Any) -> None:
    """The instance's state changed: AWS posts the console some time later."""
    mark = extra(instance)
    mark.changed = now()
    mark.post_due = now() + weather().delay("console")


def settle(backend: Any) -> bool:
    """Post the consoles that are due. Returns whether any was."""
    due = [i for i in backend.all_instances() if (at := extra(i).post_due) and at <= now()]
    for instance in due:
        mark = extra(instance)
        mark.posted, mark.posted_at, mark.post_due = _screen(instance), now(), None
    return bool(due)


def next_due(backend: Any) -> Iterable[datetime]:
    return (at for instance in backend.all_instances() if (at := extra(instance).post_due))


def _screen(instance: Any) -> bytes:
    return _read(instance.id)[-_KEPT_BYTES:]


def _is_gone(instance: Any) -> bool:
    at = extra(instance).changed
    ended = instance.state in ("stopped", "terminated")
    return bool(ended and at and now() - at > weather().delay("console-kept"))
