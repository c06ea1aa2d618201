"""Getting onto the box: ssh, tmux, jupyter, tunnel. None of these ever starts a box; only `up` does."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from gpu_box.cli.context import options


def register(app: typer.Typer) -> None:
    passing = {"allow_interspersed_args": False}
    app.command(rich_help_panel="Attach", context_settings=passing)(ssh)
    for command in (tmux, jupyter, tunnel):
        app.command(rich_help_panel="Attach")(command)


def ssh(
    context: typer.Context,
    command: Annotated[
        list[str] | None, typer.Argument(help="A command to run there; its exit status is passed on.")
    ] = None,
) -> None:
    """A shell on the box, or one command there: `gpu-box ssh -- nvidia-smi`."""
    _become_ssh(context, command or [], tty=not command)


def tmux(context: typer.Context) -> None:
    """A shell that outlives the connection: attach to tmux on the box, or begin it."""
    remote = "command -v tmux >/dev/null || { echo 'tmux is not on this machine' >&2; exit 1; }; "
    _become_ssh(context, [remote + "exec tmux new-session -A -s main -c ~/work"], tty=True)


def jupyter(
    context: typer.Context,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
) -> None:
    """JupyterLab in the browser, through a tunnel that reconnects. Ctrl-C closes the tunnel only."""
    from gpu_box import work

    opts = options(context)
    with work.jupyter(opts.load(), opts.reporter()) as (link, page, token):
        address = f"http://127.0.0.1:{link.local_port}/{page}"
        # Asked for by --no-browser alone: a token on the screen ends in screenshots and logs.
        print(f"JupyterLab: {address}{f'?token={token}' if no_browser else ''}", flush=True)
        print("Ctrl-C closes the tunnel; kernels go on.", file=sys.stderr, flush=True)
        if not no_browser:
            import webbrowser

            webbrowser.open(f"{address}?token={token}")
        link.wait()


def tunnel(
    context: typer.Context,
    port: Annotated[int, typer.Argument(min=1, max=65535, help="Port on the box.")],
    local_port: Annotated[
        int | None,
        typer.Option("--local-port", min=1, max=65535, help="Port here; taken: the next free one."),
    ] = None,
) -> None:
    """A port of the box, here: TensorBoard, a web app. Reconnects; Ctrl-C closes it."""
    from gpu_box import work

    opts = options(context)
    with work.tunnel(opts.load(), port, local_port or port, opts.reporter()) as link:
        print(f"127.0.0.1:{link.local_port} is port {port} of the box. Ctrl-C closes it.", flush=True)
        link.wait()


def _become_ssh(context: typer.Context, command: list[str], *, tty: bool) -> None:
    """Replace this process, so that exit status, standard input and signals are the box's own."""
    from gpu_box import work

    words = work.ssh_command(options(context).load(), command, tty=tty)
    sys.stdout.flush()
    os.execvp(words[0], words)
