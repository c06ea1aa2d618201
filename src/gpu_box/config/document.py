"""A config file's bytes as YAML nodes: one plain document, or words for what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpu_box.errors import ConfigError

NULL_TAG = "tag:yaml.org,2002:null"
# A config has a few hundred lines and three levels; more is some other file, or a trap for YAML's parser.
MOST_BYTES = 1_000_000
_MOST_LEVELS = 20
_PLAINER = {
    "found unexpected end of stream": "the file ends inside a quoted text",
    "found unexpected document separator": "a line that begins with --- or ... inside a quoted text",
}


def compose(content: bytes, path: Path) -> Any:
    """The YAML as nodes, which know their text and their place. None of YAML's types is made of them."""
    import yaml

    if len(content) > MOST_BYTES:
        raise ConfigError(["is larger than a config can be (1 MB)"], where=str(path))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"line {line}: not UTF-8 text"], where=str(path)) from None
    try:
        problems = list(_beyond_a_config(text))
        node = None if problems else yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what = f"line {line}: the character {text[error.position]!a} may not stand in YAML"
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
    """What YAML can do and a config has no use for, refused by name. Raises YAMLError."""
    import yaml

    documents = levels = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        mark: Any = event.start_mark
        at = f"line {mark.line + 1}"
        documents += isinstance(event, yaml.DocumentStartEvent)
        levels += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if documents > 1:
            yield f"{at}: a second document begins (---); a config is one"
            return
        if levels > _MOST_LEVELS:  # no further: the parser's time grows with their square
            yield f"{at}: nested too deeply"
            return
        if isinstance(event, yaml.AliasEvent):
            yield f"{at}: aliases (*{event.anchor}) are not read; write the value out"
        elif isinstance(event, yaml.NodeEvent) and event.anchor:
            yield f"{at}: anchors (&{event.anchor}) are not read; remove it"
        elif isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)) and event.tag:
            tag = shown(event.tag.replace("tag:yaml.org,2002:", "!!"))
            yield f"{at}: tags ({tag}) are not read; remove it"


def _in_words(error: Any) -> str:
    """YAML's own words, and what most often is behind them."""
    problem = str(error.problem or error.context or "cannot be read")
    problem = _PLAINER.get(problem, problem)
    if "'\\t'" in problem:
        return "a tab; YAML is indented with spaces"
    if problem == "mapping values are not allowed here":
        return "a second colon on one line, or a line indented too far; quote a value that has `: ` in it"
    begun: Any = error.context_mark
    if begun and error.problem_mark and begun.line != error.problem_mark.line:
        return f"{problem}; what it belongs to begins on line {begun.line + 1}"
    return problem


def shown(word: str) -> str:
    """As it stands, unless that would break a line of ours."""
    return word if word and word.isprintable() and len(word) <= 60 else ascii(word[:60])
