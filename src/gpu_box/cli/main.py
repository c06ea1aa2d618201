"""The entry point: global options anywhere on the line; an error becomes one line and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from gpu_box.cli.reader import READER_GONE
from gpu_box.home import forget_empty_home

TYPE_CHECKING = False  # as in gpu_box/__init__.py
if TYPE_CHECKING:
    from gpu_box.errors import Interrupted

# Options accepted before and after the command, and whether each takes a value.
_GLOBAL = {
    "--config": True,
    "--name": True,
    "--local": False,
    "--json": False,
    "--yes": False,
    "-y": False,
    "--debug": False,
}
# Commands that pass the remaining words to another program.
_PASS_ON = frozenset({"run", "ssh"})
_WINDOWS = (
    "error: gpu-box does not run in Windows itself. Run `wsl --install` in PowerShell, then install and use "
    "gpu-box in the Linux shell that `wsl` opens."
)
_ON = "`gpu-box status` shows the box"
# What holds after Ctrl-C at any moment. Every step can be repeated; a box is guarded from its first boot on.
_LEFT = {
    "up": "a box that runs already bills, and stops itself when idle. `gpu-box up` continues; "
    f"{_ON}; `gpu-box down` removes what was made",
    "stop": f"the box may still run. `gpu-box stop` again ends the meter; {_ON}",
    "down": f"some of the box may be left and bill. `gpu-box down` again removes the rest; {_ON}",
    "resize": f"the box may be stopped with its disk kept. `gpu-box resize` again continues; {_ON}",
    "bake": f"the box may be stopped, an image half made. `gpu-box bake` again continues; {_ON}",
    "move": f"the disk is kept, as an image while it moves. `gpu-box move` again continues; {_ON}",
    "sweep": "what was not removed yet is left. `gpu-box sweep` lists it",
    "sync": "files that arrived are whole. `gpu-box sync` again sends the rest, from where it ended",
    "pull": "files that arrived are whole. `gpu-box pull` again brings the rest",
    "run": "a job that began keeps running, and its box stops when idle. `gpu-box logs` follows it",
    "train": "a training that began keeps running, and its box stops when idle. `gpu-box logs` follows it",
    "cancel": "the job may still run. `gpu-box cancel` again ends it; `gpu-box jobs` shows it",
    "logs": "the job keeps running, and its box stops when idle. `gpu-box logs` follows it again",
    "jupyter": "the tunnel is closed, kernels keep running. `gpu-box jupyter` opens it again",
    "tunnel": "the tunnel is closed. `gpu-box tunnel` opens it again",
    "open": "the ports are closed, the editor stays. `gpu-box open` opens them again",
}
signals: dict[int, float] = {}  # that ended the command, and when, in monotonic seconds
_SAME_S = 1.0  # `timeout` sends its signal to the command, and to its process group
# A write that failed: every file of our own is written by code that names it.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code.

    0 done, 1 the cloud or the machine refused, 2 the input is wrong, 130 interrupted,
    141 the reader of the output went away.
    """
    _open_closed_streams()
    if sys.platform == "win32":
        print(_WINDOWS, file=sys.stderr)
        return 2
    forget_empty_home()
    given, rest = split_global_options(list(sys.argv[1:] if argv is None else argv))
    try:
        return _command(given, rest)
    except BrokenPipeError:
        return READER_GONE
    except OSError as error:
        if error.errno not in _FULL or "--debug" in given:
            raise
        print(f"error: the output cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    finally:
        _drop_unwritten()


def _command(given: list[str], rest: list[str]) -> int:
    """given: the global options."""
    words, as_json, debug = given + rest, "--json" in given, "--debug" in given
    if "_GPU_BOX_COMPLETE" in os.environ:
        from gpu_box.cli import known_names

        if (names := known_names.answer()) is not None:
            print(names, flush=True)
            return 0
    if words == ["--version"]:
        from gpu_box import __version__

        print(f"gpu-box {__version__}", flush=True)
        return 0
    import signal

    from gpu_box.errors import GpuBoxError, InputError, Interrupted, ReaderGone, Unanswered
    from gpu_box.view import hints

    with suppress(ValueError):  # not in the main thread
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:  # as for `gpu-box ... &` in a script
                signal.signal(number, _interrupt)
    try:
        try:
            if given and _GLOBAL.get(given[-1]):  # typer would take the command for its value
                raise InputError(f"{given[-1]} needs a value", remedy="`gpu-box --help` shows the options.")
            code = _run(words)
            sys.stdout.flush()
            return code
        finally:
            _give_terminal_back()
    except Interrupted as error:
        return _say(error, as_json)
    except GpuBoxError as error:
        if debug:
            raise
        from gpu_box.view.error import print_error

        print_error(error, as_json=as_json)
        return error.exit_code
    except Unanswered:
        return _say(Interrupted("nothing was changed"), as_json)
    except KeyboardInterrupt:
        return _say(_interrupted(words), as_json)
    except ReaderGone:
        return READER_GONE
    except Exception as error:
        if debug or isinstance(error, OSError) and error.errno in (errno.EPIPE, *_FULL):
            raise
        from gpu_box.view.error import print_error

        bug = GpuBoxError(
            f"{type(error).__name__}: {error}. This is a bug in gpu-box",
            remedy="Run the command again with --debug and report what it shows.",
        )
        print_error(bug, as_json=as_json)
        return 1
    finally:
        hints.forget()
        if as_json:
            from gpu_box.view import json

            json.forget()


def _interrupt(number: int, _: object) -> None:
    """SIGTERM as Ctrl-C: say what is left and what to type. A second SIGTERM ends the process at once."""
    import signal

    now, before = time.monotonic(), signals.get(number)
    if before is not None and now - before < _SAME_S:
        return
    signals[number] = now
    if before is not None and number == signal.SIGTERM:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
    raise KeyboardInterrupt


def _open_closed_streams() -> None:
    """Python has None for a stream that its caller closed (`>&-`)."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 (open to the end)


def _drop_unwritten() -> None:
    """Python writes both streams once more at its end, and would complain of what cannot be written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def interrupted() -> int:
    """Say so for the words of this process, and return the exit code. For Ctrl-C outside of `main`."""
    given, rest = split_global_options(sys.argv[1:])
    return _say(_interrupted(given + rest), "--json" in given)


def _interrupted(words: list[str]) -> Interrupted:
    """What Ctrl-C leaves behind, and what to type."""
    from gpu_box.errors import Interrupted

    command = next((word for word in words if word in _LEFT), "")
    return Interrupted(f"interrupted: {_LEFT.get(command, 'run the same command again to continue')}")


def _say(error: Interrupted, as_json: bool) -> int:
    from gpu_box.view.error import print_interrupted

    print_interrupted(error, as_json=as_json)
    return error.exit_code


def _give_terminal_back() -> None:
    progress = sys.modules.get("gpu_box.view.progress")  # absent if the command showed none
    if progress is not None:
        progress.clear_status()
        progress.close()


def _run(words: list[str]) -> int:
    import typer

    from gpu_box.cli.app import app

    if "_GPU_BOX_COMPLETE" in os.environ:
        app(words, standalone_mode=False, prog_name="gpu-box")  # prints completions and exits
    try:
        # Not `app(...)`, which makes an exit status of Ctrl-C, like that of a job, without a word.
        command = typer.main.get_command(app)
        with command.make_context("gpu-box", words) as context:
            code = command.invoke(context)
    except typer.Exit as end:
        code = end.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    except Exception as error:
        # typer's usage errors have no public base class; format_message describes them.
        if getattr(error, "format_message", None) is None:
            raise
        from gpu_box.cli.lazy import Commands
        from gpu_box.cli.usage import usage_error

        raise usage_error(error, words, Commands.names()) from None
    return code if isinstance(code, int) else 0


def split_global_options(words: list[str]) -> tuple[list[str], list[str]]:
    """The global options, which may stand anywhere, and the rest: `status --json --name a` is `--json
    --name a` and `status`.

    Words after `--` and words of another program (`run python x.py --name y`) stay where they are; a notebook
    is no program.
    """
    front: list[str] = []
    rest: list[str] = []
    index, command, notebook = 0, "", False
    while index < len(words):
        word = words[index]
        notebook = notebook or (command == "run" and word.lower().endswith(".ipynb"))
        if word == "--" or (command in _PASS_ON and not word.startswith("-") and not notebook):
            rest += words[index:]
            break
        option, equals, value = word.partition("=")
        if option in _GLOBAL and not (value and not _GLOBAL[option]):
            front.append(word)
            if _GLOBAL[option] and not equals and index + 1 < len(words):
                index += 1
                front.append(words[index])
        else:
            if not command and not word.startswith("-"):
                command = word
            rest.append(word)
        index += 1
    return front, rest
