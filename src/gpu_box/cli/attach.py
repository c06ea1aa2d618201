"""Attach to the box: ssh, tmux, jupyter, open, tunnel. Only `up` starts a box; these never do."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from gpu_box.cli.context import options
from gpu_box.cli.lazy import command_name
from gpu_box.view import progress

if TYPE_CHECKING:
    from gpu_box.model.results import Forwarded


class Editor(StrEnum):
    CODE = "code"
    CURSOR = "cursor"
    ZED = "zed"


def register(app: typer.Typer) -> None:
    passing = {"allow_interspersed_args": False}
    app.command("ssh", rich_help_panel="Attach", context_settings=passing)(ssh_command)
    for command in (tmux_command, jupyter_command, open_command, tunnel_command):
        app.command(command_name(command), rich_help_panel="Attach")(command)


def ssh_command(
    context: typer.Context,
    command: Annotated[
        list[str] | None,
        typer.Argument(
            help="A command to run on the box; its streams, exit status and signals are passed on."
        ),
    ] = None,
) -> None:
    """Open a shell on the box, or run one command there: `gpu-box ssh -- nvidia-smi`."""
    if not command or (sys.stdin.isatty() and sys.stdout.isatty()):
        _become_ssh(context, command or [])
        return
    from gpu_box.box import work

    cloud = options(context).cloud()
    progress.clear_status()
    raise typer.Exit(work.ssh(cloud, command))


def tmux_command(context: typer.Context) -> None:
    """Open a shell that survives a lost connection, in tmux on the box."""
    import shlex

    from gpu_box.resources import remote

    script = (remote() / "attach" / "tmux.sh").read_text(encoding="utf-8")
    _become_ssh(context, [f"exec sh -c {shlex.quote(script)}"])


def jupyter_command(
    context: typer.Context,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address, with its token, and open no browser.")
    ] = False,
) -> None:
    """Open JupyterLab in the browser, through a tunnel that reconnects. Ctrl-C closes only the tunnel.

    The config's `ports` come with it. With --json it prints the address and the ports on one line, and stays.
    """
    from gpu_box.box import watch, work
    from gpu_box.view.ports import forwarded_lines, taken_line

    opts = options(context)
    cloud, report = opts.cloud(), opts.reporter()
    with work.jupyter(cloud, report) as (link, page, token), watch.beside(cloud, report):
        # With --no-browser only: a token on the screen ends up in screenshots and logs.
        opened = work.jupyter_opened(link, page, token if no_browser else "")
        jupyter = link.forwarded[0]
        taken = [f"{taken_line(jupyter).capitalize()}: it is on {link.local_port}."] if jupyter.taken else []
        lines = [f"JupyterLab: {opened.address}", *taken, *forwarded_lines(opened.ports)]
        opts.show(opened, lambda: "\n".join(lines), stays=True)
        if not opts.json:
            print("Ctrl-C closes the tunnel; kernels keep running.", file=sys.stderr, flush=True)
        if no_browser:
            link.wait()
            return
        import webbrowser

        with work.one_time_link(link, page, token) as once:
            if not once.open(webbrowser.open):
                print(
                    f"Could not open a browser. One-time link: {once.address}",
                    file=sys.stderr if opts.json else sys.stdout,
                )
            link.wait()


def open_command(
    context: typer.Context,
    editor: Annotated[
        Editor | None, typer.Argument(help="The editor.", show_default="the first that is installed")
    ] = None,
) -> None:
    """Open ~/work on the box in VS Code, Cursor or Zed on this laptop, over SSH.

    VS Code and Cursor use the Python of jobs and notebooks there. If no editor is installed, it prints the
    host and the folder. With `ports` in the config it stays, and brings them to this laptop until Ctrl-C.
    """
    from gpu_box.box import editor as editing
    from gpu_box.box import watch
    from gpu_box.view.ports import forwarded_lines, opened_lines

    opts = options(context)
    cloud, report = opts.cloud(), opts.reporter()
    with editing.open_editor(cloud, editor.value if editor else None, report) as (opened, link):
        lines = [*opened_lines(opened), *forwarded_lines(opened.ports)]
        if opened.ports:
            lines.append("Ctrl-C closes the ports; the editor stays.")
        opts.show(opened, lambda: "\n".join(lines), stays=True)
        if opened.ports:
            with watch.beside(cloud, report):
                link.wait()


def tunnel_command(
    context: typer.Context,
    ports: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PORT or LAPTOP:BOX]...",
            help="6006: the same port here and there. 8080:7860: port 8080 here leads to the box's 7860.",
        ),
    ] = None,
) -> None:
    """Bring ports of the box to this laptop, for example TensorBoard's. Reconnects; Ctrl-C closes it.

    Without a port: each server that your own processes start on the box, as it starts. The config's `ports`
    always come with it. With --json it prints the ports that are open at the start on one line, and stays.
    """
    from gpu_box.box import ports as forwarding
    from gpu_box.box import watch
    from gpu_box.view.ports import forwarded_lines

    opts = options(context)
    typed = forwarding.parse(ports or [])
    cloud, report = opts.cloud(), opts.reporter()
    wanted = forwarding.with_config(typed, cloud.config)
    with forwarding.tunnel(cloud, wanted, report) as link, watch.beside(cloud, report):
        if ports:
            lines = [*forwarded_lines(link.forwarded), "Ctrl-C closes it."]
            opts.show(link.forwarded, lambda: "\n".join(lines), stays=True)
            link.wait()
            return
        shown = False

        def on_change(
            opened: tuple[Forwarded, ...], ended: tuple[int, ...], problems: tuple[str, ...]
        ) -> None:
            nonlocal shown
            progress.clear_status()
            for problem in problems:
                print(problem, file=sys.stderr)
            if not shown:
                shown = True
                lines = forwarded_lines(link.forwarded)
                none = ["No server of yours listens on the box yet; each one is shown here as it starts."]
                opts.show(
                    link.forwarded, lambda: "\n".join([*(lines or none), "Ctrl-C closes it."]), stays=True
                )
            elif not opts.json and (opened or ended):
                gone = [f"The server on port {port} of the box has ended." for port in ended]
                print("\n".join([*forwarded_lines(opened), *gone]), flush=True)

        forwarding.follow_servers(link, on_change)


def _become_ssh(context: typer.Context, command: list[str]) -> None:
    """Replace this process by OpenSSH, so that keys and signals reach the box's terminal."""
    from gpu_box.box import work

    words = work.ssh_command(options(context).cloud(), command, tty=True)
    progress.clear_status()
    sys.stdout.flush()
    os.execvp(words[0], words)
