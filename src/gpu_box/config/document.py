"""A config file as YAML nodes: one plain document, or a clear error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from gpu_box.errors import ConfigError

NULL_TAG = "tag:yaml.org,2002:null"
# A config has a few hundred lines and three levels. More is another kind of file, or an attack on the parser.
MOST_BYTES = 64_000
_MOST_LEVELS = 20
MOST_PROBLEMS = 20  # that are reported at once; each may take time to word
MORE = "there are more problems; correct these first"
# A value behind `key:`, `-`, `[` or `,` that begins with one of YAML's own signs.
_LINE_END = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # as PyYAML counts lines
_SIGN = re.compile(r"(?:[\[,]\s*|:\s+|-\s+)([*!&%@`][^\s,\]}]*|[>|][^\s,\]}+0-9-][^\s,\]}]*)")
_PLAINER = {
    "found unexpected end of stream": "the file ends inside a quoted text",
    "found unexpected document separator": "a line that begins with --- or ... inside a quoted text",
}


def compose(content: bytes, path: Path) -> Any:
    """The YAML as nodes, which keep their text and position; no YAML types are constructed."""
    import yaml

    if len(content) > MOST_BYTES:
        raise ConfigError(["is larger than a config can be (64 kB)"], where=str(path))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"line {line}: not UTF-8 text"], where=str(path)) from None
    try:
        problems = list(islice(_beyond_a_config(text), MOST_PROBLEMS))
        problems += [MORE] if len(problems) == MOST_PROBLEMS else []
        node = None if problems else yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what = f"line {line}: the character {text[error.position]!a} is not allowed in YAML"
        raise ConfigError([what], where=str(path)) from None
    except yaml.MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        at = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError([f"{at}broken YAML: {_in_words(error)}"], where=str(path)) from None
    if problems:
        raise ConfigError(problems, where=str(path))
    if node is None or node.tag == NULL_TAG:
        raise ConfigError(["is empty; remove it, or write one with `gpu-box init --force`"], where=str(path))
    return node


def _beyond_a_config(text: str) -> Iterator[str]:
    """Refuse YAML features that a config does not need. Raises YAMLError."""
    import yaml

    documents = levels = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        mark: Any = event.start_mark
        at = f"line {mark.line + 1}"
        documents += isinstance(event, yaml.DocumentStartEvent)
        levels += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if documents > 1:
            yield f"{at}: a second document begins (---); a config has only one"
            return
        if levels > _MOST_LEVELS:  # stop here: parsing time grows quadratically
            yield f"{at}: nested too deeply"
            return
        if isinstance(event, yaml.AliasEvent):
            yield f"{at}: aliases (*{event.anchor}) are not supported; write out the value, or quote it"
        elif isinstance(event, yaml.NodeEvent) and event.anchor:
            yield f"{at}: anchors (&{event.anchor}) are not supported; remove it, or quote the value"
        elif isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)) and event.tag:
            tag = shown(event.tag.replace("tag:yaml.org,2002:", "!!"))
            yield f"{at}: tags ({tag}) are not supported; remove it, or quote the value"


def _in_words(error: Any) -> str:
    """YAML's message, and the most common cause."""
    problem = str(error.problem or error.context or "cannot be read")
    problem = _PLAINER.get(problem, problem)
    if "'\\t'" in problem:
        return "a tab; YAML is indented with spaces"
    if problem == "mapping values are not allowed here":
        return "a second colon on one line, or a line indented too far; quote a value that has `: ` in it"
    if hint := _unquoted(error):
        return hint
    begun: Any = error.context_mark
    if begun and error.problem_mark and begun.line != error.problem_mark.line:
        return f"{problem}; the value begins on line {begun.line + 1}"
    return problem


def _unquoted(error: Any) -> str:
    """For a value that begins with a sign that YAML gives a meaning, such as a pattern of sync.exclude."""
    for mark in (error.problem_mark, error.context_mark):
        line = _LINE_END.split(mark.buffer)[mark.line].rstrip("\0") if mark and mark.buffer else ""
        if found := _SIGN.search(line):
            return f'quote a value that begins with {found[1][0]}: "{shown(found[1])}"'
    return ""


def shown(word: str) -> str:
    """The word, escaped if it is long or not printable."""
    return word if word and word.isprintable() and len(word) <= 60 else ascii(word[:60])
