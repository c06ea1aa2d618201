"""Replaces one section of a Markdown page and keeps the others."""

from __future__ import annotations

from collections.abc import Sequence


def with_section(
    page: str, section: str, *, order: Sequence[str] | None = None, head: str | None = None
) -> str:
    """Replace the section with the same "## Title", or append it. Returns the page.

    order: keep only sections with these titles, in this order. head: replaces the text above the first
    section.
    """
    above, *sections = ("\n" + page).split("\n## ")
    kept = {_title(each): each for each in sections} | {_title(section): section.removeprefix("## ")}
    chosen = list(kept) if order is None else [title for title in order if title in kept]
    pieces = [above if head is None else head, *("## " + kept[title] for title in chosen)]
    return "\n\n".join(piece.strip() for piece in pieces if piece.strip()) + "\n"


def section_of(page: str, title: str) -> str:
    """The section with that title, or ""."""
    sections = ("\n" + page).split("\n## ")[1:]
    return next(("## " + each for each in sections if _title(each) == title), "")


def _title(section: str) -> str:
    return section.partition("\n")[0].removeprefix("## ").strip()
