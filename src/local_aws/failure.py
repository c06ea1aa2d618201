"""The embedded cloud's error for the person who started it. Standard library alone."""

from __future__ import annotations


class Failure(Exception):
    """what: one line, no full stop. where: a file or setting. remedy: a full sentence.

    bad_input: the person gave an invalid setting; otherwise the embedded cloud failed.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "", bad_input: bool = False) -> None:
        super().__init__(what)
        self.what, self.where, self.remedy, self.bad_input = what, where, remedy, bad_input

    def __str__(self) -> str:
        located = f"{self.where}: {self.what}" if self.where else self.what
        return f"{located}. {self.remedy}" if self.remedy else located
