"""Getting onto the box: ssh, tmux, jupyter, tunnel. None of these ever starts a box; only `up` does."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from gpu_box.cli.context import options
from gpu_box.cli.lazy import command_name


def register(app: typer.Typer) -> None:
    passing = {"allow_interspersed_args": False}
    app.command("ssh", rich_help_panel="Attach", context_settings=passing)(ssh_command)
    for command in (tmux_command, jupyter_command, tunnel_command):
        app.command(command_name(command), rich_help_panel="Attach")(command)


def ssh_command(
    context: typer.Context,
    command: Annotated[
        list[str] | None,
        typer.Argument(help="A command to run there: its streams, exit status and signals are passed on."),
    ] = None,
) -> None:
    """A shell on the box, or one command there: `gpu-box ssh -- nvidia-smi`."""
    if not command or (sys.stdin.isatty() and sys.stdout.isatty()):
        _become_ssh(context, command or [])
        return
    from gpu_box.box import work
    from gpu_box.view import progress

    cloud = options(context).cloud()
    progress.over()
    raise typer.Exit(work.ssh(cloud, command))


def tmux_command(context: typer.Context) -> None:
    """A shell that outlives the connection: attach to tmux on the box, or begin it."""
    remote = "command -v tmux >/dev/null || { echo 'tmux is not on this machine' >&2; exit 1; }; "
    _become_ssh(context, [remote + "exec tmux new-session -A -s main -c ~/work"])


def jupyter_command(
    context: typer.Context,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
) -> None:
    """JupyterLab in the browser, through a tunnel that reconnects. Ctrl-C closes the tunnel only."""
    from gpu_box.box import watch, work
    from gpu_box.view import progress

    opts = options(context)
    cloud, report = opts.cloud(), opts.reporter()
    with work.jupyter(cloud, report) as (link, page, token), watch.beside(cloud, report):
        progress.over()
        address = f"http://127.0.0.1:{link.local_port}/{page}"
        # Asked for by --no-browser alone: a token on the screen ends in screenshots and logs.
        print(f"JupyterLab: {address}{f'?token={token}' if no_browser else ''}", flush=True)
        print("Ctrl-C closes the tunnel; kernels go on.", file=sys.stderr, flush=True)
        if no_browser:
            link.wait()
            return
        import webbrowser

        with work.door(link, page, token) as door:
            if not webbrowser.open(door.address):
                print(f"No browser opens here. In one, this address lets you in, once: {door.address}")
            link.wait()


def tunnel_command(
    context: typer.Context,
    port: Annotated[int, typer.Argument(min=1, max=65535, help="Port on the box.")],
    local_port: Annotated[
        int | None,
        typer.Option("--local-port", min=1, max=65535, help="Port here; taken: the next free one."),
    ] = None,
) -> None:
    """A port of the box, here: TensorBoard, a web app. Reconnects; Ctrl-C closes it."""
    from gpu_box.box import watch, work
    from gpu_box.view import progress

    opts = options(context)
    cloud, report = opts.cloud(), opts.reporter()
    with work.tunnel(cloud, port, local_port or port, report) as link, watch.beside(cloud, report):
        progress.over()
        print(f"127.0.0.1:{link.local_port} is port {port} of the box. Ctrl-C closes it.", flush=True)
        link.wait()


def _become_ssh(context: typer.Context, command: list[str]) -> None:
    """Replace this process: what is typed, signals too, reaches the box's own terminal."""
    from gpu_box.box import work
    from gpu_box.view import progress

    words = work.ssh_command(options(context).cloud(), command, tty=True)
    progress.over()
    sys.stdout.flush()
    os.execvp(words[0], words)
