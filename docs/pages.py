"""MkDocs hook that generates pages from the code.

The front page comes from the README, command pages from the help texts, the config page from
config.example.yaml, and the --json page from the result types. Run as a script it writes docs/schema.json.
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
from examples import EXAMPLES  # noqa: E402
from schema import document  # noqa: E402


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    for entry in config.nav or []:
        if "Commands" in entry:
            entry["Commands"] = ["commands/index.md", *(f"commands/{name}.md" for name, _ in commands())]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    pages = {"index.md": front_page(), "config.md": config_page(), "json.md": json_page()}
    pages["commands/index.md"] = commands_page()
    pages |= {f"commands/{name}.md": command_page(name, command) for name, command in commands()}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def front_page() -> str:
    """The README with links into docs/ made local and links to other files made plain text."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("](docs/", "](")
    return re.sub(r"\[([^]]+)\]\((?!http|#|\w+\.md)[^)]+\)|\[([^]]+)\]\([A-Z]+\.md\)", r"\1\2", text)


def commands() -> Iterator[tuple[str, Any]]:
    """(name, command) in the order of `gpu-box --help`."""
    group: Any = typer.main.get_command(app)
    context = typer.Context(group)
    yield from ((name, group.get_command(context, name)) for name in group.list_commands(context))


def commands_page() -> str:
    """All commands in one table, and the global options."""
    group: Any = typer.main.get_command(app)
    rows = [
        f"| [{name}]({name}.md) | {paragraphs(command).splitlines()[0]} |" for name, command in commands()
    ]
    table = "\n".join(["| command | does |", "|---|---|", *rows])
    return "\n\n".join(["# Commands", table, "## Options of every command", *parameters(group)]) + "\n"


def command_page(name: str, command: Any) -> str:
    parts = [f"# gpu-box {name}", paragraphs(command)]
    inner = getattr(command, "commands", {})
    if not inner:
        parts += [f"```text\n{usage(name, command)}\n```"]
    parts += ["## Examples", examples(name), *([] if inner else ["## Options", *parameters(command)])]
    for word, one in inner.items():
        parts += [f"## gpu-box {name} {word}", paragraphs(one), *parameters(one)]
    group: Any = typer.main.get_command(app)
    parts += ["## Options of every command", "Before or after the command's name.", *parameters(group)]
    return "\n\n".join(parts) + "\n"


def examples(name: str) -> str:
    lines = [line for typed, does in EXAMPLES[name] for line in (f"# {does}", f"$ gpu-box {typed}")]
    return "\n".join(["```text", *lines, "```"])


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
    """A list with one Markdown table of the options; empty without options."""
    rows = []
    for parameter in command.params:
        is_option = parameter.param_type_name == "option"
        words = [*parameter.opts, *parameter.secondary_opts] if is_option else [parameter.name.upper()]
        value = "" if not is_option or parameter.is_flag or parameter.count else f" {value_name(parameter)}"
        said = parameter.help or ""
        if "--install-completion" in words or "--show-completion" in words:
            continue
        if parameter.default not in (None, False, True, ()) and not callable(parameter.default):
            said += f" Default: `{parameter.default}`."
        names = ", ".join(f"`{word}{value}`" for word in words)
        rows.append(f"| {names} | {escaped(said)} |")
    return ["\n".join(["| option | does |", "|---|---|", *rows])] if rows else []


def value_name(option: Any) -> str:
    """The name of the option's value in `--help`: "DURATION" or "stop|down"."""
    if choices := getattr(option.type, "choices", ()):
        return "\\|".join(str(getattr(choice, "value", choice)) for choice in choices)
    return str(option.metavar or option.type.name).strip("<>[]").upper().replace(" ", "_")


def escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def config_page() -> str:
    """config.example.yaml key by key: the comment is the explanation, the line the default."""
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
    """The fields of each command's result, as in docs/schema.json."""
    types = document(shapes())["$defs"]
    parts = [JSON_PAGE]
    for command in shapes():
        parts += [
            f"## {command if ' that ' in command else f'gpu-box {command}'}",
            f"{worded(types[command])}.",
        ]
    parts.append("## Types")
    for name, schema in types.items():
        if "properties" not in schema:
            continue
        parts.append(f"### {name} {{ #{name.lower()} }}")
        parts.append(escaped(schema.get("description", "")))
        rows = [
            f"| `{field}` | {worded(shape)} | {escaped(shape.get('description', ''))} |"
            for field, shape in schema["properties"].items()
        ]
        parts.append("\n".join(["| field | is | |", "|---|---|---|", *rows]))
    return "\n\n".join(part for part in parts if part) + "\n"


JSON_PAGE = """\
# Results as JSON

With `--json`, before or after its name, a command prints one JSON value on standard output and nothing
else, and asks only questions that `--yes` answers. Its exit code is 0 for success, 1 if AWS or the machine
refused, 2 for wrong input, and 130 after Ctrl-C. If it fails, the value is a [Failure](#failure).

`jupyter`, `open` and `tunnel` stay open after their value, so they print it on one line, which a script can
read meanwhile. If they fail later, for example because the box was removed, the error is on standard error.

The fields below keep their names and meanings; more may be added. Money is a string of US dollars,
`"0.526"`, not rounded; a duration is a number of seconds; a time is ISO 8601 with its zone. Unknown values
are `null`. With `boxes: 2` or more, commands for all boxes print a list.
[schema.json](schema.json) is a JSON Schema with the result of each command in `$defs`."""


def worded(shape: dict[str, Any]) -> str:
    """A short description of a schema, with links to the types."""
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
