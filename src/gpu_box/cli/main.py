"""The entry point: global options anywhere on the line, errors to one line and an exit code."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

# Options of the whole tool, accepted before and after the command, and whether each takes a value.
_GLOBAL = {
    "--config": True,
    "--name": True,
    "--local": False,
    "--json": False,
    "--yes": False,
    "-y": False,
    "--debug": False,
}
# Commands whose remaining words are another program's.
_PASS_ON = frozenset({"run", "ssh"})
INTERRUPTED = 130
_EXTRA = re.compile(r"Got unexpected extra argument\(s\) \((.*)\)", re.DOTALL)  # Typer's words


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code.

    0 done, 1 the cloud or the machine said no, 2 the input is wrong, 130 interrupted.
    """
    words = hoist_global_options(list(sys.argv[1:] if argv is None else argv))
    if words == ["--version"]:
        from gpu_box import __version__

        print(f"gpu-box {__version__}")
        return 0
    from gpu_box.errors import GpuBoxError, Unanswered

    try:
        try:
            return _run(words)
        finally:
            _give_terminal_back()
    except GpuBoxError as error:
        if "--debug" in words:
            raise
        from gpu_box.view.error import print_error

        print_error(error, as_json="--json" in words)
        return error.exit_code
    except Unanswered:
        print("\nnothing was changed", file=sys.stderr)
        return INTERRUPTED
    except KeyboardInterrupt:
        print("\ninterrupted: run the same command again, it goes on where it was", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader went away (`gpu-box ls | head`): nobody is left to tell.
        sys.stderr.close()
        return 1
    except Exception as error:
        if "--debug" in words:
            raise
        print(
            f"error: {type(error).__name__}: {error}. This is a bug in gpu-box: "
            "run the command again with --debug and report what it shows.",
            file=sys.stderr,
        )
        return 1


def _give_terminal_back() -> None:
    progress = sys.modules.get("gpu_box.view.progress")  # imported only by a command that shows some
    if progress is not None:
        progress.over()
        progress.end()


def _run(words: list[str]) -> int:
    import typer

    from gpu_box.cli.app import app
    from gpu_box.errors import InputError

    try:
        code = app(words, standalone_mode=False, prog_name="gpu-box")
    except typer.Abort:
        raise KeyboardInterrupt from None
    except Exception as error:
        # typer's usage errors have no public base class; they say themselves what is wrong.
        describe = getattr(error, "format_message", None)
        if describe is None:
            raise
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "gpu-box"
        what = _EXTRA.sub(r"Too many arguments: \1", describe().rstrip("."))
        raise InputError(what, remedy=f"`{command} --help` shows what there is.") from None
    return code if isinstance(code, int) else 0


def hoist_global_options(words: list[str]) -> list[str]:
    """`status --json --name a` as `--json --name a status`: people put them where they think of them.

    Nothing is taken from behind `--`, nor from the words of another program (`run python x.py --name y`).
    """
    front: list[str] = []
    rest: list[str] = []
    index, command = 0, ""
    while index < len(words):
        word = words[index]
        if word == "--" or (command in _PASS_ON and not word.startswith("-")):
            rest += words[index:]
            break
        option, _, value = word.partition("=")
        if option in _GLOBAL and not (value and not _GLOBAL[option]):
            front.append(word)
            if _GLOBAL[option] and not value and index + 1 < len(words):
                index += 1
                front.append(words[index])
        else:
            if not command and not word.startswith("-"):
                command = word
            rest.append(word)
        index += 1
    return front + rest
