"""Patterns as git reads them in a .gitignore (gitignore(5); wildmatch.c), matched in bounded time.

A pattern becomes a regular expression that takes the first match of each part between two `*` and never
looks for another: that finds every match, because the parts in between are free, and takes no longer than
the pattern's length times the path's. The usual translation (`*` as `[^/]*`) takes years for some patterns
that anybody may put into a project.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

_CLASSES = {
    b"alnum": b"0-9A-Za-z", b"alpha": b"A-Za-z", b"blank": b" \\t", b"cntrl": b"\\x00-\\x1f\\x7f",
    b"digit": b"0-9", b"graph": b"!-~", b"lower": b"a-z", b"print": b" -~",
    b"punct": b"!-/:-@\\[-`{-~", b"space": b" \\t\\n\\r\\f\\v", b"upper": b"A-Z", b"xdigit": b"0-9A-Fa-f",
}  # fmt: skip
_NOTHING = b"(?!)"
_ONE = b"[^/]"
_SPECIAL = frozenset(b"*?[\\")


@dataclass(frozen=True)
class _Pattern:
    includes: bool  # begins with "!": not ignored after all
    folders: bool  # ends with "/": for folders only
    whole: bool  # matches the path, not only its last part
    text: bytes  # without all that
    regex: bytes

    def matches(self, path: bytes, *, folder: bool) -> bool:
        if self.folders and not folder:
            return False
        name = path if self.whole else path.rpartition(b"/")[2]
        return re.compile(self.regex, re.DOTALL).fullmatch(name) is not None


class _Quick:
    """Whether a pattern may match, most often without a regular expression."""

    def __init__(self, patterns: Iterable[_Pattern]) -> None:
        self._literal: set[str] = set()  # names, and paths
        endings, others = [], []
        for pattern in patterns:
            if not _SPECIAL & set(pattern.text):
                self._literal.add(os.fsdecode(pattern.text))
            elif (
                pattern.text[:1] == b"*"
                and pattern.text.isascii()
                and not (_SPECIAL | {ord("/")}) & set(pattern.text[1:])
            ):
                endings.append(os.fsdecode(pattern.text[1:]))
            else:
                others.append(b"(?:%s)" % (pattern.regex if pattern.whole else b"(?:.*/)?" + pattern.regex))
        self._endings = tuple(endings)
        self._others = re.compile(b"|".join(others), re.DOTALL) if others else None

    def may_match(self, path: str, name: str) -> bool:
        return (
            name in self._literal
            or path in self._literal
            or path.endswith(self._endings)
            or (self._others is not None and self._others.fullmatch(os.fsencode(path)) is not None)
        )


@dataclass(frozen=True)
class Patterns:
    """The patterns of one file, relative to its folder. The last one that matches decides."""

    patterns: tuple[_Pattern, ...]
    _ignored: dict[str, bool] = field(default_factory=dict, compare=False)  # folders

    @classmethod
    def of(cls, lines: Iterable[str]) -> Patterns:
        """Raises ValueError for a pattern that can match nothing because it is incomplete."""
        return cls(tuple(found for line in lines if (found := _parse(os.fsencode(line)))))

    def decide(self, path: str) -> bool | None:
        """Whether they ignore the path itself; None if none matches. A folder ends with "/"."""
        folder = path.endswith("/")
        path = path.rstrip("/") if folder else path
        quick = self._for_folders if folder else self._for_files
        if quick.may_match(path, path.rpartition("/")[2]):
            whole = os.fsencode(path)
            for pattern in reversed(self.patterns):
                if pattern.matches(whole, folder=folder):
                    return not pattern.includes
        return None

    def ignores(self, path: str) -> bool:
        """Whether they ignore the path or a folder that it is in. A folder ends with "/"."""
        return self._in_ignored(path.rstrip("/")) or bool(self.decide(path))

    def _in_ignored(self, path: str) -> bool:
        parent = path.rpartition("/")[0]
        if not parent:
            return False
        if (known := self._ignored.get(parent)) is None:
            known = self._in_ignored(parent) or bool(self.decide(f"{parent}/"))
            self._ignored[parent] = known
        return known

    @cached_property
    def _for_folders(self) -> _Quick:
        return _Quick(self.patterns)

    @cached_property
    def _for_files(self) -> _Quick:
        return _Quick(pattern for pattern in self.patterns if not pattern.folders)


def _parse(line: bytes) -> _Pattern | None:
    """None for an empty line or a comment."""
    text = _without_spaces(line)
    if not text or text.startswith(b"#"):
        return None
    includes = text.startswith(b"!")
    text = text[includes:]
    folders = text.endswith(b"/")
    text = text[:-1] if folders else text
    if not text:
        raise ValueError(f"{os.fsdecode(line)!r} names nothing")
    whole = b"/" in text
    text = text.removeprefix(b"/")
    return _Pattern(includes, folders, whole, text, _path(text))


def _without_spaces(line: bytes) -> bytes:
    """Without the spaces at the end, unless a backslash precedes them."""
    text = line.rstrip(b" ")
    slashes = len(text) - len(text.rstrip(b"\\"))
    return text + b" " if slashes % 2 and len(text) < len(line) else text


def _path(text: bytes) -> bytes:
    parts = text.split(b"/")
    runs: list[list[bytes]] = [[]]  # between two `**`
    for part in parts[:-1]:
        if len(part) > 1 and not part.strip(b"*"):
            runs.append([])
        else:
            runs[-1].append(_part(part) + b"/")
    last = parts[-1]
    inside = len(last) > 1 and not last.strip(b"*")
    runs[-1].append(b".+" if inside else _part(last))
    first, *others = [b"".join(run) for run in runs]
    if not others:
        return first
    *middle, end = others
    deep = b"".join(b"(?>(?:[^/]+/)*?%s)" % run for run in middle if run)
    return first + deep + b"(?:[^/]+/)*" + end


def _part(text: bytes) -> bytes:
    """One part of a path. Raises ValueError for an open bracket or a backslash at the end."""
    pieces: list[list[bytes]] = [[]]  # between two `*`
    at = 0
    while at < len(text):
        sign = text[at : at + 1]
        at += 1
        if sign == b"*":
            pieces.append([])
        elif sign == b"?":
            pieces[-1].append(_ONE)
        elif sign == b"[":
            one, at = _bracket(text, at)
            pieces[-1].append(one)
        else:
            if sign == b"\\":
                sign, at = _escaped(text, at)
            pieces[-1].append(re.escape(sign))
    first, *others = [b"".join(piece) for piece in pieces]
    if not others:
        return first
    *middle, end = others
    return first + b"".join(b"(?>[^/]*?%s)" % piece for piece in middle if piece) + b"[^/]*" + end


def _escaped(text: bytes, at: int) -> tuple[bytes, int]:
    if at == len(text):
        raise ValueError(f"{os.fsdecode(text)!r} ends with a backslash")
    return text[at : at + 1], at + 1


def _class_end(text: bytes, at: int) -> int:
    """The place of the `]` of a class such as `[:alpha:]`, whose `[` is before `at`; 0 if it is none."""
    end = text.find(b"]", at + 1)
    return end if text[at : at + 1] == b":" and end > at + 1 and text[end - 1 : end] == b":" else 0


def _bracket(text: bytes, at: int) -> tuple[bytes, int]:
    """The expression for what follows a `[`, and the place behind its `]`."""
    negated = text[at : at + 1] in (b"!", b"^")
    at += negated
    ranges: list[bytes] = []
    begin, previous = at, b""
    while at == begin or text[at : at + 1] != b"]":
        sign = text[at : at + 1]
        at += 1
        if not sign:
            raise ValueError(f"{os.fsdecode(text)!r} has a [ without its ]")
        if sign == b"-" and previous and text[at : at + 1] not in (b"", b"]"):
            end, at = text[at : at + 1], at + 1
            if end == b"\\":
                end, at = _escaped(text, at)
            if previous <= end:
                ranges.append(re.escape(previous) + b"-" + re.escape(end))
            previous = b""
        elif sign == b"[" and (found := _class_end(text, at)):
            name, at, previous = text[at + 1 : found - 1], found + 1, b""
            if name not in _CLASSES:
                raise ValueError(f"{os.fsdecode(text)!r} has an unknown class")
            ranges.append(_CLASSES[name])
        else:
            if sign == b"\\":
                sign, at = _escaped(text, at)
            ranges.append(re.escape(sign))
            previous = sign
    inside = b"".join(ranges)
    if negated:
        return b"[^/%s]" % inside, at + 1
    return (b"(?!/)[%s]" % inside if inside else _NOTHING), at + 1
