"""Lines of `tunnel`, `jupyter` and `open`."""

from __future__ import annotations

from collections.abc import Iterable

from gpu_box.model.results import EditorOpened, Forwarded


def forwarded_lines(ports: Iterable[Forwarded]) -> list[str]:
    return [_line(one) for one in ports]


def opened_lines(opened: EditorOpened) -> list[str]:
    where = f"host {opened.host} (in ~/.ssh/config), folder {opened.folder}"
    if opened.editor is None:
        first = f"No editor is installed here (code, cursor or zed). In yours, open {where}."
    else:
        first = f"{opened.editor} opens {where}."
    if not opened.python or opened.preset:
        return [first]
    return [first, f"Python of jobs and notebooks: {opened.python}"]


def taken_line(one: Forwarded) -> str:
    """Empty if it has the port that was asked for."""
    return f"port {one.taken} is taken on this laptop" if one.taken else ""


def _line(one: Forwarded) -> str:
    program = f", {one.program}" if one.program else ""
    taken = f" ({taken_line(one)})" if one.taken else ""
    return f"127.0.0.1:{one.local_port} forwards to port {one.port} of the box{program}{taken}."
