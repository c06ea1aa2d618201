"""What a row of the table of AWS's refusals is; see `refusals`."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_box.errors import CloudError


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A row: the refusals it matches, and what the user reads.

    codes, words, operations: regular expressions; `words` is searched in AWS's message, the others match in
    full. what, remedy: for str.format, with the named groups of `words`, `operation` and `url` (the first in
    the message). AWS's own message and code follow `what`.
    """

    codes: str
    what: str
    remedy: str
    words: str = ""
    operations: str = ".*"
    kind: type[CloudError] = CloudError


SUPPORT = "https://support.console.aws.amazon.com/support"
