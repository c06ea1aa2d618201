"""A moment as the JSON of others writes it. `datetime` and `time.strptime` would cost a watcher megabytes."""

import re


def unix_time(stamp: str) -> float:
    """Of "2026-01-01T02:03:04Z", UTC, fractions of a second left out. ValueError where it is no such time."""
    year, month, day, hour, minute, second = (int(part) for part in re.split("[-T:]", stamp[:19]))
    # Days since 1970-01-01 in the Gregorian calendar, its year counted from March (so that February is last).
    shifted = year - (month < 3)
    days = 365 * shifted + shifted // 4 - shifted // 100 + shifted // 400
    days += (153 * ((month + 9) % 12) + 2) // 5 + day - 719469
    return ((days * 24 + hour) * 60 + minute) * 60 + second
