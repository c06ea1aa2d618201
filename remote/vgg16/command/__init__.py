"""What the command line shows (here) and what its options take (`values`). Standard library only."""

from __future__ import annotations

import re

# C0 and C1 controls; line separators; bidirectional controls (CVE-2021-42574); halves of surrogate pairs,
# which Python makes of names that are no UTF-8 and cannot print; tags, which no font shows.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    r"""As one line, in which no file's name moves the cursor or begins an `@progress` line: ESC is \x1b."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)
