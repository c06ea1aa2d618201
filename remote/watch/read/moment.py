"""Parses ISO 8601 times. Avoids `datetime` and `time.strptime`, which cost megabytes of memory."""

import re


def unix_time(stamp: str) -> float:
    """ "2026-01-01T02:03:04Z" (UTC) -> Unix time in whole seconds. Raises ValueError for other texts."""
    year, month, day, hour, minute, second = (int(part) for part in re.split("[-T:]", stamp[:19]))
    # Days since 1970-01-01; the year is counted from March, so that a leap day comes last.
    shifted = year - (month < 3)
    days = 365 * shifted + shifted // 4 - shifted // 100 + shifted // 400
    days += (153 * ((month + 9) % 12) + 2) // 5 + day - 719469
    return ((days * 24 + hour) * 60 + minute) * 60 + second
