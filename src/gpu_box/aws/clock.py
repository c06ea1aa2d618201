"""This computer's clock beside AWS's, by the Date header of an answer."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from gpu_box.units import format_duration

# AWS refuses a request signed more than 5 minutes off (IAM User Guide, "Signature Version 4"); deadlines use
# this clock, so the limit is tighter.
_OFF = timedelta(seconds=60)
REMEDY = "Synchronize it (`sudo timedatectl set-ntp true`)"


def off(sent: datetime, received: datetime, dated: str) -> str:
    """How far this clock is off ("this computer's clock is 7 min behind AWS's"), or "" for a minute or less.

    sent, received: this clock's times, aware. dated: the header, in whole seconds. Raises ValueError,
    TypeError or OverflowError for none, or a proxy's.
    """
    theirs = parsedate_to_datetime(dated)
    early, late = theirs - received, theirs + timedelta(seconds=1) - sent
    least = max(early, -late, timedelta(0))  # the smallest possible, without the travel time
    if least <= _OFF:
        return ""
    which = "behind" if early > -late else "ahead of"
    return f"this computer's clock is {format_duration(least)} {which} AWS's"


def off_now(dated: str) -> str:
    """The same for an answer that has just come; "" without a date."""
    now = datetime.now(UTC)
    with suppress(ValueError, TypeError, OverflowError):
        return off(now, now, dated)
    return ""
