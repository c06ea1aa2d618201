"""What a mistyped word was meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_MOST = 3


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """The known words closest to it, the best first: those a slip away (us-esat-1: us-east-1), else those
    that begin with it, else alike.
    """
    names, typed = list(dict.fromkeys(known)), word.casefold().strip()
    slips = {name: _distance(typed, name.casefold()) for name in names}
    least = min(slips.values(), default=9)
    if least <= 1:
        return [name for name in names if slips[name] == least][:_MOST]
    begun = [name for name in names if typed and name.casefold().startswith(typed)]
    return begun[:_MOST] or get_close_matches(typed, names, n=_MOST)


def _distance(a: str, b: str) -> int:
    """Letters inserted, left out, replaced, or swapped with their neighbour (Damerau, Levenshtein)."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        older, before, row = before, row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y)))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                row[j] = min(row[j], older[j - 2] + 1)
    return row[-1]


def meant(word: str, known: Iterable[str]) -> str:
    """A sentence behind others, or ""."""
    near = nearest(word, known)
    return f" Did you mean {' or '.join(near)}?" if near else ""
