"""The code blocks of README, CONTRIBUTING and the documentation, and what a page says is not run.

In a `console` block, `$ ` begins what is typed on the laptop, `ubuntu@gpu-box:~$ ` what is typed on the box.
HTML comments right before a block name what no test here runs, and why:

    <!-- not run: REASON -->            all of it
    <!-- not run (aws c): REASON -->    its commands that begin so
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.paths import ROOT

BOX = "ubuntu@gpu-box:~$ "
COMMANDS = ("console", "sh", "bash", "python")
OTHERS = ("text", "yaml", "json", "toml")
_COMMENT = re.compile(r"<!-- not run(?: \((.+?)\))?: (.+?) -->")


@dataclass(frozen=True)
class Command:
    line: int  # from 1
    text: str
    on_box: bool
    why_not: str | None  # it is run, if None


@dataclass(frozen=True)
class Block:
    page: str
    line: int  # the line of its first fence
    language: str
    body: str
    why_not: dict[str, str]  # beginning of a command ("": any) -> reason

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[Command]:
        """Each command without its remark. A block that is not a console's is one command."""
        if self.language != "console":
            return [Command(self.line, self.body, self.language == "python", self._reason(self.body))]
        found = []
        for number, line in enumerate(self.body.splitlines(), start=self.line + 1):
            for prompt in ("$ ", BOX):
                if line.startswith(prompt):
                    text = re.sub(r"\s+#\s.*$", "", line.removeprefix(prompt)).strip()
                    found.append(Command(number, text, prompt == BOX, self._reason(text)))
        return found

    def _reason(self, command: str) -> str | None:
        return next((why for start, why in self.why_not.items() if command.startswith(start)), None)


def blocks(page: str, text: str) -> Iterator[Block]:
    why_not: dict[str, str] = {}
    begun: tuple[int, str] | None = None
    body: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if begun is None:
            comment = _COMMENT.fullmatch(line)
            if line.startswith("```"):
                begun, body = (number, line.removeprefix("```").strip()), []
            elif comment:
                why_not[comment[1] or ""] = comment[2]
            else:
                why_not = {}
        elif line == "```":
            yield Block(page, *begun, "\n".join(body) + "\n", why_not)
            begun, why_not = None, {}
        else:
            body.append(line)
    assert begun is None, f"{page}:{begun}: a block without an end"


def written() -> dict[str, list[Block]]:
    """The blocks of each hand-written page, in the order in which they are run."""
    paths = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    names = [str(path.relative_to(ROOT)) for path in paths]
    return {name: list(blocks(name, (ROOT / name).read_text(encoding="utf-8"))) for name in names}


def generated() -> dict[str, list[Block]]:
    """The blocks of each page that docs/pages.py generates; its front page is the README."""
    spec = importlib.util.spec_from_file_location("pages", ROOT / "docs" / "pages.py")
    assert spec and spec.loader
    pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pages)
    texts = {"config.md": pages.config_page(), "json.md": pages.json_page()}
    texts |= {f"commands/{name}.md": pages.command_page(name, one) for name, one in pages.commands()}
    return {name: list(blocks(name, text)) for name, text in texts.items()}
