"""MkDocs' hook: the pages that are made from the code, so that they cannot be behind it.

The first page is the README, a page for each command is its own help, that about config.yaml is
config.example.yaml, and that about --json the types of the results. Run by itself, it writes docs/schema.json
of those types.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from gpu_box.cli.app import app
from gpu_box.cli.results import shapes

ROOT = Path(__file__).parents[1]

sys.path.insert(0, str(Path(__file__).parent))
from schema import document  # noqa: E402


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    for entry in config.nav or []:
        if "Commands" in entry:
            entry["Commands"] = [f"commands/{name}.md" for name, _ in commands()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    pages = {"index.md": front_page(), "config.md": config_page(), "json.md": json_page()}
    pages |= {f"commands/{name}.md": command_page(name, command) for name, command in commands()}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def front_page() -> str:
    """The README: its links into docs/ are the site's own, other files of the repository are only named."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("](docs/", "](")
    return re.sub(r"\[([^]]+)\]\((?!http|#|\w+\.md)[^)]+\)|\[([^]]+)\]\([A-Z]+\.md\)", r"\1\2", text)


def commands() -> Iterator[tuple[str, Any]]:
    """In the order of `gpu-box --help`."""
    group: Any = typer.main.get_command(app)
    yield from group.commands.items()


def command_page(name: str, command: Any) -> str:
    parts = [f"# gpu-box {name}", paragraphs(command)]
    inner = getattr(command, "commands", {})
    if inner:
        for word, one in inner.items():
            parts += [f"## gpu-box {name} {word}", paragraphs(one), *parameters(one)]
    else:
        parts += [f"```text\n{usage(name, command)}\n```", *parameters(command)]
    parts.append("Options of every command, before or after its name:")
    group: Any = typer.main.get_command(app)
    parts += parameters(group)
    return "\n\n".join(parts) + "\n"


def usage(name: str, command: Any) -> str:
    words = [
        f"{one.name.upper()}{'...' if one.nargs == -1 else ''}"
        for one in command.params
        if one.param_type_name == "argument"
    ]
    return " ".join(["gpu-box", name, "[OPTIONS]", *words])


def paragraphs(command: Any) -> str:
    return escaped(inspect.cleandoc(command.help or "").replace("\b", ""))


def parameters(command: Any) -> list[str]:
    """A table, as a list of one; none where there is nothing to say."""
    rows = []
    for parameter in command.params:
        is_option = parameter.param_type_name == "option"
        words = [*parameter.opts, *parameter.secondary_opts] if is_option else [parameter.name.upper()]
        said = parameter.help or ""
        if "--install-completion" in words or "--show-completion" in words:
            continue
        if parameter.default not in (None, False, True, ()) and not callable(parameter.default):
            said += f" Default: `{parameter.default}`."
        names = ", ".join(f"`{word}`" for word in words)
        rows.append(f"| {names} | {escaped(said)} |")
    return ["\n".join(["| | |", "|---|---|", *rows])] if rows else []


def escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def config_page() -> str:
    """config.example.yaml, key by key: its comment is the explanation, its line the default."""
    parts = [
        "# config.yaml",
        "Every key, with its default, its unit and an example. `gpu-box init` writes the file.",
    ]
    section, said = "", list[str]()
    for line in (ROOT / "config.example.yaml").read_text(encoding="utf-8").splitlines():
        title = re.fullmatch(r"# --- (.+?) -+", line)
        comment = re.fullmatch(r" *# (.*)", line)
        key = re.fullmatch(r"( *)(#?)([a-z_]+):(.*)", line)
        if title:
            parts.append(f"## {title[1].capitalize()}")
            said = []
        elif comment:
            said.append(comment[1])
        elif key:
            indent, unset, name, value = key.groups()
            if not value.strip() and not unset:
                section, said = name, []
                continue
            path = f"{section}.{name}" if indent else name
            text, _, example = escaped(" ".join(" ".join(said).split())).partition("Example: ")
            value = value.partition(" # ")[0].strip()
            parts.append(f"### {path} {{ #{path.replace('.', '-')} }}")
            parts.append(text.strip())
            parts.append(
                ("" if unset else f"Default: `{value}`. ") + (f"Example: `{example}`" if example else "")
            )
            said = []
    return "\n\n".join(part for part in parts if part) + "\n"


def json_page() -> str:
    """For each command the fields of its result; the same as docs/schema.json has it for programs."""
    types = document(shapes())["$defs"]
    parts = [JSON_PAGE]
    for command in shapes():
        parts += [
            f"## {command if ' that ' in command else f'gpu-box {command}'}",
            f"{worded(types[command])}.",
        ]
    parts.append("## Types")
    for name, told in types.items():
        if "properties" not in told:
            continue
        parts.append(f"### {name} {{ #{name.lower()} }}")
        parts.append(escaped(told.get("description", "")))
        rows = [
            f"| `{field}` | {worded(shape)} | {escaped(shape.get('description', ''))} |"
            for field, shape in told["properties"].items()
        ]
        parts.append("\n".join(["| field | is | |", "|---|---|---|", *rows]))
    return "\n\n".join(part for part in parts if part) + "\n"


JSON_PAGE = """\
# Results as JSON

With `--json`, before or after its name, a command prints one JSON value on standard output and nothing
else, and asks nothing but what `--yes` answers. Its exit code says whether it did what it was told: 0 yes,
1 AWS or the machine said no, 2 the input is wrong. If it did not, the value is a [Failure](#failure).

The fields below keep their names and their meaning; more may come. Money is a string of US dollars,
`"0.526"`, to the last digit; a duration is a number of seconds; a time is ISO 8601 with its zone. What is
not known is `null`. With `boxes: 2` or more, commands that mean all boxes answer with a list.
[schema.json](schema.json) is the same as a JSON Schema, in whose `$defs` each command has its own."""


def worded(shape: dict[str, Any]) -> str:
    """A schema in a few words, with links to the types."""
    if "$ref" in shape:
        name = shape["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in shape:
        return " or ".join(worded(one) for one in shape["anyOf"])
    if "enum" in shape:
        return " or ".join(f"`{json.dumps(one)}`" for one in shape["enum"])
    if "prefixItems" in shape:
        return f"[{', '.join(worded(one) for one in shape['prefixItems'])}]"
    if shape["type"] == "array":
        return f"list of {worded(shape['items'])}"
    if shape["type"] == "object":
        return f"object of {worded(shape['additionalProperties'])}"
    if "pattern" in shape:
        return "amount"
    names = {"date-time": "time", "date": "day"}
    seconds = shape["type"] == "number" and shape.get("description", "").startswith("seconds")
    return "seconds" if seconds else names.get(shape.get("format", ""), shape["type"])


def write_schema(path: Path = ROOT / "docs" / "schema.json") -> None:
    path.write_text(json.dumps(document(shapes()), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_schema()
